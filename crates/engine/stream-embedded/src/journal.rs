//! Checks and repairs fjall's journals before fjall reads them.
//!
//! The committer flushes each batch before it writes the next one, and fjall flushes a journal before it starts another. So on a
//! healthy disk, only the last batch of the newest journal can be damaged, and that batch was never acknowledged. [`prepare`] cuts
//! it off. If intact batches follow a damaged place, acknowledged records are lost: the log does not open, and says so. fjall
//! itself would cut off everything behind the place, without a word.
//!
//! The format is that of fjall 3 (its `journal/entry.rs`): entries start with a tag, numbers are little-endian.

use std::fs::TryLockError;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use crate::files::{self, File, OpenOptions};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: &[u8] = b"FJL\x03";
/// Bytes that are read from a journal at a time.
const READ: usize = if cfg!(test) { 1 << 12 } else { 1 << 20 };
/// The key of the commit's number in the keyspace `meta` (see `store`). No other key has this form.
const COMMIT_KEY: &[u8] = b"c";
/// Bytes of the key of a batch of records.
const RECORDS_KEY: usize = 16;

/// A damaged place with acknowledged commits behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalDamage {
    /// The journal.
    pub journal: PathBuf,
    /// The position of the first damaged byte's batch.
    pub position: u64,
    /// Bytes from there to the end of the journal's data.
    pub bytes: u64,
    /// The last commit before the place, if the journal has one.
    pub last_good_commit: Option<u64>,
    /// Intact commits behind the place.
    pub later_commits: u64,
    /// The number of the last one.
    pub last_commit: Option<u64>,
    /// Records in them.
    pub later_records: u64,
}

impl std::fmt::Display for JournalDamage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            position,
            bytes,
            later_commits,
            later_records,
            ..
        } = self;
        let journal = self.journal.display();
        write!(
            f,
            "{journal} is damaged at byte {position}; of the {bytes} bytes from there, {later_commits} commits with \
             {later_records} records are intact, and what the damaged bytes held is unknown"
        )
    }
}

