//! A file of JSON Lines that another program appends to.

mod component;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use limbic_domain::random;

use crate::{Connector, ConnectorError, Cursor, Failure, Item, Page};

pub use component::JsonLinesSettings;

/// Maximum bytes of one page, and so of one line.
const PAGE_BYTES: u64 = 4 << 20;
/// The number of bytes at the start of a file that identify it.
const HEAD_BYTES: u64 = 256;

/// Follows a file: each complete line is a post, or a deletion (an object with `deleted_at`). The cursor is the offset after the last line, with a hash of the start
/// of the file. If the file was replaced or shortened, it is read from its start.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    longest: u64,
}

/// A parsed cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// The next byte to read.
    offset: u64,
    /// The number of hashed bytes at the start of the file.
    head: u64,
    /// Their hash.
    hash: u64,
}

/// The lines of a read.
struct Lines {
    items: Vec<Item>,
    /// The offset after the last line.
    end: u64,
    has_more: bool,
}

impl JsonLines {
    /// Follows the file at `path`. The file need not exist yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            longest: PAGE_BYTES,
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn unavailable(&self, error: &io::Error) -> ConnectorError {
        ConnectorError::Unavailable {
            source_name: self.name(),
            detail: error.to_string(),
            failure: Failure::Connection,
            retry_after: None,
        }
    }

    /// The offset to continue at in `file`. 0 if the cursor belongs to another file.
    fn resume(&self, file: &mut File, after: Option<&Cursor>) -> Result<u64, ConnectorError> {
        let Some(cursor) = after else {
            return Ok(0);
        };
        let position = Position::parse(&cursor.0).ok_or_else(|| ConnectorError::UnknownCursor {
            source_name: self.name(),
            cursor: cursor.0.clone(),
        })?;
        let length = file.metadata().map_err(|error| self.unavailable(&error))?.len();
        let (_, hash) = head(file, position.head).map_err(|error| self.unavailable(&error))?;
        if length < position.offset || hash != position.hash {
            tracing::warn!(path = %self.path.display(), "the file was replaced: reading it from its beginning");
            return Ok(0);
        }
        Ok(position.offset)
    }

    fn read(&self, file: &mut File, from: u64, most: usize) -> io::Result<Lines> {
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.by_ref().take(self.longest).read_to_end(&mut bytes)?;
        let mut items = Vec::new();
        let mut offset = from;
        let mut rest = &bytes[..];
        while items.len() < most
            && let Some(end) = rest.iter().position(|&byte| byte == b'\n')
        {
            let line = &rest[..end];
            if !line.iter().all(u8::is_ascii_whitespace) {
                items.push(match serde_json::from_slice::<serde_json::Value>(line) {
                    Ok(change) if change.get("deleted_at").is_some() => Item::Deletion(change),
                    Ok(post) => Item::Post(post),
                    Err(error) => Item::Unreadable(format!("byte {offset}: not JSON: {error}")),
                });
            }
            offset += end as u64 + 1;
            rest = &rest[end + 1..];
        }
        if offset == from && bytes.len() as u64 == self.longest {
            return self.skip_line(file, from);
        }
        Ok(Lines {
            items,
            end: offset,
            has_more: rest.contains(&b'\n') || bytes.len() as u64 == self.longest,
        })
    }

    /// Skips a line that is longer than a page, when the line is complete.
    fn skip_line(&self, file: &mut File, from: u64) -> io::Result<Lines> {
        let mut read = self.longest;
        let mut bytes = vec![0; 64 << 10];
        loop {
            let length = file.read(&mut bytes)?;
            if length == 0 {
                return Ok(Lines {
                    items: Vec::new(),
                    end: from,
                    has_more: false,
                });
            }
            if let Some(end) = bytes[..length].iter().position(|&byte| byte == b'\n') {
                read += end as u64 + 1;
                let problem = format!(
                    "byte {from}: a line of {} bytes; the longest that is read has {}",
                    read - 1,
                    self.longest
                );
                return Ok(Lines {
                    items: vec![Item::Unreadable(problem)],
                    end: from + read,
                    has_more: true,
                });
            }
            read += length as u64;
        }
    }
}

impl Connector for JsonLines {
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Page {
                    next: after.cloned(),
                    ..Page::default()
                });
            }
            Err(error) => return Err(self.unavailable(&error)),
        };
        let from = self.resume(&mut file, after)?;
        let lines = self
            .read(&mut file, from, most)
            .map_err(|error| self.unavailable(&error))?;
        // Only bytes that were read are hashed, because later bytes may still change.
        let (head, hash) =
            head(&mut file, lines.end.min(HEAD_BYTES)).map_err(|error| self.unavailable(&error))?;
        let next = Position {
            offset: lines.end,
            head,
            hash,
        };
        Ok(Page {
            items: lines.items,
            next: Some(Cursor(next.to_string())),
            has_more: lines.has_more,
            ..Page::default()
        })
    }
}

