//! Social platforms → posts: the edge where the world comes in.
//!
//! * [`incoming`] says what a post and an outcome look like on the wire, and names the field that is wrong.
//! * [`Edge`] turns what is right into records of the topic `intake`: authors become pseudonyms, posts are tagged with
//!   the subjects they speak of, and a record is *accepted* once it is durable.
//! * [`IngestStage`] removes duplicates, exactly once, on the way from `intake` to `posts` and `outcomes`.
//! * [`replay`] reads files of posts (JSON Lines, CSV, TSV), at the speed they were written, faster, or flat out.
//!
//! Invariants: no author's name passes the edge; nothing is answered "accepted" before it is on disk (or in Kafka,
//! acknowledged by all in-sync replicas); a post sent twice is in `posts` once, even if two processes accepted it.

mod edge;
pub mod incoming;
pub mod replay;
mod seen;
mod settings;
mod stage;
mod tagging;

pub use edge::{Edge, EdgeError, Receipt, Rejection};
pub use seen::{RecentIds, SeenId, SeenIds, SharedIds};
pub use settings::{Settings, SettingsError};
pub use stage::IngestStage;
pub use tagging::SubjectTagger;
