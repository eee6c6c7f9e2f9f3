//! Reads the lines of a file on several threads, in bounded memory, with correct line numbers.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::EvaluateError;

/// Bytes per unit of work.
const RANGE: u64 = 16 << 20;
/// Bytes per read.
const BLOCK: usize = 1 << 20;
/// A longer line is an error, so that memory stays bounded.
const LONGEST: usize = 64 << 20;

/// What some programs write at the beginning of a file in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads single lines; there is one reader per range of the file.
pub(super) trait LineReader {
    /// The result of a range of the file.
    type Part: Send;

    /// Reads a line without its line break. `line` counts from 1 within the range.
    fn read(&mut self, line: u64, bytes: &[u8]);

    /// The result of the lines read so far.
    fn finish(self) -> Self::Part;
}

/// Where reading begins: the byte offset, and the number of lines before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Start {
    pub(super) byte: u64,
    pub(super) lines: u64,
}

/// Reads the lines of `path`. `merge` receives the result of each range, in the order of the file, with the number of
/// lines before it. `progress` receives the bytes read and the size of the file.
pub(super) fn read_lines<R: LineReader>(
    path: &Path,
    start: Start,
    threads: usize,
    reader: impl Fn() -> R + Sync,
    mut merge: impl FnMut(R::Part, u64),
    mut progress: impl FnMut(u64, u64),
) -> Result<(), EvaluateError> {
    let failed = |source| EvaluateError::read(path, source);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let ranges = size.saturating_sub(start.byte).div_ceil(RANGE) as usize;
    let next = AtomicUsize::new(0);
    let mut lines_before = start.lines;
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(2 * threads);
        for _ in 0..threads.clamp(1, ranges.max(1)) {
            let (send, file, next, reader) = (send.clone(), &file, &next, &reader);
            scope.spawn(move || {
                loop {
                    let range = next.fetch_add(1, Ordering::Relaxed);
                    if range >= ranges {
                        return;
                    }
                    let begin = start.byte + range as u64 * RANGE;
                    let end = (begin + RANGE).min(size);
                    let mut reader = reader();
                    let lines = read_range(file, (start.byte, begin, end, size), &mut reader);
                    let part = lines.map(|lines| (lines, reader.finish()));
                    if send.send((range, end, part)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = std::collections::BTreeMap::new();
        let mut expected = 0;
        for (range, end, part) in receive {
            waiting.insert(range, (end, part.map_err(failed)?));
            while let Some((end, (lines, part))) = waiting.remove(&expected) {
                merge(part, lines_before);
                lines_before += lines;
                expected += 1;
                progress(end, size);
            }
        }
        Ok(())
    })
}

/// Reads the lines that begin in `[begin, end)`; a line may end beyond it. Returns the number of lines.
fn read_range(
    file: &File,
    (start, begin, end, size): (u64, u64, u64, u64),
    reader: &mut impl LineReader,
) -> std::io::Result<u64> {
    let mut buffer = Vec::with_capacity(BLOCK + (BLOCK >> 2));
    // A line begins at `begin` only if a line break is just before, so that byte is read too.
    let mut position = if begin == start { begin } else { begin - 1 };
    let mut line_begin = position;
    let mut skipping = begin != start;
    let mut lines = 0;
    loop {
        let held = buffer.len();
        let wanted = (size - position).min(BLOCK as u64) as usize;
        buffer.resize(held + wanted, 0);
        file.read_exact_at(&mut buffer[held..], position)?;
        position += wanted as u64;
        let at_end = position == size;
        let mut used = 0;
        let mut breaks = memchr::memchr_iter(b'\n', &buffer[held..]).map(|at| at + held);
        loop {
            let stop = match breaks.next() {
                Some(stop) => stop,
                None if at_end && used < buffer.len() => buffer.len(),
                None => break,
            };
            if skipping {
                skipping = false;
            } else {
                if line_begin >= end {
                    return Ok(lines);
                }
                lines += 1;
                let mut line = &buffer[used..stop];
                if line_begin == 0 {
                    line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
                }
                // A blank line is not a row that is wrong.
                if !line.trim_ascii().is_empty() {
                    reader.read(lines, line.strip_suffix(b"\r").unwrap_or(line));
                }
            }
            line_begin += (stop - used) as u64 + 1;
            used = (stop + 1).min(buffer.len());
        }
        if at_end || line_begin >= end && !skipping {
            return Ok(lines);
        }
        buffer.drain(..used);
        if buffer.len() > LONGEST {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "a line is longer than 64 MiB: not a log",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lengths(Vec<(u64, usize)>);

    impl LineReader for Lengths {
        type Part = ();

        fn read(&mut self, line: u64, bytes: &[u8]) {
            self.0.push((line, bytes.len()));
        }

        fn finish(self) {}
    }

    /// Every way of cutting a file into two ranges reads every line once.
    #[test]
    fn wherever_a_file_is_cut_each_line_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        for (text, lines, expected) in [
            ("ab\n\ncde\r\nf", 4, vec![2, 3, 1]),
            ("\u{feff}ab\n \r\nc", 3, vec![2, 1]),
            ("ab\nc\n", 2, vec![2, 1]),
            ("\n", 1, vec![]),
        ] {
            let path = folder.path().join("log");
            std::fs::write(&path, text).unwrap();
            let file = File::open(&path).unwrap();
            let size = text.len() as u64;
            for cut in 0..=size {
                let mut seen = Vec::new();
                let mut total = 0;
                for (begin, end) in [(0, cut), (cut, size)] {
                    if begin == end {
                        continue;
                    }
                    let mut reader = Lengths::default();
                    total += read_range(&file, (0, begin, end, size), &mut reader).unwrap();
                    seen.extend(reader.0.iter().map(|&(_, length)| length));
                }
                assert_eq!(seen, expected, "{text:?} cut at {cut}");
                assert_eq!(total, lines);
            }
        }
    }
}
