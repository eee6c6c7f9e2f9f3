//! The stage `moments`: feelings of an audience in, moments out.

use std::collections::{BTreeMap, BTreeSet};

use limbic_domain::{
    AudienceId, Envelope, Hold, HoldCause, MomentKind, Slug, TenantId, Utc, event_id, topics,
};
use limbic_stream::{
    Batch, EventTime, Forward, Outputs, Stage, StageError, StageSpec, StateSchema, Table, Timers,
};

use crate::events::{EVENTS, SubjectEvents};
use crate::settings::{EventSettings, InvalidSetting, Settings};
use crate::status::Shown;
use crate::waiting::{self, WAITING, WaitingFeeling};
use crate::{AUDIENCES, Audience, MomentMeters, check, expiry, status};

/// The last watermark of each tenant that was announced: after a restart it must not be forgotten, or late feelings would wait.
const WATERMARK: Table<TenantId, Utc> = Table::new("watermarks of feelings", b"v");
/// The watermark of all tenants, in programs that had only one.
const FORMER_WATERMARK: Table<(), Utc> = Table::new("watermark of the feelings of all tenants", b"w");
/// The segment of all people.
pub(crate) const EVERYONE: &str = "everyone";
/// How often the state of audiences that have changed is published.
const PUBLISH: std::time::Duration = std::time::Duration::from_secs(2);
/// Most waiting feelings read at once.
const RELEASED_AT_ONCE: usize = 512;
/// The tenants whose watermark has passed feelings that still wait, because one transaction would have been too large.
const UNFINISHED: Table<TenantId, ()> = Table::new("tenants with feelings to release", b"r");
/// Most such tenants of a partition that one tick continues with.
const TENANTS_AT_ONCE: usize = 100;
/// The number of records and changes of state in one transaction after which no more feelings are released: about a second of work,
/// while a transaction on Kafka may take a minute.
const LARGEST_TRANSACTION: usize = 20_000;

/// Finds out when an audience has moved.
///
/// Reads [`topics::FEELINGS`], whose partitions mix what many senders write; writes [`topics::MOMENTS`], and in ticks the state of
/// audiences that have changed to [`topics::STATUS`]. What comes out does not depend on how the senders' records interleave: each
/// feeling waits in the state until its tenant's watermark has passed it, and is then taken in the order of time and id. One that
/// comes behind the watermark is taken at once, and counted
/// ([`MomentStage::LATE`]).
///
/// A watermark can pass any number of feelings at once: a sender that stood still goes on. A transaction releases some 20,000 of them;
/// the rest follows in the next ones, in the same order.
///
/// State, per partition number: an [`Audience`] each (1 to 12 KiB), dropped after its expiry, and whatever waits: as many
/// feelings as the fastest sender is ahead of the slowest. A sender that stands still holds everything back, until it goes on
/// or says that it is idle.
#[derive(Debug)]
pub struct MomentStage {
    settings: Settings,
    /// The settings of the audiences of subjects that have a clock of their own.
    of_subjects: BTreeMap<Slug, Settings>,
    largest_transaction: usize,
    meters: MomentMeters,
}

impl MomentStage {
    /// The stage's name and group.
    pub const NAME: &'static str = "moments";
    /// How many feelings of each partition number came late, ever.
    pub const LATE: Table<(), u64> = Table::new("number of late feelings", b"l");

    /// The stage; refuses settings that cannot work.
    pub fn new(settings: &Settings) -> Result<Self, InvalidSetting> {
        settings.validate()?;
        let offsets = settings.change.subject_utc_offsets.iter();
        let of_subjects = offsets.map(|(subject, offset)| {
            let mut own = settings.clone();
            own.change.utc_offset = *offset;
            (subject.clone(), own)
        });
        Ok(Self {
            of_subjects: of_subjects.collect(),
            settings: settings.clone(),
            largest_transaction: LARGEST_TRANSACTION,
            meters: MomentMeters::unregistered(),
        })
    }

    /// Reports to these metrics.
    #[must_use]
    pub fn metered(mut self, meters: MomentMeters) -> Self {
        self.meters = meters;
        self
    }

    /// Releases no more feelings in a transaction that has this number of records and changes of state. Default: 20,000.
    #[must_use]
    pub const fn largest_transaction(mut self, changes: usize) -> Self {
        self.largest_transaction = changes;
        self
    }

