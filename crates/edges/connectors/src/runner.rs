//! Moves pages from a connector to the edge, step by step.

use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_stream::Backoff;

use crate::{Connector, ConnectorError, Cursor, Failure, Item, Page, Phase, Status};

/// The most events of one page.
const PAGE: usize = 1_000;
/// How often the cursor is stored. After a kill, what came since is pulled again.
const STORE_EVERY: Duration = Duration::from_secs(1);
/// The waits after the edge or the log has failed.
const OF_TARGET: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// The waits after a source that refuses: a person has to change something first.
const OF_REFUSAL: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_mins(10));

/// Where a connector's items go, and where its cursor is stored.
pub trait Target: Send {
    /// Accepts items in their order. Returns when everything that it accepted is durable. On an error, some may be durable.
    fn accept(&mut self, items: &[Item]) -> Result<Accepted, TargetError>;

    /// The stored cursor.
    fn load(&mut self) -> Result<Option<Cursor>, TargetError>;

    /// Stores a cursor. Everything before it is durable.
    fn store(&mut self, cursor: &Cursor) -> Result<(), TargetError>;
}

/// What became of the items of a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Items that are now durable.
    pub accepted: u64,
    /// Items that were durable before.
    pub duplicates: u64,
    /// Why the others were rejected, one reason for each.
    pub rejected: Vec<String>,
}

/// The target does not work now. The same call may succeed later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TargetError {
    /// What happened.
    pub detail: String,
    /// The wait that it asks for, if it does.
    pub retry_after: Option<Duration>,
}

/// When the next step is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// After this time, and not before.
    After(Duration),
    /// After this time, or when the source says that there is something.
    Idle(Duration),
}

/// Moves pages from a connector to a target. It never waits itself, except in the calls of both.
pub struct Runner<T> {
    connector: Box<dyn Connector>,
    target: T,
    seed: u64,
    status: Status,
    cursor: Option<Cursor>,
    is_loaded: bool,
    /// A page that the target has not accepted yet.
    page: Option<Page>,
    /// Failures of the source since the cursor moved last.
    source_failures: u32,
    /// Failures of the target in a row.
    target_failures: u32,
    /// When the source last made progress: the cursor moved, or a page said that more is available. `None` = nothing was
    /// pulled since the connection was closed.
    moved: Option<Instant>,
    stored: Option<Cursor>,
    stored_at: Option<Instant>,
}

impl<T: Target> Runner<T> {
    /// A runner that continues at the stored cursor of `target`. Different connectors have different seeds, so that they do not try
    /// again together.
    pub fn new(connector: Box<dyn Connector>, target: T, seed: u64) -> Self {
        Self {
            connector,
            target,
            seed,
            status: Status::default(),
            cursor: None,
            is_loaded: false,
            page: None,
            source_failures: 0,
            target_failures: 0,
            moved: None,
            stored: None,
            stored_at: None,
        }
    }

    /// The state of the connector.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The target.
    pub const fn target(&mut self) -> &mut T {
        &mut self.target
    }

    /// Moves at most one page. `now` and `wall` are the clocks.
    pub fn step(&mut self, now: Instant, wall: Utc) -> Next {
        let done = self.try_step(now, wall);
        if let Some(clock) = self.status.clock {
            self.status.lag_seconds = Some(wall.millis_since(clock) as f64 / 1_000.0);
        }
        done.unwrap_or_else(|error| self.wait_for_target(&error))
    }

    /// Stops reading: closes the connection, and stores the cursor. A page that was not accepted is pulled again.
    pub fn pause(&mut self) {
        self.status.phase = Phase::Paused;
        self.status.problem = None;
        self.page = None;
        self.moved = None;
        self.connector.reset();
        if let Err(error) = self.store() {
            // What came since the stored cursor is pulled again, and known.
            tracing::warn!(%error, "the position of a connector was not stored");
        }
    }

