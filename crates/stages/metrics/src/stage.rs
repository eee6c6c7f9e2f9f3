//! The metrics stage: aggregates every topic into time series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::{
    ChallengerMode, Decision, DecisionResult, Direction, Envelope, Hold, HoldCause, Moment, MomentKind,
    Outcome, OutcomeKind, PolicyRole, Reading, TenantId, Utc, topics,
};
use limbic_stream::window::{Added, Closed, WindowKind, Windows};
use limbic_stream::{Batch, Error, EventTime, Outputs, Record, Stage, StageError, StageSpec};
use tokio::runtime::Handle;

use crate::names::{Name, name, of_emotion};
use crate::point::{Point, SeriesStore};
use crate::settings::{MetricsSettings, window_tag};
use crate::sums::{Entry, Fields, OTHER, Sums};

/// The measurements, and the tag that distinguishes their groups.
const MEASUREMENTS: [(&str, Option<&str>); 6] = [
    ("emotion", Some("subject")),
    ("emotion_all", None),
    ("moments", Some("audience")),
    ("decisions", Some("campaign")),
    ("outcomes", Some("campaign")),
    ("holds", Some("subject")),
];

/// The windows of one measurement and length.
struct Kept {
    measurement: &'static str,
    tag: Option<&'static str>,
    window: String,
    windows: Windows<Sums>,
}

/// Writes sums of readings, moments, decisions, outcomes and holds to a [`SeriesStore`].
///
/// The store is written *before* the log commits. If the commit then fails, the same windows close again with the same or
/// more records, and their points replace the earlier ones.
pub struct MetricsStage {
    store: Arc<dyn SeriesStore>,
    handle: Handle,
    kept: Vec<Kept>,
    most: usize,
}

impl std::fmt::Debug for MetricsStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsStage")
            .field("windows", &self.kept.len())
            .finish_non_exhaustive()
    }
}

