//! Tests across crates, with the real program, real servers and real kills.
//!
//! | file | promise |
//! |---|---|
//! | `adapters` | labelled posts become an adapter, the settings use it, and what cannot be one is refused with what to do |
//! | `contract` | the API does not change for scripts that use it |
//! | `attacks` | attacks end neither the process nor the service for others |
//! | `bad_input` | wrong input gets a clear answer, and the stream continues |
//! | `faults` | pauses, wrong clocks, full disks, and stores, platforms and brokers that fail, change no result |
//! | `files` | a file of posts is read as it is, and only a row that is wrong is lost |
//! | `hours` | a new user finds every mistake before anything runs, and no secret in any output |
//! | `kills` | a node that is killed repeatedly has the same results as one that is not |
//! | `certificates` | a certificate that changes is used without a restart, and one that is wrong is not |
//! | `cluster` | several nodes on one Kafka: nothing lost, nothing doubled, the same answers from any node |
//! | `connect` | a node reads from a social network to readings, and edits and deletions follow |
//! | `push` | a push wakes a connector, and what it finds is in the view long before its next turn |
//! | `safety` | texts are judged by the safety rules, and the page of the rules is up to date |
//! | `secured` | Kafka over TLS with a password |
//! | `why` | why an ad ran or none did can be seen and explained; failed deliveries, learning and keys too |
//! | `layers` | crates depend on lower layers only |
//!
//! `kit` starts nodes, queries them and compares their results. A test that needs a missing server prints this and
//! passes. `scripts/test` starts all servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests"
)]

mod adapters;
mod attacks;
mod bad_input;
mod certificates;
mod cluster;
mod connect;
mod contract;
mod faults;
mod files;
mod hours;
mod kills;
mod kit;
mod layers;
mod push;
mod safety;
mod secured;
mod why;