    fn try_step(&mut self, now: Instant, wall: Utc) -> Result<Next, TargetError> {
        if !self.is_loaded {
            self.cursor = self.target.load()?;
            self.stored.clone_from(&self.cursor);
            self.status.cursor = self.cursor.as_ref().map(|cursor| cursor.0.clone());
            self.is_loaded = true;
        }
        let page = if let Some(page) = self.page.take() {
            page
        } else {
            self.connector.set_time(now);
            match self.connector.pull(self.cursor.as_ref(), PAGE) {
                Ok(page) => page,
                Err(error) => return Ok(self.wait_for_source(&error)),
            }
        };
        if !page.items.is_empty() {
            match self.target.accept(&page.items) {
                Ok(accepted) => self.count(&accepted),
                Err(error) => {
                    self.page = Some(page);
                    return Err(error);
                }
            }
        }
        self.target_failures = 0;
        let has_moved = page.next != self.cursor;
        let is_idle = page.items.is_empty() && !page.has_more && !has_moved;
        for (reason, events) in page.dropped {
            *self.status.dropped.entry(reason).or_default() += events;
        }
        self.status.quota_left = page.quota_left.or(self.status.quota_left);
        self.status.clock = page.clock.max(self.status.clock);
        let since = *self.moved.get_or_insert(now);
        if has_moved {
            self.cursor = page.next;
            self.status.cursor = self.cursor.as_ref().map(|cursor| cursor.0.clone());
            self.status.moved_at = Some(wall);
            self.moved = Some(now);
            self.source_failures = 0;
        } else if page.has_more {
            // The source answers. What it repeats, for instance after a new connection, can take longer than the limit.
            self.moved = Some(now);
        } else if let Some(limit) = self.connector.stalls_after()
            && now.saturating_duration_since(since) >= limit
        {
            return Ok(self.restart(limit));
        }
        if has_moved || self.status.phase != Phase::Waiting {
            self.status.phase = Phase::Running;
            self.status.problem = None;
        }
        if self
            .stored_at
            .is_none_or(|stored| now.saturating_duration_since(stored) >= STORE_EVERY)
        {
            self.store()?;
            self.stored_at = Some(now);
        }
        Ok(if is_idle {
            match self.connector.wait_when_idle() {
                Duration::ZERO => Next::Now,
                wait => Next::Idle(wait),
            }
        } else {
            Next::Now
        })
    }

    fn store(&mut self) -> Result<(), TargetError> {
        if self.stored == self.cursor {
            return Ok(());
        }
        if let Some(cursor) = &self.cursor {
            self.target.store(cursor)?;
            self.stored = Some(cursor.clone());
        }
        Ok(())
    }

    fn count(&mut self, accepted: &Accepted) {
        self.status.accepted += accepted.accepted;
        self.status.duplicates += accepted.duplicates;
        self.status.rejected += accepted.rejected.len() as u64;
        for problem in accepted.rejected.iter().take(3) {
            tracing::warn!(problem, "a post of a connector was not accepted");
        }
    }

    /// The connection is open, and brings nothing.
    fn restart(&mut self, limit: Duration) -> Next {
        self.connector.reset();
        self.moved = None;
        self.status.stalls += 1;
        let wait = self
            .connector
            .schedule(Failure::Connection)
            .with_seed(self.seed)
            .wait(self.source_failures);
        self.source_failures += 1;
        self.status.phase = Phase::Waiting;
        let limit = limit.as_secs();
        self.status.problem = Some(format!(
            "the source has brought nothing for {limit} s: the connection is opened again"
        ));
        Next::After(wait)
    }

    fn wait_for_source(&mut self, error: &ConnectorError) -> Next {
        self.connector.reset();
        self.moved = None;
        self.status.failures += 1;
        self.status.problem = Some(error.to_string());
        let attempt = self.source_failures;
        self.source_failures = self.source_failures.saturating_add(1);
        let (phase, backoff, asked) = match error {
            ConnectorError::Unavailable {
                failure, retry_after, ..
            } => (Phase::Waiting, self.connector.schedule(*failure), *retry_after),
            ConnectorError::Refused { .. }
            | ConnectorError::MissingScope { .. }
            | ConnectorError::UnknownCursor { .. } => (Phase::Refused, OF_REFUSAL, None),
        };
        self.status.phase = phase;
        let wait = backoff.with_seed(self.seed).wait(attempt);
        Next::After(wait.max(asked.unwrap_or_default()))
    }

    fn wait_for_target(&mut self, error: &TargetError) -> Next {
        self.status.failures += 1;
        self.status.phase = Phase::Waiting;
        self.status.problem = Some(error.to_string());
        let wait = OF_TARGET.with_seed(self.seed).wait(self.target_failures);
        self.target_failures = self.target_failures.saturating_add(1);
        // A connection that is not read meanwhile has not stalled.
        self.moved = None;
        Next::After(wait.max(error.retry_after.unwrap_or_default()))
    }
}
