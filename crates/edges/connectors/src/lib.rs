//! Connectors: each pulls posts from one source, page by page, at least once.
//!
//! ```text
//!            pull(after cursor)            accept (durable)         save
//!  source ─────────────────────▶ Page ──────────────────▶ edge ──────────▶ cursor
//!             ▲                                                     │
//!             └─────────────────────────────────────────────────────┘
//! ```
//!
//! * [`Connector`] is one source. [`Page`] contains posts as the JSON objects that `POST /v1/posts` accepts, and the
//!   [`Cursor`] after them.
//! * [`pull_once`] moves one page from a connector to the edge. It moves the cursor after the edge has accepted the page.
//! * [`JsonLines`] follows a file of JSON Lines that another program appends to.
//!
//! # What it is not
//!
//! A connector does not check posts, make pseudonyms or remove duplicates: the edge and the ingest stage do. It does not
//! wait, retry or sleep: the caller decides when to call it again. There are no connectors for social networks yet, and
//! nodes do not run connectors yet: your own program calls [`pull_once`] (see `examples/connector`).
//!
//! # Laws
//!
//! * **At least once.** If a page was not accepted, the cursor does not move, and the page is pulled again.
//! * **A pull is a function of source and cursor.** A connector stores no position.
//! * **One bad post stops nothing.** A post that cannot be read becomes an error in the page, with its position.
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
//! pull_once(&mut source, &mut cursor, 100, |posts| {
//!     accepted.extend(posts);
//!     Ok::<_, std::io::Error>(())
//! })?;
//! assert_eq!(accepted.len(), 1, "the second line is not finished");
//! # Ok(())
//! # }
//! ```

mod json_lines;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use json_lines::{JsonLines, JsonLinesSettings};

/// A position in a source, in a form that only the connector understands. Store it, and pass it back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// Posts that follow a cursor.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The posts, oldest first, in the form of `POST /v1/posts`. An error for each post that cannot be read, with its
    /// position.
    pub posts: Vec<Result<Value, String>>,
    /// The position after the last post. `None` if the source has never had a post.
    pub next: Option<Cursor>,
    /// Whether more posts are available now. `false` = pull again later.
    pub has_more: bool,
}

/// Why a source returned no page.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The source does not answer now. The same pull may succeed later.
    #[error("{source_name} does not answer ({detail}): the same page is pulled again later")]
    Unavailable {
        /// The name of the source, for people.
        source_name: String,
        /// What happened.
        detail: String,
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
    /// Up to `most` posts after the cursor `after`. `None` = from the oldest post of the source. Blocks for a limited
    /// time.
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError>;
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

/// Pulls one page and passes it to `accept`, which returns when the posts are durable. Then moves `cursor`. Returns
/// whether more posts are available. An empty page is not passed on.
pub fn pull_once<E>(
    connector: &mut dyn Connector,
    cursor: &mut Option<Cursor>,
    most: usize,
    accept: impl FnOnce(Vec<Result<Value, String>>) -> Result<(), E>,
) -> Result<bool, PullError<E>> {
    let page = connector.pull(cursor.as_ref(), most)?;
    if !page.posts.is_empty() {
        accept(page.posts).map_err(PullError::NotAccepted)?;
    }
    *cursor = page.next;
    Ok(page.has_more)
}
