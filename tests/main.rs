//! What crosses crates, tested over the real program, real servers and real kills.
//!
//! | file | what it promises |
//! |---|---|
//! | `contract` | the API as scripts of others rely on it |
//! | `bad_input` | wrong input gets a clear answer, and the stream goes on |
//! | `kills` | one node, killed again and again, makes the same of its posts as one that never was |
//! | `cluster` | several nodes on one Kafka: nothing lost, nothing doubled, the same answers from any node |
//! | `secured` | Kafka over TLS with a password |
//! | `layers` | crates depend on lower layers only |
//!
//! `kit` starts nodes, asks them and compares what they made. Tests that need servers which are not there say so and pass;
//! `scripts/test` starts all of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests"
)]

mod bad_input;
mod cluster;
mod contract;
mod kills;
mod kit;
mod layers;
mod secured;
