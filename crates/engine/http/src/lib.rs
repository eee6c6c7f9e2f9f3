//! What edges that speak HTTP share: error messages of clients, and signatures of webhooks that are sent or received.
//!
//! ```text
//!  caller ──request──▶ reqwest ──▶ server
//!                         │ no response
//!                         ▼
//!               reqwest::Error ──explain──▶ one line without a URL ──▶ outcome, error or log line
//! ```
//!
//! The crate does not send requests. It does not retry or judge a response: the caller and the outbox of its stage do.
//!
//! # Example
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let failed = reqwest::get("http://127.0.0.1:1/?token=hunter2").await.unwrap_err();
//! let message = limbic_http::explain(failed);
//! assert!(message.starts_with("no connection: ") && !message.contains("hunter2"), "{message}");
//! # });
//! ```
//!
//! [`SigningKey`] signs what an ad platform is sent, and verifies what a connector receives, as Standard Webhooks 1.0.0 says.
//! [`is_signed_in_hex`] verifies the older form of many networks, and [`is_signed_by_hub`] that of `WebSub`.
//!
//! # Laws
//!
//! * The message contains no URL, because a URL can contain a password or a token.
//! * The message is one line of limited length, whatever the cause says ([`excerpt`]).
//! * The time of a comparison of signatures or secrets does not depend on where they differ.

mod signature;

use std::error::Error;

use limbic_stream::outbox::excerpt;

pub use signature::{
    InvalidSecret, SigningKey, is_same_secret, is_signed_by_hub, is_signed_in_hex, sign_in_hex,
};

/// The kind of failure (`no answer in time`, `no connection`, `the connection broke`, or an address that cannot be used) and,
/// if there is one, its deepest cause, in one line.
pub fn explain(error: reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_builder() {
        "the address cannot be used: write http://HOST:PORT"
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
