//! The deliver stage.

use std::collections::BTreeMap;

use limbic_domain::{Decision, Envelope, Outcome, OutcomeKind, Slug, Utc, event_id, topics};
use limbic_stream::outbox::{
    Call, Conclusion, Enqueue, Enqueued, Finished, Outbox, OutboxMeters, Request, Sender,
};
use limbic_stream::{
    Batch, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec, TopicPartition,
};

use crate::{AdPlatform, Answer, Delivery, Settings, SettingsError};

/// The stage's name.
pub const STAGE: &str = "deliver";

/// Reads `decisions`, writes `outcomes`; its state is its outbox.
pub struct DeliverStage {
    outbox: Outbox<Delivery>,
}

impl Request for Delivery {
    const VERSION: u32 = 1;
    type Reply = ();
}

/// A platform as a destination of the outbox.
struct Destination(Box<dyn AdPlatform>);

impl Sender<Delivery> for Destination {
    fn send(&self, calls: &[Call<Delivery>]) -> Vec<Answer> {
        let deliveries: Vec<&Delivery> = calls.iter().map(|call| &*call.request).collect();
        let now = calls.first().map_or(Utc::MIN, |call| call.now);
        self.0.deliver(&deliveries, now)
    }
}

impl DeliverStage {
    /// A stage that delivers to these platforms, by the name that campaigns use.
    pub fn new(
        settings: &Settings,
        platforms: BTreeMap<Slug, Box<dyn AdPlatform>>,
    ) -> Result<Self, SettingsError> {
        settings.check()?;
        let outbox = Outbox::new("outbox").answer_wait(settings.answer_wait.get());
        let outbox = platforms.into_iter().fold(outbox, |outbox, (name, platform)| {
            let limits = settings.limits(&platform.limits());
            outbox.destination(name.as_str(), limits, Destination(platform))
        });
        Ok(Self { outbox })
    }

    /// Reports to these metrics.
    #[must_use]
    pub fn metered(mut self, meters: OutboxMeters) -> Self {
        self.outbox = self.outbox.metered(meters);
        self
    }

    /// What the runtime must know of the stage.
    pub fn spec(settings: &Settings) -> StageSpec {
        StageSpec::new(STAGE)
            .reads(topics::DECISIONS, EventTime::Ignored)
            .writes(topics::OUTCOMES, Forward::Nothing)
            .stateful()
            .ticks(settings.tick.get())
    }

    /// Puts a decision into the outbox, or says why no platform can take it.
    fn accept(&self, record: &Record, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let decided = match Envelope::<Decision>::decode(&record.value) {
            Ok(decided) => decided,
            Err(error) => {
                out.dead(record, "malformed", error);
                return Ok(());
            }
        };
        if Decision::campaign_of(&decided.id).as_ref() != Some(&decided.data.campaign) {
            let detail = format!(
                "the id `{}` is not that of a decision of campaign `{}`",
                decided.id, decided.data.campaign
            );
            out.dead(record, "malformed", detail);
            return Ok(());
        }
        let Some(delivery) = Delivery::of(decided) else {
            return Ok(());
        };
        if delivery.people.is_empty() {
            out.dead(record, "nobody", "it chose an ad for nobody");
            return Ok(());
        }
        let platform = delivery.platform();
        let new = Enqueue {
            destination: platform.as_str(),
            key: &delivery.decision,
            order: None,
            at: delivery.timestamp,
        };
        match self.outbox.enqueue(out, &record.cause(), &new, &delivery)? {
            Enqueued::Accepted | Enqueued::AlreadyWaiting => {}
            Enqueued::UnknownDestination => {
                let detail = format!(
                    "no ad platform `{platform}` is set up: add [ad_platforms.{platform}], then replay this dead letter"
                );
                out.dead(record, "unknown_platform", detail);
            }
            Enqueued::Full => {
                let detail = format!(
                    "as many deliveries wait for ad platform `{platform}` as deliver.waiting allows: replay this dead \
                     letter when the platform works again"
                );
                out.dead(record, "outbox_full", detail);
            }
        }
        Ok(())
    }
}

/// Writes the outcome of a delivery. Its id is a function of decision and platform: one delivery, one outcome.
fn conclude(out: &mut Outputs<'_>, finished: &Finished<'_, Delivery>, now: Utc) {
    let (kind, detail) = match finished.conclusion {
        Conclusion::Applied(()) => (OutcomeKind::Delivered, None),
        Conclusion::Rejected { detail } => (OutcomeKind::Refused, Some(detail.to_owned())),
        Conclusion::GaveUp { after, detail } => {
            let detail = format!(
                "gave_up: {} attempts failed within {} s; last: {detail}",
                finished.attempts,
                after.as_secs()
            );
            (OutcomeKind::Refused, Some(detail))
        }
    };
    let Delivery {
        decision,
        tenant,
        campaign,
        ..
    } = finished.request;
    let key = format!("deliver/{}", finished.destination);
    let outcome = Outcome {
        decision: decision.clone(),
        kind,
        value: None,
        key: key.clone(),
        detail,
    };
    let id = event_id("outcome", &[decision, &key]);
    let envelope = Envelope::new(tenant.clone(), id, finished.event_time(now), outcome);
    let record_key = format!("{tenant}/{campaign}");
    out.emit(&finished.cause, topics::OUTCOMES, &record_key, &envelope);
}

impl Stage for DeliverStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            self.accept(record, out)?;
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        self.outbox
            .drive(partitions, now, out, |out, finished| conclude(out, finished, now))
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        self.outbox.revoked(partitions);
    }
}
