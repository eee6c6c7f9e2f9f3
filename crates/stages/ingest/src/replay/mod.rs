//! Replays files of posts as if they were written now.
//!
//! ```text
//!  file ─▶ Source ─▶ Shape ─▶ lines, values or records ─▶ Mapping, Times ─▶ Row ─▶ Sorted, if asked
//!          gzip, zstd,        JSON Lines, JSON, CSV, TSV    a post, or why
//!          UTF-16, …                                        the row is none
//! ```
//!
//! Files of Parquet and Avro, which state their columns and types, are read with the features `parquet` and `avro`.
//!
//! [`Rows`] reads a file row by row, whatever its compression, encoding and shape. A row that cannot be read costs that row only.
//! [`Records`] reads the same files without taking their rows for posts.
//! [`Mapping`] maps columns to fields, [`Times`] reads times. [`Sorted`] puts rows in the order of their times. [`Pace`] computes when
//! a row is due. [`Checkpoint`] stores the progress, so that an interrupted replay continues where it stopped. The caller sends the
//! posts, over HTTP or to an embedded log.

mod checkpoint;
mod delimited;
mod lines;
mod mapping;
mod pace;
mod records;
mod rows;
mod shape;
mod sorted;
mod source;
mod tables;
mod times;
mod values;

pub use checkpoint::Checkpoint;
pub use mapping::{Mapping, MappingError};
pub use pace::{Pace, PaceError};
pub use records::{Record, Records};
pub use rows::{Format, ReadOptions, Row, Rows, RowsError};
pub use sorted::Sorted;
pub use times::{Times, TimesError};
