//! Reads the records of a file: the fields of each row by their names, whatever they mean.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use encoding_rs::Encoding;
use serde_json::{Map, Value};

use super::delimited::{Delimited, Record as Cells};
use super::lines::Lines;
use super::rows::{ReadOptions, RowsError};
use super::shape::Shape;
use super::source::{Progress, Source};
use super::tables::{self, Opened, Table, TableRows};
use super::values::{self, Values};
use crate::incoming::Biometric;

/// A record of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The record's number, from 1, without the header.
    pub number: u64,
    /// The number of its first line in the file, from 1.
    pub line: u64,
    /// Its fields by name, or why it cannot be read.
    pub fields: Result<Map<String, Value>, String>,
    /// Its size in the file, in bytes.
    pub bytes: usize,
}

/// The records of a file. A record that cannot be read costs that record only.
pub struct Records {
    reader: Reader,
    number: u64,
    progress: Progress,
}

enum Reader {
    Lines(Lines),
    Values(Values),
    Columns {
        names: Vec<String>,
        records: Box<Delimited>,
    },
    Table {
        names: Vec<String>,
        rows: TableRows,
        /// The columns whose values must be readable.
        needed: BTreeSet<String>,
    },
}

impl Records {
    /// Opens a file, and finds out its compression, encoding and shape. Of the mapping in `options` counts only whether all its columns
    /// are numbers: then the file has no header. A file with a column of features of a voice, a face or typing is refused.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, RowsError> {
        let records = Self::found(path, options)?;
        match records.columns().and_then(Biometric::of_columns) {
            None => Ok(records),
            Some(found) => Err(RowsError::Biometric {
                path: path.to_owned(),
                found,
            }),
        }
    }

    fn found(path: &Path, options: &ReadOptions) -> Result<Self, RowsError> {
        let io = |source| RowsError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(table) = Table::of_file(path, options).map_err(io)? {
            let Opened {
                names,
                rows,
                progress,
            } = table.open(path)?;
            return Ok(Self {
                reader: Reader::Table {
                    names,
                    rows,
                    needed: BTreeSet::new(),
                },
                number: 0,
                progress,
            });
        }
        let encoding = options.encoding.as_ref().map(|name| {
            Encoding::for_label(name.as_bytes()).ok_or_else(|| RowsError::UnknownEncoding(name.clone()))
        });
        let source = Source::open(path, encoding.transpose()?).map_err(io)?;
        if let Some(table) = Table::of(&source.head) {
            return Err(RowsError::Packed {
                path: path.to_owned(),
                format: table.name(),
            });
        }
        let shape = Shape::of(&source.head, &source.name, options)
            .ok_or_else(|| RowsError::UnknownFormat(path.to_owned()))?;
        let progress = source.progress;
        let reader = match shape {
            Shape::JsonLines => Reader::Lines(Lines::new(source.reader, &source.head)),
            Shape::Json => Reader::Values(Values::new(source.reader)),
            Shape::Columns { separator, quotes } => {
                let lines = Lines::new(source.reader, &source.head);
                let mut records = Box::new(Delimited::new(lines, separator, quotes));
                let names = if options.no_header || options.mapping.has_numbers_only() {
                    let count = records.count_columns().map_err(io)?;
                    (0..count).map(|number| number.to_string()).collect()
                } else {
                    let first = records.next_record().map_err(io)?;
                    header(first).map_err(|problem| RowsError::Header {
                        path: path.to_owned(),
                        problem,
                    })?
                };
                records.expect_columns(names.len());
                Reader::Columns { names, records }
            }
        };
        Ok(Self {
            reader,
            number: 0,
            progress,
        })
    }

    /// The names of the columns; `None` if each record names its own fields (JSON).
    pub fn columns(&self) -> Option<&[String]> {
        match &self.reader {
            Reader::Columns { names, .. } | Reader::Table { names, .. } => Some(names),
            Reader::Lines(_) | Reader::Values(_) => None,
        }
    }

    /// Reports a record of a table whose value in one of these columns cannot be read. In other columns such a value is left out.
    pub(super) fn need(&mut self, columns: BTreeSet<String>) {
        if let Reader::Table { needed, .. } = &mut self.reader {
            *needed = columns;
        }
    }

    /// The bytes read so far, and the bytes of the file.
    pub fn progress(&self) -> (u64, u64) {
        self.progress.of()
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        let found = match &mut self.reader {
            Reader::Lines(lines) => lines.next_filled().map(|line| {
                line.map(|line| {
                    let bytes = line.bytes.as_ref().map_or(0, Vec::len);
                    (
                        line.number,
                        bytes,
                        line.bytes.and_then(|line| values::object(&line)),
                    )
                })
            }),
            Reader::Values(values) => values.next().map(|text| {
                text.map(|text| {
                    let bytes = text.bytes.as_ref().map_or(0, Vec::len);
                    (
                        text.line,
                        bytes,
                        text.bytes.and_then(|text| values::object(&text)),
                    )
                })
            }),
            Reader::Table { rows, needed, .. } => rows.next().transpose().map(|row| {
                row.map(|row| {
                    let fields = tables::object(row, needed);
                    // Nothing says how many bytes of the file a row is: as many as it has as JSON.
                    let text = fields
                        .as_ref()
                        .map(|fields| serde_json::to_vec(fields).unwrap_or_default());
                    (self.number + 1, text.map_or(0, |text| text.len()), fields)
                })
            }),
            Reader::Columns { names, records } => records.next_record().map(|record| {
                record.map(|record| {
                    (
                        record.line,
                        record.bytes,
                        record.fields.and_then(|row| fields(names, row)),
                    )
                })
            }),
        };
        let (line, bytes, fields) = match found {
            Ok(found) => found?,
            Err(error) => return Some(Err(error)),
        };
        self.number += 1;
        Some(Ok(Record {
            number: self.number,
            line,
            fields,
            bytes,
        }))
    }
}

/// The names of the columns, without blanks around them. A column without a name is called by its number.
fn header(record: Option<Cells>) -> Result<Vec<String>, String> {
    let Some(record) = record else {
        return Err("the file is empty".to_owned());
    };
    let mut names: Vec<String> = Vec::new();
    for (number, name) in record.fields?.into_iter().enumerate() {
        let name = String::from_utf8(name).map_err(|_| {
            "it is not UTF-8: give --encoding, for instance --encoding windows-1252".to_owned()
        })?;
        let name = name.trim();
        let name = if name.is_empty() {
            number.to_string()
        } else {
            name.to_owned()
        };
        if let Some(first) = names.iter().position(|known| *known == name) {
            return Err(format!(
                "columns {first} and {number} are both called `{name}`: rename one of them, or give --no-header and use the \
                 numbers of the columns"
            ));
        }
        names.push(name);
    }
    Ok(names)
}

fn fields(names: &[String], row: Vec<Vec<u8>>) -> Result<Map<String, Value>, String> {
    names
        .iter()
        .zip(row)
        .map(|(name, value)| match String::from_utf8(value) {
            Ok(value) => Ok((name.clone(), Value::from(value))),
            Err(_) => Err(format!(
                "column `{name}` is not UTF-8: give the encoding of the file, for instance --encoding windows-1252"
            )),
        })
        .collect()
}
