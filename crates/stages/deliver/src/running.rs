//! Ads that platforms have, for as long as they may be shown: what a hold on their subject pauses.
//!
//! Two entries for each ad and subject: `TENANT/SUBJECT/DECISION` in [`RUNNING`], and a timer that removes it.

use bytes::Bytes;
use limbic_domain::{Campaign, Hold, HoldCause, Slug, TenantId, Utc, random, topics};
use limbic_stream::outbox::{Enqueue, Outbox};
use limbic_stream::{
    Cause, DecodeProblem, Decoder, Encoder, Headers, Outputs, StageError, StateSchema, StateValue, Table,
    Timers,
};

use crate::order::Order;
use crate::{Delivery, Pause};

/// The ads that platforms have.
const RUNNING: Table<Bytes, Running> = Table::new("running ads", b"running/");
/// When each of them counts as over, by the clock of the outbox. The id is the key of the ad in [`RUNNING`].
const OVER: Timers = Timers::new("running ads that end", b"over/");
/// A hash of the version of the holds that were applied to the running ads.
const APPLIED: Table<(), u64> = Table::new("applied holds", b"holds");
/// Most ads that are paused, or found to be over, in one call.
const AT_ONCE: usize = 1_000;
/// Most running ads of one subject that are looked at: more than a partition delivers for one subject while they run.
const MOST_RUNNING: usize = 100_000;

#[derive(Debug, Clone, PartialEq)]
struct Running {
    platform: String,
    campaign: Slug,
    timestamp: Utc,
    over: Utc,
    /// Every subject whose hold pauses it: the audience's, and the campaign's brands.
    subjects: Vec<String>,
}

impl Running {
    /// Removes the ad's entries under all its subjects.
    fn forget(&self, out: &mut Outputs<'_>, partition: u32, tenant: &TenantId, decision: &str) {
        for subject in &self.subjects {
            let key = key_of(tenant, subject, decision);
            RUNNING.remove(out, partition, &key.as_bytes());
            OVER.cancel(out, partition, self.over, key.as_bytes());
        }
    }
}

impl StateValue for Running {
    const VERSION: u8 = 2;

    fn encode(&self, to: &mut Encoder) {
        to.text(&self.platform);
        to.text(self.campaign.as_str());
        to.time(self.timestamp);
        to.time(self.over);
        to.length(self.subjects.len());
        for subject in &self.subjects {
            to.text(subject);
        }
    }

    /// Version 1 knew no subjects: the ad has one entry, and its key names the only one.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut running = Self {
            platform: from.text()?.to_owned(),
            campaign: from.id()?,
            timestamp: from.time()?,
            over: from.time()?,
            subjects: Vec::new(),
        };
        if from.version() > 1 {
            for _ in 0..from.length()? {
                running.subjects.push(from.text()?.to_owned());
            }
        }
        Ok(running)
    }
}

/// The subjects whose hold stops a delivery: the audience's, and the brands of the campaign as it is now. The reason, if the
/// campaign cannot be read.
fn subjects_of(out: &Outputs<'_>, delivery: &Delivery) -> Result<Vec<String>, String> {
    let key = format!("{}/{}", delivery.tenant, delivery.campaign);
    let table = out.reference(topics::CAMPAIGNS);
    let table = table.map_err(|error| format!("The campaigns cannot be read: {error}."))?;
    let campaign = table.get::<Campaign>(&key);
    let campaign = campaign.map_err(|error| format!("The campaign `{key}` cannot be read: {error}."))?;
    let brands = campaign.map_or_else(Vec::new, |campaign| campaign.data.brands);
    let mut subjects = vec![delivery.audience.subject().to_owned()];
    for brand in brands {
        if !subjects.iter().any(|subject| subject == brand.as_str()) {
            subjects.push(brand.as_str().to_owned());
        }
    }
    Ok(subjects)
}

/// Why a delivery may not run: a hold on one of its subjects. What cannot be read stops it too: the error is the reason.
pub(crate) fn reason_to_hold(out: &Outputs<'_>, delivery: &Delivery) -> Option<String> {
    match subjects_of(out, delivery) {
        Ok(subjects) => subjects
            .iter()
            .find_map(|subject| hold_on(out, delivery, subject)),
        Err(reason) => Some(reason),
    }
}

fn hold_on(out: &Outputs<'_>, delivery: &Delivery, subject: &str) -> Option<String> {
    let key = Hold::key(&delivery.tenant, subject);
    let table = match out.reference(topics::HOLDS) {
        Ok(table) => table,
        Err(error) => return Some(format!("The holds cannot be read: {error}.")),
    };
    match table.get::<Hold>(&key) {
        Ok(Some(hold)) if hold.data.covers(delivery.timestamp) => Some(hold.data.reason()),
        Ok(_) => None,
        Err(error) => Some(format!("The hold `{key}` cannot be read: {error}.")),
    }
}

