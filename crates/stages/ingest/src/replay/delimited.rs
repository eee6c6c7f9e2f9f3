//! Records of CSV and TSV files.
//!
//! In a CSV file a quote can span lines (RFC 4180). A quote that never closes, or that closes in another record, must not swallow
//! rows: then only the line of the quote is reported, and reading goes on behind it. TSV has no quotes.

use std::io;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::lines::{LIMIT, Lines};

const NEVER_CLOSES: &str =
    "a quote opens and never closes: close it, or write it twice if it belongs to the text";
const CLOSES_ELSEWHERE: &str = "a quote opens and closes in the middle of a field of a later line: close it, or write it twice if it belongs to the text";

/// A record with the number of its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: u64,
    /// The fields, or why there are none.
    pub(super) fields: Result<Vec<Vec<u8>>, String>,
    /// The size of the record in the file.
    pub(super) bytes: usize,
}

/// What a look at the quotes of some bytes found.
struct Scan {
    /// A quote is open at the end.
    is_open: bool,
    /// A quote closes, and text follows before the field ends.
    is_torn: bool,
}

/// Reads records.
pub(super) struct Delimited {
    lines: Lines,
    reader: Reader,
    separator: u8,
    quotes: bool,
    /// The number of fields that a record must have. 0 = not known yet.
    columns: usize,
}

impl Delimited {
    pub(super) fn new(lines: Lines, separator: u8, quotes: bool) -> Self {
        Self {
            lines,
            reader: ReaderBuilder::new().delimiter(separator).quoting(quotes).build(),
            separator,
            quotes,
            columns: 0,
        }
    }

    /// States how many fields each further record must have.
    pub(super) fn expect_columns(&mut self, columns: usize) {
        self.columns = columns;
    }

    /// The number of columns of the next record, which is not taken.
    pub(super) fn count_columns(&mut self) -> io::Result<usize> {
        let Some(line) = self.lines.next_filled()? else {
            return Ok(0);
        };
        let count = line.bytes.as_ref().map_or(0, |bytes| self.split(bytes).len());
        self.lines.put_back(std::iter::once(line));
        Ok(count)
    }

    /// The next record; `None` at the end.
    pub(super) fn next_record(&mut self) -> io::Result<Option<Record>> {
        let Some(first) = self.lines.next_filled()? else {
            return Ok(None);
        };
        let line = first.number;
        let bytes = match first.bytes {
            Ok(bytes) => bytes,
            Err(problem) => {
                return Ok(Some(Record {
                    line,
                    fields: Err(problem),
                    bytes: 0,
                }));
            }
        };
        if self.quotes && self.scan(&bytes, false).is_open {
            return self.spanning(line, bytes).map(Some);
        }
        Ok(Some(Record {
            line,
            fields: self.checked(&bytes),
            bytes: bytes.len(),
        }))
    }

    /// A record whose first line ends inside a quote.
    fn spanning(&mut self, line: u64, first: Vec<u8>) -> io::Result<Record> {
        let length = first.len();
        let mut record = first;
        let mut more = Vec::new();
        let mut problem = Some(NEVER_CLOSES.to_owned());
        while record.len() <= LIMIT {
            let Some(next) = self.lines.next()? else { break };
            let text = next.bytes.clone();
            more.push(next);
            let Ok(text) = text else { break };
            record.extend_from_slice(&text);
            let scan = self.scan(&text, true);
            if scan.is_torn {
                problem = Some(CLOSES_ELSEWHERE.to_owned());
                break;
            }
            if !scan.is_open {
                problem = None;
                break;
            }
        }
        let fields = match problem {
            None => self.checked(&record).map_err(|problem| {
                format!("a quote opens and closes in a later line, and the record {problem}")
            }),
            Some(problem) => Err(problem),
        };
        let bytes = if fields.is_ok() {
            record.len()
        } else {
            // The lines behind the first may be rows of their own.
            self.lines.put_back(more.into_iter());
            length
        };
        Ok(Record { line, fields, bytes })
    }

