//! Mending what a power failure leaves of fjall's journal.
//!
//! The committer flushes one batch before it writes the next, so only the last batch of the newest journal can be damaged
//! without a damaged disk, and that one was never acknowledged. fjall cuts off a last batch that ends too early, but
//! refuses to open one whose end reached the disk and whose middle did not. Here such a batch is cut off too; damage
//! anywhere else is left alone, and the log refused.
//!
//! The journal's format is that of fjall 3 (its `journal/entry.rs`): entries led by a tag, numbers little-endian.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: &[u8] = b"FJL\x03";

/// Removes what a process left that died while it created the log: without its version file fjall would create it again,
/// and stumble over the journal.
pub(super) fn clear_unfinished_creation(path: &Path) -> std::io::Result<()> {
    let first_journal = path.join("0.jnl");
    if first_journal.try_exists()? && !path.join("version").try_exists()? {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))?;
        // The process that holds the lock is creating the log now.
        if lock.try_lock().is_ok() {
            std::fs::remove_file(first_journal)?;
        }
    }
    Ok(())
}

/// Cuts the last batch off the newest journal if it is damaged; whether it was.
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
            // More was written after it, so it had been flushed.
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
    /// Where the next one begins.
    end: usize,
    /// Whether it has all its items and its checksum is right.
    intact: bool,
}

/// The batch that begins at `start`, if there is one with an end.
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
