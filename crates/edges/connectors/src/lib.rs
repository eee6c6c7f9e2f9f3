//! Connectors: they pull posts from one source each, page by page, at least once.
//!
//! ```text
//!            pull(after cursor)            accept (durable)         save
//!  source ─────────────────────▶ Page ──────────────────▶ edge ──────────▶ cursor
//!             ▲                                                     │
//!             └─────────────────────────────────────────────────────┘
//! ```
//!
//! * [`Connector`] is one source. [`Page`] holds posts as the JSON objects that `POST /v1/posts` takes, and the [`Cursor`]
//!   behind them.
//! * [`pull_once`] moves one page from a connector to the edge. It moves the cursor after the edge has accepted the page.
//! * [`JsonLines`] follows a file of JSON Lines that another program appends to.
//!
//! # What it is not
//!
//! A connector does not check posts, make pseudonyms or remove duplicates: the edge and the ingest stage do. It does not wait,
//! retry or sleep: the caller decides when to ask again. Connectors for social networks are not built yet, and no node runs a
//! connector yet: a program of your own calls [`pull_once`] (`examples/connector`).
//!
//! # Laws
//!
//! * **At least once.** A page that was not accepted is pulled again: the cursor did not move.
//! * **A pull is a function of source and cursor.** A connector keeps no position of its own.
//! * **One bad post stops nothing.** What cannot be read becomes an error in the page, with its position.
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

/// A position in a source, in the connector's own form. To be stored, and given back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// Posts that follow a cursor.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The posts, oldest first, as `POST /v1/posts` takes them; or why one cannot be read, with its position.
    pub posts: Vec<Result<Value, String>>,
    /// The position behind the last post. `None` while the source has never had one.
    pub next: Option<Cursor>,
    /// Whether more posts are ready. `false`: ask again later.
    pub has_more: bool,
}

/// Why a source gave no page.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The source does not answer now. The same pull may succeed later.
    #[error("{source_name} does not answer ({detail}): the same page is pulled again later")]
    Unavailable {
        /// The source.
        source_name: String,
        /// What happened.
        detail: String,
        /// How long the source asks to wait, if it says.
        retry_after: Option<Duration>,
    },
    /// The source refuses: no retry helps until its settings change.
    #[error("{source_name} refuses to give posts ({detail}): check the connector's settings")]
    Refused {
        /// The source.
        source_name: String,
        /// Its words.
        detail: String,
    },
    /// The cursor is not one of this connector's.
    #[error(
        "`{cursor}` is not a position in {source_name}: remove the stored cursor to begin at the oldest post"
    )]
    UnknownCursor {
        /// The source.
        source_name: String,
        /// The cursor.
        cursor: String,
    },
}

/// A source of posts.
pub trait Connector: Send {
    /// Up to `most` posts after `after`; `None` = from the oldest one that the source has. Blocks for a bounded time.
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError>;
}

/// Why a page did not get from a source to the edge. The cursor is where it was.
#[derive(Debug, thiserror::Error)]
pub enum PullError<E> {
    /// The source gave no page.
    #[error(transparent)]
    Source(#[from] ConnectorError),
    /// The page was not accepted.
    #[error("the page was not accepted: {0}")]
    NotAccepted(E),
}

/// Pulls one page and hands it to `accept`, which returns once the posts are durable; then moves `cursor`. Answers whether
/// more posts are ready. An empty page is not handed over.
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
