//! Connectors that ask a source from time to time: for what is new, and what became of what they have read.

mod source;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_stream::Backoff;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::unavailable;
use crate::poll::Rhythm;
use crate::seen::{Note, Seen};
use crate::spent::{DayBegins, Spent};
use crate::wanted::Wanted;
use crate::{Connector, ConnectorError, Cursor, Failure, Item, MissingScope, Page};

pub(crate) use source::{Asked, Marks, News, Thing};

/// If more things than these are missing at once, and nothing is there, the answer is doubted.
const MOST_MISSING: usize = 10;

/// What a cursor says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Position {
    marks: Marks,
    /// What today's requests have cost.
    spent: Spent,
    /// How many pages had something, so that each has a cursor of its own.
    pages: u64,
}

/// How a source is asked.
pub(crate) struct Asking {
    pub(crate) interval: Duration,
    pub(crate) seed: u64,
    /// How many things are remembered.
    pub(crate) remember: usize,
    /// How many things one question is about.
    pub(crate) sweep: usize,
    /// What requests may cost in a day.
    pub(crate) budget: u64,
    pub(crate) day: DayBegins,
    pub(crate) wanted: Wanted,
}

/// The connector around a source that is asked.
pub(crate) struct Watch<S> {
    source: S,
    asking: Asking,
    rhythm: Rhythm,
    seen: Seen,
    spent: Spent,
    /// Things that are gone, until the log has their deletions.
    gone: BTreeSet<String>,
    /// Things that a doubted answer did not have.
    doubted: BTreeSet<String>,
    /// What the last page adds to `seen`, if the caller continues at its cursor.
    pending: Option<(Cursor, Vec<Note>)>,
    /// Why the last question about known things failed, if new things were returned first.
    failed: Option<ConnectorError>,
    /// The clock of the caller.
    now: Instant,
    /// When the next turn is due. It is known only of sources that have errands, so that an errand does not bring the turn forward.
    turn_at: Option<Instant>,
}

impl<S: Asked> Watch<S> {
    pub(crate) fn new(source: S, asking: Asking) -> Self {
        Self {
            rhythm: Rhythm::new(asking.interval, asking.seed),
            seen: Seen::new(asking.remember),
            source,
            asking,
            spent: Spent::default(),
            gone: BTreeSet::new(),
            doubted: BTreeSet::new(),
            pending: None,
            failed: None,
            now: Instant::now(),
            turn_at: None,
        }
    }

    fn take(&self, thing: Thing, page: &mut Page, notes: &mut Vec<Note>) {
        let known = self.seen.revision(&thing.name);
        if known == Some(thing.version) {
            return;
        }
        let (is_known, name) = (known.is_some(), thing.name);
        let text = thing.post.as_ref().and_then(|post| post["text"].as_str());
        let is_wanted = text.is_some_and(|text| self.asking.wanted.has(text));
        match thing.post {
            Some(mut post) if is_wanted => {
                let now = Utc::now();
                let unstated = if is_known {
                    now.as_millis().unsigned_abs()
                } else {
                    0
                };
                let revision = thing.revision.unwrap_or(unstated);
                post["network"] = self.source.network(&name).into();
                post["id"] = self.source.id_of(&name).into();
                post["author"] = thing.author.as_str().into();
                post["created_at"] = thing.written.min(now).to_string().into();
                if revision > 0 {
                    post["revision"] = revision.into();
                }
                page.items.push(Item::Post(post));
                notes.push(Note::Read {
                    name,
                    revision: thing.version,
                    author: thing.author,
                });
            }
            // A text that nobody wants any more.
            _ if is_known => self.delete(&name, page, notes),
            Some(_) => page.drop_one("not wanted"),
            None => page.drop_one("no text"),
        }
    }

