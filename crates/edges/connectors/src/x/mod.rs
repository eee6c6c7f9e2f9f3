//! X: posts that match rules, by the filtered stream or recent search, and deletions by batch compliance.
//!
//! What the server does is written from its documentation (docs.x.com, read 2026-11-30 as far as a search shows it: "Handling
//! disconnections", "Filtered stream", "Rate limits", "Usage and billing", "Edit posts", "Recent search pagination", "Batch
//! compliance"), and tested against a local server that we wrote:
//!
//! * The stream is one JSON object a line, and an empty line every 20 seconds. A client that hears nothing for 20 seconds connects again,
//!   at once. Failures of the network add 250 ms to the wait, up to 16 seconds; other answers double it from 5 to 320 seconds; 429
//!   doubles it from a minute.
//! * `backfill_minutes` repeats up to five minutes, for accounts that have it. Otherwise this connector searches for what it has missed.
//! * Rules belong to the app. Each post says which rules it matches.
//! * `x-rate-limit-remaining` and `x-rate-limit-reset` (seconds since 1970) say how many requests are left, for each part of the API.
//! * Search has the posts of 7 days, newest first, at most 100 a page. The token of a page does not end.
//! * Each edit is a post with an id of its own, and names all ids in `edit_history_tweet_ids`. The deletion of one deletes all.
//! * A post that is delivered is charged, once a day (UTC). This connector charges itself each time, so its count is never too low.
//! * A job of batch compliance takes a list of ids, and gives those that must be deleted, with the reason.
//!
//! * An answer of 403 says what is missing: the access level of the account (`client-not-enrolled`, `required_enrollment`), or another kind of
//!   token (`unsupported-authentication`).
//!
//! From memory: an id is a time in milliseconds, shifted by 22 bits. Search leaves out the last 30 seconds if no end is named; so a gap is
//! searched when the stream has been open for some time, and newer posts arrive before it.
//!
//! The compliance streams ([`partitions`]) need an agreement with X (Enterprise), and are off by default. They tell of edits of posts that are
//! watched, which are then read by their ids, even if they match no rule any more ([`edits`]). Without them, such an edit does not arrive,
//! and its post stays as it was. Who removes the places from posts has those posts deleted here that came with one.

mod api;
mod compliance;
mod component;
mod edits;
mod events;
mod lines;
mod partitions;
mod position;
mod post;
mod rules;
mod search;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use limbic_domain::{Utc, random};
use limbic_stream::Backoff;
use reqwest::{Response, Url};
use serde_json::Value;

use crate::access::collect;
use crate::http::unavailable;
use crate::poll::Rhythm;
use crate::seen::{Note, Seen};
use crate::spent::DayBegins;
use crate::{Connector, ConnectorError, Cursor, Failure, Item, MOST_BYTES, MissingScope, Page};
use api::{Api, Since};
use compliance::Compliance;
use events::Taking;
use lines::Lines;
use partitions::{Partitions, Turn};
use position::{Position, Walk, before, id_at, time_of};
use post::{Problem, Tweet};

pub use component::{ComplianceStream, XMode, XSettings};

/// The social network's slug.
pub(crate) const NETWORK: &str = "x";
/// The source, for people.
const NAME: &str = "X";
/// How long after the stream was opened a gap is searched.
const SETTLES_IN: Duration = Duration::from_secs(40);
/// How long after the stream was opened a gap surely ends.
const GAP_ENDS_IN: i64 = 5_000;
/// The oldest position, if nothing is missing.
const KEEPS_UP_WITHIN: Duration = Duration::from_hours(24);
/// The day by which X charges: from midnight, in UTC.
const DAY: DayBegins = DayBegins(0);
/// How long after a failure a gap is searched again.
const SEARCH_AGAIN: Duration = Duration::from_mins(5);
/// How often the rules of the app are compared with the settings.
const RULES_EVERY: Duration = Duration::from_hours(1);

