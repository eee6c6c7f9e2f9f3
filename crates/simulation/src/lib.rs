//! A synthetic population for `limbic simulate`, `limbic demo` and tests: people with moods, events that change them, posts
//! with a known feeling, and people who click ads or do not.
//!
//! **What it is.** [`Population`] generates people, events and posts from a seed. [`driver::Driver`] runs a real node, sends
//! it these posts, and reports impressions and clicks for the ads that the node delivers. [`policies`] replays the resulting
//! decisions with every bandit policy, [`truth`] compares moments and ads with the simulation's own events, and [`report`] draws an
//! HTML page.
//!
//! **What it is not.** It is not a mock: the node, its stages and its log are the ones that run in production. It is also
//! not a model of real people. Its figures compare policies under known click probabilities; they predict no campaign.
//!
//! ```text
//! Population ──posts──▶ Driver ──POST /v1/posts (in process)──▶ Node: ingest … deliver
//!                         ▲  └──impressions, clicks──▶ ingest         │
//!                         └───────────── deliveries (a file) ◀────────┘
//! ```
//!
//! The same seed gives the same posts, byte for byte:
//!
//! ```
//! use limbic_simulation::Population;
//!
//! let population = Population::new(1, 300, 1_000);
//! assert_eq!(population.posts.len(), 1_000);
//! assert_eq!(population.to_json_lines(), Population::new(1, 300, 1_000).to_json_lines());
//!
//! // Each post carries the feeling that the grammar gave it.
//! let post = &population.posts[0].to_json();
//! assert!(["negative", "neutral", "positive"].contains(&post["meta"]["feeling"].as_str().unwrap()));
//! ```
//!
//! **Laws.**
//!
//! 1. Posts, events and clicks are functions of the seed. Simulated time starts on 10 May 2025 and never reads the clock.
//! 2. A longer population begins with the posts of a shorter one.
//! 3. After a run, [`driver::Driver::check`] holds: every accepted post has one record and one reading, there are no dead
//!    letters, and no chosen ad reaches a person whose distress its audience has seen.
//! 4. No text, name or person comes from real data.

pub mod driver;
mod grammar;
pub mod policies;
mod population;
pub mod report;
pub mod setup;
pub mod truth;

pub use grammar::SUBJECTS;
pub use population::{Event, EventKind, NETWORK, Population, SimulatedPost};
