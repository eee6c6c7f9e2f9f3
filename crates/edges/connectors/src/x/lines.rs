//! The lines of a stream: one JSON object each. An empty line is a sign of life.

/// The most bytes that wait for the end of a line: a longer line is not read.
const LONGEST: usize = 1 << 20;

/// Divides bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// The first byte that is not read yet.
    at: usize,
    /// No line ends before this byte: what was searched is not searched again when more arrives.
    searched: usize,
}

impl Lines {
    /// Adds bytes that have arrived. Fails if a line is longer than the connector reads.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.bytes.drain(..self.at);
        self.searched = self.searched.saturating_sub(self.at);
        self.at = 0;
        if self.searched > LONGEST && !bytes.contains(&b'\n') {
            return Err(format!("a line has more than {LONGEST} bytes"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next complete line that is not empty.
    pub(super) fn next(&mut self) -> Option<String> {
        loop {
            let rest = &self.bytes[self.at..];
            let from = self.searched.saturating_sub(self.at);
            let found = rest[from..].iter().position(|byte| *byte == b'\n');
            let Some(end) = found.map(|place| from + place) else {
                self.searched = self.bytes.len();
                return None;
            };
            let line = String::from_utf8_lossy(&rest[..end]);
            let line = line.trim();
            let found = (!line.is_empty()).then(|| line.to_owned());
            self.at += end + 1;
            if found.is_some() {
                return found;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_for_every_division_into_pieces() {
        let text = "\r\n{\"a\": 1}\r\n\r\n{\"b\": \"é\"}\r\n{\"c\"";
        for size in 1..text.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                lines.push(piece).unwrap();
                found.extend(std::iter::from_fn(|| lines.next()));
            }
            assert_eq!(found, ["{\"a\": 1}", "{\"b\": \"é\"}"], "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_without_a_limit() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; LONGEST + 1];
        assert_eq!(lines.push(&piece), Ok(()));
        assert_eq!(lines.next(), None);
        assert!(lines.push(b"x").is_err());
    }
}
