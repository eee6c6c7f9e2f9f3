//! The deliver stage.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use limbic_domain::{Decision, Envelope, Outcome, OutcomeKind, Slug, Utc, event_id, topics};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec};

use crate::outbox::{self, Due, Entry};
use crate::rest::{Circuit, Permit, back_off, later};
use crate::{AdPlatform, Answer, Delivery, Settings, SettingsError};

/// The stage's name.
pub const STAGE: &str = "deliver";

/// After this long a tick begins no further round, so that what was answered commits soon.
const ROUND_BUDGET: Duration = Duration::from_secs(2);

/// Reads `decisions`, writes `outcomes`; its state is the outbox.
pub struct DeliverStage {
    settings: Settings,
    platforms: BTreeMap<Slug, Connected>,
}

struct Connected {
    platform: Box<dyn AdPlatform>,
    circuit: Circuit,
}

impl DeliverStage {
    /// A stage over platforms that are open already.
    pub fn new(
        settings: &Settings,
        platforms: BTreeMap<Slug, Box<dyn AdPlatform>>,
    ) -> Result<Self, SettingsError> {
        settings.check()?;
        let circuit = Circuit::new(settings.circuit_failures, settings.circuit_rest.get());
        let connected = platforms.into_iter().map(|(name, platform)| {
            let circuit = circuit.clone();
            (name, Connected { platform, circuit })
        });
        Ok(Self {
            settings: settings.clone(),
            platforms: connected.collect(),
        })
    }

    /// What the runtime must know of it.
    pub fn spec(settings: &Settings) -> StageSpec {
        StageSpec::new(STAGE)
            .reads(topics::DECISIONS, EventTime::Ignored)
            .writes(topics::OUTCOMES, Forward::Nothing)
            .stateful()
            .ticks(settings.tick.get())
    }

    /// Puts a decision into the outbox, or says why it cannot be delivered by anyone.
    fn accept(&self, record: &Record, out: &mut Outputs<'_>) {
        let decided = match Envelope::<Decision>::decode(&record.value) {
            Ok(decided) => decided,
            Err(error) => return out.dead(record, "malformed", error),
        };
        if Decision::campaign_of(&decided.id).as_ref() != Some(&decided.data.campaign) {
            let detail = format!(
                "the id `{}` is not that of a decision of campaign `{}`",
                decided.id, decided.data.campaign
            );
            return out.dead(record, "malformed", detail);
        }
        let Some(delivery) = Delivery::of(decided) else {
            return;
        };
        if delivery.people.is_empty() {
            return out.dead(record, "nobody", "it chose an ad for nobody");
        }
        if !self.platforms.contains_key(delivery.platform()) {
            let detail = format!(
                "no platform `{0}` is set up: add [ad_platforms.{0}], then replay this dead letter",
                delivery.platform()
            );
            return out.dead(record, "unknown_platform", detail);
        }
        let entry = Entry::new(delivery, &record.cause());
        outbox::put_new(out, record.partition, &entry);
    }

    /// Sends one platform what is due, round by round.
    fn send(
        settings: &Settings,
        name: &Slug,
        connected: &mut Connected,
        partitions: &[u32],
        now: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let started = Instant::now();
        let mut left = settings.batch;
        while left > 0 && started.elapsed() < ROUND_BUDGET {
            let at_once = connected.platform.concurrency().clamp(1, left);
            let limit = match connected.circuit.permit(now) {
                Permit::Any => at_once,
                Permit::Probe => 1,
                Permit::Nothing => return Ok(()),
            };
            let due = outbox::due(out, partitions, name, now, limit)?;
            if due.is_empty() {
                return Ok(());
            }
            left -= due.len();
            let deliveries: Vec<Delivery> = due.iter().map(|due| due.entry.delivery.clone()).collect();
            let mut answers = connected.platform.deliver(&deliveries, now).into_iter();
            for due in due {
                let unanswered = || Answer::Failed {
                    detail: "the platform gave no answer".to_owned(),
                };
                let answer = answers.next().unwrap_or_else(unanswered);
                Self::settle(settings, name, &mut connected.circuit, due, answer, now, out);
            }
        }
        Ok(())
    }

    /// What an answer changes: an outcome and one entry less, or an entry to be tried again.
    fn settle(
        settings: &Settings,
        name: &Slug,
        circuit: &mut Circuit,
        due: Due,
        answer: Answer,
        now: Utc,
        out: &mut Outputs<'_>,
    ) {
        let Due {
            partition,
            key,
            mut entry,
        } = due;
        out.remove(partition, key);
        let first_tried = *entry.first_tried.get_or_insert(now);
        let first = settings.backoff.get();
        let most = settings.max_backoff.get();
        let (wait, detail) = match answer {
            Answer::Delivered => {
                circuit.answered();
                return conclude(out, partition, &entry, OutcomeKind::Delivered, None, now);
            }
            Answer::Refused { detail } => {
                circuit.answered();
                return conclude(out, partition, &entry, OutcomeKind::Refused, Some(detail), now);
            }
            Answer::Throttled { wait, detail } => {
                let wait = wait.unwrap_or(first).min(settings.max_retry_after.get());
                circuit.throttled(later(now, wait));
                (wait, detail)
            }
            Answer::Failed { detail } => {
                entry.attempts += 1;
                if circuit.failed(now) {
                    tracing::warn!(platform = %name, detail, "the platform keeps failing: it rests");
                }
                (
                    back_off(&entry.delivery.decision, entry.attempts, first, most),
                    detail,
                )
            }
        };
        let again = later(now, wait);
        let is_too_late = again > later(first_tried, settings.give_up_after.get());
        if entry.attempts >= settings.attempts || is_too_late {
            let tried_for = Duration::from_millis(now.millis_since(first_tried).unsigned_abs());
            let detail = format!(
                "gave_up: {} attempts failed within {} s; last: {detail}",
                entry.attempts,
                tried_for.as_secs()
            );
            return conclude(out, partition, &entry, OutcomeKind::Refused, Some(detail), now);
        }
        outbox::put_back(out, partition, &entry, again);
    }
}

/// Writes the outcome of a delivery. Its id is a function of decision and platform: one delivery, one outcome.
fn conclude(
    out: &mut Outputs<'_>,
    partition: u32,
    entry: &Entry,
    kind: OutcomeKind,
    detail: Option<String>,
    now: Utc,
) {
    let Delivery {
        decision,
        tenant,
        campaign,
        ..
    } = &entry.delivery;
    let key = format!("deliver/{}", entry.delivery.platform());
    let outcome = Outcome {
        decision: decision.clone(),
        kind,
        value: None,
        key: key.clone(),
        detail,
    };
    let id = event_id("outcome", &[decision, &key]);
    let envelope = Envelope::new(tenant.clone(), id, entry.event_time(now), outcome);
    let record_key = format!("{tenant}/{campaign}");
    out.emit(&entry.cause(partition), topics::OUTCOMES, &record_key, &envelope);
}

impl Stage for DeliverStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            self.accept(record, out);
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for (name, connected) in &mut self.platforms {
            Self::send(&self.settings, name, connected, partitions, now, out)?;
        }
        Ok(())
    }
}