/// Removes the files of a process that died while it created the log. fjall writes its version file last; without it, fjall would
/// create the log again and fail on the existing files.
pub(super) fn clear_unfinished_creation(path: &Path) -> std::io::Result<()> {
    let (first_journal, version) = (path.join("0.jnl"), path.join("version"));
    let is_complete = files::length(&version).is_ok_and(|length| length > 0);
    if is_complete || (!files::exists(&first_journal)? && !files::exists(&version)?) {
        return Ok(());
    }
    // Another process that holds the lock is creating the log now.
    let Some(_lock) = lock(path)? else {
        return Ok(());
    };
    for (_, journal) in journals(path)? {
        if scan(&journal)?.last.is_some() {
            // A journal with batches belongs to a log that was in use. fjall says what is wrong with its version file.
            return Ok(());
        }
    }
    for file in [first_journal, version] {
        match files::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The lock of the log, as fjall takes it. `None` if another process, or fjall in this one, holds it.
pub(super) fn lock(path: &Path) -> std::io::Result<Option<File>> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes the journals ready for fjall: cuts off a half-written last batch, and writes the last batch to the disk once more. The
/// damage, if acknowledged commits would be lost. Does nothing while another process uses the log.
pub(super) fn prepare(path: &Path) -> std::io::Result<Result<(), JournalDamage>> {
    let journals = journals(path)?;
    if journals.is_empty() {
        return Ok(Ok(()));
    }
    let Some(_lock) = lock(path)? else {
        return Ok(Ok(()));
    };
    let newest = journals.last().map(|(number, _)| *number);
    for (number, journal) in &journals {
        let scan = scan(journal)?;
        match damage(journal, &scan, newest == Some(*number))? {
            Some(damage) => return Ok(Err(damage)),
            None if scan.rest > 0 => {
                cut(journal, scan.good)?;
                tracing::warn!(
                    journal = %journal.display(),
                    bytes = scan.rest,
                    "cut off a half-written batch that was never acknowledged"
                );
            }
            None => {}
        }
        if newest != Some(*number) {
            continue;
        }
        match scan.last {
            Some(last) => write_again(journal, last.start, scan.good)?,
            // A cut whose flush failed is not on the disk yet. fjall must not go on before it is: a batch that comes back could
            // name keyspaces that are deleted by then.
            None => OpenOptions::new().write(true).open(journal)?.sync_all()?,
        }
    }
    Ok(Ok(()))
}

/// What [`prepare`] refuses.
pub(super) fn damages(path: &Path) -> std::io::Result<Vec<JournalDamage>> {
    let journals = journals(path)?;
    let newest = journals.last().map(|(number, _)| *number);
    let mut found = Vec::new();
    for (number, journal) in &journals {
        found.extend(damage(journal, &scan(journal)?, newest == Some(*number))?);
    }
    Ok(found)
}

/// Cuts everything from the first damaged place off: the rest of that journal and all later journals. Keeps the originals beside
/// them, with `.damaged` at the end of their names. Returns the kept files.
pub(super) fn cut_damaged(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let Some(first) = damages(path)?.into_iter().next() else {
        return Ok(Vec::new());
    };
    let mut kept = Vec::new();
    let later = journals(path)?
        .into_iter()
        .map(|(_, journal)| journal)
        .skip_while(|journal| *journal != first.journal);
    for journal in later {
        let mut name = journal.clone().into_os_string();
        name.push(".damaged");
        let original = PathBuf::from(name);
        files::copy(&journal, &original)?;
        File::open(&original)?.sync_all()?;
        let position = if journal == first.journal {
            first.position
        } else {
            0
        };
        cut(&journal, position)?;
        kept.push(original);
    }
    files::sync_folder(path)?;
    Ok(kept)
}

/// Cuts the commit `number` off, if it is the last of the newest journal. After a flush that failed, the bytes can be read, but
/// the system may never write them to the disk, so they must not count.
pub(super) fn cut_commit(path: &Path, number: u64) -> std::io::Result<()> {
    let Some((_, journal)) = journals(path)?.pop() else {
        return Ok(());
    };
    let Some(_lock) = lock(path)? else {
        return Err(std::io::Error::new(
            std::io::ErrorKind::ResourceBusy,
            "the log is still locked",
        ));
    };
    let scan = scan(&journal)?;
    match scan.last {
        Some(last) if last.commit == Some(number) => cut(&journal, last.start),
        _ => Ok(()),
    }
}

fn damage(journal: &Path, scan: &Scan, is_newest: bool) -> std::io::Result<Option<JournalDamage>> {
    if scan.rest == 0 {
        return Ok(None);
    }
    let later = later_batches(journal, scan)?;
    if is_newest && later.is_empty() {
        return Ok(None);
    }
    Ok(Some(JournalDamage {
        journal: journal.into(),
        position: scan.good,
        bytes: scan.rest,
        last_good_commit: scan.last.as_ref().and_then(|last| last.commit),
        later_commits: later.len() as u64,
        last_commit: later.last().and_then(|batch| batch.commit),
        later_records: later.iter().map(|batch| batch.records).sum(),
    }))
}

/// All journals, oldest first.
fn journals(path: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for path in files::list(path)? {
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A batch that was read.
#[derive(Debug)]
struct LastBatch {
    start: u64,
    commit: Option<u64>,
}

/// What a journal contains.
#[derive(Debug)]
struct Scan {
    /// The end of the intact batches at its beginning.
    good: u64,
    /// The last of them.
    last: Option<LastBatch>,
    /// Bytes behind them, without the zeros that fjall reserves.
    rest: u64,
}

fn scan(journal: &Path) -> std::io::Result<Scan> {
    let mut file = File::open(journal)?;
    let mut scan = Scan {
        good: 0,
        last: None,
        rest: 0,
    };
    // The bytes from `scan.good` on, as far as they are read.
    let mut bytes = Vec::new();
    let mut is_end = false;
    loop {
        let mut at = 0;
        let stopped = loop {
            match parse(&bytes[at..]) {
                Parsed::Batch(batch) if batch.is_intact => {
                    scan.last = Some(LastBatch {
                        start: scan.good,
                        commit: batch.commit,
                    });
                    scan.good += batch.length as u64;
                    at += batch.length;
                }
                Parsed::Incomplete if !is_end => break false,
                _ => break true,
            }
        };
        bytes.drain(..at);
        if stopped {
            break;
        }
        is_end = (&mut file).take(READ as u64).read_to_end(&mut bytes)? == 0;
    }
    file.seek(SeekFrom::Start(scan.good))?;
    let mut chunk = vec![0; READ];
    let zeros = vec![0; READ];
    let mut at = 0;
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            return Ok(scan);
        }
        if chunk[..length] != zeros[..length] {
            let last = chunk[..length].iter().rposition(|byte| *byte != 0).unwrap_or(0);
            scan.rest = at + last as u64 + 1;
        }
        at += length as u64;
    }
}

/// The intact batches in the rest.
fn later_batches(journal: &Path, scan: &Scan) -> std::io::Result<Vec<Batch>> {
    let mut file = File::open(journal)?;
    file.seek(SeekFrom::Start(scan.good))?;
    let mut bytes = Vec::new();
    file.take(scan.rest).read_to_end(&mut bytes)?;
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match parse(&bytes[at..]) {
            Parsed::Batch(batch) if batch.is_intact => {
                at += batch.length;
                found.push(batch);
            }
            _ => at += 1,
        }
    }
    Ok(found)
}

fn cut(journal: &Path, length: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(journal)?;
    file.set_len(length)?;
    file.sync_all()
}

/// Writes the bytes of a journal to the disk once more. If an earlier process died after a flush had failed, they may be in memory
/// only.
fn write_again(journal: &Path, start: u64, end: u64) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(journal)?;
    let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes)?;
    file.seek(SeekFrom::Start(start))?;
    file.write_all(&bytes)?;
    file.sync_data()
}

