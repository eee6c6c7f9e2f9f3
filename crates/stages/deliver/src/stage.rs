//! The deliver stage.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_domain::{
    Decision, Envelope, Outcome, OutcomeKind, Slug, TenantId, Utc, Withdrawal, event_id, topics,
};
use limbic_stream::outbox::{Conclusion, Enqueue, Enqueued, Finished, LastLook, Outbox, OutboxMeters};
use limbic_stream::{
    Batch, Cause, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec, StateSchema,
    TopicPartition,
};

use crate::backlog::Backlog;
use crate::order::{Destination, Order};
use crate::standing::{self, Event};
use crate::{AdPlatform, DeliverMeters, Delivery, Pictures, Settings, SettingsError, campaigns, running};

/// The stage's name.
pub const STAGE: &str = "deliver";

/// Reads `decisions`, writes `outcomes`; its state is its outbox and the ads that platforms have.
///
/// Before each attempt it looks at the holds once more: if the audience's subject or one of the campaign's brands was put on hold
/// after the decision, the ad is withdrawn. If a platform has it already, the platform is told to pause it. While posts wait unread
/// for longer than [`Settings::max_unread`], ads wait too.
pub struct DeliverStage {
    outbox: Outbox<Order>,
    backlog: Backlog,
    runs_for_millis: i64,
    waiting: campaigns::Shown,
}

impl DeliverStage {
    /// A stage that delivers to these platforms, by the name that campaigns use. An ad that has a picture waits.
    pub fn new(
        settings: &Settings,
        platforms: BTreeMap<Slug, Box<dyn AdPlatform>>,
    ) -> Result<Self, SettingsError> {
        let none: Arc<dyn Pictures> = Arc::new(());
        Self::drawing(settings, platforms, &none)
    }

    /// A stage that draws the pictures of ads with `pictures`.
    pub fn drawing(
        settings: &Settings,
        platforms: BTreeMap<Slug, Box<dyn AdPlatform>>,
        pictures: &Arc<dyn Pictures>,
    ) -> Result<Self, SettingsError> {
        settings.check()?;
        let outbox = Outbox::new(OUTBOX)
            .answer_wait(settings.answer_wait.get())
            .first_wait(settings.second_look.get());
        let outbox = platforms.into_iter().fold(outbox, |outbox, (name, platform)| {
            let limits = settings.limits(&platform.limits());
            outbox.destination(
                name.as_str(),
                limits,
                Destination {
                    platform,
                    pictures: Arc::clone(pictures),
                    pictures_url: settings.pictures_url.clone(),
                },
            )
        });
        Ok(Self {
            outbox,
            backlog: Backlog::new(settings),
            runs_for_millis: settings.runs_for.as_millis(),
            waiting: campaigns::Shown::new(DeliverMeters::unregistered()),
        })
    }

    /// Reports to these metrics.
    #[must_use]
    pub fn metered(mut self, meters: OutboxMeters) -> Self {
        self.outbox = self.outbox.metered(meters);
        self
    }

    /// Shows the deliveries of each campaign that wait in these metrics.
    #[must_use]
    pub fn showing(mut self, meters: DeliverMeters) -> Self {
        self.waiting = campaigns::Shown::new(meters);
        self
    }

    /// What the runtime must know of the stage.
    pub fn spec(settings: &Settings) -> StageSpec {
        StageSpec::new(STAGE)
            .reads(topics::DECISIONS, EventTime::Ignored)
            .broadcasts(topics::HOLDS)
            .broadcasts_within(topics::WITHDRAWALS, Withdrawal::TABLE)
            .broadcasts(topics::CAMPAIGNS)
            .broadcasts(topics::PROGRESS)
            .writes(topics::OUTCOMES, Forward::Nothing)
            .writes(topics::STATUS, Forward::Nothing)
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
        let platform = delivery.platform().clone();
        let decision = delivery.decision.clone();
        let new = Enqueue {
            destination: platform.as_str(),
            key: &decision,
            order: None,
            at: delivery.timestamp,
        };
        let (tenant, campaign) = (delivery.tenant.clone(), delivery.campaign.clone());
        let order = Order::Deliver(delivery);
        let event = match self.outbox.enqueue(out, &record.cause(), &new, &order)? {
            Enqueued::Accepted => {
                campaigns::count(out, record.partition, (&tenant, &campaign), 1)?;
                Event::Accepted
            }
            Enqueued::AlreadyWaiting => return Ok(()),
            Enqueued::UnknownDestination => {
                let detail = format!(
                    "no ad platform `{platform}` is set up: add [ad_platforms.{platform}], then replay this dead letter"
                );
                out.dead(record, "unknown_platform", detail);
                Event::Dead
            }
            Enqueued::Full => {
                let detail = format!(
                    "as many deliveries wait for ad platform `{platform}` as deliver.waiting allows: replay this dead \
                     letter when the platform works again"
                );
                out.dead(record, "outbox_full", detail);
                Event::Dead
            }
        };
        standing::count(out, record.partition, (&tenant, platform.as_str()), event)
    }
}

