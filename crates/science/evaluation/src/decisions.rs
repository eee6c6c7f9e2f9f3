//! Reader of Limbic's log format: JSON Lines of decision and outcome envelopes, in any order.
//!
//! A row is a decision that chose a creative. Its reward is 1 if the selected kind of outcome was reported for it,
//! else 0, so a repeated outcome counts once. A decision repeated under the same id counts once.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use limbic_domain::{Decision, Envelope, Outcome, OutcomeKind, Probability, Record, Utc};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::lines::{LineReader, Start, read_lines};
use crate::log::{BanditLog, LogRow, MixMap, MixSet, Situation, Sparse};
use crate::{EvaluateError, EvaluationOptions, supplied};

/// Reads the log and joins outcomes to decisions.
pub(super) fn read(
    options: &EvaluationOptions,
    progress: impl FnMut(u64, u64),
) -> Result<BanditLog, EvaluateError> {
    let mut whole = Part::default();
    let reader = || Reader {
        part: Part::default(),
        wanted: options.reward,
        keyed: options.needs_keys(),
        arms: Vec::new(),
        arm_places: NameCache::default(),
        features: Sparse::new(),
        feature_places: NameCache::default(),
    };
    let merge = |part: Part, lines| whole.absorb(part, lines);
    read_lines(
        &options.log,
        Start::default(),
        options.threads,
        reader,
        merge,
        progress,
    )?;
    Ok(whole.join(options.attribution_window_millis))
}

/// The id of a decision, hashed to 128 bits.
fn key_of(tenant: &str, id: &str) -> (u64, u64) {
    let hash = xxh3_128_with_seed(id.as_bytes(), xxh3_64(tenant.as_bytes()));
    ((hash >> 64) as u64, hash as u64)
}

#[derive(Debug, Clone, Copy)]
struct DecisionEntry {
    key: (u64, u64),
    at: i64,
    line: u64,
}

struct OutcomeEntry {
    decision: (u64, u64),
    at: i64,
    line: u64,
    wanted: bool,
}

/// The content of one range of the file. `made` is parallel to the log's rows.
struct Part {
    log: BanditLog,
    made: Vec<DecisionEntry>,
    came: Vec<OutcomeEntry>,
    /// Decisions that chose nothing.
    empty: MixSet<(u64, u64)>,
    last: i64,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            log: BanditLog::new(),
            made: Vec::new(),
            came: Vec::new(),
            empty: MixSet::default(),
            last: i64::MIN,
        }
    }
}

impl Part {
    fn absorb(&mut self, part: Self, lines_before: u64) {
        self.log.absorb(part.log, lines_before);
        self.made.extend(part.made.into_iter().map(|made| DecisionEntry {
            line: made.line + lines_before,
            ..made
        }));
        self.came.extend(part.came.into_iter().map(|came| OutcomeEntry {
            line: came.line + lines_before,
            ..came
        }));
        self.empty.extend(part.empty);
        self.last = self.last.max(part.last);
    }

    fn join(mut self, window: Option<i64>) -> BanditLog {
        let mut row_of: MixMap<(u64, u64), u32> = MixMap::default();
        let mut keep = vec![true; self.made.len()];
        for (row, made) in (0_u32..).zip(&self.made) {
            if *row_of.entry(made.key).or_insert(row) != row {
                keep[row as usize] = false;
                self.log.rejections.add(made.line, "a duplicate decision", "");
            }
        }
        let mut late = 0_u64;
        for came in &self.came {
            let Some(&row) = row_of.get(&came.decision) else {
                let kind = if self.empty.contains(&came.decision) {
                    "outcome of a decision that chose nothing"
                } else {
                    "outcome of an unknown decision"
                };
                self.log.rejections.add(came.line, kind, "");
                continue;
            };
            let waited = came.at.saturating_sub(self.made[row as usize].at);
            if waited < 0 {
                self.log
                    .rejections
                    .add(came.line, "outcome before its decision", "");
            } else if came.wanted {
                if window.is_some_and(|window| waited > window) {
                    late += 1;
                } else {
                    self.log.rows[row as usize].reward = 1.0;
                }
            }
        }
        let mut young = 0_u64;
        if let Some(window) = window {
            for (keep, made) in keep.iter_mut().zip(&self.made) {
                if *keep && made.at.saturating_add(window) > self.last {
                    *keep = false;
                    young += 1;
                }
            }
        }
        self.log.retain(|row| keep[row]);
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                self.log.notes.push(format!("{count} {what}"));
            }
        };
        note(
            self.empty.len() as u64,
            "decisions chose nothing and are not evaluated",
        );
        note(
            late,
            "outcomes came after the attribution window and do not count",
        );
        note(
            young,
            "decisions were left out: their attribution window was not over when the log ended",
        );
        self.log
    }
}