#[derive(Debug)]
struct Batch {
    /// In bytes.
    length: usize,
    /// Whether the batch has all its items and the right checksum.
    is_intact: bool,
    /// The number of the commit, if it is one.
    commit: Option<u64>,
    records: u64,
}

enum Parsed {
    Batch(Batch),
    /// More bytes may complete it.
    Incomplete,
    Invalid,
}

/// The batch at the start of `bytes`.
fn parse(bytes: &[u8]) -> Parsed {
    match bytes.first() {
        None => return Parsed::Incomplete,
        Some(&START) => {}
        Some(_) => return Parsed::Invalid,
    }
    read_batch(bytes).unwrap_or(Parsed::Incomplete)
}

/// `None` if the bytes end before the batch.
fn read_batch(bytes: &[u8]) -> Option<Parsed> {
    let items = u32_at(bytes, 1)?;
    let mut at = 13;
    let mut seen = 0;
    let mut commit = None;
    let mut records = 0;
    let mut checksum = Xxh3Default::new();
    loop {
        match *bytes.get(at)? {
            ITEM if seen < items => {
                let key = usize::from(u16::from_le_bytes(array(bytes, at + 11)?));
                let value = u32_at(bytes, at + 17)? as usize;
                let start = at.checked_add(21)?;
                let end = start.checked_add(key)?.checked_add(value)?;
                let item = bytes.get(at..end)?;
                checksum.update(item);
                let (key, value) = item[21..].split_at(key);
                if key == COMMIT_KEY {
                    commit = value.try_into().ok().map(u64::from_be_bytes);
                } else if key.len() == RECORDS_KEY
                    && let Ok(summary) = crate::packed::summary(value)
                {
                    records += u64::from(summary.records);
                }
                at = end;
                seen += 1;
            }
            CLEAR if seen < items => {
                checksum.update(bytes.get(at..at + 9)?);
                at += 9;
                seen += 1;
            }
            END => {
                let expected = u64::from_le_bytes(array(bytes, at + 1)?);
                if bytes.get(at + 9..at + 13)? != MAGIC {
                    return Some(Parsed::Invalid);
                }
                return Some(Parsed::Batch(Batch {
                    length: at + 13,
                    is_intact: seen == items && checksum.digest() == expected,
                    commit,
                    records,
                }));
            }
            _ => return Some(Parsed::Invalid),
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