/// Notes that a platform has the ad, until `over`. If one of its subjects is on hold by now, asks the platform to pause it at once.
pub(crate) fn started(
    outbox: &Outbox<Order>,
    out: &mut Outputs<'_>,
    cause: &Cause,
    delivery: &Delivery,
    over: Utc,
) -> Result<(), StageError> {
    let platform = delivery.platform().as_str();
    let subjects = match (subjects_of(out, delivery), reason_to_hold(out, delivery)) {
        (Ok(subjects), None) => subjects,
        (Err(reason), _) | (Ok(_), Some(reason)) => {
            return pause(outbox, out, cause, platform, pause_of(delivery, reason));
        }
    };
    let running = Running {
        platform: platform.to_owned(),
        campaign: delivery.campaign.clone(),
        timestamp: delivery.timestamp,
        over,
        subjects,
    };
    for subject in &running.subjects {
        let key = key_of(&delivery.tenant, subject, &delivery.decision);
        OVER.set(out, cause.partition, over, key.as_bytes(), &());
        RUNNING.put(out, cause.partition, &key.as_bytes(), &running);
    }
    Ok(())
}

/// The order to stop an ad that the platform may have.
pub(crate) fn pause_of(delivery: &Delivery, reason: String) -> Pause {
    let Delivery {
        decision,
        timestamp,
        tenant,
        campaign,
        ..
    } = delivery;
    Pause::new(decision, *timestamp, tenant, campaign, reason)
}

/// Puts the order to stop an ad into the outbox.
pub(crate) fn pause(
    outbox: &Outbox<Order>,
    out: &mut Outputs<'_>,
    cause: &Cause,
    platform: &str,
    pause: Pause,
) -> Result<(), StageError> {
    let (key, at) = (pause.key(), pause.timestamp);
    let new = Enqueue {
        destination: platform,
        key: &key,
        order: None,
        at,
    };
    outbox.enqueue(out, cause, &new, &Order::Pause(pause))?;
    Ok(())
}

/// Pauses the running ads of subjects that were put on hold since the last call, and forgets those that are over.
pub(crate) fn tick(
    outbox: &Outbox<Order>,
    out: &mut Outputs<'_>,
    partitions: &[u32],
) -> Result<(), StageError> {
    for &partition in partitions {
        for timer in OVER.due(out, partition, outbox.time_in(partition), AT_ONCE)? {
            RUNNING.remove(out, partition, &&timer.id[..]);
            OVER.cancel(out, partition, timer.at, &timer.id);
        }
        apply_holds(outbox, out, partition)?;
    }
    Ok(())
}

fn apply_holds(outbox: &Outbox<Order>, out: &mut Outputs<'_>, partition: u32) -> Result<(), StageError> {
    let table = out.reference(topics::HOLDS)?;
    let version = random::hash(table.version().as_bytes());
    if APPLIED.get(out, partition, &())?.as_ref() == Some(&version) {
        return Ok(());
    }
    let mut holds = Vec::new();
    for (key, hold) in table.scan::<Hold>("") {
        match hold {
            // A suspicion stops ads that are on their way. If it is an event, the hold that follows pauses those that run.
            Ok(hold) if hold.data.cause == HoldCause::Suspected => {}
            Ok(hold) => holds.push((hold.tenant, hold.data)),
            Err(error) => {
                tracing::error!(key = %String::from_utf8_lossy(key), %error, "a hold cannot be read: its ads are not paused");
            }
        }
    }
    let mut left = AT_ONCE;
    for (tenant, hold) in holds {
        let prefix = key_of(&tenant, hold.subject.as_str(), "");
        for (key, running) in RUNNING.scan(out, partition, prefix.as_bytes(), MOST_RUNNING)? {
            if !hold.covers(running.timestamp) {
                continue;
            }
            if left == 0 {
                // The rest comes in the next tick: what was paused is not there any more.
                return Ok(());
            }
            let decision = String::from_utf8_lossy(&key[prefix.len()..]);
            let order = Pause::new(
                &decision,
                running.timestamp,
                &tenant,
                &running.campaign,
                hold.reason(),
            );
            let cause = Cause {
                partition,
                headers: Headers::new(),
            };
            pause(outbox, out, &cause, &running.platform, order)?;
            running.forget(out, partition, &tenant, &decision);
            RUNNING.remove(out, partition, &&key[..]);
            OVER.cancel(out, partition, running.over, &key);
            left -= 1;
        }
    }
    APPLIED.put(out, partition, &(), &version);
    Ok(())
}

fn key_of(tenant: &TenantId, subject: &str, decision: &str) -> String {
    format!("{tenant}/{subject}/{decision}")
}

/// Adds the tables to `schema`.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema.table(&RUNNING).timers(&OVER).table(&APPLIED)
}
