//! The compliance streams of X: four partitions of events of posts, and four of events of accounts.
//!
//! They are read between the posts, on the same thread. Each partition continues at the time of its last event, which the cursor contains.
//! Events that come twice find their posts deleted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use reqwest::Response;
use serde::{Deserialize, Serialize};

use super::api::{Api, Since};
use super::events::Taking;
use super::lines::Lines;
use super::{NAME, XSettings, schedule};
use crate::http::unavailable;
use crate::{ConnectorError, Failure, MOST_BYTES, Page};

/// How many partitions each kind of events has.
const PARTITIONS: u8 = 4;
/// The most events of a partition in one pull.
const MOST_EVENTS: usize = 1_000;
/// How far before its last event a partition begins again, because events can arrive late.
const REWIND: i64 = 60_000;
/// The wait after X has refused a stream: a person has to change something first.
const AFTER_REFUSAL: Duration = Duration::from_hours(1);

/// The times of the last events of all partitions, in milliseconds, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Events(BTreeMap<String, i64>);

impl Events {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The compliance streams.
pub(super) struct Partitions {
    all: Vec<Partition>,
}

struct Partition {
    kind: &'static str,
    number: u8,
    open: Option<Open>,
    /// Failures since an event arrived.
    failures: u32,
    /// No connection is opened before.
    due: Option<Instant>,
}

struct Open {
    answer: Response,
    lines: Lines,
    /// When bytes arrived last.
    alive: Instant,
}

impl Partitions {
    /// All partitions, or none if the settings do not want them.
    pub(super) fn new(is_wanted: bool) -> Self {
        let kinds = ["tweets", "users"].into_iter().filter(|_| is_wanted);
        let all = kinds.flat_map(|kind| {
            (1..=PARTITIONS).map(move |number| Partition {
                kind,
                number,
                open: None,
                failures: 0,
                due: None,
            })
        });
        Self { all: all.collect() }
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.all.is_empty()
    }

    /// Closes all connections.
    pub(super) fn close(&mut self) {
        for partition in &mut self.all {
            partition.open = None;
        }
    }

    /// Reads what has arrived, and opens at most one connection. A failure stops nothing else: it is counted, and the partition is
    /// opened again later.
    pub(super) fn step(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        let is_due = |partition: &&mut Partition| {
            partition.open.is_none() && partition.due.is_none_or(|due| due <= now)
        };
        if let Some(partition) = self.all.iter_mut().find(is_due)
            && let Err(error) = partition.connect(turn)
        {
            partition.fail(&error, now, turn.taking.page);
        }
        for partition in &mut self.all {
            if let Err(problem) = partition.read(turn) {
                let error = unavailable(NAME, problem, Failure::Connection, None);
                partition.fail(&error, now, turn.taking.page);
            }
            // One wait is enough for all.
            turn.is_patient &= partition.open.is_none();
        }
    }
}

/// What a pull gives the partitions.
pub(super) struct Turn<'a> {
    pub(super) api: &'a mut Api,
    pub(super) settings: &'a XSettings,
    pub(super) now: Instant,
    /// Whether to wait up to half a second for an event.
    pub(super) is_patient: bool,
    pub(super) position: &'a mut Events,
    pub(super) taking: Taking<'a>,
}

impl Partition {
    fn name(&self) -> String {
        format!("{} {}", self.kind, self.number)
    }

    fn connect(&mut self, turn: &mut Turn<'_>) -> Result<(), ConnectorError> {
        let name = self.name();
        let wall = Utc::now();
        let begins = turn.position.0.get(&name).map(|at| Utc::from_millis(at - REWIND));
        // A partition that has never had an event continues here after a kill.
        turn.position.0.entry(name).or_insert_with(|| wall.as_millis());
        let since = match begins {
            None => Since::Now,
            Some(begins) => {
                let missing = u64::try_from(wall.millis_since(begins)).unwrap_or(0);
                let minutes = missing.div_ceil(60_000).max(1);
                if minutes <= u64::from(turn.settings.backfill_minutes) {
                    Since::Minutes(minutes)
                } else {
                    Since::Time(begins)
                }
            }
        };
        let answer = turn.api.compliance(self.kind, self.number, since)?;
        self.open = Some(Open {
            answer,
            lines: Lines::default(),
            alive: turn.now,
        });
        self.due = None;
        Ok(())
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<(), String> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let name = format!("{} {}", self.kind, self.number);
        let (mut events, mut bytes) = (0, 0);
        while events < MOST_EVENTS && bytes < MOST_BYTES {
            let Some(line) = open.lines.next() else {
                let Some(chunk) = turn.api.chunk(&mut open.answer, turn.is_patient && events == 0)? else {
                    break;
                };
                open.alive = turn.now;
                bytes += chunk.len();
                open.lines.push(&chunk)?;
                if chunk.trim_ascii().is_empty() {
                    break;
                }
                continue;
            };
            let at = turn.taking.take(&line)?;
            events += 1;
            self.failures = 0;
            if let Some(at) = at {
                let known = turn.position.0.entry(name.clone()).or_insert(i64::MIN);
                *known = at.as_millis().min(Utc::now().as_millis()).max(*known);
            }
        }
        turn.taking.page.has_more |= events == MOST_EVENTS || bytes >= MOST_BYTES;
        let silence = turn.now.saturating_duration_since(open.alive);
        let limit = turn.settings.heartbeat_within.get();
        if events == 0 && silence >= limit {
            return Err(format!("no sign of life for {} s", limit.as_secs()));
        }
        Ok(())
    }

    fn fail(&mut self, error: &ConnectorError, now: Instant, page: &mut Page) {
        self.open = None;
        let wait = match error {
            ConnectorError::Unavailable {
                failure, retry_after, ..
            } => schedule(*failure)
                .wait(self.failures)
                .max(retry_after.unwrap_or_default()),
            _ => AFTER_REFUSAL,
        };
        self.failures = self.failures.saturating_add(1);
        self.due = Some(now + wait);
        let partition = self.name();
        if matches!(error, ConnectorError::Unavailable { .. }) {
            page.drop_one("a compliance stream that broke");
            tracing::warn!(partition, %error, "a compliance stream of X broke");
        } else {
            page.drop_one("a compliance stream that X refused");
            tracing::error!(
                partition, %error,
                "X refuses the compliance streams, which need an agreement (Enterprise): set compliance_stream = \"off\", or ask X"
            );
        }
    }
}