    fn delete(&self, name: &str, page: &mut Page, notes: &mut Vec<Note>) {
        if notes.iter().any(|note| note.is_of(name)) {
            return;
        }
        if let Some(author) = self.seen.author(name) {
            page.items.push(Item::Deletion(json!({
                "network": self.source.network(name), "id": self.source.id_of(name), "author": author, "deleted_at": Utc::now(),
            })));
            notes.push(Note::Gone {
                name: name.to_owned(),
            });
        }
    }

    /// Asks about things that were asked about longest ago.
    fn sweep(&mut self, page: &mut Page, notes: &mut Vec<Note>) -> Result<(), ConnectorError> {
        let names = self.seen.oldest(self.asking.sweep);
        if names.is_empty() {
            return Ok(());
        }
        let Some(found) = self.source.again(&names, page)? else {
            return Ok(());
        };
        let there: BTreeSet<&str> = found.iter().map(|thing| thing.name.as_str()).collect();
        let is_doubted =
            !names.iter().any(|name| there.contains(name.as_str())) && names.len() > MOST_MISSING;
        for name in &names {
            if there.contains(name.as_str()) {
                self.doubted.remove(name);
            } else if is_doubted && self.doubted.insert(name.clone()) {
                page.drop_one("a thing that is missing, together with all others");
            } else {
                self.doubted.remove(name);
                self.gone.insert(name.clone());
            }
        }
        for thing in found {
            if !notes.iter().any(|note| note.is_of(&thing.name)) {
                self.take(thing, page, notes);
            }
        }
        notes.extend(names.into_iter().map(|name| Note::Asked { name }));
        Ok(())
    }

    fn count(&mut self) -> u64 {
        let cost = self.source.take_cost();
        self.spent.count(cost, self.asking.day, Utc::now());
        cost
    }

    fn left(&self) -> u64 {
        self.spent.left(self.asking.budget, self.asking.day, Utc::now())
    }

    /// How far apart turns of this cost must be, so that the budget lasts for the day.
    fn pace(&self, cost: u64) -> Duration {
        let rest = self.asking.day.next(Utc::now());
        let share = cost as f64 / self.left().max(1) as f64;
        rest.mul_f64(share.min(1.0)).max(self.source.pace())
    }

    /// The error, with a wait that is not shorter than that between two requests.
    fn not_before_the_next_turn(&self, mut error: ConnectorError) -> ConnectorError {
        if let ConnectorError::Unavailable { retry_after, .. } = &mut error {
            *retry_after = Some(retry_after.unwrap_or_default().max(self.rhythm.wait()));
        }
        error
    }
}

impl<S: Asked> Watch<S> {
    /// Asks for what is new, and about what is known.
    fn turn(
        &mut self,
        after: Option<&Cursor>,
        known: &Position,
        mut page: Page,
    ) -> Result<Page, ConnectorError> {
        if self.left() == 0 {
            let detail = format!("the budget of {} a day is spent", self.asking.budget);
            let wait = self.asking.day.next(Utc::now());
            return Err(unavailable(
                self.source.name(),
                detail,
                Failure::RateLimit,
                Some(wait),
            ));
        }
        let news = self.source.news(&known.marks, &mut page);
        let mut cost = self.count();
        let mut news = news?;
        news.things
            .sort_by(|a, b| (a.written, &a.name).cmp(&(b.written, &b.name)));
        let (mut position, mut notes) = (known.clone(), Vec::new());
        for thing in news.things {
            let (place, written) = (thing.place.clone(), thing.written);
            self.take_news(thing, known, &mut page, &mut notes);
            position.marks.pass(place, written);
        }
        position.marks.limit();
        self.gone.extend(news.gone);
        let swept = match news.failed {
            Some(error) => Err(error),
            None => self.sweep(&mut page, &mut notes),
        };
        cost += self.count();
        self.gone.retain(|name| self.seen.author(name).is_some());
        for name in &self.gone {
            self.delete(name, &mut page, &mut notes);
        }
        page.quota_left = Some(self.left());
        let is_same = position.marks == known.marks;
        let at_least = self.pace(cost);
        if let Err(error) = swept {
            let error = self.not_before_the_next_turn(error);
            if page.items.is_empty() && is_same {
                self.seen.note(notes);
                return Err(error);
            }
            // First what is new, so that it arrives although the questions fail.
            self.failed = Some(error);
        }
        self.finish(known, position, &mut page, notes);
        self.rhythm.asked(after, &page, at_least);
        let has_errands = self.source.errand_in().is_some();
        self.turn_at = has_errands.then(|| self.now + self.rhythm.wait());
        Ok(page)
    }

