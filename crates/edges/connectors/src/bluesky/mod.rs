//! Bluesky, through Jetstream: posts, edits and deletions as JSON over a WebSocket.
//!
//! What the server does is written from the README of `bluesky-social/jetstream` (read 2026-11-30): a cursor is the time of an event in
//! microseconds; a connection with a cursor begins with events from then on; when reconnecting, a client goes back a few seconds, so
//! that nothing is lost, and removes what comes twice; account and identity events come whatever collections are wanted; at most 100
//! collections and 10,000 authors. The README states no schedule for attempts, and no limit of connections: the waits here are
//! our own choice.
//!
//! A post's id is a hash of its author's DID and its record key, because the network's own name of a post contains the author. The
//! same hash names it in deletions, replies and quotes.

mod component;
mod event;
mod post;

use std::fmt::Write as _;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_stream::Backoff;
use serde_json::{Value, json};

use crate::http::unavailable;
use crate::socket::{LONGEST, Received, Socket};
use crate::wanted::Wanted;
use crate::{Connector, ConnectorError, Cursor, Failure, Item, Page};
use event::{Account, Commit, Event, Operation};

pub use component::BlueskySettings;

/// The social network's slug.
pub(crate) const NETWORK: &str = "bluesky";
/// The collection of posts.
const POSTS: &str = "app.bsky.feed.post";
/// The source, for people.
const NAME: &str = "Bluesky's Jetstream";
/// The longest event that the server may send, in bytes. A post has at most a few thousand.
const LONGEST_EVENT: usize = 1 << 20;

/// Reads Bluesky's Jetstream.
pub struct Bluesky {
    settings: BlueskySettings,
    wanted: Wanted,
    decompressor: Option<Decompressor>,
    connection: Option<Connection>,
    /// What ended the last connection, if the events before it were returned first.
    failed: Option<ConnectorError>,
    /// The number of the server in the settings.
    server: usize,
}

struct Connection {
    socket: Socket,
    /// The cursor of the caller at which the connection is.
    position: i64,
    /// No event has come yet, and the position is a time of this machine.
    begins_by_our_clock: bool,
}

impl Connection {
    fn advance(&mut self, time: i64) {
        // This machine's clock, at which the first connection begins, may be ahead of the server's.
        let is_first = std::mem::take(&mut self.begins_by_our_clock);
        if is_first || time > self.position {
            self.position = time;
        }
    }
}

struct Decompressor {
    inner: zstd::bulk::Decompressor<'static>,
    /// An event, used again for the next one.
    event: Vec<u8>,
}

impl Bluesky {
    /// The server to connect to, with its query.
    fn address(&self, from: i64) -> String {
        let mut address = self.settings.urls[self.server].reveal().to_owned();
        let mut separator = if address.contains('?') { '&' } else { '?' };
        let mut add = |name: &str, value: &str| {
            let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            let _ = write!(address, "{separator}{name}={value}");
            separator = '&';
        };
        for collection in &self.settings.collections {
            add("wantedCollections", collection);
        }
        add("maxMessageSizeBytes", &LONGEST_EVENT.to_string());
        add("cursor", &from.to_string());
        if self.decompressor.is_some() {
            add("compress", "true");
        }
        // So many names do not fit into a URL.
        if !self.settings.authors.is_empty() {
            add("requireHello", "true");
        }
        address
    }

    /// Where the source begins by itself, in microseconds.
    fn beginning(&self) -> i64 {
        let now = Utc::now().as_millis().saturating_mul(1_000);
        now.saturating_sub(micros(self.settings.catch_up.get()))
    }

    /// A connection that begins at `from` for a caller at `position`.
    fn connect(&self, from: i64, position: i64) -> Result<Connection, ConnectorError> {
        let mut socket = Socket::open(&self.address(from), &[], NAME)?;
        if !self.settings.authors.is_empty() {
            let hello = json!({"type": "options_update", "payload": {
                "wantedCollections": self.settings.collections,
                "wantedDids": self.settings.authors,
                "maxMessageSizeBytes": LONGEST_EVENT,
            }});
            socket
                .send(hello.to_string())
                .map_err(|error| unavailable(NAME, error, Failure::Connection, None))?;
        }
        Ok(Connection {
            socket,
            position,
            begins_by_our_clock: from == position,
        })
    }

    /// The events that are there, or those of the next half second.
    fn read(&mut self, page: &mut Page, most: usize) -> Result<(), String> {
        let mut connection = self
            .connection
            .take()
            .expect("the caller has opened a connection");
        let mut events = 0;
        while events < most {
            let time = match connection.socket.receive(events == 0) {
                Ok(Received::Nothing) => break,
                Ok(Received::Text(text)) => Ok(self.take(text.as_bytes(), page)),
                Ok(Received::Binary(bytes)) => self.take_compressed(&bytes, page),
                Err(problem) => Err(problem),
            };
            match time {
                Ok(Some(time)) => connection.advance(time),
                Ok(None) => {}
                Err(problem) if events == 0 => return Err(problem),
                // First the events before it, so that a server that often fails is read nevertheless.
                Err(problem) => {
                    self.failed = Some(self.fail(problem, Failure::Connection));
                    break;
                }
            }
            events += 1;
        }
        page.has_more = events == most;
        page.next = Some(Cursor(connection.position.to_string()));
        page.clock = Some(Utc::from_millis(connection.position / 1_000));
        if self.failed.is_none() {
            self.connection = Some(connection);
        }
        Ok(())
    }

