//! Replays files of posts as if they were written now.
//!
//! [`Rows`] reads JSON Lines, CSV and TSV row by row. [`Mapping`] maps columns to fields. [`Pace`] computes when a row is
//! due. [`Checkpoint`] stores the progress, so that an interrupted replay continues where it stopped. The caller sends
//! the posts, over HTTP or to an embedded log.

mod checkpoint;
mod mapping;
mod pace;
mod rows;

pub use checkpoint::Checkpoint;
pub use mapping::{Mapping, MappingError};
pub use pace::{Pace, PaceError};
pub use rows::{Format, Row, Rows, RowsError};