/// Reads posts of X.
pub struct X {
    settings: XSettings,
    api: Api,
    compliance: Compliance,
    partitions: Partitions,
    /// The cursor of the caller at which the partitions are.
    partitions_at: Option<Cursor>,
    rhythm: Rhythm,
    /// The posts that the log has.
    seen: Seen,
    /// What the last page adds to `seen`, if the caller continues at its cursor.
    pending: Option<(Cursor, Vec<Note>)>,
    open: Option<Open>,
    /// The posts that came with a place, if the compliance streams are read.
    placed: HashSet<String>,
    /// Edits are not read before this time, because that has failed.
    edits_from: Option<Instant>,
    /// No gap is searched before this time, because the search has failed.
    search_from: Option<Instant>,
    /// When the rules were compared last.
    compared: Option<Instant>,
    /// The clock of the caller.
    now: Instant,
    /// What ended the last connection, if the posts before it were returned first.
    failed: Option<ConnectorError>,
}

/// An open stream.
struct Open {
    answer: Response,
    lines: Lines,
    /// The cursor of the caller at which the stream is.
    cursor: Option<Cursor>,
    opened: Instant,
    /// When bytes arrived last.
    alive: Instant,
    /// When a post arrived last.
    moved: Instant,
}

impl X {
    fn new(settings: XSettings, url: Url) -> Self {
        let seed = random::hash(settings.rules.join("\n").as_bytes());
        Self {
            api: Api::new(url, settings.token.clone()),
            compliance: Compliance::new(settings.compliance_interval.get()),
            partitions: Partitions::new(settings.compliance_stream != ComplianceStream::Off),
            partitions_at: None,
            rhythm: Rhythm::new(settings.interval.get(), seed),
            seen: if settings.compliance_stream == ComplianceStream::Off {
                Seen::new(settings.remember)
            } else {
                Seen::with_authors(settings.remember)
            },
            settings,
            pending: None,
            open: None,
            placed: HashSet::new(),
            edits_from: None,
            search_from: None,
            compared: None,
            now: Instant::now(),
            failed: None,
        }
    }

    /// Where the source begins by itself.
    fn beginning(&self) -> Position {
        let id = before(id_at(Utc::now()), self.settings.catch_up.get());
        let is_past = !self.settings.catch_up.get().is_zero();
        Position {
            id,
            walk: is_past.then(|| walk_from(id)),
            ..Position::default()
        }
    }

    /// Opens the stream behind `position`, and notes the gap before it.
    fn connect(&mut self, position: &mut Position, is_first: bool) -> Result<(), ConnectorError> {
        let is_compared = |at: Instant| self.now.saturating_duration_since(at) < RULES_EVERY;
        if !self.compared.is_some_and(is_compared) {
            rules::keep_in_step(&mut self.api, &self.settings.rules, &self.settings.tag)?;
            self.compared = Some(self.now);
        }
        let wall = Utc::now();
        let rewind = self.settings.rewind.get();
        let missing = millis(wall.millis_since(time_of(position.id))) + rewind;
        let minutes = missing.as_secs().div_ceil(60).max(1);
        let can_repeat = minutes <= u64::from(self.settings.backfill_minutes);
        let answer = self
            .api
            .stream(if can_repeat && !is_first { minutes } else { 0 })?;
        self.open = Some(Open {
            answer,
            lines: Lines::default(),
            cursor: None,
            opened: self.now,
            alive: self.now,
            moved: self.now,
        });
        if !is_first && !can_repeat {
            let earlier = position.walk.as_ref().map(|walk| walk.after);
            let after = before(position.id, rewind);
            position.walk = Some(walk_from(earlier.map_or(after, |earlier| earlier.min(after))));
        }
        if let Some(walk) = &mut position.walk
            && walk.token.is_none()
        {
            walk.until = Some(id_at(wall.plus_millis(GAP_ENDS_IN)));
        }
        Ok(())
    }