    fn audiences(&self) -> Audiences<'_> {
        Audiences {
            stage: self,
            open: BTreeMap::new(),
        }
    }

    /// The settings of an audience.
    fn settings_of(&self, audience: &AudienceId) -> &Settings {
        let of_subject = || {
            let subject = Slug::new(audience.subject()).ok()?;
            self.of_subjects.get(&subject)
        };
        // Mostly there are none.
        let own = if self.of_subjects.is_empty() {
            None
        } else {
            of_subject()
        };
        own.unwrap_or(&self.settings)
    }

    /// What the runtime needs to know about the stage.
    pub fn spec() -> StageSpec {
        StageSpec::new(Self::NAME)
            .reads(topics::FEELINGS, EventTime::Sources)
            .writes(topics::MOMENTS, Forward::Nothing)
            .writes(topics::HOLDS, Forward::Nothing)
            .writes(topics::STATUS, Forward::Nothing)
            .ticks(PUBLISH)
            // A person may have released a hold.
            .broadcasts(topics::HOLDS)
            .stateful()
    }
}

impl Stage for MomentStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut audiences = self.audiences();
        let mut events = Subjects::new(&self.settings);
        let mut clocks: BTreeMap<(u32, TenantId), Clock> = BTreeMap::new();
        for record in &batch.records {
            let feeling = match check::feeling(&record.value) {
                Ok(envelope) => WaitingFeeling::new(record, envelope),
                Err(rejected) => {
                    out.dead(record, rejected.reason, rejected.detail);
                    continue;
                }
            };
            events.add(&feeling, out)?;
            let clock = match clocks.entry((record.partition, feeling.tenant.clone())) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(unknown) => {
                    let clock = Clock::read(record.partition, &feeling.tenant, out)?;
                    unknown.insert(clock)
                }
            };
            let is_late = feeling.at < clock.watermark;
            if is_late {
                clock.late += 1;
                self.meters.late(&feeling);
            }
            // It does not overtake those that the watermark has passed and that still wait.
            if is_late && !clock.is_unfinished {
                audiences.add(&feeling, out)?;
            } else {
                let id = feeling.id.as_bytes();
                clock.waiting.set(out, record.partition, feeling.at, id, &feeling);
            }
        }
        audiences.keep(out)?;
        events.keep(out)?;
        for ((partition, _), clock) in clocks {
            clock.keep_late(partition, out)?;
        }
        Ok(())
    }

    fn watermark(
        &mut self,
        partition: u32,
        tenant: &TenantId,
        watermark: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let clock = Clock::read(partition, tenant, out)?;
        if watermark > clock.watermark {
            WATERMARK.put(out, partition, &tenant, &watermark);
        } else if !clock.is_unfinished {
            return Ok(());
        }
        self.release(partition, tenant, watermark.max(clock.watermark), &clock, out)
    }

    fn tick(&mut self, partitions: &[u32], _: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for partition in partitions {
            for (tenant, ()) in UNFINISHED.scan(out, *partition, b"", TENANTS_AT_ONCE)? {
                let clock = Clock::read(*partition, &tenant, out)?;
                self.release(*partition, &tenant, clock.watermark, &clock, out)?;
            }
            status::publish(out, *partition, &self.settings)?;
        }
        Ok(())
    }

    fn divide_time(&mut self, partition: u32, out: &mut Outputs<'_>) -> Result<Vec<TenantId>, StageError> {
        let mut tenants = BTreeSet::new();
        loop {
            let waiting = waiting::FORMER.due(out, partition, Utc::MAX, RELEASED_AT_ONCE)?;
            if waiting.is_empty() {
                break;
            }
            for timer in waiting {
                let tenant = timer.value.tenant.clone();
                let timers = WAITING.of(&tenant);
                timers.set(out, partition, timer.at, &timer.id, &timer.value);
                waiting::FORMER.cancel(out, partition, timer.at, &timer.id);
                tenants.insert(tenant);
            }
        }
        if let Some(watermark) = FORMER_WATERMARK.get(out, partition, &())? {
            for tenant in &tenants {
                WATERMARK.put(out, partition, &tenant, &watermark);
            }
            FORMER_WATERMARK.remove(out, partition, &());
        }
        Ok(tenants.into_iter().collect())
    }
}

impl MomentStage {
    /// Adds the feelings that waited for `watermark` to their audiences, in the order of time and id, as far as the transaction has
    /// room. When all of them are added, removes the tenant's audiences that are silent.
    fn release(
        &self,
        partition: u32,
        tenant: &TenantId,
        watermark: Utc,
        clock: &Clock,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let mut audiences = self.audiences();
        let before = watermark.plus_millis(-1);
        let mut is_finished = false;
        let mut last = None;
        while !is_finished && out.collected() < self.largest_transaction {
            let room = (self.largest_transaction - out.collected()).min(RELEASED_AT_ONCE);
            let mut waiting = match &last {
                None => clock.waiting.due(out, partition, before, room)?,
                Some(last) => clock.waiting.due_after(out, partition, before, last, room)?,
            };
            is_finished = waiting.len() < room;
            for timer in &mut waiting {
                timer.value.cause.partition = partition;
                audiences.add(&timer.value, out)?;
                clock.waiting.cancel(out, partition, timer.at, &timer.id);
            }
            last = waiting.pop();
        }
        audiences.keep(out)?;
        if !is_finished {
            UNFINISHED.put(out, partition, &tenant, &());
            return Ok(());
        }
        if clock.is_unfinished {
            UNFINISHED.remove(out, partition, &tenant);
        }
        let silence = self.settings.audience.expiry.as_millis();
        expiry::sweep(out, partition, tenant, watermark, silence, |out, key| {
            out.remove(partition, key.to_vec());
            status::forget(out, partition, key);
            Ok(())
        })
    }
}

