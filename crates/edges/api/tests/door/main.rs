//! Attacks on the API, over real connections. Each one worked before the limit that its test names.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod connections;
mod kit;
mod limits;
mod pictures;
mod requests;
mod reviews;
mod tls;