    /// The posts that are there, or those of the next half second.
    fn read(
        &mut self,
        open: &mut Open,
        position: &mut Position,
        pull: &mut Pull<'_>,
        most: usize,
    ) -> Result<(), String> {
        let limit = self.settings.posts_per_day();
        let (mut events, mut bytes, mut is_silent) = (0, 0, false);
        while events < most && bytes < MOST_BYTES && position.spent.left(limit, DAY, Utc::now()) > 0 {
            let Some(line) = open.lines.next() else {
                match self.api.chunk(&mut open.answer, events == 0) {
                    Ok(None) => {
                        is_silent = events == 0;
                        break;
                    }
                    Ok(Some(chunk)) => {
                        open.alive = self.now;
                        bytes += chunk.len();
                        let pushed = open.lines.push(&chunk);
                        if let Err(problem) = pushed {
                            return self.ends(events, problem);
                        }
                        // A sign of life: the next pull waits for more.
                        if events == 0 && chunk.trim_ascii().is_empty() {
                            break;
                        }
                        continue;
                    }
                    Err(problem) => return self.ends(events, problem),
                }
            };
            match self.take_line(&line, position, pull) {
                Ok(()) => {
                    events += 1;
                    open.moved = self.now;
                }
                Err(problem) => return self.ends(events, problem),
            }
        }
        let silence = self.now.saturating_duration_since(open.alive);
        let limit = self.settings.heartbeat_within.get();
        if is_silent && silence >= limit {
            return Err(format!(
                "the stream showed no sign of life for {} s",
                limit.as_secs()
            ));
        }
        // Events of the compliance streams move the cursor, so the runner does not see that posts are missing.
        let limit = self.settings.stall_after.get();
        if self.partitions.is_wanted() && self.now.saturating_duration_since(open.moved) >= limit {
            return Err(format!(
                "the stream has brought no post for {} s",
                limit.as_secs()
            ));
        }
        pull.page.has_more |= events == most || bytes >= MOST_BYTES;
        Ok(())
    }

    /// First the posts before a failure, so that a server that often fails is read nevertheless.
    fn ends(&mut self, events: usize, problem: String) -> Result<(), String> {
        if events == 0 {
            return Err(problem);
        }
        self.failed = Some(unavailable(NAME, problem, Failure::Connection, None));
        Ok(())
    }

