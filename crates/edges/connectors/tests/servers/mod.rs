//! Local servers that behave as the documentation of networks says.
#![allow(dead_code, reason = "each test uses its server")]

mod feed;
pub(crate) mod graph;
pub(crate) mod http;
pub(crate) mod hub;
pub(crate) mod jetstream;
pub(crate) mod linkedin;
pub(crate) mod mastodon;
pub(crate) mod news;
pub(crate) mod reddit;
pub(crate) mod x;
pub(crate) mod x_compliance;
pub(crate) mod youtube;
