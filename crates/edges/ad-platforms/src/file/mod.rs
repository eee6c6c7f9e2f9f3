//! An ad platform that is a file: JSON Lines, one line for each decision.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use limbic_domain::{Utc, event_id};
use serde::{Deserialize, Serialize};

use limbic_deliver::{AdPlatform, Addressing, Answer, Delivery, DeliveryBody, Pause, PlatformLimits};

mod component;
mod settings;

pub use settings::FileSettings;

/// Maximum number of lines that are written with one flush.
const AT_ONCE: usize = 256;
/// Maximum duration of a flush. A busy disk can be slow.
const DEADLINE: Duration = Duration::from_mins(1);
/// How long to wait for another process that writes to the file.
const BUSY: Duration = Duration::from_millis(50);

/// The platform's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system reports an error.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A complete line is not a delivery.
    #[error("{path}, byte {offset}: not a delivery ({source}): move the file aside and start again", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The start of the line.
        offset: u64,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// Another process has locked the file.
    #[error("{path} is being written by another process: try again", path = path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Serialize)]
struct NewLine<'a> {
    #[serde(flatten)]
    delivery: DeliveryBody<'a>,
    delivered_at: Utc,
}

/// The line of an ad that must not be shown any more, as written.
#[derive(Serialize)]
struct PausedLine<'a> {
    #[serde(flatten)]
    pause: &'a Pause,
    paused_at: Utc,
}

/// A line to append, with the key that it is known by.
struct Entry {
    key: String,
    line: Vec<u8>,
}

impl Entry {
    fn new(key: String, line: &impl Serialize) -> Self {
        let mut line = serde_json::to_vec(line).expect("a line has string keys and finite numbers");
        line.push(b'\n');
        Self { key, line }
    }
}

/// The needed part of an existing line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    decision: Cow<'a, str>,
}

impl Line<'_> {
    fn key(&self) -> String {
        if self.kind == "ad.paused" {
            Pause::key_of(&self.decision)
        } else {
            self.decision.clone().into_owned()
        }
    }
}

/// Appends each delivery as one JSON line ([`Delivery`] and `delivered_at`), and each order to stop an ad ([`Pause`] and
/// `paused_at`). Answers when the lines are on disk.
///
/// When the file is opened, its decisions are read, unless another process writes at that moment. Before each write, the lines that other
/// processes added are read.
/// An exclusive lock separates the writers. A last line without its end was never acknowledged, and is cut off. Memory:
/// 16 bytes and the set's overhead for each line, so start a new file from time to time.
#[derive(Debug)]
pub struct FilePlatform {
    writer: Mutex<Writer>,
    send: Addressing,
}

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    file: File,
    /// The number of bytes that have been read.
    length: u64,
    known: HashSet<u128>,
}

impl FilePlatform {
    /// Opens or creates the file, and reads its decisions.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self {
            writer: Mutex::new(Writer::open(path)?),
            send: Addressing::default(),
        })
    }

    /// Names this in each delivery.
    #[must_use]
    pub const fn sending(mut self, send: Addressing) -> Self {
        self.send = send;
        self
    }
}

impl Writer {
    fn open(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io {
            path: path.to_owned(),
            source,
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed)?;
        // The file's name must survive a power failure, like its lines.
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        let mut writer = Self {
            path: path.to_owned(),
            file,
            length: 0,
            known: HashSet::new(),
        };
        match writer.locked(Self::catch_up) {
            // Another process writes at this moment. What the file has is read before the first write.
            Ok(()) | Err(FileError::Busy { .. }) => Ok(writer),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, source: io::Error) -> FileError {
        FileError::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// Runs `work` while no other process writes.
    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, FileError>) -> Result<T, FileError> {
        match self.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FileError::Busy {
                    path: self.path.clone(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(self.failed(source)),
        }
        let done = work(self);
        let unlocked = self.file.unlock().map_err(|source| self.failed(source));
        done.and_then(|value| unlocked.map(|()| value))
    }

    /// Reads the new lines, and cuts off a last line without its end. Under the lock, no process is writing it.
    fn catch_up(&mut self) -> Result<(), FileError> {
        let length = self.file.metadata().map_err(|source| self.failed(source))?.len();
        if length < self.length {
            // The file was emptied, so read it from the start.
            self.length = 0;
            self.known.clear();
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.length))
            .map_err(|source| self.failed(source))?;
        let mut reader = BufReader::new(file.take(length - self.length));
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader
                .read_until(b'\n', &mut line)
                .map_err(|source| self.failed(source))?;
            if line.last() != Some(&b'\n') {
                break;
            }
            let read_line: Line<'_> = serde_json::from_slice(&line).map_err(|source| FileError::Damaged {
                path: self.path.clone(),
                offset: self.length,
                source,
            })?;
            self.known.insert(fingerprint(&read_line.key()));
            self.length += read as u64;
        }
        if self.length < length {
            tracing::warn!(path = %self.path.display(), bytes = length - self.length, "cut off a torn last line");
            self.file
                .set_len(self.length)
                .map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Writes the lines that are not in the file, and flushes them to disk.
    fn append(&mut self, entries: &[Entry]) -> Result<(), FileError> {
        self.catch_up()?;
        let mut lines = Vec::new();
        let mut added = HashSet::new();
        for entry in entries {
            let print = fingerprint(&entry.key);
            if !self.known.contains(&print) && added.insert(print) {
                lines.extend_from_slice(&entry.line);
            }
        }
        let written = (&self.file)
            .write_all(&lines)
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Partly written lines were not acknowledged. They are cut off, now or at the next read.
            let _ = self.file.set_len(self.length);
            return Err(self.failed(source));
        }
        self.length += lines.len() as u64;
        self.known.extend(added);
        Ok(())
    }
}

impl AdPlatform for FilePlatform {
    /// There is one writer. It writes all lines of a call with one flush.
    fn limits(&self) -> PlatformLimits {
        PlatformLimits {
            concurrency: AT_ONCE,
            batch: AT_ONCE,
            deadline: DEADLINE,
            rate: None,
        }
    }

    fn deliver(&self, deliveries: &[&Delivery], now: Utc) -> Vec<Answer> {
        let lines = deliveries.iter().map(|delivery| {
            let line = NewLine {
                delivery: delivery.body(self.send),
                delivered_at: now,
            };
            Entry::new(delivery.decision.clone(), &line)
        });
        self.write(&lines.collect::<Vec<_>>())
    }

    fn pause(&self, pauses: &[&Pause], now: Utc) -> Vec<Answer> {
        let lines = pauses.iter().map(|pause| {
            Entry::new(
                pause.key(),
                &PausedLine {
                    pause,
                    paused_at: now,
                },
            )
        });
        self.write(&lines.collect::<Vec<_>>())
    }
}

impl FilePlatform {
    fn write(&self, entries: &[Entry]) -> Vec<Answer> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match writer.locked(|writer| writer.append(entries)) {
            Ok(()) => Answer::Applied(()),
            Err(error @ FileError::Busy { .. }) => Answer::RetryAfter {
                wait: Some(BUSY),
                detail: error.to_string(),
            },
            Err(error) => Answer::Unknown {
                detail: error.to_string(),
            },
        };
        vec![answer; entries.len()]
    }
}

fn fingerprint(decision: &str) -> u128 {
    u128::from_str_radix(&event_id("line", &[decision]), 16).expect("an event id is 32 hexadecimal digits")
}