/// What became of an order, to be written as an outcome.
struct Ended {
    kind: OutcomeKind,
    detail: Option<String>,
    /// In the outcome's key, so that each end of a delivery has an outcome of its own.
    prefix: &'static str,
}

impl Ended {
    /// `None` if a pause failed: the platform may go on showing the ad, and there is no outcome that says so.
    fn of(finished: &Finished<'_, Order>) -> Option<Self> {
        let is_pause = matches!(finished.request, Order::Pause(_));
        let (kind, detail, prefix) = match (finished.conclusion, finished.request) {
            (Conclusion::Applied(()), Order::Deliver(_)) => (OutcomeKind::Delivered, None, "deliver"),
            (Conclusion::Applied(()), Order::Pause(pause)) => {
                (OutcomeKind::Paused, Some(pause.reason.clone()), "pause")
            }
            (Conclusion::Withdrawn { detail }, _) => {
                (OutcomeKind::Withdrawn, Some(detail.to_owned()), "deliver")
            }
            (Conclusion::Rejected { detail }, _) => {
                (OutcomeKind::Refused, Some(detail.to_owned()), "deliver")
            }
            (Conclusion::GaveUp { after, detail }, _) => {
                let detail = format!(
                    "gave_up: {} attempts failed within {} s; last: {detail}",
                    finished.attempts,
                    after.as_secs()
                );
                (OutcomeKind::Refused, Some(detail), "deliver")
            }
        };
        if is_pause && kind != OutcomeKind::Paused {
            tracing::error!(
                platform = finished.destination,
                key = finished.key,
                detail,
                "an ad of a subject on hold could not be paused: pause it on the ad platform by hand"
            );
            return None;
        }
        Some(Self { kind, detail, prefix })
    }
}

/// Writes the outcome of an order. Its id is a function of decision, platform and kind of order: one delivery, one outcome.
fn conclude(out: &mut Outputs<'_>, finished: &Finished<'_, Order>, now: Utc) {
    let Some(Ended { kind, detail, prefix }) = Ended::of(finished) else {
        return;
    };
    let (decision, tenant, campaign) = match finished.request {
        Order::Deliver(delivery) => (&delivery.decision, &delivery.tenant, &delivery.campaign),
        Order::Pause(pause) => (&pause.decision, &pause.tenant, &pause.campaign),
    };
    let key = format!("{prefix}/{}", finished.destination);
    let outcome = Outcome {
        detail,
        stated_at: Some(now),
        ..Outcome::new(decision.as_str(), kind, key.as_str())
    };
    let id = event_id("outcome", &[decision, &key]);
    let envelope = Envelope::new(tenant.clone(), id, finished.event_time(now), outcome);
    let record_key = format!("{tenant}/{campaign}");
    out.emit(&finished.cause, topics::OUTCOMES, &record_key, &envelope);
}

/// A delivery that has ended, to be counted.
struct EndedDelivery {
    partition: u32,
    tenant: TenantId,
    campaign: Slug,
    platform: String,
    event: Event,
}

impl EndedDelivery {
    /// `None` for a pause.
    fn of(finished: &Finished<'_, Order>, now: Utc) -> Option<Self> {
        let Order::Deliver(delivery) = finished.request else {
            return None;
        };
        let event = match finished.conclusion {
            Conclusion::Applied(()) => Event::Delivered,
            Conclusion::Withdrawn { .. } => Event::Withdrawn,
            Conclusion::Rejected { detail } | Conclusion::GaveUp { detail, .. } => {
                Event::Refused(now, detail.to_owned())
            }
        };
        Some(Self {
            partition: finished.cause.partition,
            tenant: delivery.tenant.clone(),
            campaign: delivery.campaign.clone(),
            platform: finished.destination.to_owned(),
            event,
        })
    }
}

