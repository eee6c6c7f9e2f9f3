//! A folder that other programs put files of posts into.
//!
//! Each file is read as `limbic replay` reads it (`limbic-ingest`): JSON Lines, JSON, CSV or TSV, in any encoding, also compressed. A
//! program writes a file under a name that begins with a dot or ends with `.tmp` or `.part`, and renames it when it is complete.
//!
//! The cursor names the files of the folder that are read, with their sizes and times, and the row of the file that is being read. A
//! file that changes is read again from its first row; posts that are known are removed behind the edge.

mod component;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use limbic_ingest::replay::{ReadOptions, Rows};
use serde::{Deserialize, Serialize};

use crate::http::unavailable;
use crate::{Connector, ConnectorError, Cursor, Failure, Item, Page};

pub use component::FolderSettings;

/// The most files of a folder, because the cursor names each.
const MOST_FILES: usize = 10_000;

/// Reads the files of a folder.
pub struct Folder {
    path: PathBuf,
    options: ReadOptions,
    interval: Duration,
    /// The file that is being read, at the cursor of the caller.
    open: Option<Open>,
}

struct Open {
    at: Cursor,
    rows: Rows,
}

/// What a cursor says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The files that are read.
    read: BTreeMap<String, Version>,
    /// The file that is being read.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Started>,
}

/// A file that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Started {
    name: String,
    version: Version,
    /// The rows that are read.
    rows: u64,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    bytes: u64,
    /// When it was written, in nanoseconds since 1970.
    at: u64,
}

impl Version {
    fn of(path: &Path) -> std::io::Result<Self> {
        let known = fs::metadata(path)?;
        let at = known.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            bytes: known.len(),
            at: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
        })
    }
}

impl Folder {
    fn new(path: PathBuf, options: ReadOptions, interval: Duration) -> Self {
        Self {
            path,
            options,
            interval,
            open: None,
        }
    }

    fn name(&self) -> String {
        format!("the folder {}", self.path.display())
    }

    fn fail(&self, detail: impl std::fmt::Display) -> ConnectorError {
        unavailable(&self.name(), detail.to_string(), Failure::Connection, None)
    }

    /// The complete files, by their names.
    fn files(&self) -> Result<BTreeMap<String, Version>, ConnectorError> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.path).map_err(|error| self.fail(error))? {
            let entry = entry.map_err(|error| self.fail(error))?;
            // A name that is not Unicode cannot be in a cursor.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let extension = self.path.join(&name);
            let extension = extension.extension().and_then(|extension| extension.to_str());
            let is_part = matches!(extension, Some("tmp" | "part"));
            let is_ready = !name.starts_with('.') && !is_part;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if !is_ready || !is_file {
                continue;
            }
            // A file that has just been removed is not there.
            if let Ok(version) = Version::of(&entry.path()) {
                files.insert(name, version);
            }
        }
        if files.len() > MOST_FILES {
            return Err(self.fail(format_args!(
                "it has {} files, and at most {MOST_FILES} are followed: move files away that are read",
                files.len()
            )));
        }
        Ok(files)
    }

    fn state(&self, cursor: Option<&Cursor>) -> Result<State, ConnectorError> {
        let Some(cursor) = cursor else {
            return Ok(State::default());
        };
        serde_json::from_str(&cursor.0).map_err(|_| ConnectorError::UnknownCursor {
            source_name: self.name(),
            cursor: cursor.0.chars().take(100).collect(),
        })
    }

    /// The rows of the file that is being read, behind those that are read.
    fn rows(&mut self, started: &Started, cursor: Option<&Cursor>) -> Result<Rows, String> {
        if let Some(open) = self.open.take()
            && Some(&open.at) == cursor
        {
            return Ok(open.rows);
        }
        let path = self.path.join(&started.name);
        let mut rows = Rows::open(&path, &self.options).map_err(|error| chain(&error))?;
        for _ in 0..started.rows {
            match rows.next() {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => break,
            }
        }
        Ok(rows)
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

impl Connector for Folder {
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError> {
        let mut state = self.state(after)?;
        let files = self.files()?;
        // Files that are gone need no place in the cursor.
        state.read.retain(|name, _| files.contains_key(name));
        let is_same = |started: &Started| files.get(&started.name) == Some(&started.version);
        if !state.file.as_ref().is_some_and(is_same) {
            self.open = None;
            let next = files
                .iter()
                .find(|(name, version)| state.read.get(*name) != Some(version));
            state.file = next.map(|(name, version)| Started {
                name: name.clone(),
                version: *version,
                rows: 0,
            });
        }
        let mut page = Page::default();
        let Some(mut started) = state.file.take() else {
            page.next = Some(cursor_of(&state));
            return Ok(page);
        };
        let mut is_over = false;
        match self.rows(&started, after) {
            Ok(mut rows) => {
                while page.items.len() < most {
                    match rows.next() {
                        Some(Ok(row)) => {
                            started.rows += 1;
                            page.items.push(match row.post {
                                Ok(change) if change.get("deleted_at").is_some() => Item::Deletion(change),
                                Ok(post) => Item::Post(post),
                                Err(problem) => Item::Unreadable(format!(
                                    "{}, line {}: {problem}",
                                    started.name, row.line
                                )),
                            });
                        }
                        Some(Err(error)) => {
                            page.items
                                .push(Item::Unreadable(format!("{}: {error}", started.name)));
                            is_over = true;
                            break;
                        }
                        None => {
                            is_over = true;
                            break;
                        }
                    }
                }
                if !is_over {
                    state.file = Some(started.clone());
                    let at = cursor_of(&state);
                    self.open = Some(Open { at, rows });
                }
            }
            Err(problem) => {
                page.items.push(Item::Unreadable(problem));
                is_over = true;
            }
        }
        if is_over {
            state.read.insert(started.name, started.version);
        }
        page.has_more = true;
        page.next = Some(cursor_of(&state));
        Ok(page)
    }

    fn reset(&mut self) {
        self.open = None;
    }

    fn wait_when_idle(&self) -> Duration {
        self.interval
    }
}

fn cursor_of(state: &State) -> Cursor {
    Cursor(serde_json::to_string(state).expect("a state has text as its keys"))
}