struct Reader {
    part: Part,
    wanted: OutcomeKind,
    /// Whether rows keep the key of their id.
    keyed: bool,
    /// Buffers for the candidates and the context of a row.
    arms: Vec<u32>,
    features: Sparse,
    arm_places: NameCache,
    feature_places: NameCache,
}

/// The index of each name in the previous row, by place. Most rows have the same names in the same places, and a
/// comparison is faster than a look-up.
#[derive(Default)]
struct NameCache(Vec<u32>);

impl NameCache {
    fn find(&self, place: usize, name: &str, names: &[String]) -> Option<u32> {
        let before = *self.0.get(place)?;
        (names[before as usize] == name).then_some(before)
    }

    fn remember(&mut self, place: usize, number: u32) {
        match self.0.get_mut(place) {
            Some(known) => *known = number,
            None => self.0.push(number),
        }
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// The fields of a decision's envelope that an evaluation needs. Deserialising all of them takes twice as long.
#[derive(Deserialize)]
struct Logged<'a> {
    v: u32,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    at: Utc,
    #[serde(borrow)]
    data: LoggedDecision<'a>,
}

#[derive(Deserialize)]
struct LoggedDecision<'a> {
    #[serde(borrow, default)]
    context: LoggedContext<'a>,
    #[serde(borrow)]
    result: LoggedResult<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LoggedResult<'a> {
    #[serde(borrow)]
    Chosen(LoggedChoice<'a>),
    Suppressed(IgnoredAny),
    HeldOut(IgnoredAny),
}

#[derive(Deserialize)]
struct LoggedCandidate<'a> {
    #[serde(borrow)]
    creative: Cow<'a, str>,
    propensity: Probability,
    marginal_propensity: Option<Probability>,
}

impl LoggedCandidate<'_> {
    /// The probability to weigh with; see [`limbic_domain::Candidate::evaluation_propensity`].
    fn evaluation_propensity(&self) -> f64 {
        self.marginal_propensity.unwrap_or(self.propensity).get()
    }
}

#[derive(Deserialize)]
struct LoggedChoice<'a> {
    #[serde(borrow)]
    candidates: Vec<LoggedCandidate<'a>>,
    #[serde(borrow)]
    creative: LoggedCreative<'a>,
    propensity: Probability,
    position: usize,
}

#[derive(Deserialize)]
struct LoggedCreative<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// Named features, in the order of the text.
#[derive(Default)]
struct LoggedContext<'a>(Vec<(Name<'a>, f64)>);

