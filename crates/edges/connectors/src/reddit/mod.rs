//! Reddit: new posts and comments of subreddits, asked over its API.
//!
//! What the server does is written from its documentation (reddit.com/dev/api, "Data API Wiki" and "`OAuth2`" of github.com/reddit-archive,
//! from memory; the pages could not be opened):
//!
//! * A program gets a token for its client id and secret (`grant_type=client_credentials`). Each request names the program in
//!   `User-Agent`.
//! * The answer with a token names what it permits (`scope`, `*` = everything). A request that is not permitted is answered with 403 and
//!   `error="insufficient_scope"` in `WWW-Authenticate`.
//! * 100 requests a minute are allowed, averaged over ten minutes. `X-Ratelimit-Remaining` and `X-Ratelimit-Reset` (seconds) say what
//!   is left.
//! * Listings (`/r/NAMES/new`, `/r/NAMES/comments`) have at most 100 things a page, newest first, and at most 1,000 in all. `after` leads to
//!   older ones.
//! * A deleted thing is not in listings. `/api/info` shows it with the author `[deleted]`, or with the text `[deleted]` or `[removed]`.
//!   Programs must delete what was deleted, within 48 hours.
//!
//! Each request for new things is followed by one about the 100 remembered things that were asked about longest ago: that sweep finds
//! deletions. An answer without any thing says nothing about them, and is an error. Ids are numbers of base 36 that grow, so the cursor is the highest one of each kind. A thing is remembered as long as the
//! process, when the log has it. A thing that a moderator approves when newer ones were read is missed.

mod component;
mod thing;

use std::time::{Duration, Instant};

use limbic_domain::{Utc, random};
use limbic_stream::Backoff;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access::{self, Scope, collect, insufficient_scope, said};
use crate::http::{Answer, Http, refused, unavailable};
use crate::poll::Rhythm;
use crate::quota::Quota;
use crate::seen::{Note, Seen};
use crate::wanted::Wanted;
use crate::{Connector, ConnectorError, Cursor, Failure, Item, MissingScope, Page};
use thing::{Kind, Thing};

pub use component::RedditSettings;

/// The social network's slug.
pub(crate) const NETWORK: &str = "reddit";
/// The source, for people.
const NAME: &str = "Reddit";
/// What the token must permit.
const READ: Scope = Scope {
    name: "read",
    wider: &["*"],
    needed_for: "listings of posts and comments",
    how: "create an app of type \"script\" or \"web app\" at reddit.com/prefs/apps, whose tokens permit everything, accept Reddit's terms \
          for its API, and set client_id and client_secret",
};
/// The most things of a page, and of a question about things.
const PAGE: usize = 100;
/// The most pages of a listing: more things are not in it.
const MOST_PAGES: usize = 10;
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 16 << 20;
/// The longest time for which a token is used, whatever the answer says.
const LONGEST_TOKEN: u64 = 86_400;
/// What is said of a thing in another form, which is left out: it would be an item at every request.
const UNREADABLE: &str = "a thing that cannot be read";
/// A token is renewed so long before it ends.
const RENEW_BEFORE: Duration = Duration::from_mins(1);

/// Reads subreddits.
pub struct Reddit {
    settings: RedditSettings,
    url: Url,
    wanted: Wanted,
    http: Http,
    quota: Quota,
    rhythm: Rhythm,
    token: Option<Token>,
    seen: Seen,
    /// What the last page adds to `seen`, if the caller continues at its cursor.
    pending: Option<(Cursor, Vec<Note>)>,
    /// Why the last question about known things failed, if new things were returned first.
    failed: Option<ConnectorError>,
}

struct Token {
    text: String,
    ends: Instant,
}

/// What a cursor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Position {
    /// The highest id of a post.
    posts: u64,
    /// The highest id of a comment.
    comments: u64,
    /// How many pages had something, so that each has a cursor of its own.
    pages: u64,
}

/// A page of things.
#[derive(Deserialize)]
struct Listing {
    data: Children,
}