    fn take_compressed(&mut self, bytes: &[u8], page: &mut Page) -> Result<Option<i64>, String> {
        let mut decompressor = self
            .decompressor
            .take()
            .ok_or("the server compresses events, and was not asked to")?;
        decompressor.event.clear();
        let size = decompressor
            .inner
            .decompress_to_buffer(bytes, &mut decompressor.event);
        let time = size.map(|_| self.take(&decompressor.event, page));
        self.decompressor = Some(decompressor);
        time.map_err(|error| format!("an event cannot be decompressed: {error}"))
    }

    /// Adds an event to the page. Returns its time.
    fn take(&self, bytes: &[u8], page: &mut Page) -> Option<i64> {
        let event: Event<'_> = match sonic_rs::from_slice(bytes) {
            Ok(event) => event,
            Err(error) => {
                page.items
                    .push(Item::Unreadable(format!("an event of Jetstream: {error}")));
                return None;
            }
        };
        let time = event.time_us;
        match (event.commit, event.account) {
            (Some(commit), _) if commit.collection == POSTS => {
                let did = &event.did;
                self.take_commit(did, time?, &commit, page);
            }
            (Some(_), _) => page.drop_one("another collection"),
            (None, Some(account)) => take_account(&event.did, time?, &account, page),
            (None, None) if event.kind == "identity" => page.drop_one("identity"),
            (None, None) => page.drop_one("another kind of event"),
        }
        time
    }

    fn take_commit(&self, did: &str, time: i64, commit: &Commit<'_>, page: &mut Page) {
        let at = Utc::from_millis(time / 1_000);
        let deletion = || {
            let id = post::id(did, &commit.rkey);
            Item::Deletion(json!({"network": NETWORK, "id": id, "author": did, "deleted_at": at}))
        };
        let is_edit = match commit.operation {
            Operation::Delete => return page.items.push(deletion()),
            Operation::Other => return page.drop_one("another operation"),
            Operation::Create => false,
            Operation::Update => true,
        };
        match post::of(did, commit, time) {
            // A text that nobody wants any more: the earlier one is not the author's any more.
            Ok(post) if is_edit && !self.is_wanted(&post) => page.items.push(deletion()),
            Ok(post) if self.is_wanted(&post) => page.items.push(Item::Post(post)),
            Ok(_) => page.drop_one("not wanted"),
            Err(post::Problem::NoText) if is_edit => page.items.push(deletion()),
            Err(post::Problem::NoText) => page.drop_one("no text"),
            Err(post::Problem::Malformed(problem)) => {
                page.items
                    .push(Item::Unreadable(format!("the event at {time}: {problem}")));
            }
        }
    }

    fn is_wanted(&self, post: &Value) -> bool {
        self.wanted.has(post["text"].as_str().unwrap_or_default())
    }

    fn fail(&mut self, detail: String, failure: Failure) -> ConnectorError {
        self.connection = None;
        self.server = (self.server + 1) % self.settings.urls.len();
        unavailable(NAME, detail, failure, None)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// An account that is gone takes its posts with it.
fn take_account(did: &str, time: i64, account: &Account<'_>, page: &mut Page) {
    let is_gone = matches!(
        account.status.as_deref(),
        Some("takendown" | "suspended" | "deleted" | "deactivated")
    );
    if account.active || !is_gone {
        return page.drop_one("account");
    }
    let at = Utc::from_millis(time / 1_000);
    let deletion = json!({"network": NETWORK, "author": did, "deleted_at": at});
    page.items.push(Item::Deletion(deletion));
}

impl Connector for Bluesky {
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError> {
        let position: Option<i64> = match after {
            None => None,
            Some(cursor) => Some(cursor.0.parse().map_err(|_| ConnectorError::UnknownCursor {
                source_name: NAME.to_owned(),
                cursor: cursor.0.clone(),
            })?),
        };
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        if self.connection.as_ref().map(|open| open.position) != position || position.is_none() {
            self.connection = None;
            let opened = match position {
                // The first page names this time, so that nothing is lost if the first connection brings nothing.
                None => {
                    let beginning = self.beginning();
                    self.connect(beginning, beginning)
                }
                Some(position) => {
                    let rewind = micros(self.settings.rewind.get());
                    self.connect(position.saturating_sub(rewind), position)
                }
            };
            match opened {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => {
                    self.server = (self.server + 1) % self.settings.urls.len();
                    return Err(error);
                }
            }
        }
        let mut page = Page {
            next: after.cloned(),
            ..Page::default()
        };
        match self.read(&mut page, most) {
            Ok(()) => Ok(page),
            Err(problem) => Err(self.fail(problem, Failure::Connection)),
        }
    }

    fn reset(&mut self) {
        self.connection = None;
        self.failed = None;
    }

    fn stalls_after(&self) -> Option<Duration> {
        Some(self.settings.stall_after.get())
    }

    fn wait_when_idle(&self) -> Duration {
        Duration::ZERO
    }

    fn schedule(&self, failure: Failure) -> Backoff {
        match failure {
            Failure::Connection | Failure::Server => {
                Backoff::new(Duration::from_millis(500), Duration::from_mins(1))
            }
            Failure::RateLimit => Backoff::new(Duration::from_mins(1), Duration::from_mins(15)),
        }
    }
}

const _: () = assert!(
    LONGEST_EVENT < LONGEST,
    "every event that the server may send is read"
);
