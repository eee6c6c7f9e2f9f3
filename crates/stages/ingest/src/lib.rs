//! Accepts posts and outcomes: checks them, replaces authors by pseudonyms, stores them, and removes duplicates.
//!
//! ```text
//!  REST, files ──▶ incoming ──▶ Edge ──intake──▶ IngestStage ──posts, outcomes──▶
//!                  (checks)    (pseudonyms,      (each id once)
//!                               durable, then "accepted")
//! ```
//! * [`incoming`] checks posts and outcomes when they arrive, and names the field that is wrong.
//! * [`Edge`] converts them to records of the topic `intake` and replaces the author by a pseudonym. It answers
//!   "accepted" when the records are durable.
//! * [`IngestStage`] removes duplicates, exactly, on the way from `intake` to `posts` and `outcomes`.
//! * [`replay`] reads files of posts (JSON Lines, CSV, TSV) at the speed of their times, faster, or as fast as possible.
//!
//! The crate does not fetch posts from social networks: a connector does. It does not analyse the text of a post: the
//! stage `affect` does.
//!
//! ```
//! use limbic_domain::Utc;
//! use limbic_ingest::{Settings, incoming};
//!
//! let now: Utc = "2026-01-01T00:00:00Z".parse()?;
//! let post = serde_json::json!({
//!     "network": "bluesky", "id": "1", "author": "ada", "text": "Lovely!", "created_at": "2025-12-31T23:59:59Z",
//! });
//! assert_eq!(incoming::post(post, &Settings::default(), now)?.text, "Lovely!");
//!
//! let problem = incoming::post(serde_json::json!({"network": "bluesky"}), &Settings::default(), now).unwrap_err();
//! assert_eq!(problem.field, "id");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Laws
//!
//! * The name of an author never leaves this crate, in a record, log line, metric or error.
//! * "Accepted" means durable: on disk, or acknowledged by all in-sync replicas of Kafka.
//! * A post that is sent twice is in `posts` once, even if two processes accepted it.
//! * A post that is sent again under another author's name is recognised as long as the stage remembers its id ([`RememberedIds`]).

mod admission;
mod component;
mod consent;
mod edge;
mod generations;
mod in_flight;
pub mod incoming;
mod quota;
mod receipt;
mod remembered;
pub mod replay;
mod seen;
mod settings;
mod sources;
mod stage;
mod statements;
mod subjects;

pub use edge::{Edge, EdgeError};
pub use receipt::{LostSubjects, Receipt, Rejection};
pub use remembered::RememberedIds;
pub use seen::{RecentIds, SeenId, SeenIds, SharedIds};
pub use settings::Settings;
pub use sources::{IngestMeters, LastRejection, SourceStatus};
pub use stage::IngestStage;
pub use subjects::KnownSubjects;