/// Length and hash of the start of a file.
fn head(file: &mut File, length: u64) -> io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(length.min(HEAD_BYTES))
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64, random::hash(&bytes)))
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let position = Self {
            offset: parts.next()?.parse().ok()?,
            head: parts.next()?.parse().ok()?,
            hash: u64::from_str_radix(parts.next()?, 16).ok()?,
        };
        parts.next().is_none().then_some(position)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{:x}", self.offset, self.head, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;
    use crate::{PullError, pull_once};

    struct Scene {
        _folder: tempfile::TempDir,
        path: PathBuf,
        source: JsonLines,
        cursor: Option<Cursor>,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("posts.jsonl");
            Self {
                source: JsonLines::new(&path),
                _folder: folder,
                path,
                cursor: None,
            }
        }

        fn append(&self, text: &str) {
            let mut options = File::options();
            let mut file = options.create(true).append(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        /// Everything that is ready.
        fn drain(&mut self, most: usize) -> Vec<Item> {
            let mut all = Vec::new();
            let accept = |all: &mut Vec<_>, posts| {
                all.extend::<Vec<_>>(posts);
                Ok::<(), io::Error>(())
            };
            while pull_once(&mut self.source, &mut self.cursor, most, |posts| {
                accept(&mut all, posts)
            })
            .unwrap()
            {}
            all
        }
    }

    #[test]
    fn every_complete_line_comes_once_and_in_order_for_any_page_size() {
        for most in [1, 2, 100] {
            let mut scene = Scene::new();
            assert_eq!(scene.drain(most), [], "the file may appear later");
            scene.append("{\"n\":1}\n\n{\"n\":2}\n{\"n\":");
            assert_eq!(
                scene.drain(most),
                [Item::Post(json!({"n": 1})), Item::Post(json!({"n": 2}))]
            );
            scene.append("3}\n{\"n\":4}\n");
            assert_eq!(
                scene.drain(most),
                [Item::Post(json!({"n": 3})), Item::Post(json!({"n": 4}))]
            );
            assert_eq!(scene.drain(most), []);
        }
    }

    #[test]
    fn a_page_that_is_not_accepted_is_pulled_again() {
        let mut scene = Scene::new();
        scene.append("{\"n\":1}\n");
        let refused = pull_once(&mut scene.source, &mut scene.cursor, 10, |_| Err("full"));
        assert!(matches!(refused, Err(PullError::NotAccepted("full"))));
        assert_eq!(scene.drain(10), [Item::Post(json!({"n": 1}))]);
    }

    #[test]
    fn an_invalid_line_and_a_line_that_is_too_long_are_errors_and_reading_continues() {
        let mut scene = Scene::new();
        scene.source.longest = 16;
        scene.append("{\"n\":1}\nnot json\n");
        scene.append(&format!("{{\"n\":\"{}\"}}\n{{\"n\":2}}\n", "x".repeat(100)));
        let posts = scene.drain(10);
        assert_eq!(
            (&posts[0], &posts[3]),
            (&Item::Post(json!({"n": 1})), &Item::Post(json!({"n": 2})))
        );
        let problem = |n: usize| match &posts[n] {
            Item::Unreadable(problem) => problem.clone(),
            other => panic!("{other:?} was read"),
        };
        assert!(problem(1).contains("byte 8: not JSON"), "{}", problem(1));
        assert!(
            problem(2).contains("byte 17: a line of 108 bytes"),
            "{}",
            problem(2)
        );
        assert_eq!(posts.len(), 4);
    }

    #[test]
    fn a_file_that_was_replaced_is_read_from_its_beginning() {
        let mut scene = Scene::new();
        scene.append("{\"n\":1}\n{\"n\":2}\n");
        assert_eq!(scene.drain(10).len(), 2);
        std::fs::write(&scene.path, "{\"n\":3}\n").unwrap();
        assert_eq!(scene.drain(10), [Item::Post(json!({"n": 3}))], "it is shorter");
        std::fs::write(&scene.path, "{\"n\":4}\n{\"n\":5}\n").unwrap();
        assert_eq!(scene.drain(10).len(), 2, "its beginning differs");
    }

    #[test]
    fn a_cursor_in_another_form_is_refused() {
        let mut scene = Scene::new();
        scene.append("{\"n\":1}\n");
        for foreign in ["", "7", "a-b-c", "1-1-1-1"] {
            let error = scene
                .source
                .pull(Some(&Cursor(foreign.to_owned())), 10)
                .unwrap_err();
            assert!(error.to_string().contains("remove the stored cursor"), "{error}");
        }
    }
}
