//! Repairs fjall's journal after a power failure.
//!
//! The committer flushes each batch before it writes the next one. So on a healthy disk, only the last batch of the
//! newest journal can be damaged, and that batch was never acknowledged. fjall itself cuts off a last batch that ends too
//! early. But fjall refuses to open a journal whose last batch has its end on disk and a damaged middle. This module cuts
//! off such a batch too. Any other damage is not repaired, and the log does not open.
//!
//! The format is that of fjall 3 (its `journal/entry.rs`): entries start with a tag, numbers are little-endian.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: &[u8] = b"FJL\x03";

/// Removes the files of a process that died while it created the log. Without its version file, fjall would create the
/// log again and fail on the existing journal.
pub(super) fn clear_unfinished_creation(path: &Path) -> std::io::Result<()> {
    let first_journal = path.join("0.jnl");
    if first_journal.try_exists()? && !path.join("version").try_exists()? {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))?;
        // Another process that holds the lock is creating the log now.
        if lock.try_lock().is_ok() {
            std::fs::remove_file(first_journal)?;
        }
    }
    Ok(())
}

/// Cuts the last batch off the newest journal if it is damaged. Returns whether it did.
pub(super) fn cut_torn_tail(path: &Path) -> std::io::Result<bool> {
    let Some(journal) = newest(path)? else {
        return Ok(false);
    };
    let bytes = std::fs::read(&journal)?;
    let mut good = 0;
    while let Some(batch) = batch(&bytes, good) {
        if batch.intact {
            good = batch.end;
            continue;
        }
        if bytes.get(batch.end) == Some(&START) {
            // A later batch exists, so this one had been flushed.
            return Ok(false);
        }
        let file = OpenOptions::new().write(true).open(&journal)?;
        file.set_len(good as u64)?;
        file.sync_all()?;
        tracing::warn!(
            journal = %journal.display(),
            bytes = batch.end - good,
            "cut off a half-written batch that was never acknowledged"
        );
        return Ok(true);
    }
    Ok(false)
}

fn newest(path: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        if let Some(number) = number
            && newest.as_ref().is_none_or(|(known, _)| number > *known)
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

struct Batch {
    /// The position of the next batch.
    end: usize,
    /// Whether the batch has all its items and the right checksum.
    intact: bool,
}

/// The batch that starts at `start`. `None` if there is none, or if it has no end.
fn batch(bytes: &[u8], start: usize) -> Option<Batch> {
    if *bytes.get(start)? != START {
        return None;
    }
    let items = u32_at(bytes, start + 1)?;
    let mut at = start + 13;
    let mut seen = 0;
    let mut checksum = Xxh3Default::new();
    loop {
        match *bytes.get(at)? {
            ITEM => {
                let key = usize::from(u16::from_le_bytes(array(bytes, at + 11)?));
                let value = u32_at(bytes, at + 17)? as usize;
                let end = at.checked_add(21 + key)?.checked_add(value)?;
                checksum.update(bytes.get(at..end)?);
                at = end;
                seen += 1;
            }
            CLEAR => {
                checksum.update(bytes.get(at..at + 9)?);
                at += 9;
                seen += 1;
            }
            END => {
                let expected = u64::from_le_bytes(array(bytes, at + 1)?);
                if bytes.get(at + 9..at + 13)? != MAGIC {
                    return None;
                }
                return Some(Batch {
                    end: at + 13,
                    intact: seen == items && checksum.digest() == expected,
                });
            }
            _ => return None,
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
