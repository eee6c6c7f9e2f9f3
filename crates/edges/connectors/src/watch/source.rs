//! What a source that is asked must know.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_stream::Backoff;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ConnectorError, Failure, MissingScope, Page};

/// How far before the newest thing of a place new things are looked for: times of sources are whole seconds, and things arrive late.
const REWIND: i64 = 120_000;
/// The most places of a cursor.
const MOST_MARKS: usize = 1_000;

/// A source that is asked.
pub(crate) trait Asked: Send {
    /// The source, for people.
    fn name(&self) -> &str;

    /// The slug of the social network of the thing of this name.
    fn network(&self, name: &str) -> &'static str;

    /// The id behind the edge of the thing of this name.
    fn id_of(&self, name: &str) -> String {
        name.to_owned()
    }

    /// What is new behind the marks. Without any mark, what the newest pages have.
    fn news(&mut self, marks: &Marks, page: &mut Page) -> Result<News, ConnectorError>;

    /// What these things are now. Things that are not returned are gone. `None` if the source finds what is gone by itself.
    fn again(&mut self, names: &[String], page: &mut Page) -> Result<Option<Vec<Thing>>, ConnectorError> {
        let _ = (names, page);
        Ok(None)
    }

    /// The permissions that are missing, as [`crate::Connector::check_access`] returns them.
    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError>;

    /// What the requests since the last call cost, of the daily budget.
    fn take_cost(&mut self) -> u64;

    /// When something is due apart from turns, which the source has learnt of by itself. `None` = the source learns of nothing.
    fn errand_in(&self) -> Option<Duration> {
        None
    }

    /// Does what is due apart from turns, and returns what it found. The marks stay where they are, because a place was not read up to
    /// these things. Without `may_ask`, nothing is asked that costs.
    fn errand(
        &mut self,
        marks: &Marks,
        may_ask: bool,
        page: &mut Page,
    ) -> Result<Vec<Thing>, ConnectorError> {
        let _ = (marks, may_ask, page);
        Ok(Vec::new())
    }

    /// Sets the clock of the caller.
    fn set_time(&mut self, now: Instant) {
        let _ = now;
    }

    /// The wait that the source's own headers ask for, so that its limit is not reached.
    fn pace(&self) -> Duration {
        Duration::ZERO
    }

    /// The waits after failures.
    fn schedule(&self, failure: Failure) -> Backoff;
}

/// How far each place of a source was read: its newest time, in milliseconds. A place is a video, a page or a post.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Marks(BTreeMap<String, i64>);

impl Marks {
    /// Whether things of this time are behind the mark of their place, or near it.
    pub(crate) fn wants(&self, place: &str, written: Utc) -> bool {
        self.0
            .get(place)
            .is_none_or(|mark| written.as_millis() > mark - REWIND)
    }

    /// Forgets the oldest marks, if there are many. A place without a mark is read again.
    pub(super) fn limit(&mut self) {
        while self.0.len() > MOST_MARKS {
            let oldest = self.0.iter().min_by_key(|(_, mark)| **mark);
            let Some(oldest) = oldest.map(|(place, _)| place.clone()) else {
                return;
            };
            self.0.remove(&oldest);
        }
    }

    /// Moves the mark of the place behind a thing of this time.
    pub(super) fn pass(&mut self, place: String, written: Utc) {
        let mark = self.0.entry(place).or_insert(i64::MIN);
        *mark = written.as_millis().max(*mark);
    }

    /// Whether the place was read before.
    pub(crate) fn has(&self, place: &str) -> bool {
        self.0.contains_key(place)
    }
}

/// What a source has.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) things: Vec<Thing>,
    /// The names of things that were there before, and are not any more.
    pub(crate) gone: Vec<String>,
    /// Why there is not more. A place that was not read to its end has no thing here.
    pub(crate) failed: Option<ConnectorError>,
}

/// A comment or a post.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    /// Its name in the source, by which it is asked about.
    pub(crate) name: String,
    pub(crate) place: String,
    pub(crate) author: String,
    pub(crate) written: Utc,
    /// Two versions of a thing have different numbers here.
    pub(crate) version: u64,
    /// The revision of this version, if the source knows it. Otherwise it is 0 for the first one that is read, and a time for later ones.
    pub(crate) revision: Option<u64>,
    /// The post without id, network, author, time and revision. `None` = it has no text.
    pub(crate) post: Option<Value>,
}
