//! Feeds: RSS 0.9 to 2.0, Atom and JSON Feed, asked from time to time.
//!
//! What servers do is written from RFC 9110 (HTTP Semantics: conditional requests, section 13; redirects, section 15.4; `Retry-After`,
//! section 10.2.3), RFC 9111 (`Cache-Control: max-age`), RFC 4287 (Atom) and the RSS 2.0 specification of the RSS Advisory Board (`guid`,
//! `link`, `ttl`):
//!
//! * A request states the `ETag` and `Last-Modified` of the last answer of the same address; 304 says that nothing is new.
//! * The feed is asked again after `interval`, or later if it says so (`ttl`, `max-age`), with jitter.
//! * Up to five redirects are followed. A permanent one (301, 308) is kept in memory until a request fails, so that later requests go to
//!   the new address. A redirect from `https` to `http`, or from a public address to one inside this network, is refused. Names are not
//!   resolved for this check: a name of an address inside this network passes.
//! * An entry's id is its `guid`, `id` or link. The same id with another text is an edit: a higher revision.
//!
//! The cursor contains the validators and a hash of each entry that the feed has now, so an entry is passed on once, also after a
//! restart. An entry that the feed no longer has is not a deletion: feeds show their latest entries only.

mod component;
mod entry;

use std::collections::BTreeMap;
use std::time::Duration;

use limbic_domain::{Utc, random};
use limbic_stream::Backoff;
use reqwest::Url;
use reqwest::header::{
    CACHE_CONTROL, DATE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION,
};
use serde::{Deserialize, Serialize};

use crate::http::{Answer, Http, is_inside, refused, unavailable};
use crate::poll::Rhythm;
use crate::wanted::Wanted;
use crate::{Connector, ConnectorError, Cursor, Failure, Item, Page};
use entry::{Entry, Problem};

pub use component::FeedSettings;

/// The most bytes of a feed.
const LONGEST_FEED: usize = 16 << 20;
/// The most entries of a feed that are read, the newest ones. The cursor has about 60 bytes for each.
const MOST_ENTRIES: usize = 1_000;
const MOST_REDIRECTS: usize = 5;
/// The formats, for servers that have several.
const ACCEPT: &str =
    "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5";

/// Reads a feed.
pub struct Feed {
    settings: FeedSettings,
    url: Url,
    /// The source, for people.
    name: String,
    wanted: Wanted,
    http: Http,
    rhythm: Rhythm,
    /// The address after permanent redirects.
    moved: Option<Url>,
}

/// What a cursor says. Addresses are hashed, because they can contain a password.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The feed of the settings. A state of another one is not used.
    feed: u64,
    /// The address that gave the validators.
    #[serde(default)]
    from: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    /// The entries that the feed has now: hash of the id, hash of the text, revision.
    #[serde(default)]
    entries: BTreeMap<String, (u64, u64)>,
}

/// An answer, and the address that gave it.
struct Fetched {
    answer: Answer,
    from: Url,
}

impl Feed {
    fn new(settings: FeedSettings, url: Url, wanted: Wanted) -> Self {
        let name = format!("the feed at {}", url.host_str().unwrap_or_default());
        Self {
            rhythm: Rhythm::new(settings.interval.get(), hash(&url)),
            http: Http::new(name.clone()),
            settings,
            url,
            name,
            wanted,
            moved: None,
        }
    }

    fn state(&self, cursor: Option<&Cursor>) -> Result<State, ConnectorError> {
        let fresh = State {
            feed: hash(&self.url),
            ..State::default()
        };
        let Some(cursor) = cursor else {
            return Ok(fresh);
        };
        let state: State = serde_json::from_str(&cursor.0).map_err(|_| ConnectorError::UnknownCursor {
            source_name: self.name.clone(),
            cursor: cursor.0.chars().take(100).collect(),
        })?;
        Ok(if state.feed == fresh.feed { state } else { fresh })
    }

    /// Asks for the feed, over redirects.
    fn fetch(&mut self, state: &State) -> Result<Fetched, ConnectorError> {
        let mut from = self.moved.clone().unwrap_or_else(|| self.url.clone());
        // A permanent redirect behind a temporary one is not kept.
        let mut is_permanent = true;
        for _ in 0..=MOST_REDIRECTS {
            let conditions: Vec<(HeaderName, &str)> = if hash(&from) == state.from {
                let etag = state.etag.as_deref().map(|etag| (IF_NONE_MATCH, etag));
                let modified = state.modified.as_deref().map(|at| (IF_MODIFIED_SINCE, at));
                etag.into_iter().chain(modified).collect()
            } else {
                Vec::new()
            };
            let asked = from.clone();
            let answer = self.http.send(LONGEST_FEED, |client| {
                let request = client.get(asked).header("accept", ACCEPT);
                conditions
                    .into_iter()
                    .fold(request, |request, (name, value)| request.header(name, value))
            })?;
            match answer.status {
                200 | 304 => return Ok(Fetched { answer, from }),
                301 | 302 | 303 | 307 | 308 => {
                    let to = self.redirected(&from, &answer.headers)?;
                    is_permanent &= matches!(answer.status, 301 | 308);
                    if is_permanent {
                        self.moved = Some(to.clone());
                    }
                    from = to;
                }
                other => {
                    let detail = format!("it answered {other}, which is not an answer to a feed's reader");
                    return Err(unavailable(&self.name, detail, Failure::Server, None));
                }
            }
        }
        self.moved = None;
        let detail = format!("it redirects more than {MOST_REDIRECTS} times");
        Err(unavailable(&self.name, detail, Failure::Server, None))
    }

