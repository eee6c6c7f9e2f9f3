//! Attempts in a file: recorded once at a real provider, replayed in tests without one.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;

use limbic_domain::TenantId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::key::{CacheKey, cache_key};
use crate::provider::{Attempt, Failure, FailureKind, OnText, Pending, Provider};
use crate::{Generate, Generated};

/// A line of a recording.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    request: Generate,
    pieces: Vec<String>,
    result: Result<Generated, Failure>,
}

/// A provider whose attempts are written to a file, one JSON document a line. It contains prompts and replies, but no keys.
pub struct Recording {
    provider: Arc<dyn Provider>,
    file: Mutex<File>,
}

impl Recording {
    /// Writes to a new file.
    pub fn new(provider: Arc<dyn Provider>, file: &Path) -> std::io::Result<Self> {
        Ok(Self {
            provider,
            file: Mutex::new(File::create_new(file)?),
        })
    }
}

impl Provider for Recording {
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        Box::pin(async move {
            let mut pieces = Vec::new();
            let mut note = |piece: &str| {
                pieces.push(piece.to_owned());
                on_text(piece);
            };
            let result = self.provider.generate(attempt, &mut note).await;
            let line = Line {
                request: attempt.request.clone(),
                pieces,
                result,
            };
            let written = serde_json::to_string(&line)
                .map_err(std::io::Error::from)
                .and_then(|text| writeln!(self.file.lock(), "{text}"));
            if let Err(error) = written {
                tracing::error!(%error, "an attempt was not recorded");
            }
            line.result
        })
    }
}

/// A recording that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("the recording cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// A line is not an attempt.
    #[error("line {line} of the recording is not an attempt ({problem}): record it again")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        problem: serde_json::Error,
    },
}

/// A provider that gives the results of a recording. Attempts at the same request get their results in the recorded order, and the
/// last one again and again. An attempt at another request is rejected.
#[derive(Debug)]
pub struct Replay(Mutex<HashMap<CacheKey, VecDeque<Line>>>);

impl Replay {
    /// Reads a recording.
    pub fn open(file: &Path) -> Result<Self, ReplayError> {
        let mut results: HashMap<CacheKey, VecDeque<Line>> = HashMap::new();
        for (place, text) in BufReader::new(File::open(file)?).lines().enumerate() {
            let line: Line = serde_json::from_str(&text?).map_err(|problem| ReplayError::Line {
                line: place + 1,
                problem,
            })?;
            results.entry(key(&line.request)).or_default().push_back(line);
        }
        Ok(Self(Mutex::new(results)))
    }
}

fn key(request: &Generate) -> CacheKey {
    cache_key(&TenantId::default(), request)
}

impl Provider for Replay {
    fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        let mut results = self.0.lock();
        let found = results.get_mut(&key(attempt.request)).and_then(|lines| {
            let line = lines.front()?;
            let found = (line.pieces.clone(), line.result.clone());
            if lines.len() > 1 {
                lines.pop_front();
            }
            Some(found)
        });
        drop(results);
        Box::pin(async move {
            let Some((pieces, result)) = found else {
                let detail = "the recording has no attempt at this request: record it again";
                return Err(Failure::new(FailureKind::Rejected, detail));
            };
            for piece in &pieces {
                on_text(piece);
            }
            result
        })
    }
}
