//! Connectors: each pulls posts, edits and deletions from one source, at least once.
//!
//! ```text
//!            pull(after cursor)               accept (durable)                store (later)
//!  source ─────────────────────▶ Page ──────────────────────────▶ edge ──────────────────────▶ cursor
//!             ▲                                                     │
//!             └─────────────────────────────────────────────────────┘
//! ```
//!
//! * [`Connector`] is one source. [`Page`] contains [`Item`]s and the [`Cursor`] after them.
//! * [`Runner`] moves pages from a connector to a [`Target`], step by step. [`Running`] is a thread around it. A node runs one for
//!   each `[connectors.NAME]` of its settings.
//! * [`Terms`] states what the source permits, as data in the connector's folder.
//! * [`Bluesky`] reads Bluesky's Jetstream, [`Mastodon`] the public posts of an instance, [`Reddit`] subreddits, [`X`] posts that match
//!   rules, [`YouTube`] comments of channels and videos, [`LinkedIn`] and [`MetaGraph`] comments on the operator's own posts, [`Feed`] RSS
//!   and Atom. [`JsonLines`] follows a file that another program appends to, and [`Folder`] a folder of files. [`KafkaTopic`] reads a
//!   topic of an external Kafka cluster.
//! * [`Receiver`] is a source that sends by itself, to an address of the API: [`SignedWebhook`] and [`Meta`]. Its items go the same way.
//! * [`JsonMapping`] makes posts of other JSON.
//!
//! # What it is not
//!
//! A connector does not check posts, make pseudonyms or remove duplicates: the edge and the ingest stage do. It does not decide when
//! it is called again: the runner does.
//!
//! # Laws
//!
//! * **At least once.** The cursor moves after the log has the page. It is stored after it has moved, so a stored cursor is never ahead
//!   of the log. Duplicates are removed behind the edge, by network, id and revision.
//! * **A pull is a function of source and cursor.** A connector that holds a connection open uses it only if it is at the cursor that
//!   the caller names. Otherwise it opens another one there.
//! * **An edit is a post with a higher revision, and a deletion is an item.** Both follow what they change.
//! * **One bad post stops nothing.** What cannot be read is an item too, and what is left out is counted with its reason.
//! * **Progress is a cursor that moves, or a page that says that more is available.** A connection that is open and brings neither for
//!   [`Connector::stalls_after`] is closed, and opened again.
//! * **Pressure reaches the source.** A page that was not accepted is kept, and nothing more is read from the connection.
//! * **A source is asked again when it says.** Waits follow [`Connector::schedule`], with jitter; a wait that the source names is
//!   kept.
//!
//! # Example
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use limbic_connectors::{JsonLines, pull_once};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("posts.jsonl");
//! std::fs::write(&path, "{\"id\": \"1\", \"text\": \"Goal!\"}\n{\"id\": \"2\", \"te")?;
//! let mut source = JsonLines::new(&path);
//! let mut cursor = None;
//! let mut accepted = Vec::new();
//! pull_once(&mut source, &mut cursor, 100, |items| {
//!     accepted.extend(items);
//!     Ok::<_, std::io::Error>(())
//! })?;
//! assert_eq!(accepted.len(), 1, "the second line is not finished");
//! # Ok(())
//! # }
//! ```

mod access;
mod bluesky;
mod feed;
mod folder;
mod graph;
mod html;
mod http;
mod json_lines;
mod kafka;
mod linkedin;
mod mapping;
mod mastodon;
mod meta;
mod meta_id;
mod meters;
mod owned;
mod poll;
mod quota;
mod receiver;
mod reddit;
mod runner;
mod running;
mod seen;
mod socket;
mod spent;
mod sse;
mod status;
mod terms;
mod text;
mod wanted;
mod watch;
mod webhook;
mod x;
mod youtube;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::{TenantId, Utc};
use limbic_stream::Backoff;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use access::MissingScope;
pub use bluesky::{Bluesky, BlueskySettings};
pub use feed::{Feed, FeedSettings};
pub use folder::{Folder, FolderSettings};
pub use graph::{MetaGraph, MetaGraphSettings};
pub use json_lines::{JsonLines, JsonLinesSettings};
pub use kafka::{Begin as KafkaBegin, KafkaTopic, KafkaTopicSettings};
pub use linkedin::{LinkedIn, LinkedInSettings};
pub use mapping::{InvalidJsonMapping, JsonMapping, JsonMappingSettings};
pub use mastodon::{
    Mastodon, MastodonSettings, Timeline as MastodonTimeline, Transport as MastodonTransport,
};
pub use meta::{Meta, MetaSettings};
pub use meters::ConnectorMeters;
pub use receiver::{Hook, HookError, Received, Receiver};
pub use reddit::{Reddit, RedditSettings};
pub use runner::{Accepted, Next, Runner, Target, TargetError};
pub use running::Running;
pub use status::{Phase, Status};
pub use terms::{AuthorIds, Basis, InvalidTerms, Terms};
pub use webhook::{SignatureForm, SignedWebhook, SignedWebhookSettings};
pub use x::{ComplianceStream, X, XMode, XSettings};
pub use youtube::{YouTube, YouTubePushSettings, YouTubeSettings};

/// The most bytes of messages that a connector reads for one page.
pub(crate) const MOST_BYTES: usize = 8 << 20;

/// A position in a source, in a form that only the connector understands. Store it, and pass it back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// What a source reports.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A post, or a later version of one, as the JSON object that `POST /v1/posts` accepts.
    Post(Value),
    /// A deletion, as the JSON object that `POST /v1/deletions` accepts.
    Deletion(Value),
    /// A post that cannot be read: its position, and why.
    Unreadable(String),
}