    /// A line of the stream. Fails if it says that the stream ends.
    fn take_line(&self, line: &str, position: &mut Position, pull: &mut Pull<'_>) -> Result<(), String> {
        let mut line: Value = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(error) => {
                let problem = format!("a line of the stream: {error}");
                pull.page.items.push(Item::Unreadable(problem));
                return Ok(());
            }
        };
        let (post, includes) = (line["data"].take(), line["includes"].take());
        if !post.is_object() {
            let error = &line["errors"][0];
            let said = error["detail"].as_str().or_else(|| error["title"].as_str());
            let said: String = said
                .unwrap_or("it sends neither a post nor an error")
                .chars()
                .take(200)
                .collect();
            return Err(format!("the server ends the stream: {said}"));
        }
        position.spent.count(1, DAY, Utc::now());
        let mut matched = line["matching_rules"].as_array().into_iter().flatten().peekable();
        let is_foreign =
            matched.peek().is_some() && !matched.any(|rule| rule["tag"] == self.settings.tag.as_str());
        let id = post["id"].as_str().and_then(|id| id.parse().ok());
        if is_foreign {
            pull.page.drop_one("of a rule of another program");
        } else {
            self.take(post, &includes, pull);
        }
        position.id = position.id.max(id.unwrap_or(0));
        Ok(())
    }

    fn take(&self, post: Value, includes: &Value, pull: &mut Pull<'_>) {
        let Pull { page, notes } = pull;
        let tweet: Tweet = match serde_json::from_value(post) {
            Ok(tweet) => tweet,
            Err(error) => {
                let problem = format!("not a post of X: {error}");
                return page.items.push(Item::Unreadable(problem));
            }
        };
        let (name, revision) = tweet.version();
        // What a search or a new connection repeats is in the log.
        if self.seen.revision(&name).is_some_and(|known| known >= revision) {
            return page.drop_one("known");
        }
        match tweet.post(includes) {
            Ok(post) => {
                let author = tweet.author().to_owned();
                notes.push(Note::Read {
                    name,
                    revision,
                    author,
                });
                page.items.push(Item::Post(post));
            }
            Err(Problem::LeftOut(reason)) => page.drop_one(reason),
            Err(Problem::Malformed(problem)) => page.items.push(Item::Unreadable(problem)),
        }
    }

    /// Remembers which posts came with a place, as long as they are watched.
    fn note_places(&mut self, page: &Page) {
        if self.placed.len() > self.settings.remember {
            self.placed.retain(|name| self.seen.revision(name).is_some());
        }
        let posts = page.items.iter().filter_map(|item| match item {
            Item::Post(post) if post["meta"]["place"].is_object() => post["id"].as_str(),
            _ => None,
        });
        self.placed.extend(posts.map(str::to_owned));
    }

    /// The error of a day whose budget is spent, until the next day or the next question about deletions.
    fn spent(&self) -> ConnectorError {
        let detail = format!(
            "the budget of the day is spent: {} posts for {} US dollars (budget_per_day)",
            self.settings.posts_per_day(),
            self.settings.budget_per_day
        );
        let wait = DAY.next(Utc::now());
        let wait = wait.min(self.compliance.due_in(self.now).unwrap_or(wait));
        unavailable(NAME, detail, Failure::RateLimit, Some(wait))
    }

    fn pull_stream(
        &mut self,
        after: Option<&Cursor>,
        position: &mut Position,
        pull: &mut Pull<'_>,
        most: usize,
    ) -> Result<(), ConnectorError> {
        let is_there = after.is_some()
            && self
                .open
                .as_ref()
                .is_some_and(|open| open.cursor.as_ref() == after);
        if !is_there {
            self.open = None;
            self.connect(position, after.is_none())?;
        }
        let mut open = self.open.take().expect("it was opened above");
        let is_settled = self.now.saturating_duration_since(open.opened) >= SETTLES_IN
            && self.search_from.is_none_or(|from| self.now >= from);
        // A gap is searched in turns with the stream, which goes on meanwhile, and although the search fails.
        if position.walk.is_some()
            && is_settled
            && let Err(error) = self.search(position, pull)
        {
            pull.page.drop_one("a search for a gap that failed");
            tracing::warn!(%error, "X was not searched for what the stream missed");
            let asked = match error {
                ConnectorError::Unavailable { retry_after, .. } => retry_after,
                _ => None,
            };
            self.search_from = Some(self.now + asked.unwrap_or_default().max(SEARCH_AGAIN));
        }
        let has_searched = !pull.page.items.is_empty() || pull.page.has_more;
        if let Err(problem) = self.read(&mut open, position, pull, most) {
            let error = unavailable(NAME, problem, Failure::Connection, None);
            if !has_searched {
                return Err(error);
            }
            self.failed = Some(error);
        }
        if self.failed.is_none() {
            self.open = Some(open);
        }
        Ok(())
    }
}

/// What a pull brings.
struct Pull<'a> {
    page: &'a mut Page,
    notes: &'a mut Vec<Note>,
}

