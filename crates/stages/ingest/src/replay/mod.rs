//! Files of posts, sent as if they were being written now.
//!
//! [`Rows`] reads JSON Lines, CSV and TSV row by row; [`Mapping`] says which column is which field; [`Pace`] says when a
//! row is due; [`Checkpoint`] remembers how far a file was sent, so that an interrupted replay goes on where it stopped.
//! Who sends (over HTTP, or into an embedded log) is the caller's affair.

mod checkpoint;
mod mapping;
mod pace;
mod rows;

pub use checkpoint::Checkpoint;
pub use mapping::{Mapping, MappingError};
pub use pace::{Pace, PaceError};
pub use rows::{Format, Row, Rows, RowsError};
