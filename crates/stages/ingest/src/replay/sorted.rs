//! Rows in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};

use super::Row;

/// About how many bytes a row has in memory beside its text.
const ROW: usize = 512;

/// A row with its place in the order. A row without a time has that of the row before it, so that problems stay beside their
/// neighbours.
#[derive(Debug, Serialize, Deserialize)]
struct Placed {
    at: Utc,
    row: Row,
}

impl Placed {
    const fn key(&self) -> (Utc, u64) {
        (self.at, self.row.number)
    }
}

/// The rows of a file in the order of their times, and of the file where times are equal.
///
/// It keeps a stated number of bytes in memory. Larger files are sorted in parts, which are written to temporary files and merged
/// (an external merge sort).
pub struct Sorted {
    parts: Vec<Part>,
    /// The first row of each part: its key and the part's index.
    first: BinaryHeap<Reverse<((Utc, u64), usize)>>,
    rows: Vec<Option<Placed>>,
    given: u64,
    length: u64,
}

enum Part {
    Memory(std::vec::IntoIter<Placed>),
    Disk(BufReader<File>),
}

impl Part {
    fn next(&mut self) -> io::Result<Option<Placed>> {
        let reader = match self {
            Self::Memory(rows) => return Ok(rows.next()),
            Self::Disk(reader) => reader,
        };
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

impl Sorted {
    /// Reads and sorts `rows`, with at most about `memory` bytes of them in memory.
    pub fn new(rows: impl Iterator<Item = io::Result<Row>>, memory: usize) -> io::Result<Self> {
        let mut parts = Vec::new();
        let mut waiting: Vec<Placed> = Vec::new();
        let (mut used, mut last, mut length) = (0, Utc::MIN, 0);
        for row in rows {
            let row = row?;
            last = row.at.unwrap_or(last);
            used += 4 * row.bytes + ROW;
            length += 1;
            waiting.push(Placed { at: last, row });
            if used >= memory {
                parts.push(Part::Disk(write(&mut waiting)?));
                used = 0;
            }
        }
        waiting.sort_unstable_by_key(Placed::key);
        parts.push(Part::Memory(waiting.into_iter()));
        let mut sorted = Self {
            first: BinaryHeap::new(),
            rows: parts.iter().map(|_| None).collect(),
            parts,
            given: 0,
            length,
        };
        for part in 0..sorted.parts.len() {
            sorted.advance(part)?;
        }
        Ok(sorted)
    }

    /// The number of rows that were taken so far, and of all rows.
    pub const fn progress(&self) -> (u64, u64) {
        (self.given, self.length)
    }

    fn advance(&mut self, part: usize) -> io::Result<()> {
        let next = self.parts[part].next()?;
        if let Some(row) = &next {
            self.first.push(Reverse((row.key(), part)));
        }
        self.rows[part] = next;
        Ok(())
    }
}

impl Iterator for Sorted {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        let Reverse((_, part)) = self.first.pop()?;
        let row = self.rows[part].take()?;
        self.given += 1;
        Some(self.advance(part).map(|()| row.row))
    }
}

/// Writes rows in their order to a temporary file, which the system deletes when it is closed.
fn write(rows: &mut Vec<Placed>) -> io::Result<BufReader<File>> {
    rows.sort_unstable_by_key(Placed::key);
    let mut file = BufWriter::new(tempfile::tempfile()?);
    for row in rows.drain(..) {
        serde_json::to_writer(&mut file, &row)?;
        file.write_all(b"\n")?;
    }
    let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(BufReader::new(file))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(number: u64, at: Option<i64>) -> Row {
        Row {
            number,
            line: number,
            at: at.map(Utc::from_millis),
            post: at.map_or_else(
                || Err("no time".to_owned()),
                |at| Ok(serde_json::json!({"at": at})),
            ),
            bytes: 10,
        }
    }

    #[test]
    fn rows_without_a_time_stay_behind_their_neighbour() {
        let rows = [row(1, Some(9)), row(2, None), row(3, Some(5)), row(4, Some(7))];
        let sorted = Sorted::new(rows.into_iter().map(Ok), 1 << 20).unwrap();
        let numbers: Vec<u64> = sorted.map(|row| row.unwrap().number).collect();
        assert_eq!(numbers, [3, 4, 1, 2]);
    }

    proptest! {
        #[test]
        fn the_order_is_the_same_however_little_memory_there_is(times in proptest::collection::vec(0_i64..50, 0..200), memory in 1_usize..20_000) {
            let rows: Vec<Row> = (1..).zip(&times).map(|(number, at)| row(number, Some(*at))).collect();
            let mut expected = rows.clone();
            expected.sort_by_key(|row| row.at);
            let sorted: Vec<Row> = Sorted::new(rows.into_iter().map(Ok), memory).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(sorted, expected);
        }
    }
}
