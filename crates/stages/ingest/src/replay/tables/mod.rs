//! Files that state the names and types of their columns: Parquet and Avro, each behind a feature.
//!
//! A row becomes the same JSON object that a line of JSON Lines would be, so everything behind it is the same for all files.

#[cfg(feature = "avro")]
mod avro;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(any(feature = "avro", feature = "parquet"))]
mod typed;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::{Map, Value};

use super::rows::{Format, ReadOptions, RowsError};
use super::source::Progress;

/// A format that states the types of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Parquet,
    Avro,
}

/// A value, or why there is none.
pub(super) type Typed = Result<Value, String>;

/// The rows of a table, in the order of the file: the columns with their values. An error ends the file.
pub(super) type TableRows = Box<dyn Iterator<Item = io::Result<Vec<(String, Typed)>>> + Send>;

/// An open table.
pub(super) struct Opened {
    /// The columns, and the fields of groups by their JSON Pointers.
    pub(super) names: Vec<String>,
    pub(super) rows: TableRows,
    pub(super) progress: Progress,
}

impl Table {
    /// The format of a file that begins with these bytes.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"PAR1") {
            Some(Self::Parquet)
        } else if head.starts_with(b"Obj\x01") {
            Some(Self::Avro)
        } else {
            None
        }
    }

    /// The format that the options state, or that the file has.
    pub(super) fn of_file(path: &Path, options: &ReadOptions) -> io::Result<Option<Self>> {
        match options.format {
            Some(Format::Parquet) => Ok(Some(Self::Parquet)),
            Some(Format::Avro) => Ok(Some(Self::Avro)),
            Some(_) => Ok(None),
            None => {
                let mut head = Vec::new();
                File::open(path)?.take(4).read_to_end(&mut head)?;
                Ok(Self::of(&head))
            }
        }
    }

    /// The name of the format, for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Avro => "Avro",
        }
    }

    /// Opens a table.
    pub(super) fn open(self, path: &Path) -> Result<Opened, RowsError> {
        match self {
            #[cfg(feature = "parquet")]
            Self::Parquet => parquet::open(path),
            #[cfg(feature = "avro")]
            Self::Avro => avro::open(path),
            #[cfg(not(all(feature = "parquet", feature = "avro")))]
            _ => Err(RowsError::NotBuilt {
                path: path.to_owned(),
                format: self.name(),
                feature: match self {
                    Self::Parquet => "parquet",
                    Self::Avro => "avro",
                },
            }),
        }
    }
}

/// The object of a row. A value that cannot be read refuses its row if its column is one of `needed`, and is left out otherwise. A missing
/// value is a column that is not there.
pub(super) fn object(
    row: Vec<(String, Typed)>,
    needed: &BTreeSet<String>,
) -> Result<Map<String, Value>, String> {
    let mut fields = Map::new();
    for (name, value) in row {
        match value {
            Ok(Value::Null) => {}
            Ok(value) => drop(fields.insert(name, value)),
            Err(problem) if needed.contains(&name) => return Err(format!("column `{name}`: {problem}")),
            Err(_) => {}
        }
    }
    Ok(fields)
}
