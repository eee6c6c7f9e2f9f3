//! Sources that send by themselves: their requests arrive at `/v1/hooks/NAME` of the API.

use std::time::Duration;

use limbic_domain::Utc;
use reqwest::header::HeaderMap;

use crate::{Connector, ConnectorError, Cursor, Item, Page};

/// A request of a source.
#[derive(Debug, Clone, Copy)]
pub struct Hook<'a> {
    /// Whether it is a POST with posts. Otherwise it is a GET, with which some sources ask whether the address is right.
    pub is_post: bool,
    /// The query, as it arrived.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, byte by byte as it arrived.
    pub body: &'a [u8],
}

/// What a request brings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Received {
    /// In the order of the request. The answer is sent when they are durable.
    pub items: Vec<Item>,
    /// How many events are left out, by reason.
    pub dropped: std::collections::BTreeMap<&'static str, u64>,
    /// The text of the answer.
    pub answer: String,
    /// Whether the connector of the source is pulled soon, although its wait is not over. Only of a source that is pulled too.
    pub wakes: bool,
}

/// Why a request is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// It does not prove that the source has sent it.
    #[error("{0}")]
    NotProven(&'static str),
    /// It is not a request of this source.
    #[error("{0}")]
    NotUnderstood(&'static str),
    /// It asks to agree to something that nobody here wants.
    #[error("{0}")]
    NotWanted(&'static str),
}

/// A source that sends. A request that was accepted and arrives again brings the same items, except for times of this node's clock. The
/// edge removes them only while it remembers their ids.
pub trait Receiver: Send + Sync {
    /// Checks a request and reads it. `now` is the wall clock.
    fn receive(&self, hook: &Hook<'_>, now: Utc) -> Result<Received, HookError>;
}

/// A parameter of a query, decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = reqwest::Url::parse(&format!("http://localhost/?{query}")).ok()?;
    let found = pairs.query_pairs().find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned())
}

/// The answer to a question whether an address is right: `hub.challenge`, if it is a short text.
pub(crate) fn challenge_of(query: &str) -> Result<String, HookError> {
    let challenge = parameter(query, "hub.challenge");
    let is_short = |text: &String| text.len() <= 512 && text.chars().all(|c| c.is_ascii_graphic());
    challenge.filter(is_short).ok_or(HookError::NotUnderstood(
        "hub.challenge is missing, or is not a short text",
    ))
}

/// The text of a header.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The connector of a source that sends: it brings nothing when it is pulled.
pub(crate) struct Idle;

impl Connector for Idle {
    fn pull(&mut self, after: Option<&Cursor>, _: usize) -> Result<Page, ConnectorError> {
        Ok(Page {
            next: after.cloned(),
            ..Page::default()
        })
    }

    fn wait_when_idle(&self) -> Duration {
        Duration::from_mins(1)
    }
}