/// A string that is borrowed if it has no escapes. Serde borrows a `Cow` only as a field.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for LoggedContext<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<'a>(PhantomData<Name<'a>>);
        impl<'de: 'a, 'a> Visitor<'de> for Entries<'a> {
            type Value = LoggedContext<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(32);
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(LoggedContext(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

type Wrong = (&'static str, String);

impl Reader {
    fn parse(&mut self, line: u64, bytes: &[u8]) -> Result<(), Wrong> {
        let not_an_envelope = |reason: String| ("not an envelope", reason);
        let text = str::from_utf8(bytes).map_err(|e| not_an_envelope(e.to_string()))?;
        // Limbic writes the type first. An envelope with another order is parsed twice.
        if text.starts_with(r#"{"type":"decision""#) {
            return self.decision(line, text);
        }
        let head: Head<'_> = serde_json::from_str(text).map_err(|e| not_an_envelope(e.to_string()))?;
        match &*head.kind {
            Decision::TYPE => self.decision(line, text),
            Outcome::TYPE => self.outcome(line, bytes),
            other => Err(("neither decision nor outcome", format!("`{other}`"))),
        }
    }

    fn outcome(&mut self, line: u64, bytes: &[u8]) -> Result<(), Wrong> {
        let envelope =
            Envelope::<Outcome>::decode(bytes).map_err(|e| ("not a readable outcome", e.to_string()))?;
        self.part.last = self.part.last.max(envelope.at.as_millis());
        self.part.came.push(OutcomeEntry {
            decision: key_of(envelope.tenant.as_str(), &envelope.data.decision),
            at: envelope.at.as_millis(),
            line,
            wanted: envelope.data.kind == self.wanted,
        });
        Ok(())
    }

    fn decision(&mut self, line: u64, text: &str) -> Result<(), Wrong> {
        let unreadable = |reason: String| ("not a readable decision", reason);
        let envelope: Logged<'_> = sonic_rs::from_str(text).map_err(|e| unreadable(e.to_string()))?;
        if envelope.v > Decision::VERSION {
            return Err(unreadable(format!(
                "version {}, this program reads up to {}",
                envelope.v,
                Decision::VERSION
            )));
        }
        let decision = &envelope.data;
        let key = key_of(&envelope.tenant, &envelope.id);
        self.part.last = self.part.last.max(envelope.at.as_millis());
        let choice = match &decision.result {
            LoggedResult::Chosen(choice) => choice,
            LoggedResult::Suppressed(_) | LoggedResult::HeldOut(_) => {
                self.part.empty.insert(key);
                return Ok(());
            }
        };
        let total: f64 = choice.candidates.iter().map(|c| c.propensity.get()).sum();
        if (total - 1.0).abs() > 1e-6 {
            return Err(("probabilities do not add up to 1", total.to_string()));
        }
        let chosen = choice
            .candidates
            .get(choice.position)
            .filter(|candidate| candidate.creative == choice.creative.id)
            .ok_or(("the choice is not a candidate", String::new()))?;
        let propensity = choice.propensity.get();
        if propensity <= 0.0 || (propensity - chosen.propensity.get()).abs() > 1e-9 {
            let both = format!("{propensity} and {}", chosen.propensity.get());
            return Err(("the choice's propensity is 0 or not its candidate's", both));
        }
        let weighed: f64 = choice
            .candidates
            .iter()
            .map(LoggedCandidate::evaluation_propensity)
            .sum();
        if (weighed - 1.0).abs() > 1e-6 {
            return Err(("marginal probabilities do not add up to 1", weighed.to_string()));
        }
        let propensity = chosen.evaluation_propensity();
        if propensity <= 0.0 {
            return Err(("the choice's marginal propensity is 0", String::new()));
        }
        let log = &mut self.part.log;
        self.arms.clear();
        for (place, candidate) in choice.candidates.iter().enumerate() {
            let known = self.arm_places.find(place, &candidate.creative, &log.arms);
            let arm = known.unwrap_or_else(|| log.arm(&candidate.creative));
            if self.arms.contains(&arm) {
                return Err(("a candidate twice", format!("`{}`", candidate.creative)));
            }
            self.arm_places.remember(place, arm);
            self.arms.push(arm);
        }
        self.features.clear();
        for (place, (name, value)) in decision.context.0.iter().enumerate() {
            let known = self.feature_places.find(place, &name.0, &log.feature_names);
            let feature = known.unwrap_or_else(|| log.feature(&name.0));
            self.feature_places.remember(place, feature);
            self.features.push((feature, *value));
        }
        let arm = self.arms[choice.position];
        let context = log.context(&mut self.features);
        let set = log.set(&self.arms);
        let situation = log.situation(Situation {
            context,
            set,
            position: 0,
        });
        let row = LogRow {
            situation,
            arm,
            reward: 0.0,
            propensity,
        };
        let propensities = choice
            .candidates
            .iter()
            .map(LoggedCandidate::evaluation_propensity);
        log.push_with_candidates(row, propensities, line);
        if self.keyed {
            log.keys.push(supplied::key_of(&envelope.id));
        }
        self.part.made.push(DecisionEntry {
            key,
            at: envelope.at.as_millis(),
            line,
        });
        Ok(())
    }
}

impl LineReader for Reader {
    type Part = Part;

    fn read(&mut self, line: u64, bytes: &[u8]) {
        if let Err((kind, detail)) = self.parse(line, bytes) {
            self.part.log.rejections.add(line, kind, &detail);
        }
    }

    fn finish(self) -> Part {
        self.part
    }
}
