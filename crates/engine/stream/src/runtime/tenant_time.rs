//! The event time of each tenant in a partition number.
//!
//! A tenant's time is a function of its own records, of the heartbeats that it sent, and of the marks that senders wrote about
//! it. Records of another tenant do not move it. A tenant without records, heartbeats and marks has no time.
//!
//! The runtime keeps the times in the stage's state, under keys that start with a zero byte, and writes those that a batch has
//! changed in the transaction of the batch. They move with the partition number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::{TenantId, Utc};

use super::input_time::{FormerClock, InputClock, InputTime, Sender, Silence, combine};
use crate::{
    DecodeProblem, Decoder, Encoder, EventTime, Result, StateReader, StateSchema, StateValue, Table,
    WatermarkMark,
};

/// The times in the state. The key is the tenant.
const TIMES: Table<TenantId, TenantTime> = Table::new("event time of tenants", b"\0t");

/// Times that are read at once.
const READ_AT_ONCE: usize = 100_000;

/// Adds what the runtime keeps in the state of each stage with event time.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema.table(&TIMES)
}

/// What an input of a partition number has said about a tenant.
#[derive(Debug, Clone, Default)]
struct TenantInput {
    /// Latest event time of a record, in milliseconds.
    latest: Option<i64>,
    /// The latest heartbeat of the tenant.
    heartbeat: Option<i64>,
    /// What the senders of a regrouped topic have said about the tenant.
    senders: BTreeMap<u32, Sender>,
    /// How long there has been no record. Not stored: the next instance determines it again.
    silence: Silence,
    /// When silence began: the first look after the latest record. Not stored.
    since: Option<Instant>,
}

impl TenantInput {
    fn is_empty(&self) -> bool {
        self.latest.is_none() && self.heartbeat.is_none() && self.senders.is_empty()
    }

    fn of_records(&self, disorder: Duration) -> InputTime {
        let through = self.through(disorder);
        match self.silence {
            Silence::None => InputTime::At(through),
            Silence::Idle | Silence::Settled => InputTime::Idle(through),
        }
    }

    /// How far the records and the heartbeats have come.
    fn through(&self, disorder: Duration) -> Utc {
        let heartbeat = self.heartbeat.map_or(Utc::MIN, Utc::from_millis);
        let through = match self.latest.map(Utc::from_millis) {
            None => Utc::MIN,
            // Everything up to and including the latest record has been read.
            Some(latest) if self.silence == Silence::Settled => latest.plus_millis(1),
            Some(latest) => {
                let disorder = i64::try_from(disorder.as_millis()).unwrap_or(i64::MAX);
                latest.plus_millis(disorder.saturating_neg())
            }
        };
        through.max(heartbeat)
    }

    /// The minimum over the senders. A sender that has not named the tenant holds it back until it has read everything, and at
    /// least until the tenant has been known here for a moment: its own records may be on their way.
    fn of_senders(&self, clock: &InputClock) -> InputTime {
        let of = clock.number_of_senders();
        if of == 0 {
            return InputTime::At(Utc::MIN);
        }
        combine((0..of).map(|source| {
            if let Some(named) = self.senders.get(&source) {
                return named.time();
            }
            match clock.general(source) {
                Some(general) if general.idle && self.silence >= Silence::Idle => InputTime::Idle(Utc::MIN),
                Some(general) if !general.idle => general.time(),
                _ => InputTime::At(Utc::MIN),
            }
        }))
    }
}

/// The event time of a tenant.
#[derive(Debug, Clone, Default)]
pub(super) struct TenantTime {
    inputs: BTreeMap<Arc<str>, TenantInput>,
    /// The watermark that the stage received last and that was passed on, in milliseconds.
    pub(super) announced: Option<i64>,
    /// Whether the last mark that was passed on declared the tenant idle.
    pub(super) announced_idle: bool,
    /// Since when all inputs have been silent. Not stored.
    quiet_since: Option<Instant>,
}

impl TenantTime {
    /// The event time over the inputs of the partition number.
    pub(super) fn time<'a>(
        &self,
        inputs: impl Iterator<Item = (&'a Arc<str>, EventTime, &'a InputClock)>,
    ) -> InputTime {
        let unknown = TenantInput::default();
        combine(inputs.map(|(topic, time, clock)| {
            let input = self.inputs.get(topic).unwrap_or(&unknown);
            match time {
                EventTime::Ignored => InputTime::Idle(Utc::MIN),
                EventTime::Records { disorder } => input.of_records(disorder),
                EventTime::Following { disorder } => InputTime::Idle(input.through(disorder)),
                EventTime::Sources => input.of_senders(clock),
            }
        }))
    }

    pub(super) fn announced(&self) -> Utc {
        self.announced.map_or(Utc::MIN, Utc::from_millis)
    }

    fn input(&mut self, topic: &Arc<str>) -> &mut TenantInput {
        self.inputs.entry(Arc::clone(topic)).or_default()
    }
}