    /// Looks for quotes in `bytes`, at whose beginning one is open or not.
    fn scan(&self, bytes: &[u8], was_open: bool) -> Scan {
        let mut scan = Scan {
            is_open: was_open,
            is_torn: false,
        };
        let mut at_start = !was_open;
        let mut rest = bytes.iter().copied().peekable();
        while let Some(byte) = rest.next() {
            if !scan.is_open {
                scan.is_open = at_start && byte == b'"';
                at_start = self.ends_field(byte);
            } else if byte == b'"' && rest.next_if_eq(&b'"').is_none() {
                scan.is_open = false;
                at_start = false;
                scan.is_torn |= rest.peek().is_some_and(|next| !self.ends_field(*next));
            }
        }
        scan
    }

    const fn ends_field(&self, byte: u8) -> bool {
        byte == self.separator || byte == b'\n' || byte == b'\r'
    }

    fn checked(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let fields = self.split(bytes);
        if self.columns != 0 && fields.len() != self.columns {
            return Err(format!(
                "has {} columns, the first row has {}",
                fields.len(),
                self.columns
            ));
        }
        Ok(fields)
    }

    fn split(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.reader.reset();
        let mut text = vec![0; bytes.len() + 1];
        let mut ends = vec![0; self.columns.max(64)];
        let (mut used, mut count) = (0, 0);
        let mut rest = bytes;
        loop {
            let (result, read, written, found) =
                self.reader
                    .read_record(rest, &mut text[used..], &mut ends[count..]);
            rest = &rest[read..];
            used += written;
            count += found;
            match result {
                ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
                ReadRecordResult::OutputFull => text.resize(text.len() * 2, 0),
                // The next call is without input, which ends the record.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        let mut start = 0;
        let fields = ends[..count].iter().map(|end| {
            let field = text[start..*end].to_vec();
            start = *end;
            field
        });
        fields.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn records(text: &'static str, separator: u8, quotes: bool, columns: usize) -> Vec<Record> {
        let lines = Lines::new(Box::new(Cursor::new(text)), text.as_bytes());
        let mut delimited = Delimited::new(lines, separator, quotes);
        delimited.expect_columns(columns);
        std::iter::from_fn(|| delimited.next_record().unwrap()).collect()
    }

    fn texts(records: &[Record]) -> Vec<String> {
        let text = |record: &Record| match &record.fields {
            Ok(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|field| String::from_utf8_lossy(field))
                    .collect();
                format!("{} {}", record.line, fields.join("|"))
            }
            Err(problem) => format!("{} ! {problem}", record.line),
        };
        records.iter().map(text).collect()
    }

    #[test]
    fn a_quote_spans_lines_and_two_are_one() {
        let found = records("1,\"two\nlines, \"\"x\"\"\"\n2,a\"b\n\n3,\"\"", b',', true, 2);
        assert_eq!(texts(&found), ["1 1|two\nlines, \"x\"", "3 2|a\"b", "5 3|"]);
    }

    #[test]
    fn a_quote_that_never_closes_costs_its_line_only() {
        let found = texts(&records("1,\"open\n2,b\n3,c\n", b',', true, 2));
        assert!(
            found[0].starts_with("1 ! a quote opens and never closes"),
            "{found:?}"
        );
        assert_eq!(found[1..], ["2 2|b", "3 3|c"]);
    }

    #[test]
    fn a_quote_that_closes_in_another_record_costs_its_line_only() {
        let found = texts(&records("1,\"open,x\n2,b\n3,\"c\"\n4,d\n", b',', true, 2));
        assert!(
            found[0].starts_with("1 ! a quote opens and closes in the middle"),
            "{found:?}"
        );
        assert_eq!(found[1..], ["2 2|b", "3 3|c", "4 4|d"]);
    }

    #[test]
    fn a_tab_separated_file_has_no_quotes() {
        let found = records("1\t\"no quote\n2\tb\n", b'\t', false, 2);
        assert_eq!(texts(&found), ["1 1|\"no quote", "2 2|b"]);
    }

    #[test]
    fn lines_of_old_macintosh_files_end_with_a_carriage_return() {
        assert_eq!(texts(&records("1,a\r2,b\r", b',', true, 2)), ["1 1|a", "2 2|b"]);
    }
}