/// The subjects of one call, read once and written once.
struct Subjects<'a> {
    settings: &'a EventSettings,
    expiry: i64,
    /// How fast what is usual is forgotten.
    half_life: i64,
    open: BTreeMap<(u32, Vec<u8>), OpenSubject>,
}

struct OpenSubject {
    events: SubjectEvents,
    /// The time of its newest post in the state, if it was there.
    before: Option<Utc>,
}

impl<'a> Subjects<'a> {
    const fn new(settings: &'a Settings) -> Self {
        Self {
            settings: &settings.sensitive_events,
            expiry: settings.audience.expiry.as_millis(),
            half_life: settings.change.baseline_half_life.as_millis(),
            open: BTreeMap::new(),
        }
    }

    /// Looks at a feeling if it is one of all people about a subject: every post about a subject has exactly one.
    fn add(&mut self, feeling: &WaitingFeeling, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if feeling.protects || feeling.audience.segment() != EVERYONE {
            return Ok(());
        }
        let partition = feeling.cause.partition;
        let key = (partition, EVENTS.key(&(&feeling.tenant, &feeling.audience)));
        let open = match self.open.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(unknown) => {
                let known = EVENTS.get_at(out, partition, &unknown.key().1)?;
                let before = known.as_ref().map(SubjectEvents::at);
                let is_fresh = before.is_some_and(|before| feeling.at.millis_since(before) <= self.expiry);
                let mut events = known.filter(|_| is_fresh).unwrap_or_else(SubjectEvents::new);
                if events.was_held()
                    && let Some(at) = released(feeling, out)?
                {
                    events.release(at);
                }
                unknown.insert(OpenSubject { events, before })
            }
        };
        let Ok(subject) = Slug::new(feeling.audience.subject()) else {
            return Ok(());
        };
        if let Some(hold) = open.events.add(feeling, &subject, self.settings, self.half_life) {
            emit_hold(feeling, hold, out);
        }
        Ok(())
    }

    fn keep(self, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for ((partition, key), open) in self.open {
            expiry::moved(out, partition, &key, open.before, open.events.at())?;
            EVENTS.put_at(out, partition, key, &open.events);
        }
        Ok(())
    }
}

fn emit_hold(feeling: &WaitingFeeling, hold: Hold, out: &mut Outputs<'_>) {
    let (tenant, subject) = (&feeling.tenant, hold.subject.clone());
    if hold.cause == HoldCause::Suspected {
        tracing::info!(%tenant, %subject, reason = hold.reason(), "a sensitive event is suspected");
    } else {
        tracing::warn!(%tenant, %subject, reason = hold.reason(), "put a subject on hold");
    }
    let id = event_id("hold", &[tenant.as_str(), subject.as_str(), &feeling.id]);
    let envelope = Envelope::new(tenant.clone(), id, feeling.at, hold);
    let key = Hold::key(tenant, subject.as_str());
    out.emit(&feeling.cause, topics::HOLDS, &key, &envelope);
}

/// When a person released the hold on the feeling's subject, if somebody did. A hold that cannot be read is in force.
fn released(feeling: &WaitingFeeling, out: &Outputs<'_>) -> Result<Option<Utc>, StageError> {
    let key = Hold::key(&feeling.tenant, feeling.audience.subject());
    match out.reference(topics::HOLDS)?.get::<Hold>(&key) {
        Ok(hold) => Ok(hold.and_then(|hold| hold.data.released).map(|release| release.at)),
        Err(error) => {
            tracing::error!(key, %error, "a hold cannot be read: it stays in force");
            Ok(None)
        }
    }
}

/// How far a tenant is in a partition number.
struct Clock {
    watermark: Utc,
    /// The watermark has passed feelings that still wait.
    is_unfinished: bool,
    late: u64,
    /// The tenant's feelings that wait.
    waiting: Timers<WaitingFeeling>,
}