impl StateValue for TenantTime {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Encoder) {
        let time = |to: &mut Encoder, time: Option<i64>| {
            to.flag(time.is_some());
            if let Some(time) = time {
                to.signed(time);
            }
        };
        time(to, self.announced);
        to.flag(self.announced_idle);
        let inputs = || self.inputs.iter().filter(|(_, input)| !input.is_empty());
        to.length(inputs().count());
        for (topic, input) in inputs() {
            to.text(topic);
            time(to, input.latest);
            time(to, input.heartbeat);
            to.length(input.senders.len());
            for (source, sender) in &input.senders {
                to.unsigned((*source).into());
                to.signed(sender.at);
                to.flag(sender.idle);
            }
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        fn time(from: &mut Decoder<'_>) -> Result<Option<i64>, DecodeProblem> {
            from.flag()?.then(|| from.signed()).transpose()
        }
        let announced = time(from)?;
        let announced_idle = from.flag()?;
        let mut inputs = BTreeMap::new();
        for _ in 0..from.length()? {
            let topic: Arc<str> = from.text()?.into();
            let mut input = TenantInput {
                latest: time(from)?,
                heartbeat: time(from)?,
                ..TenantInput::default()
            };
            for _ in 0..from.length()? {
                let source = u32::try_from(from.unsigned()?).map_err(|_| DecodeProblem::Damaged)?;
                let sender = Sender {
                    at: from.signed()?,
                    idle: from.flag()?,
                };
                input.senders.insert(source, sender);
            }
            inputs.insert(topic, input);
        }
        Ok(Self {
            inputs,
            announced,
            announced_idle,
            quiet_since: None,
        })
    }
}

/// The times of all tenants that a partition number knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    tenants: BTreeMap<TenantId, TenantTime>,
    /// The tenants about which something may have changed since their watermark was computed.
    touched: BTreeSet<TenantId>,
    /// The tenants that were silent for so long that they are forgotten with the next commit.
    forgotten: BTreeSet<TenantId>,
}

impl Times {
    /// Reads the times of a partition number from the state.
    pub(super) fn load(state: &dyn StateReader, number: u32) -> Result<Self> {
        let mut tenants = BTreeMap::new();
        for (tenant, time) in TIMES.scan(&state, number, b"", READ_AT_ONCE)? {
            tenants.insert(tenant, time);
        }
        Ok(Self {
            touched: tenants.keys().cloned().collect(),
            tenants,
            forgotten: BTreeSet::new(),
        })
    }

