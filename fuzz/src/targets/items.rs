//! A file of the API, which is compiled here without the rest of that crate.
#![allow(dead_code, unreachable_pub)]

include!(concat!(env!("OUT_DIR"), "/items.rs"));