    /// Does what the source has learnt of by itself. It costs units of the day's budget as everything else, but never those that the
    /// turns of the rest of the day need.
    fn errand(&mut self, known: &Position, mut page: Page) -> Result<Page, ConnectorError> {
        let share = self.left() as f64 / self.asking.budget.max(1) as f64;
        let rest = self.asking.day.next(Utc::now()).as_secs_f64() / 86_400.0;
        let may_ask = self.left() > 0 && share >= rest / 2.0;
        let found = self.source.errand(&known.marks, may_ask, &mut page);
        self.count();
        let mut notes = Vec::new();
        for thing in found? {
            self.take_news(thing, known, &mut page, &mut notes);
        }
        page.quota_left = Some(self.left());
        self.finish(known, known.clone(), &mut page, notes);
        Ok(page)
    }

    /// Behind the mark only edits of things that were read are new.
    fn take_news(&self, thing: Thing, known: &Position, page: &mut Page, notes: &mut Vec<Note>) {
        page.clock = page.clock.max(Some(thing.written));
        if known.marks.wants(&thing.place, thing.written) || self.seen.revision(&thing.name).is_some() {
            self.take(thing, page, notes);
        }
    }

    /// Gives the page its cursor.
    fn finish(&mut self, known: &Position, mut position: Position, page: &mut Page, notes: Vec<Note>) {
        let is_same = position.marks == known.marks;
        if !page.items.is_empty() || !is_same || self.spent.is_far_from(known.spent) {
            position.pages += 1;
            position.spent = self.spent;
            let text = serde_json::to_string(&position).expect("numbers and texts are JSON");
            page.next = Some(Cursor(text));
        }
        match &page.next {
            Some(next) if !page.items.is_empty() => self.pending = Some((next.clone(), notes)),
            // Nothing can be lost with a page that has nothing.
            _ => self.seen.note(notes),
        }
    }
}

impl<S: Asked> Connector for Watch<S> {
    fn pull(&mut self, after: Option<&Cursor>, _: usize) -> Result<Page, ConnectorError> {
        let known: Position = match after {
            None => Position::default(),
            Some(cursor) => serde_json::from_str(&cursor.0).map_err(|_| ConnectorError::UnknownCursor {
                source_name: self.source.name().to_owned(),
                cursor: cursor.0.clone(),
            })?,
        };
        self.spent = self.spent.max(known.spent);
        // The log has the last page only if the caller continues behind it.
        if let Some((cursor, notes)) = self.pending.take()
            && Some(&cursor) == after
        {
            self.seen.note(notes);
        }
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let page = Page {
            next: after.cloned(),
            ..Page::default()
        };
        let is_turn = self.turn_at.is_none_or(|at| self.now >= at);
        if self.rhythm.rests(after) || !is_turn {
            let is_due = self.source.errand_in().is_some_and(|wait| wait.is_zero());
            return if is_due {
                self.errand(&known, page)
            } else {
                Ok(page)
            };
        }
        self.turn(after, &known, page)
    }

    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        self.source.check_access()
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
        self.source.set_time(now);
    }

    fn reset(&mut self) {
        self.rhythm.reset();
        self.failed = None;
        self.turn_at = None;
    }

    fn wait_when_idle(&self) -> Duration {
        let left = |at: Instant| at.saturating_duration_since(self.now);
        let turn = self.turn_at.map_or(self.rhythm.wait(), left);
        turn.min(self.source.errand_in().unwrap_or(turn))
    }

    fn schedule(&self, failure: Failure) -> Backoff {
        self.source.schedule(failure)
    }
}