    /// The keys and values of the state of `changed` tenants.
    pub(super) fn changes(
        &self,
        changed: &BTreeSet<TenantId>,
    ) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
        changed.iter().map(|tenant| {
            let value = self.tenants.get(tenant).map(StateValue::to_bytes);
            (TIMES.key(&tenant), value)
        })
    }

    pub(super) fn has_work(&self) -> bool {
        !self.touched.is_empty() || !self.forgotten.is_empty()
    }

    /// Notes a record of a tenant with the event time `at`.
    pub(super) fn saw_record(&mut self, topic: &Arc<str>, tenant: &TenantId, at: Utc) {
        let input = self.touch(tenant).input(topic);
        let at = at.as_millis();
        input.latest = Some(input.latest.map_or(at, |latest| latest.max(at)));
        input.silence = Silence::None;
        input.since = None;
    }

    /// Notes a mark that names a tenant.
    pub(super) fn saw_mark(
        &mut self,
        topic: &Arc<str>,
        time: EventTime,
        tenant: &TenantId,
        mark: &WatermarkMark,
    ) {
        let input = self.touch(tenant).input(topic);
        if time == EventTime::Sources {
            let known = input.senders.get(&mark.source).copied();
            input.senders.insert(mark.source, Sender::note(known, mark));
        } else {
            let at = mark.at.as_millis();
            input.heartbeat = Some(input.heartbeat.map_or(at, |known| known.max(at)));
        }
    }

    /// Records of an input wait before the stage that writes it: nobody is silent there.
    pub(super) fn saw_waiting_records(&mut self, topic: &Arc<str>) {
        for (tenant, time) in &mut self.tenants {
            if let Some(input) = time.inputs.get_mut(topic) {
                input.silence = Silence::None;
                input.since = None;
                time.quiet_since = None;
                self.touched.insert(tenant.clone());
            }
        }
    }

    /// Gives a tenant the clock and the watermark that an older program kept for all tenants.
    pub(super) fn inherit(
        &mut self,
        topic: &Arc<str>,
        tenant: &TenantId,
        former: FormerClock,
        announced: Option<i64>,
    ) {
        let time = self.touch(tenant);
        time.announced = time.announced.max(announced);
        let input = time.input(topic);
        input.latest = input.latest.max(former.latest);
        input.heartbeat = input.heartbeat.max(former.heartbeat);
    }

    /// The watermarks of all tenants are computed again.
    pub(super) fn touch_all(&mut self) {
        self.touched.extend(self.tenants.keys().cloned());
    }

    /// The tenants about which something may have changed. They count as unchanged from now on.
    pub(super) fn take_touched(&mut self) -> BTreeSet<TenantId> {
        std::mem::take(&mut self.touched)
    }

    /// Removes the tenants that are to be forgotten, and returns them.
    pub(super) fn take_forgotten(&mut self) -> BTreeSet<TenantId> {
        let forgotten = std::mem::take(&mut self.forgotten);
        for tenant in &forgotten {
            self.tenants.remove(tenant);
            self.touched.remove(tenant);
        }
        forgotten
    }

    pub(super) fn get_mut(&mut self, tenant: &TenantId) -> Option<&mut TenantTime> {
        self.tenants.get_mut(tenant)
    }

    fn touch(&mut self, tenant: &TenantId) -> &mut TenantTime {
        self.forgotten.remove(tenant);
        if !self.touched.contains(tenant) {
            self.touched.insert(tenant.clone());
        }
        let time = self.tenants.entry(tenant.clone()).or_default();
        time.quiet_since = None;
        time
    }

    /// Notes how long the tenants have been silent. `inputs` are the inputs of the partition number, each with the moment
    /// until which everything that was written has been read.
    pub(super) fn look(&mut self, inputs: &[LookedAt<'_>], now: Instant, limits: SilenceLimits) {
        for (tenant, time) in &mut self.tenants {
            for looked in inputs {
                let disorder = match looked.time {
                    EventTime::Ignored => continue,
                    EventTime::Records { disorder } | EventTime::Following { disorder } => disorder,
                    EventTime::Sources => Duration::MAX,
                };
                let input = time.input(looked.topic);
                if input.silence == Silence::Settled {
                    continue;
                }
                let since = *input.since.get_or_insert(now);
                let silent_for = looked
                    .complete_through()
                    .map_or(Duration::ZERO, |read| read.saturating_duration_since(since));
                let silence = if silent_for < limits.idle_after {
                    Silence::None
                } else if silent_for < disorder {
                    Silence::Idle
                } else {
                    Silence::Settled
                };
                if silence > input.silence {
                    input.silence = silence;
                    self.touched.insert(tenant.clone());
                }
            }
            let inputs = inputs
                .iter()
                .map(|looked| (looked.topic, looked.time, looked.clock));
            if matches!(time.time(inputs), InputTime::At(_)) {
                time.quiet_since = None;
            } else if now.duration_since(*time.quiet_since.get_or_insert(now)) >= limits.forget_after {
                self.forgotten.insert(tenant.clone());
            }
        }
    }

    /// The watermark to show: the least one of the tenants that are not idle, or the greatest one if all are.
    pub(super) fn shown(&self) -> Option<Utc> {
        let of = |idle| {
            let times = self.tenants.values();
            times
                .filter(move |time| time.announced_idle == idle)
                .filter_map(|time| time.announced)
        };
        of(false).min().or_else(|| of(true).max()).map(Utc::from_millis)
    }
}

/// An input partition as the worker sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct LookedAt<'a> {
    pub(super) topic: &'a Arc<str>,
    pub(super) time: EventTime,
    pub(super) clock: &'a InputClock,
    /// Everything that was written until then has been read; `None` while nobody knows.
    pub(super) read_through: Option<Instant>,
}

impl LookedAt<'_> {
    /// Everything that was sent until then has been read: nothing waits before the stage that writes the input. (The senders of a
    /// regrouped topic say that for each tenant.)
    fn complete_through(&self) -> Option<Instant> {
        let waits = self.time != EventTime::Sources && self.clock.has_waiting_records();
        self.read_through.filter(|_| !waits)
    }
}

/// How long silence lasts until it matters.
#[derive(Debug, Clone, Copy)]
pub(super) struct SilenceLimits {
    pub(super) idle_after: Duration,
    pub(super) forget_after: Duration,
}