impl Clock {
    fn read(partition: u32, tenant: &TenantId, out: &Outputs<'_>) -> Result<Self, StageError> {
        let watermark = WATERMARK.get(out, partition, &tenant)?;
        Ok(Self {
            watermark: watermark.unwrap_or(Utc::MIN),
            is_unfinished: UNFINISHED.contains(out, partition, &tenant)?,
            late: 0,
            waiting: WAITING.of(tenant),
        })
    }

    fn keep_late(&self, partition: u32, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if self.late > 0 {
            tracing::warn!(partition, late = self.late, watermark = %self.watermark, "feelings came behind the watermark");
            let before = MomentStage::LATE.get(out, partition, &())?.unwrap_or(0);
            MomentStage::LATE.put(out, partition, &(), &(before + self.late));
        }
        Ok(())
    }
}

/// The audiences of one call, read once and written once.
struct Audiences<'a> {
    stage: &'a MomentStage,
    open: BTreeMap<(u32, Vec<u8>), Open>,
}

struct Open {
    audience: Audience,
    /// What is counted of it; `None` if no post has come in this call.
    shown: Option<Shown>,
    /// The time of its newest post in the state, if it was there.
    before: Option<Utc>,
}

impl Audiences<'_> {
    fn add(&mut self, feeling: &WaitingFeeling, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let partition = feeling.cause.partition;
        let key = (partition, AUDIENCES.key(&(&feeling.tenant, &feeling.audience)));
        let open = match self.open.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(unknown) => {
                let known = AUDIENCES.get_at(out, partition, &unknown.key().1)?;
                if known.is_none() && feeling.protects {
                    return Ok(());
                }
                let before = known.as_ref().map(Audience::at);
                let audience = known.unwrap_or_else(Audience::new);
                unknown.insert(Open {
                    audience,
                    shown: None,
                    before,
                })
            }
        };
        if feeling.protects {
            open.audience.protect(feeling);
            return Ok(());
        }
        let shown = match &mut open.shown {
            Some(shown) => shown,
            none => none.insert(Shown::read(feeling, out)?),
        };
        let settings = self.stage.settings_of(&feeling.audience);
        if feeling.at.millis_since(open.audience.at()) > settings.audience.expiry.as_millis() {
            *shown = Shown::from(feeling.at);
        }
        shown.posts += 1;
        let is_copy = open.audience.is_copy(feeling, settings);
        shown
            .repeats
            .count(feeling, is_copy, settings.change.window.as_millis());
        if let Some(moment) = open.audience.add(feeling, settings) {
            let trigger = feeling.post.to_string();
            let causes = [feeling.tenant.as_str(), feeling.audience.as_str(), &trigger];
            let id = event_id("moment", &causes);
            // A return leads to no ad, and would hide the change before it.
            if moment.kind == MomentKind::Change {
                shown.note(&id, feeling.at, &moment);
            }
            let envelope = Envelope::new(feeling.tenant.clone(), id, feeling.at, moment);
            let key = format!("{}/{}", feeling.tenant, feeling.audience);
            out.emit(&feeling.cause, topics::MOMENTS, &key, &envelope);
        }
        Ok(())
    }

    fn keep(self, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for ((partition, key), open) in self.open {
            expiry::moved(out, partition, &key, open.before, open.audience.at())?;
            if let Some(shown) = &open.shown {
                shown.keep(out, partition, &key);
            }
            AUDIENCES.put_at(out, partition, key, &open.audience);
        }
        Ok(())
    }
}

/// The tables of the stage's state.
pub(crate) fn schema() -> StateSchema {
    let schema = StateSchema::new()
        .table(&WATERMARK)
        .table(&FORMER_WATERMARK)
        .table(&UNFINISHED)
        .table(&MomentStage::LATE)
        .table(&AUDIENCES)
        .table(&EVENTS)
        .timers_of_tenants(&WAITING)
        .timers(&waiting::FORMER);
    status::described_in(expiry::described_in(schema))
}

#[cfg(test)]
mod tests {
    use limbic_domain::UtcOffset;

    use super::*;

    #[test]
    fn the_audiences_of_a_subject_have_its_own_clock() {
        let mut settings = Settings::default();
        settings.change.utc_offset = UtcOffset::from_minutes(60);
        let melbourne = Slug::new("melbourne").unwrap();
        settings
            .change
            .subject_utc_offsets
            .insert(melbourne, UtcOffset::from_minutes(600));
        let stage = MomentStage::new(&settings).unwrap();
        let minutes = |audience: &str| {
            let audience = AudienceId::new(audience).unwrap();
            stage.settings_of(&audience).change.utc_offset.as_minutes()
        };
        assert_eq!(minutes("everyone:melbourne"), 600);
        assert_eq!(minutes("fans:melbourne"), 600);
        assert_eq!(minutes("everyone:berlin"), 60);
    }
}