fn walk_from(after: u64) -> Walk {
    Walk {
        after,
        until: None,
        rule: 0,
        token: None,
        highest: 0,
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

impl Connector for X {
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError> {
        let known: Option<Position> = match after {
            None => None,
            Some(cursor) => {
                Some(
                    serde_json::from_str(&cursor.0).map_err(|_| ConnectorError::UnknownCursor {
                        source_name: NAME.to_owned(),
                        cursor: cursor.0.clone(),
                    })?,
                )
            }
        };
        // The log has the last page only if the caller continues behind it.
        if let Some((cursor, notes)) = self.pending.take()
            && Some(&cursor) == after
        {
            self.seen.note(notes);
        }
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let mut page = Page {
            next: after.cloned(),
            ..Page::default()
        };
        let is_search = self.settings.mode == XMode::Search;
        if is_search && self.rhythm.rests(after) {
            return Ok(page);
        }
        let mut position = known.clone().unwrap_or_else(|| self.beginning());
        let limit = self.settings.posts_per_day();
        let is_spent = position.spent.left(limit, DAY, Utc::now()) == 0;
        let mut notes = Vec::new();
        let mut pull = Pull {
            page: &mut page,
            notes: &mut notes,
        };
        if is_spent {
            self.open = None;
        } else if is_search {
            if let Err(error) = self.search(&mut position, &mut pull) {
                if pull.page.items.is_empty() {
                    return Err(error);
                }
                self.failed = Some(error);
            }
        } else {
            self.pull_stream(after, &mut position, &mut pull, most)?;
        }
        // Deletions are followed although posts are not paid for any more.
        self.compliance
            .step(&mut self.api, &mut self.seen, self.now, &mut page, &mut notes);
        if self.partitions.is_wanted() {
            if self.partitions_at.as_ref() != after {
                self.partitions.close();
            }
            self.note_places(&page);
            let mut turn = Turn {
                api: &mut self.api,
                settings: &self.settings,
                now: self.now,
                is_patient: is_spent,
                position: &mut position.events,
                taking: Taking::new(&self.settings, &self.seen, &self.placed, &mut page, &mut notes),
            };
            self.partitions.step(&mut turn);
            let found = turn.taking.edits;
            edits::wait_for(found, &mut position, &mut page);
            let mut pull = Pull {
                page: &mut page,
                notes: &mut notes,
            };
            self.read_edits(&mut position, &mut pull);
        }
        // The streams go on when nothing is paid for any more.
        if is_spent && page.items.is_empty() && !self.partitions.is_wanted() {
            self.seen.note(notes);
            return Err(self.spent());
        }
        if position.walk.is_none() {
            // Rules that nothing matches must not leave a position that the search does not keep.
            position.id = position.id.max(before(id_at(Utc::now()), KEEPS_UP_WITHIN));
        }
        if !page.items.is_empty() {
            position.pages += 1;
        }
        if known.as_ref() != Some(&position) {
            let text = serde_json::to_string(&position).expect("numbers and texts are JSON");
            page.next = Some(Cursor(text));
        }
        self.partitions_at.clone_from(&page.next);
        page.clock = Some(time_of(position.id));
        page.quota_left = Some(position.spent.left(limit, DAY, Utc::now()));
        if is_search {
            self.rhythm.asked(after, &page, self.api.search.pace(Utc::now()));
        } else if let Some(open) = &mut self.open {
            open.cursor.clone_from(&page.next);
        }
        match &page.next {
            Some(next) if !page.items.is_empty() => self.pending = Some((next.clone(), notes)),
            // Nothing can be lost with a page that has nothing.
            _ => self.seen.note(notes),
        }
        Ok(page)
    }

    /// The rules, the jobs of batch compliance, and one partition of each compliance stream; with `mode = "search"`, a search for the posts of
    /// the last seconds, at most ten.
    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        let mut missing = Vec::new();
        match self.settings.mode {
            XMode::Stream => drop(collect(self.api.rules(None), &mut missing)?),
            XMode::Search => {
                let since = before(id_at(Utc::now()), SETTLES_IN).to_string();
                let rule = self.settings.rules.first().cloned().unwrap_or_default();
                let query = [("query", &*rule), ("max_results", "10"), ("since_id", &*since)];
                collect(self.api.search(&query), &mut missing)?;
            }
        }
        if self.settings.remember > 0 {
            collect(self.api.list_jobs(), &mut missing)?;
        }
        if self.partitions.is_wanted() {
            for kind in ["tweets", "users"] {
                collect(self.api.compliance(kind, 1, Since::Now), &mut missing)?;
            }
        }
        Ok(missing)
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    fn reset(&mut self) {
        self.open = None;
        self.partitions.close();
        self.failed = None;
        self.rhythm.reset();
    }

    fn stalls_after(&self) -> Option<Duration> {
        (self.settings.mode == XMode::Stream).then(|| self.settings.stall_after.get())
    }

    fn wait_when_idle(&self) -> Duration {
        match self.settings.mode {
            XMode::Stream => Duration::ZERO,
            XMode::Search => self.rhythm.wait(),
        }
    }

    fn schedule(&self, failure: Failure) -> Backoff {
        schedule(failure)
    }
}

/// The waits that X states.
fn schedule(failure: Failure) -> Backoff {
    match failure {
        Failure::Connection => Backoff::linear(Duration::from_millis(250), Duration::from_secs(16)),
        Failure::Server => Backoff::new(Duration::from_secs(5), Duration::from_secs(320)),
        Failure::RateLimit => Backoff::new(Duration::from_mins(1), Duration::from_mins(15)),
    }
}