/// What follows a cursor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// In the order of the source.
    pub items: Vec<Item>,
    /// The position after the last item. `None` if the source has never had one.
    pub next: Option<Cursor>,
    /// Whether more is available now.
    pub has_more: bool,
    /// The time of the source's clock at `next`, if it has one.
    pub clock: Option<Utc>,
    /// How many events of the source are left out, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// How much of the source's quota is left, in the source's unit, if it says so.
    pub quota_left: Option<u64>,
}

impl Page {
    /// Counts an event that is left out.
    pub fn drop_one(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }
}

/// The kind of a failure. Providers state a schedule of attempts for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The connection could not be opened, or broke.
    Connection,
    /// The server answered with an error.
    Server,
    /// The server limits the rate of requests.
    RateLimit,
}

/// Why a source returned no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// The source does not answer now. The same pull may succeed later.
    #[error("{source_name} does not answer ({detail}): the same page is pulled again later")]
    Unavailable {
        /// The name of the source, for people.
        source_name: String,
        /// What happened.
        detail: String,
        /// The kind of the failure.
        failure: Failure,
        /// The wait that the source asks for, if it does.
        retry_after: Option<Duration>,
    },
    /// The source refuses. A retry cannot help until its settings change.
    #[error("{source_name} refuses to give posts ({detail}): check the connector's settings")]
    Refused {
        /// The name of the source, for people.
        source_name: String,
        /// Its message.
        detail: String,
    },
    /// The source has not given a permission. A retry cannot help until a person gets it.
    #[error("{source_name}: {missing}")]
    MissingScope {
        /// The name of the source, for people.
        source_name: String,
        /// The permission, and how to get it.
        missing: MissingScope,
    },
    /// The cursor does not belong to this connector.
    #[error(
        "`{cursor}` is not a position in {source_name}: remove the stored cursor to begin at the oldest post"
    )]
    UnknownCursor {
        /// The name of the source, for people.
        source_name: String,
        /// The text of the cursor.
        cursor: String,
    },
}

/// A source of posts.
pub trait Connector: Send {
    /// The events after the cursor `after`: about `most`, where the source lets the connector choose. A source that is asked, and a page of
    /// a timeline, bring what one answer has. `None` = where the source begins by itself: a file at its oldest post, a stream at the
    /// present.
    ///
    /// A wait for new events takes half a second. Each request, and opening a connection, can take ten seconds until it fails.
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError>;

    /// Asks the source whether it gives this connector what it needs, and returns the permissions that are missing. It costs a few requests,
    /// stores nothing and changes nothing at the source. A source without permissions of its own is not asked (default).
    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        Ok(Vec::new())
    }

    /// Sets the clock that the connector measures its own waits with. The runner sets it before each pull.
    fn set_time(&mut self, now: Instant) {
        let _ = now;
    }

    /// Closes what it holds open. The next pull opens it again.
    fn reset(&mut self) {}

    /// How long a source may make no progress before it counts as stalled. `None` = without a limit.
    fn stalls_after(&self) -> Option<Duration> {
        None
    }

    /// The wait after a page that has nothing. A stream waits in [`Self::pull`].
    fn wait_when_idle(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// The waits between attempts after failures of this kind, as the provider's documentation states them.
    fn schedule(&self, failure: Failure) -> Backoff {
        let _ = failure;
        Backoff::new(Duration::from_secs(1), Duration::from_mins(1))
    }
}

/// A connector, and whose posts it brings: what the component of a connector builds.
pub struct Source {
    /// The tenant that the posts belong to.
    pub tenant: TenantId,
    /// The connector. Of a source that only sends by itself, it brings nothing.
    pub connector: Box<dyn Connector>,
    /// What receives the requests of a source that sends by itself.
    pub receiver: Option<Arc<dyn Receiver>>,
    /// Whether posts are pulled with `connector`. What the receiver then gets are hints, and the connector counts them.
    pub is_pulled: bool,
}

impl Source {
    /// A source that is pulled.
    pub fn pulled(tenant: TenantId, connector: impl Connector + 'static) -> Self {
        Self {
            tenant,
            connector: Box::new(connector),
            receiver: None,
            is_pulled: true,
        }
    }

    /// A source that is pulled, and sends hints when there is something to pull.
    pub fn notified(
        tenant: TenantId,
        connector: impl Connector + 'static,
        receiver: Arc<dyn Receiver>,
    ) -> Self {
        Self {
            receiver: Some(receiver),
            ..Self::pulled(tenant, connector)
        }
    }

    /// A source that sends by itself.
    pub fn sending(tenant: TenantId, receiver: Arc<dyn Receiver>) -> Self {
        Self {
            tenant,
            connector: Box::new(receiver::Idle),
            receiver: Some(receiver),
            is_pulled: false,
        }
    }
}

/// Why a page did not reach the edge. The cursor has not moved.
#[derive(Debug, thiserror::Error)]
pub enum PullError<E> {
    /// The source returned no page.
    #[error(transparent)]
    Source(#[from] ConnectorError),
    /// The page was not accepted.
    #[error("the page was not accepted: {0}")]
    NotAccepted(E),
}

/// Pulls one page and passes it to `accept`, which returns when the items are durable. Then moves `cursor`. Returns
/// whether more is available. An empty page is not passed on.
pub fn pull_once<E>(
    connector: &mut dyn Connector,
    cursor: &mut Option<Cursor>,
    most: usize,
    accept: impl FnOnce(Vec<Item>) -> Result<(), E>,
) -> Result<bool, PullError<E>> {
    connector.set_time(Instant::now());
    let page = connector.pull(cursor.as_ref(), most)?;
    if !page.items.is_empty() {
        accept(page.items).map_err(PullError::NotAccepted)?;
    }
    *cursor = page.next;
    Ok(page.has_more)
}