    /// Where a redirect leads, if it is followed.
    fn redirected(&self, from: &Url, headers: &HeaderMap) -> Result<Url, ConnectorError> {
        let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| from.join(to).ok());
        let refuse = |detail: &str| refused(&self.name, format!("its redirect {detail}"));
        let to = to.ok_or_else(|| refuse("names no address"))?;
        if !matches!(to.scheme(), "http" | "https") {
            return Err(refuse("does not lead to http or https"));
        }
        if from.scheme() == "https" && to.scheme() == "http" {
            return Err(refuse("leads from https to http"));
        }
        if is_inside(&to) && !is_inside(&self.url) {
            return Err(refuse("leads to an address inside this network"));
        }
        Ok(to)
    }

    /// Adds what is new in the feed to `page`, and to `state`.
    fn take(
        &self,
        fetched: &Fetched,
        state: &mut State,
        page: &mut Page,
    ) -> Result<Duration, ConnectorError> {
        let read = entry::read(&fetched.answer.body, &self.url, &fetched.from);
        let read = read.map_err(|problem| unavailable(&self.name, problem, Failure::Server, None))?;
        let mut entries = read.entries;
        if entries.len() > MOST_ENTRIES {
            let older = entries.len() - MOST_ENTRIES;
            page.dropped
                .insert("older than the newest 1,000 of the feed", older as u64);
            entries.drain(..older);
        }
        let known = std::mem::take(&mut state.entries);
        for entry in entries {
            let id = entry.key();
            // Two entries with one id: the later one counts.
            let before = state.entries.get(&id).or_else(|| known.get(&id)).copied();
            let text = entry.hash();
            let revision = match before {
                Some((same, revision)) if same == text => {
                    state.entries.insert(id, (same, revision));
                    continue;
                }
                // The edit's own time, as far as it grows.
                Some((_, revision)) => entry.changed_at().max(revision + 1),
                None => 0,
            };
            state.entries.insert(id, (text, revision));
            self.take_entry(&entry, revision, page);
        }
        Ok(read.wait)
    }

    fn take_entry(&self, entry: &Entry, revision: u64, page: &mut Page) {
        let network = self.settings.network.as_str();
        match entry.post(network, revision) {
            Ok(post) if self.wanted.has(post["text"].as_str().unwrap_or_default()) => {
                page.items.push(Item::Post(post));
            }
            // The earlier text may have been wanted.
            Ok(_) | Err(Problem::NoText) if revision > 0 => {
                page.items.push(Item::Deletion(entry.deletion(network)));
            }
            Ok(_) => page.drop_one("not wanted"),
            Err(Problem::NoText) => page.drop_one("no text"),
        }
    }
}

fn hash(url: &Url) -> u64 {
    random::hash(url.as_str().as_bytes())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// How long the answer may be used, if it says so.
fn max_age(headers: &HeaderMap) -> Duration {
    let control = text(headers, &CACHE_CONTROL).unwrap_or_default();
    let age = control
        .split(',')
        .find_map(|part| part.trim().strip_prefix("max-age="));
    Duration::from_secs(
        age.and_then(|age| age.trim_matches('"').parse().ok())
            .unwrap_or(0),
    )
}

/// The server's clock.
fn clock(headers: &HeaderMap) -> Option<Utc> {
    let at = httpdate::parse_http_date(text(headers, &DATE)?).ok()?;
    let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Utc::from_millis(i64::try_from(at.as_millis()).ok()?))
}

impl Connector for Feed {
    fn pull(&mut self, after: Option<&Cursor>, _: usize) -> Result<Page, ConnectorError> {
        let mut page = Page {
            next: after.cloned(),
            ..Page::default()
        };
        if self.rhythm.rests(after) {
            return Ok(page);
        }
        let mut state = self.state(after)?;
        let fetched = self.fetch(&state)?;
        let headers = &fetched.answer.headers;
        page.clock = clock(headers);
        let mut wait = max_age(headers);
        if fetched.answer.status == 200 {
            wait = wait.max(self.take(&fetched, &mut state, &mut page)?);
            state.from = hash(&fetched.from);
            state.etag = text(headers, &ETAG).map(str::to_owned);
            state.modified = text(headers, &LAST_MODIFIED).map(str::to_owned);
            let next = serde_json::to_string(&state).expect("a state has text as its keys");
            page.next = Some(Cursor(next));
        }
        self.rhythm.asked(after, &page, wait);
        Ok(page)
    }

    fn reset(&mut self) {
        self.rhythm.reset();
        // The new address may be the one that fails.
        self.moved = None;
    }

    fn wait_when_idle(&self) -> Duration {
        self.rhythm.wait()
    }

    fn schedule(&self, failure: Failure) -> Backoff {
        match failure {
            Failure::Connection | Failure::Server => {
                Backoff::new(Duration::from_secs(30), Duration::from_hours(1))
            }
            Failure::RateLimit => Backoff::new(Duration::from_mins(15), Duration::from_hours(6)),
        }
    }
}