/// A delivery that a platform has, or may have.
struct Started {
    cause: Cause,
    delivery: Delivery,
    /// Why it must stop again.
    stop: Option<String>,
}

impl Started {
    fn of(finished: &Finished<'_, Order>) -> Option<Self> {
        let Order::Deliver(delivery) = finished.request else {
            return None;
        };
        let stop = match finished.conclusion {
            Conclusion::Applied(()) => None,
            // An earlier attempt may have had its effect.
            Conclusion::Withdrawn { detail } if finished.attempts > 0 => Some(detail.to_owned()),
            Conclusion::Withdrawn { .. } | Conclusion::Rejected { .. } | Conclusion::GaveUp { .. } => {
                return None;
            }
        };
        Some(Self {
            cause: finished.cause.clone(),
            delivery: delivery.clone(),
            stop,
        })
    }
}

/// Why a delivery may not be sent: a hold, or somebody whom it would reach took something back.
fn reason_to_stop(out: &Outputs<'_>, delivery: &Delivery) -> Option<String> {
    running::reason_to_hold(out, delivery).or_else(|| withdrawn(out, delivery))
}

/// Why a delivery may not be sent to its people. What cannot be read stops it too: the error is the reason.
fn withdrawn(out: &Outputs<'_>, delivery: &Delivery) -> Option<String> {
    let table = match out.reference(topics::WITHDRAWALS) {
        Ok(table) => table,
        Err(error) => return Some(format!("The withdrawals cannot be read: {error}.")),
    };
    delivery.people.iter().find_map(|person| {
        let key = Withdrawal::key(&delivery.tenant, person);
        match table.get::<Withdrawal>(&key) {
            Ok(None) => None,
            Ok(Some(withdrawal)) => Some(format!(
                "A person whom the ad would reach deleted a post or their account at {}.",
                withdrawal.data.deleted_at
            )),
            Err(error) => Some(format!("The withdrawal `{key}` cannot be read: {error}.")),
        }
    })
}

/// The last look at an order before an attempt.
fn look(out: &Outputs<'_>, order: &Order, backlog: &Backlog) -> LastLook {
    match order {
        Order::Deliver(delivery) => match reason_to_stop(out, delivery) {
            Some(detail) => LastLook::Withdraw { detail },
            None => backlog.verdict(),
        },
        Order::Pause(_) => LastLook::Send,
    }
}

impl Stage for DeliverStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            self.accept(record, out)?;
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let (mut started, mut ended) = (Vec::new(), Vec::new());
        self.backlog.look(out, now)?;
        let backlog = &self.backlog;
        let look = |out: &Outputs<'_>, order: &Order| look(out, order, backlog);
        self.outbox
            .drive_with(partitions, now, out, look, |out, finished| {
                conclude(out, finished, now);
                started.extend(Started::of(finished));
                ended.extend(EndedDelivery::of(finished, now));
            })?;
        for ended in ended {
            let whose = (&ended.tenant, &*ended.platform);
            standing::count(out, ended.partition, whose, ended.event)?;
            campaigns::count(out, ended.partition, (&ended.tenant, &ended.campaign), -1)?;
        }
        for Started {
            cause,
            delivery,
            stop,
        } in started
        {
            match stop {
                None => {
                    let time = self.outbox.time_in(cause.partition);
                    let over = time.plus_millis(self.runs_for_millis);
                    running::started(&self.outbox, out, &cause, &delivery, over)?;
                }
                Some(reason) => {
                    let platform = delivery.platform().as_str();
                    let order = running::pause_of(&delivery, reason);
                    running::pause(&self.outbox, out, &cause, platform, order)?;
                }
            }
        }
        for partition in partitions {
            standing::publish(&self.outbox, out, *partition, now)?;
        }
        self.waiting.show(out, partitions)?;
        running::tick(&self.outbox, out, partitions)
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        self.outbox.revoked(partitions);
    }
}

/// The name of the outbox.
const OUTBOX: &str = "outbox";

/// The tables of the stage's state.
pub(crate) fn schema() -> StateSchema {
    let schema = Outbox::<Order>::described_in(OUTBOX, StateSchema::new());
    standing::described_in(running::described_in(schema))
}
