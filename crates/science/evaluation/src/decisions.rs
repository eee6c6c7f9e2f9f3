//! Reader of Limbic's log format: JSON Lines of decision and outcome envelopes, in any order.
//!
//! A row is a decision that chose a creative and was shown. Its reward is that of the optimize stage
//! ([`RewardConfig::reward`]), from the latest statement of each outcome. A decision repeated under the same id counts once.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use limbic_bandit::rewards::{Event, Exposure, RewardConfig, Shown};
use limbic_domain::{
    Decision, Envelope, HumanDuration, Outcome, OutcomeKind, Probability, Record, Statement, Utc,
};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sonic_rs::LazyValue;
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
        keyed: options.needs_keys(),
        arms: Vec::new(),
        arm_places: NameCache::default(),
        features: Sparse::new(),
        feature_places: NameCache::default(),
        contexts: MixMap::default(),
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
    let mut rewards = options.rewards.clone();
    if let Some(window) = options.attribution_window_millis {
        rewards.click_window = HumanDuration::from_millis(window.max(0).cast_unsigned());
        rewards.conversion_window = rewards.click_window;
    }
    Ok(whole.join(rewards, options.attribution_window_millis.is_some()))
}

/// The id of a decision, hashed to 128 bits.
fn key_of(tenant: &str, id: &str) -> (u64, u64) {
    hash_of(id.as_bytes(), xxh3_64(tenant.as_bytes()))
}

fn hash_of(bytes: &[u8], seed: u64) -> (u64, u64) {
    let hash = xxh3_128_with_seed(bytes, seed);
    ((hash >> 64) as u64, hash as u64)
}

#[derive(Debug, Clone, Copy)]
struct DecisionEntry {
    key: (u64, u64),
    at: i64,
    line: u64,
    people: u32,
}

struct OutcomeEntry {
    decision: (u64, u64),
    /// The sender's key, hashed.
    key: u64,
    said: Statement,
    at: Utc,
    person: Option<u128>,
    line: u64,
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

    /// Gives each row its reward. With `is_complete`, decisions whose windows are not over at the end of the log are left out.
    fn join(mut self, mut rewards: RewardConfig, is_complete: bool) -> BanditLog {
        let mut row_of: MixMap<(u64, u64), u32> = MixMap::default();
        let mut keep = vec![true; self.made.len()];
        for (row, made) in (0_u32..).zip(&self.made) {
            if *row_of.entry(made.key).or_insert(row) != row {
                keep[row as usize] = false;
                self.log.rejections.add(made.line, "a duplicate decision", "");
            }
        }
        let came = std::mem::take(&mut self.came);
        let mut came: Vec<(u32, OutcomeEntry)> = came
            .into_iter()
            .filter_map(|came| Some((self.row_of_outcome(&row_of, &came)?, came)))
            .collect();
        drop(row_of);
        if rewards.exposure == Exposure::Impression {
            self.assume_exposure(&mut rewards, &came);
        }
        came.sort_unstable_by(|(row, a), (other, b)| {
            let place = |row: u32, came: &OutcomeEntry| (row, came.key);
            let same = place(*row, a).cmp(&place(*other, b));
            same.then_with(|| a.said.order(&b.said))
                .then_with(|| a.line.cmp(&b.line))
        });
        let mut counts = Counts::default();
        let mut rest = came.as_slice();
        let mut events = Vec::new();
        for (row, made) in self.made.iter().enumerate() {
            let count = rest.partition_point(|(of, _)| *of as usize == row);
            let (own, others) = rest.split_at(count);
            rest = others;
            if !keep[row] {
                continue;
            }
            latest_of_each_key(own, rewards.restatement_window.as_millis(), &mut events);
            let shown = Shown {
                decided: Utc::from_millis(made.at),
                people: made.people.into(),
            };
            let Some(reward) = rewards.reward(shown, &events, Utc::MAX) else {
                let is_clicked = events.iter().any(|event| event.kind == OutcomeKind::Click);
                counts.unseen += u64::from(is_clicked);
                counts.unshown += u64::from(!is_clicked);
                keep[row] = false;
                continue;
            };
            let (first, last) = if events.is_empty() {
                (made.at, made.at)
            } else {
                let exposed = rewards.exposures(shown, &events);
                let ends = exposed.first().zip(exposed.last());
                ends.map_or((made.at, made.at), |(first, last)| {
                    (first.at.as_millis(), last.at.as_millis())
                })
            };
            counts.late += late_outcomes(&rewards, last, &events);
            if first.saturating_add(rewards.settled_after_millis()) > self.last {
                counts.young += 1;
                keep[row] = !is_complete;
            }
            self.log.rows[row].reward = reward;
        }
        self.log.retain(|row| keep[row]);
        counts.empty = self.empty.len() as u64;
        counts.note(&mut self.log.notes, is_complete);
        self.log
    }

    /// The row of the outcome's decision. An outcome without one is rejected.
    fn row_of_outcome(&mut self, row_of: &MixMap<(u64, u64), u32>, came: &OutcomeEntry) -> Option<u32> {
        let Some(&row) = row_of.get(&came.decision) else {
            let kind = if self.empty.contains(&came.decision) {
                "outcome of a decision that chose nothing"
            } else {
                "outcome of an unknown decision"
            };
            self.log.rejections.add(came.line, kind, "");
            return None;
        };
        // A conversion of a known person may be earlier behaviour.
        let is_earlier_behaviour = came.said.kind == OutcomeKind::Conversion && came.person.is_some();
        if came.at.as_millis() < self.made[row as usize].at && !is_earlier_behaviour {
            self.log
                .rejections
                .add(came.line, "outcome before its decision", "");
            return None;
        }
        Some(row)
    }