#[derive(Deserialize)]
struct Children {
    #[serde(default)]
    children: Vec<Value>,
    #[serde(default)]
    after: Option<String>,
}

impl Reddit {
    fn new(settings: RedditSettings, url: Url, wanted: Wanted) -> Self {
        let seed = random::hash(settings.subreddits.join("+").as_bytes());
        Self {
            rhythm: Rhythm::new(settings.interval.get(), seed),
            seen: Seen::new(settings.remember),
            settings,
            url,
            wanted,
            http: Http::new(NAME),
            quota: Quota::default(),
            token: None,
            pending: None,
            failed: None,
        }
    }

    /// A token that is valid for a while.
    fn token(&mut self) -> Result<String, ConnectorError> {
        #[derive(Deserialize)]
        struct Given {
            access_token: String,
            #[serde(default)]
            expires_in: u64,
            /// Absent = what was asked for, as `OAuth2` says (RFC 6749, section 5.1).
            #[serde(default)]
            scope: Option<String>,
        }
        if let Some(token) = &self.token
            && token.ends > Instant::now() + RENEW_BEFORE
        {
            return Ok(token.text.clone());
        }
        let (settings, address) = (&self.settings, self.settings.token_url.reveal().to_owned());
        let answer = self.http.send(LONGEST_ANSWER, |client| {
            client
                .post(address)
                .header("user-agent", &settings.user_agent)
                .header("content-type", "application/x-www-form-urlencoded")
                .basic_auth(&settings.client_id, Some(settings.client_secret.reveal()))
                .body("grant_type=client_credentials")
        })?;
        let given: Given = serde_json::from_slice(&answer.body).map_err(|_| {
            let detail = "it gives no token: check client_id and client_secret (reddit.com/prefs/apps, type script or web app)";
            refused(NAME, detail.to_owned())
        })?;
        if let Some(scope) = &given.scope
            && !READ.is_in(scope.split([' ', ',']))
        {
            return Err(READ.error(NAME, format!("its token permits `{scope}`")));
        }
        let ends = Instant::now() + Duration::from_secs(given.expires_in.min(LONGEST_TOKEN));
        let text = given.access_token;
        self.token = Some(Token {
            text: text.clone(),
            ends,
        });
        Ok(text)
    }

    /// Asks the API, unless its quota is spent.
    fn get(&mut self, path: &str, query: &[(&str, &str)]) -> Result<Answer, ConnectorError> {
        if let Some(wait) = self.quota.wait(Utc::now()) {
            let detail = "the quota of requests is spent".to_owned();
            return Err(unavailable(NAME, detail, Failure::RateLimit, Some(wait)));
        }
        let token = self.token()?;
        let mut url = self.url.clone();
        url.set_path(path);
        url.query_pairs_mut()
            .extend_pairs(query)
            .append_pair("raw_json", "1");
        let user_agent = self.settings.user_agent.clone();
        let answer = self.http.ask(LONGEST_ANSWER, |client| {
            client
                .get(url)
                .header("user-agent", user_agent)
                .bearer_auth(token)
        });
        let answer = answer.and_then(|answer| match insufficient_scope(&answer.headers) {
            Some(named) if answer.status >= 400 => {
                let missing = READ.missing_as(named, said(answer.status, "insufficient_scope"));
                Err(access::error(NAME, missing))
            }
            _ => answer.checked(NAME),
        });
        match answer {
            Ok(answer) => {
                self.quota.note(&answer.headers, Utc::now());
                Ok(answer)
            }
            Err(error) => {
                // A token that was taken back is not used again.
                if matches!(
                    error,
                    ConnectorError::Refused { .. } | ConnectorError::MissingScope { .. }
                ) {
                    self.token = None;
                }
                Err(error)
            }
        }
    }

