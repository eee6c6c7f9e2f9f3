//! The lines of a text, of bounded length, which can be put back.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};

/// Maximum bytes of a line, and of a record of several lines. Longer ones are reported and skipped.
pub(super) const LIMIT: usize = 1 << 20;

/// A line with its number from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    /// The bytes with the line ending, or why there are none.
    pub(super) bytes: Result<Vec<u8>, String>,
}

/// Reads lines.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    /// The last byte of a line: `\n`, or `\r` in files of old Macintosh programs.
    end: u8,
    number: u64,
    waiting: VecDeque<Line>,
}

impl Lines {
    /// `head` are the first bytes of `reader`.
    pub(super) fn new(reader: Box<dyn BufRead + Send>, head: &[u8]) -> Self {
        let end = if !head.contains(&b'\n') && head.contains(&b'\r') {
            b'\r'
        } else {
            b'\n'
        };
        Self {
            reader,
            end,
            number: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) fn next_filled(&mut self) -> io::Result<Option<Line>> {
        loop {
            match self.next()? {
                Some(line) if matches!(&line.bytes, Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace)) =>
                    {}
                other => return Ok(other),
            }
        }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.waiting.pop_front() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        let n = self
            .reader
            .by_ref()
            .take(LIMIT as u64 + 1)
            .read_until(self.end, &mut bytes)?;
        if n == 0 {
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        if bytes.len() > LIMIT && bytes.last() != Some(&self.end) {
            let passed = self.reader.skip_until(self.end)?;
            let problem = format!("the line is {} bytes long, the limit is {LIMIT}", n + passed);
            return Ok(Some(Line {
                number,
                bytes: Err(problem),
            }));
        }
        Ok(Some(Line {
            number,
            bytes: Ok(bytes),
        }))
    }

    /// Puts lines back, so that they are read again.
    pub(super) fn put_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        for line in lines.rev() {
            self.waiting.push_front(line);
        }
    }
}