type Measured = (&'static str, TenantId, Utc, Entry);
/// The records of a batch by partition number and measurement, each with its window key, in order.
type Sorted = BTreeMap<(u32, &'static str), Vec<(Bytes, Utc, Entry)>>;

impl MetricsStage {
    /// The stage's name, and that of its consumer group.
    pub const NAME: &'static str = "metrics";

    /// A stage that writes to `store`, with calls that run on `handle`. Settings that are not valid are an error.
    pub fn new(
        store: Arc<dyn SeriesStore>,
        handle: Handle,
        settings: &MetricsSettings,
    ) -> Result<Self, Error> {
        settings
            .check()
            .map_err(|error| Error::Settings(error.to_string()))?;
        let unique = settings.window_seconds().unwrap_or_default();
        let lateness = settings.lateness.as_millis();
        let mut kept = Vec::new();
        for seconds in unique {
            for (measurement, tag) in MEASUREMENTS {
                let window = window_tag(seconds);
                let kind = WindowKind::Tumbling {
                    size: i64::from(seconds) * 1_000,
                };
                // Moments, decisions, outcomes and holds are rare, and arrive after the readings that caused them. The readings
                // advance the watermark without them.
                let windows =
                    Windows::new(&format!("{measurement}/{window}"), kind, lateness)?.late_by_own_records();
                kept.push(Kept {
                    measurement,
                    tag,
                    window,
                    windows,
                });
            }
        }
        Ok(Self {
            store,
            handle,
            kept,
            most: settings.most_groups,
        })
    }

    /// The stage's topics and requirements, for the runtime.
    pub fn spec(settings: &MetricsSettings) -> StageSpec {
        let disorder = settings.disorder.get();
        [
            topics::READINGS,
            topics::MOMENTS,
            topics::DECISIONS,
            topics::OUTCOMES,
            topics::HOLDS,
        ]
        .into_iter()
        .fold(StageSpec::new(Self::NAME).stateful(), |spec, topic| {
            spec.reads(topic, EventTime::Records { disorder })
        })
    }

    fn measure(&self, record: &Record) -> Result<Vec<Measured>, String> {
        let decoded = |error: limbic_domain::DecodeError| error.to_string();
        Ok(match &*record.topic {
            topics::READINGS => {
                let reading = Envelope::<Reading>::decode(&record.value).map_err(decoded)?;
                let fields = of_reading(&reading.data);
                let subjects = reading.data.subjects.iter();
                let mut groups: Vec<Name> = subjects.map(|subject| name(subject.as_str())).collect();
                groups.sort_unstable();
                groups.dedup();
                if groups.is_empty() {
                    groups.push(name("none"));
                }
                let all = self.entry(vec![name("all")], fields.clone());
                let by_subject = self.entry(groups, fields);
                vec![
                    ("emotion", reading.tenant.clone(), reading.at, by_subject),
                    ("emotion_all", reading.tenant, reading.at, all),
                ]
            }
            topics::MOMENTS => {
                let moment = Envelope::<Moment>::decode(&record.value).map_err(decoded)?;
                let way = match (moment.data.kind, moment.data.direction) {
                    (MomentKind::Return, _) => "returns",
                    (MomentKind::Change, Direction::Up) => "up",
                    (MomentKind::Change, Direction::Down) => "down",
                };
                let change = &moment.data.change;
                let fields = Fields::new([
                    one("count"),
                    one(way),
                    (name("valence_sum"), change.mood.valence),
                    (name("posts"), change.posts as f64),
                    (name("copied"), change.copied as f64),
                    (name("automated"), change.automated as f64),
                ]);
                let entry = self.entry(vec![name(moment.data.audience.as_str())], fields);
                vec![("moments", moment.tenant, moment.at, entry)]
            }
            topics::DECISIONS => {
                let decision = Envelope::<Decision>::decode(&record.value).map_err(decoded)?;
                let mut fields = vec![one("count")];
                let chosen = decision.data.chosen();
                match &decision.data.result {
                    DecisionResult::Chosen(_) => fields.push(one("chosen")),
                    DecisionResult::Suppressed(suppressed) => {
                        fields.extend([one("suppressed"), one(&format!("suppressed.{}", suppressed.rule))]);
                    }
                    DecisionResult::HeldOut(_) => fields.push(one("held_out")),
                }
                if let Some(test) = chosen.and_then(|chosen| chosen.champion_challenger.as_ref()) {
                    fields.push(one(match test.mode {
                        ChallengerMode::Shadow => "challenger.shadow",
                        ChallengerMode::Live => "challenger.live",
                        ChallengerMode::RolledBack => "challenger.rolled_back",
                    }));
                    if test.by == PolicyRole::Challenger {
                        fields.push(one("challenger.decisions"));
                    }
                    if test.ratio_alarm {
                        fields.push(one("challenger.ratio_alarm"));
                    }
                }
                let entry = self.entry(vec![name(decision.data.campaign.as_str())], Fields::new(fields));
                vec![("decisions", decision.tenant, decision.at, entry)]
            }
            topics::OUTCOMES => {
                let outcome = Envelope::<Outcome>::decode(&record.value).map_err(decoded)?;
                let campaign = Decision::campaign_of(&outcome.data.decision)
                    .ok_or_else(|| format!("`{}` does not name a campaign", outcome.data.decision))?;
                let stated = of_statements(&outcome).into_iter().map(|(at, fields)| {
                    let entry = self.entry(vec![name(campaign.as_str())], Fields::new(fields));
                    ("outcomes", outcome.tenant.clone(), at, entry)
                });
                stated.collect()
            }
            topics::HOLDS => {
                let hold = Envelope::<Hold>::decode(&record.value).map_err(decoded)?;
                let what = match (&hold.data.released, hold.data.cause) {
                    (Some(_), _) => "released",
                    (None, HoldCause::SensitiveEvents) => "sensitive_events",
                    (None, HoldCause::Unread) => "unread",
                };
                let entry = self.entry(vec![name(hold.data.subject.as_str())], Fields::new([one(what)]));
                vec![("holds", hold.tenant, hold.at, entry)]
            }
            other => return Err(format!("topic `{other}` is not measured")),
        })
    }

    fn entry(&self, groups: Vec<Name>, fields: Fields) -> Entry {
        Entry {
            groups,
            fields,
            most: self.most,
        }
    }

    /// Closes the windows that are due and writes their points.
    fn close(&self, out: &mut Outputs<'_>, due: &[(u32, Utc)]) -> Result<(), StageError> {
        let mut points = Vec::new();
        for (partition, watermark) in due {
            for kept in &self.kept {
                for closed in kept.windows.advance(out, *partition, *watermark)? {
                    kept.points(*partition, closed, &mut points)?;
                }
            }
        }
        if points.is_empty() {
            return Ok(());
        }
        let written = self
            .handle
            .block_on(self.store.write(&points))
            .map_err(|error| StageError::unavailable("series_unavailable", error.to_string()))?;
        for refused in written.refused {
            tracing::error!(refused, "the series store refused points permanently");
        }
        Ok(())
    }
}

impl Kept {
    fn points(
        &self,
        partition: u32,
        closed: Closed<Sums>,
        points: &mut Vec<Point>,
    ) -> Result<(), StageError> {
        let tenant = std::str::from_utf8(&closed.key)
            .ok()
            .and_then(|text| TenantId::new(text).ok())
            .ok_or_else(|| StageError::internal("window_key", "a window's key is not a tenant"))?;
        for (group, fields) in closed.value.into_groups() {
            let mut tags = BTreeMap::from([
                ("window".to_owned(), self.window.clone()),
                ("partition".to_owned(), partition.to_string()),
            ]);
            if let Some(tag) = self.tag {
                tags.insert(tag.to_owned(), group.to_string());
            } else {
                debug_assert_ne!(&*group, OTHER, "there is one group only");
            }
            points.push(Point {
                tenant: tenant.clone(),
                measurement: self.measurement.to_owned(),
                tags,
                fields,
                at: Utc::from_millis(closed.window.start),
            });
        }
        Ok(())
    }
}

/// What an outcome adds, and under which time: its statement, and the statement that it replaces with the opposite sign.
///
/// A correction of what is not known any more is not added: nobody knows whether it was counted, and when.
fn of_statements(outcome: &Envelope<Outcome>) -> Vec<(Utc, Vec<(Name, f64)>)> {
    let replaced = outcome.data.replaces.map(|replaced| (replaced, -1.0));
    let is_known = replaced.is_some() || !outcome.data.is_correction();
    let said = outcome.data.statement(outcome.at).replaced(outcome.at);
    let statements = replaced.into_iter().chain(is_known.then_some((said, 1.0)));
    statements
        .filter(|(said, _)| said.count > 0)
        .map(|(said, sign)| {
            let mut fields = vec![(name(field_of(said.kind)), sign * said.count as f64)];
            fields.extend(said.value.map(|value| (name("value"), sign * value)));
            (said.at, fields)
        })
        .collect()
}

const fn field_of(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Delivered => "delivered",
        OutcomeKind::Refused => "refused",
        OutcomeKind::Withdrawn => "withdrawn",
        OutcomeKind::Paused => "paused",
        OutcomeKind::Impression => "impressions",
        OutcomeKind::Click => "clicks",
        OutcomeKind::Conversion => "conversions",
        OutcomeKind::Dismissal => "dismissals",
    }
}

fn one(field: &str) -> (Name, f64) {
    (name(field), 1.0)
}

fn of_reading(reading: &Reading) -> Fields {
    let affect = &reading.affect;
    let is_in_distress = !affect.distress.cues.is_empty() || affect.distress.score.get() >= 0.5;
    let mut fields = vec![
        one("count"),
        (name("valence_sum"), affect.valence),
        (name("arousal_sum"), affect.arousal),
        (name("distress"), f64::from(u8::from(is_in_distress))),
    ];
    for (emotion, score) in &affect.emotions {
        let (sum, count) = of_emotion(emotion);
        fields.push((sum, *score));
        fields.push((count, 1.0));
    }
    Fields::new(fields)
}

impl Stage for MetricsStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut measured = Sorted::new();
        for record in &batch.records {
            match self.measure(record) {
                Ok(all) => {
                    for (measurement, tenant, at, entry) in all {
                        let key = Bytes::copy_from_slice(tenant.as_str().as_bytes());
                        let place = (record.partition, measurement);
                        measured.entry(place).or_default().push((key, at, entry));
                    }
                }
                Err(problem) => out.dead(record, "malformed", problem),
            }
        }
        let mut late: BTreeSet<u32> = BTreeSet::new();
        for ((partition, measurement), entries) in &measured {
            for kept in self.kept.iter().filter(|kept| kept.measurement == *measurement) {
                let items = entries.iter().map(|(key, at, entry)| (key.clone(), *at, entry));
                let mut dropped = 0_u64;
                kept.windows
                    .add_all(out, *partition, items, |_, added| match added {
                        Added::OnTime => {}
                        Added::Late => {
                            late.insert(*partition);
                        }
                        Added::DroppedLate => dropped += 1,
                    })?;
                if dropped > 0 {
                    tracing::warn!(
                        partition,
                        measurement,
                        window = kept.window,
                        dropped,
                        "too late to be counted"
                    );
                }
            }
        }
        // A correction is emitted now and does not wait for a later watermark, because this may be the last record for a
        // while.
        let due: Vec<(u32, Utc)> = late.into_iter().map(|partition| (partition, Utc::MIN)).collect();
        self.close(out, &due)
    }

    fn watermark(&mut self, partition: u32, watermark: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        self.close(out, &[(partition, watermark)])
    }
}