    fn listing(&mut self, path: &str, query: &[(&str, &str)]) -> Result<Children, ConnectorError> {
        let answer = self.get(path, query)?;
        let listing: Result<Listing, _> = serde_json::from_slice(&answer.body);
        let listing = listing.map_err(|error| {
            unavailable(
                NAME,
                format!("its answer is not a listing: {error}"),
                Failure::Server,
                None,
            )
        })?;
        Ok(listing.data)
    }

    /// The new things of a kind, oldest first: those above `position`, and all of the newest page, among which are edits. `None` = the
    /// newest page only, where the source begins by itself.
    fn newest(
        &mut self,
        kind: Kind,
        position: Option<u64>,
        page: &mut Page,
    ) -> Result<Vec<Thing>, ConnectorError> {
        let path = format!("/r/{}/{}", self.settings.subreddits.join("+"), kind.listing());
        let mut things: Vec<Thing> = Vec::new();
        let mut after: Option<String> = None;
        for number in 0..MOST_PAGES {
            let limit = PAGE.to_string();
            let mut query = vec![("limit", limit.as_str())];
            if let Some(after) = &after {
                query.push(("after", after));
            }
            let children = self.listing(&path, &query)?;
            let mut lowest = u64::MAX;
            for child in children.children {
                match Thing::of(&child) {
                    Ok(thing) => {
                        lowest = lowest.min(thing.id);
                        things.push(thing);
                    }
                    Err(_) => page.drop_one(UNREADABLE),
                }
            }
            after = children.after;
            if after.is_none() || position.is_none_or(|position| lowest <= position) {
                break;
            }
            if number + 1 == MOST_PAGES {
                page.drop_one("more new things than a listing has");
            }
        }
        things.sort_by_key(|thing| thing.id);
        things.dedup_by_key(|thing| thing.id);
        Ok(things)
    }

    fn take(&self, thing: &Thing, page: &mut Page, notes: &mut Vec<Note>) {
        let known = self.seen.revision(&thing.name);
        if known == Some(thing.revision) && !thing.is_gone {
            return;
        }
        if thing.is_gone {
            match self.seen.author(&thing.name) {
                Some(author) => Self::delete(&thing.name, author, page, notes),
                None => page.drop_one("deleted before it was read"),
            }
            return;
        }
        // The first version that this connector brings counts as the first one, even if it was edited before.
        let revision = if known.is_some() { thing.revision } else { 0 };
        match thing.post(revision) {
            Some(post) if self.wanted.has(post["text"].as_str().unwrap_or_default()) => {
                notes.push(Note::Read {
                    name: thing.name.clone(),
                    revision: thing.revision,
                    author: thing.author.clone(),
                });
                page.items.push(Item::Post(post));
            }
            // A text that nobody wants any more.
            _ if known.is_some() => Self::delete(&thing.name, &thing.author, page, notes),
            Some(_) => page.drop_one("not wanted"),
            None => page.drop_one("no text"),
        }
    }

    fn delete(name: &str, author: &str, page: &mut Page, notes: &mut Vec<Note>) {
        let deletion = json!({"network": NETWORK, "id": name, "author": author, "deleted_at": Utc::now()});
        page.items.push(Item::Deletion(deletion));
        notes.push(Note::Gone {
            name: name.to_owned(),
        });
    }

    /// The error, with a wait that is not shorter than that between two requests.
    fn not_before_the_next_turn(&self, mut error: ConnectorError) -> ConnectorError {
        if let ConnectorError::Unavailable { retry_after, .. } = &mut error {
            *retry_after = Some(retry_after.unwrap_or_default().max(self.rhythm.wait()));
        }
        error
    }

