//! What callers of HTTP servers have in common: ad platforms, LLM providers and InfluxDB.
//!
//! [`explain`] turns a failed call into words for a person. It does not send requests, retry or judge an answer: the caller
//! and the outbox of its stage do.
//!
//! # Laws
//!
//! * The words contain no URL, because a URL can hold a password or a token.

use std::error::Error;

use limbic_stream::outbox::excerpt;

/// What went wrong with a call, with its deepest cause, in at most one line.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let called = reqwest::get("http://127.0.0.1:1/?token=hunter2").await;
/// let words = limbic_http::explain(called.unwrap_err());
/// assert!(words.starts_with("no connection: ") && !words.contains("hunter2"), "{words}");
/// # });
/// ```
pub fn explain(error: reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    let error = error.without_url();
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| what.to_owned(), |cause| excerpt(&format!("{what}: {cause}")))
}
