//! Reads the rows of a file as posts, one at a time.

use std::io;
use std::path::{Path, PathBuf};

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::mapping::{Mapping, MappingError};
use super::records::Records;
use super::times::Times;
use crate::incoming::Biometric;

/// How a file of posts is read. The default finds out all it can from the file.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The format. `None`: the first bytes and the ending of the name decide.
    pub format: Option<Format>,
    /// The character between the columns. `None`: the most frequent one of the first line.
    pub separator: Option<u8>,
    /// The first row is a post. Columns then have numbers from 0 as their names.
    pub no_header: bool,
    /// The name of the encoding, as the WHATWG lists them, for instance `windows-1252`. `None`: UTF-8, or UTF-16 if the file looks
    /// like it.
    pub encoding: Option<String>,
    /// The columns of the fields.
    pub mapping: Mapping,
    /// How times are read.
    pub times: Times,
}

impl ReadOptions {
    /// A text that is the same for options that read a file in the same way.
    pub fn name(&self) -> String {
        let Self {
            format,
            separator,
            no_header,
            encoding,
            mapping,
            times,
        } = self;
        format!(
            "{format:?} {separator:?} {no_header} {encoding:?} {mapping:?} {}",
            times.name()
        )
    }
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object in each line.
    JsonLines,
    /// An array of JSON objects, or objects over several lines each.
    Json,
    /// Columns between commas, semicolons or tabs. Quotes can surround a field.
    Csv,
    /// Columns between tabs, without quotes.
    Tsv,
    /// Apache Parquet, with the feature `parquet`.
    Parquet,
    /// An object container file of Apache Avro, with the feature `avro`.
    Avro,
}

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Neither the name nor the content tells the format.
    #[error("{0}: unknown format: give --format jsonl, json, csv, tsv, parquet or avro")]
    UnknownFormat(PathBuf),
    /// The program was built without the library for this format.
    #[error(
        "{path} is a {format} file, and this program was built without {format}: build it with `cargo build --release -p limbic --features \
         {feature}`, or write the file as CSV or JSON Lines"
    )]
    NotBuilt {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// The feature that reads it.
        feature: &'static str,
    },
    /// A table inside gzip or zstd.
    #[error("{path} is a {format} file inside another compression: unpack it first, with gunzip or unzstd")]
    Packed {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
    },
    /// No such encoding.
    #[error("`{0}` is not an encoding: give its name on the web, for instance windows-1252 or utf-16le")]
    UnknownEncoding(String),
    /// The first row does not name the columns.
    #[error("{path}: the first row should name the columns: {problem}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with the first row, and what to do.
        problem: String,
    },
    /// A column has features of a voice, a face or typing.
    #[error("{path}: the column {found}. No row was read")]
    Biometric {
        /// The file.
        path: PathBuf,
        /// The column. It is in the message, and so is not a source of its own.
        found: Biometric,
    },
    /// The mapping does not fit the columns.
    #[error("{path}: {problem}")]
    Columns {
        /// The file.
        path: PathBuf,
        /// What does not fit. It is in the message, and so is not a source of its own.
        problem: MappingError,
    },
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The row's number, from 1, without the header.
    pub number: u64,
    /// The number of its first line in the file, from 1.
    pub line: u64,
    /// When the post was written, if the row says so.
    pub at: Option<Utc>,
    /// The post, or why the row is not a post.
    pub post: Result<Value, String>,
    /// The size of the row in the file, in bytes.
    pub bytes: usize,
}

/// The rows of a file as posts.
pub struct Rows {
    records: Records,
    mapping: Mapping,
    times: Times,
}

impl Rows {
    /// Opens a file, finds out its compression, encoding and shape, and checks the mapping against its columns.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, RowsError> {
        let mut records = Records::open(path, options)?;
        let mut mapping = options.mapping.clone();
        if let Some(names) = records.columns() {
            mapping.fit(names).map_err(|problem| RowsError::Columns {
                path: path.to_owned(),
                problem,
            })?;
            records.need(mapping.needed_columns());
        }
        Ok(Self {
            records,
            mapping,
            times: options.times.clone(),
        })
    }

    /// The bytes read so far, and the bytes of the file.
    pub fn progress(&self) -> (u64, u64) {
        self.records.progress()
    }
}

impl Iterator for Rows {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let post = record
            .fields
            .and_then(|fields| self.mapping.apply(fields, &self.times));
        let at = post
            .as_ref()
            .ok()
            .and_then(|post| post.get("created_at")?.as_str()?.parse().ok());
        Some(Ok(Row {
            number: record.number,
            line: record.line,
            at,
            post,
            bytes: record.bytes,
        }))
    }
}

#[cfg(test)]
mod tests;