    /// Asks about things that were asked about longest ago.
    fn sweep(&mut self, page: &mut Page, notes: &mut Vec<Note>) -> Result<(), ConnectorError> {
        let names = self.seen.oldest(PAGE);
        if names.is_empty() {
            return Ok(());
        }
        let found = self.listing("/api/info", &[("id", &names.join(","))])?.children;
        if found.is_empty() {
            // Deleted things are shown too, so this is a failure, not their deletion. The next question is about others.
            let detail = format!("it shows none of {} things that it had shown before", names.len());
            notes.extend(names.into_iter().map(|name| Note::Asked { name }));
            return Err(unavailable(NAME, detail, Failure::Server, None));
        }
        let has_nameless = found.iter().any(|thing| !thing["data"]["name"].is_string());
        for name in names {
            let thing = found.iter().find(|thing| thing["data"]["name"] == name.as_str());
            match thing.map(Thing::of) {
                // It is in this page already.
                _ if notes.iter().any(|note| note.is_of(&name)) => {}
                Some(Ok(thing)) => self.take(&thing, page, notes),
                Some(Err(_)) => page.drop_one(UNREADABLE),
                // It may be the thing without a name.
                None if has_nameless => {}
                // What is not there any more is deleted too.
                None => {
                    if let Some(author) = self.seen.author(&name).map(str::to_owned) {
                        Self::delete(&name, &author, page, notes);
                    }
                }
            }
            notes.push(Note::Asked { name });
        }
        Ok(())
    }
}

impl Connector for Reddit {
    fn pull(&mut self, after: Option<&Cursor>, _: usize) -> Result<Page, ConnectorError> {
        let mut position: Position = match after {
            None => Position::default(),
            Some(cursor) => serde_json::from_str(&cursor.0).map_err(|_| ConnectorError::UnknownCursor {
                source_name: NAME.to_owned(),
                cursor: cursor.0.clone(),
            })?,
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
        if self.rhythm.rests(after) {
            return Ok(page);
        }
        let mut notes = Vec::new();
        for kind in self.settings.kinds() {
            let at = match kind {
                Kind::Post => &mut position.posts,
                Kind::Comment => &mut position.comments,
            };
            let things = self.newest(kind, after.map(|_| *at), &mut page)?;
            for thing in &things {
                // Below the position only edits of things that were read are new.
                if thing.id > *at || self.seen.revision(&thing.name).is_some() {
                    self.take(thing, &mut page, &mut notes);
                }
                page.clock = page.clock.max(Some(thing.written));
            }
            *at = things.last().map_or(*at, |thing| thing.id.max(*at));
        }
        let swept = self.sweep(&mut page, &mut notes);
        page.quota_left = self.quota.left();
        let is_same = serde_json::to_string(&position).ok() == after.map(|cursor| cursor.0.clone());
        if let Err(error) = swept {
            let error = self.not_before_the_next_turn(error);
            if page.items.is_empty() && is_same {
                self.seen.note(notes);
                return Err(error);
            }
            // First what is new, so that it arrives although the questions fail.
            self.failed = Some(error);
        }
        if !page.items.is_empty() || !is_same {
            position.pages += 1;
            let text = serde_json::to_string(&position).expect("numbers are JSON");
            page.next = Some(Cursor(text));
        }
        self.rhythm.asked(after, &page, Duration::ZERO);
        match &page.next {
            Some(next) if !page.items.is_empty() => self.pending = Some((next.clone(), notes)),
            // Nothing can be lost with a page that has nothing.
            _ => self.seen.note(notes),
        }
        Ok(page)
    }

    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        let mut missing = Vec::new();
        for kind in [Kind::Post, Kind::Comment] {
            let path = format!("/r/{}/{}", self.settings.subreddits.join("+"), kind.listing());
            collect(self.listing(&path, &[("limit", "1")]), &mut missing)?;
        }
        Ok(missing)
    }

    fn reset(&mut self) {
        self.rhythm.reset();
        self.failed = None;
    }

    fn wait_when_idle(&self) -> Duration {
        self.rhythm.wait()
    }

    fn schedule(&self, failure: Failure) -> Backoff {
        match failure {
            Failure::Connection | Failure::Server => {
                Backoff::new(Duration::from_secs(2), Duration::from_mins(5))
            }
            Failure::RateLimit => Backoff::new(Duration::from_mins(1), Duration::from_mins(15)),
        }
    }
}