    /// If the log has no impressions at all, its deliveries or its decisions count as seen.
    fn assume_exposure(&mut self, rewards: &mut RewardConfig, came: &[(u32, OutcomeEntry)]) {
        let has = |kind| came.iter().any(|(_, came)| came.said.kind == kind);
        if has(OutcomeKind::Impression) || self.made.is_empty() {
            return;
        }
        let (exposure, what) = if has(OutcomeKind::Delivered) {
            (Exposure::Delivered, "delivery")
        } else {
            (Exposure::Decided, "decision")
        };
        rewards.exposure = exposure;
        self.log.notes.push(format!(
            "the log has no impressions: each {what} counts as seen by each of its people"
        ));
    }
}

/// Replaces `events` by what the latest statements of `own` say. `own` is sorted by key and by the order of statements.
///
/// A statement later than the restatement window after the first one does not count.
fn latest_of_each_key(own: &[(u32, OutcomeEntry)], window: i64, events: &mut Vec<Event<u128>>) {
    events.clear();
    for statements in own.chunk_by(|(_, a), (_, b)| a.key == b.key) {
        let first = statements.iter().map(|(_, came)| came.said.stated_at).min();
        let in_time =
            |came: &OutcomeEntry| first.is_none_or(|first| came.said.stated_at.millis_since(first) <= window);
        let statements = statements
            .iter()
            .map(|(_, came)| came)
            .filter(|came| in_time(came));
        let Some(latest) = statements.clone().next_back() else {
            continue;
        };
        if !latest.said.withdrawn {
            let at = statements.map(|came| came.at).min();
            events.push(Event {
                kind: latest.said.kind,
                at: at.unwrap_or(latest.at),
                value: latest.said.value,
                count: latest.said.count,
                person: latest.person,
            });
        }
    }
}

/// How many rewarded outcomes came after the window of the last impression, at `last`.
fn late_outcomes(rewards: &RewardConfig, last: i64, events: &[Event<u128>]) -> u64 {
    let is_late = |event: &&Event<u128>| {
        let (reward, window) = match event.kind {
            OutcomeKind::Click => (rewards.click, rewards.click_window),
            OutcomeKind::Conversion => (rewards.of_conversions(1, Some(1.0)), rewards.conversion_window),
            _ => return false,
        };
        let waited = event.at.as_millis().saturating_sub(last);
        reward.total_cmp(&0.0) == Ordering::Greater && waited > window.as_millis()
    };
    events.iter().filter(is_late).count() as u64
}

/// What the reader remarks about the rows.
#[derive(Default)]
struct Counts {
    empty: u64,
    unshown: u64,
    unseen: u64,
    late: u64,
    young: u64,
}

impl Counts {
    fn note(&self, notes: &mut Vec<String>, is_complete: bool) {
        let young = if is_complete {
            "decisions were left out: their attribution window was not over when the log ended"
        } else {
            "decisions had a window that was not over when the log ended: their rewards may be too low; to leave them out, set \
             the window"
        };
        for (count, what) in [
            (self.empty, "decisions chose nothing and are not evaluated"),
            (self.unshown, "decisions were not shown and are not evaluated"),
            (
                self.unseen,
                "decisions have clicks and no impression: nobody knows how often they were seen, so they are not evaluated",
            ),
            (
                self.late,
                "outcomes came after the attribution window and do not count",
            ),
            (self.young, young),
        ] {
            if count > 0 {
                notes.push(format!("{count} {what}"));
            }
        }
    }
}

struct Reader {
    part: Part,
    /// Whether rows keep the key of their id.
    keyed: bool,
    /// Buffers for the candidates and the context of a row.
    arms: Vec<u32>,
    features: Sparse,
    arm_places: NameCache,
    feature_places: NameCache,
    /// The contexts of the texts that were read, by a hash of 128 bits. All decisions of one moment have the same text.
    contexts: MixMap<(u64, u64), u32>,
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
    /// As text: most rows have one that was read before.
    #[serde(borrow, default)]
    context: Option<LazyValue<'a>>,
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
    #[serde(default)]
    people: Vec<IgnoredAny>,
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
        let outcome = &envelope.data;
        self.part.came.push(OutcomeEntry {
            decision: key_of(envelope.tenant.as_str(), &outcome.decision),
            key: xxh3_64(outcome.key.as_bytes()),
            said: outcome.statement(envelope.at),
            at: envelope.at,
            person: outcome
                .person
                .as_ref()
                .and_then(|person| u128::from_str_radix(person.as_str(), 16).ok()),
            line,
        });
        Ok(())
    }

    /// The index of the context with this text.
    fn context(&mut self, text: &str) -> Result<u32, String> {
        let key = hash_of(text.as_bytes(), 0);
        if let Some(&known) = self.contexts.get(&key) {
            return Ok(known);
        }
        let named: LoggedContext<'_> = sonic_rs::from_str(text).map_err(|e| e.to_string())?;
        let log = &mut self.part.log;
        self.features.clear();
        for (place, (name, value)) in named.0.iter().enumerate() {
            let known = self.feature_places.find(place, &name.0, &log.feature_names);
            let feature = known.unwrap_or_else(|| log.feature(&name.0));
            self.feature_places.remember(place, feature);
            self.features.push((feature, *value));
        }
        let context = log.context(&mut self.features);
        self.contexts.insert(key, context);
        Ok(context)
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
        let arm = self.arms[choice.position];
        let context = decision.context.as_ref().map_or("{}", LazyValue::as_raw_str);
        let context = self.context(context).map_err(unreadable)?;
        let log = &mut self.part.log;
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
            people: u32::try_from(choice.people.len()).unwrap_or(u32::MAX),
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
