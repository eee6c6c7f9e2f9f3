//! Local servers that behave as the documentation of networks says.
#![allow(dead_code, reason = "each test uses its server")]

mod feed;
pub(crate) mod jetstream;
