//! Reads the rows of a file, one at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limbic_domain::Utc;
use serde_json::{Map, Value};

use super::Mapping;

/// Maximum bytes of a JSON line. Longer lines are reported and skipped.
const LINE_LIMIT: usize = 1 << 20;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object in each line.
    JsonLines,
    /// Comma-separated; the first row has the names of the columns.
    Csv,
    /// Tab-separated; the first row has the names of the columns.
    Tsv,
}

impl Format {
    /// The format for the file's extension.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            _ => None,
        }
    }
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
    /// The extension of the file is unknown.
    #[error("{0}: unknown format: the name should end in .jsonl, .ndjson, .csv or .tsv")]
    UnknownFormat(PathBuf),
    /// The first row does not name the columns.
    #[error("{path}: the first row should name the columns: {problem}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with the first row.
        problem: String,
    },
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The row's number, from 1, without the header.
    pub number: u64,
    /// When the post was written, if the row says so.
    pub at: Option<Utc>,
    /// The post, or why the row is not a post.
    pub post: Result<Value, String>,
}

enum Reader {
    Json(BufReader<Counted<File>>),
    Csv {
        columns: Vec<String>,
        reader: Box<csv::Reader<Counted<File>>>,
    },
}

/// The rows of a file.
pub struct Rows {
    reader: Reader,
    mapping: Mapping,
    number: u64,
    read: Arc<AtomicU64>,
    length: u64,
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Rows {
    /// Opens a file. If `format` is `None`, the extension decides.
    pub fn open(path: &Path, format: Option<Format>, mapping: Mapping) -> Result<Self, RowsError> {
        let format = format
            .or_else(|| Format::of(path))
            .ok_or_else(|| RowsError::UnknownFormat(path.to_owned()))?;
        let io = |source| RowsError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            inner: file,
            read: Arc::clone(&read),
        };
        let reader = match format {
            Format::JsonLines => Reader::Json(BufReader::with_capacity(1 << 16, counted)),
            Format::Csv | Format::Tsv => {
                let delimiter = if format == Format::Csv { b',' } else { b'\t' };
                let mut reader = csv::ReaderBuilder::new()
                    .delimiter(delimiter)
                    .flexible(true)
                    .from_reader(counted);
                let header = |problem: String| RowsError::Header {
                    path: path.to_owned(),
                    problem,
                };
                let names = reader.byte_headers().map_err(|error| header(error.to_string()))?;
                let columns: Result<Vec<String>, _> = names
                    .iter()
                    .map(|name| {
                        std::str::from_utf8(name).map(|name| name.trim_start_matches('\u{feff}').to_owned())
                    })
                    .collect();
                let columns = columns.map_err(|_| header("it is not UTF-8".to_owned()))?;
                Reader::Csv {
                    columns,
                    reader: Box::new(reader),
                }
            }
        };
        Ok(Self {
            reader,
            mapping,
            number: 0,
            read,
            length,
        })
    }

    /// The bytes read so far, and the bytes of the file.
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.length)
    }
}

impl Iterator for Rows {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        let fields = match &mut self.reader {
            Reader::Json(reader) => match next_line(reader) {
                Ok(line) => line?.and_then(|line| object(&line)),
                Err(error) => return Some(Err(error)),
            },
            Reader::Csv { columns, reader } => {
                let mut record = csv::ByteRecord::new();
                match reader.read_byte_record(&mut record) {
                    Ok(false) => return None,
                    Ok(true) => fields(columns, &record),
                    Err(error) => match error.into_kind() {
                        csv::ErrorKind::Io(error) => return Some(Err(error)),
                        other => Err(format!("{other:?}")),
                    },
                }
            }
        };
        self.number += 1;
        let post = fields.map(|fields| self.mapping.apply(fields));
        let at = post
            .as_ref()
            .ok()
            .and_then(|post| post.get("created_at")?.as_str()?.parse().ok());
        Some(Ok(Row {
            number: self.number,
            at,
            post,
        }))
    }
}

/// The next line that is not blank. The inner `Err` is for a line that is too long.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, String>>> {
    loop {
        let mut line = Vec::new();
        let n = reader
            .by_ref()
            .take(LINE_LIMIT as u64 + 1)
            .read_until(b'\n', &mut line)?;
        if n == 0 {
            return Ok(None);
        }
        if line.len() > LINE_LIMIT && line.last() != Some(&b'\n') {
            let passed = reader.skip_until(b'\n')?;
            return Ok(Some(Err(format!(
                "the line is {} bytes long, the limit is {LINE_LIMIT}",
                n + passed
            ))));
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Some(Ok(line)));
        }
    }
}

fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(line).map_err(|error| {
        format!(
            "not UTF-8 at byte {}: is the file in another encoding?",
            error.valid_up_to()
        )
    })?;
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(error) if error.is_eof() => Err("the JSON ends too early: was the line cut off?".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn fields(columns: &[String], record: &csv::ByteRecord) -> Result<Map<String, Value>, String> {
    if record.len() != columns.len() {
        return Err(format!(
            "has {} columns, the header has {}",
            record.len(),
            columns.len()
        ));
    }
    columns
        .iter()
        .zip(record)
        .map(|(column, value)| match std::str::from_utf8(value) {
            Ok(value) => Ok((column.clone(), Value::from(value))),
            Err(_) => Err(format!(
                "column `{column}` is not UTF-8: is the file in another encoding?"
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn rows(ending: &str, bytes: &[u8]) -> Vec<Row> {
        let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Rows::open(file.path(), None, Mapping::default())
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn problems(rows: &[Row]) -> Vec<(u64, &str)> {
        rows.iter()
            .filter_map(|row| Some((row.number, row.post.as_ref().err()?.as_str())))
            .collect()
    }

    #[test]
    fn an_invalid_line_is_reported_and_reading_continues() {
        let mut bytes = b"{\"id\":\"1\"}\n{\"id\":\n\n[1]\n{\"id\":\"\xff\"}\n".to_vec();
        bytes.extend(vec![b'x'; LINE_LIMIT + 10]);
        bytes.extend_from_slice(b"\n{\"id\":\"5\"}");
        let rows = rows(".jsonl", &bytes);
        let found = problems(&rows);
        assert_eq!(found.len(), 4, "{found:?}");
        for ((number, problem), hint) in found.iter().zip(["too early", "object", "UTF-8", "1048576"]) {
            assert!(problem.contains(hint), "{number}: {problem}");
        }
        assert_eq!(rows.last().unwrap().post.as_ref().unwrap()["id"], "5");
    }

    #[test]
    fn a_csv_keeps_quoted_newlines_and_reports_short_rows() {
        let rows = rows(".csv", "\u{feff}id,text\n1,\"two\nlines\"\n2\n3,ok\n".as_bytes());
        assert_eq!(rows[0].post.as_ref().unwrap()["text"], "two\nlines");
        assert_eq!(rows[0].post.as_ref().unwrap()["id"], "1");
        assert_eq!(problems(&rows), [(2, "has 1 columns, the header has 2")]);
        assert_eq!(rows.len(), 3);
    }
}
