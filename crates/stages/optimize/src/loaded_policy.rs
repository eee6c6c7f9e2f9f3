//! A policy in the stage's state: loaded with its snapshot, saved if it has learned.

use bytes::Bytes;
use limbic_bandit::decide::DecisionEngine;
use limbic_domain::PolicyVersion;
use limbic_stream::{Outputs, StageError};
use serde::{Deserialize, Serialize};

use crate::state::{damaged, decode, encode};

/// A larger snapshot is stored in chunks: the size of a record is limited, and one feedback changes little of a large
/// snapshot.
const CHUNK: usize = 256 * 1024;

/// A policy loaded from the state.
pub(crate) struct LoadedPolicy {
    key: String,
    pub(crate) engine: DecisionEngine,
    /// Whether the engine has learned since it was loaded.
    pub(crate) is_changed: bool,
}

impl LoadedPolicy {
    pub(crate) fn load(
        partition: u32,
        key: String,
        mut engine: DecisionEngine,
        out: &Outputs<'_>,
    ) -> Result<Self, StageError> {
        if let Some(saved) = out.get(partition, key.as_bytes())? {
            let saved: SavedPolicy = decode(&saved)?;
            if saved.version == *engine.version() {
                let restored = match &saved.snapshot {
                    Some(snapshot) => engine.restore(snapshot.get().as_bytes()),
                    None => engine.restore(&load_chunks(partition, &key, saved.chunks, out)?.concat()),
                };
                restored.map_err(|error| damaged(&error))?;
            }
        }
        Ok(Self {
            key,
            engine,
            is_changed: false,
        })
    }

    pub(crate) fn save(self, partition: u32, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if !self.is_changed {
            return Ok(());
        }
        let before = match out.get(partition, self.key.as_bytes())? {
            Some(saved) => decode::<SavedPolicy>(&saved)?.chunks,
            None => 0,
        };
        let snapshot = self.engine.snapshot();
        let mut saved = SavedPolicy {
            version: self.engine.version().clone(),
            snapshot: None,
            chunks: 0,
        };
        if snapshot.len() <= CHUNK {
            let text = String::from_utf8(snapshot).map_err(|error| damaged(&error))?;
            saved.snapshot =
                Some(serde_json::value::RawValue::from_string(text).map_err(|error| damaged(&error))?);
        } else {
            saved.chunks = snapshot.len().div_ceil(CHUNK);
            for (number, chunk) in snapshot.chunks(CHUNK).enumerate() {
                let key = chunk_key(&self.key, number);
                let is_known = number < before
                    && out
                        .get(partition, key.as_bytes())?
                        .is_some_and(|known| *known == *chunk);
                if !is_known {
                    out.put(partition, key, Bytes::copy_from_slice(chunk));
                }
            }
        }
        for number in saved.chunks..before {
            out.remove(partition, chunk_key(&self.key, number));
        }
        out.put(partition, self.key, encode(&saved));
        Ok(())
    }
}

fn chunk_key(key: &str, number: usize) -> String {
    format!("{key}/{number}")
}

fn load_chunks(partition: u32, key: &str, count: usize, out: &Outputs<'_>) -> Result<Vec<Bytes>, StageError> {
    (0..count)
        .map(|number| {
            let chunk = out.get(partition, chunk_key(key, number).as_bytes())?;
            chunk.ok_or_else(|| damaged(&"a chunk of a policy snapshot is missing"))
        })
        .collect()
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SavedPolicy {
    version: PolicyVersion,
    /// `None` if the snapshot is stored in chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<Box<serde_json::value::RawValue>>,
    /// Number of chunks.
    #[serde(default, skip_serializing_if = "is_zero")]
    chunks: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_zero(chunks: &usize) -> bool {
    *chunks == 0
}
