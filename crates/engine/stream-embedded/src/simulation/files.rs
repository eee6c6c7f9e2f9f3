//! A file system and clocks in memory, one world for each thread. What is not flushed can be lost, torn and damaged.
//!
//! Each change of a file is a *step*. The world dies at a step that the schedule chooses: before it, in the middle of it, or
//! after it. From then on every call fails, until [`World::restart`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::TryLockError;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_domain::random::Random;

/// The unit in which a change that was not flushed reaches the disk, in bytes. Real disks use 512 or more.
const SECTOR: usize = 32;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// What survives a restart, and how likely each fault is.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) random: Random,
    files: BTreeMap<PathBuf, Contents>,
    locked: BTreeSet<PathBuf>,
    /// What fjall's tables hold, by the folder of the database.
    pub(super) tables: BTreeMap<PathBuf, super::database::Tables>,
    pub(crate) faults: Faults,
    /// The number of steps until the world dies.
    pub(crate) dies_in: Option<u32>,
    pub(crate) is_dead: bool,
    /// The clocks, in milliseconds.
    pub(crate) monotonic: u64,
    pub(crate) wall: i64,
    /// Whether each event is printed.
    pub(crate) is_told: bool,
    /// The number of faults so far, by kind.
    pub(crate) met: BTreeMap<&'static str, u64>,
}

/// Probabilities, for each call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// A flush fails.
    pub(crate) sync: f64,
    /// A write fails, in the middle.
    pub(crate) write: f64,
    /// fjall starts another journal.
    pub(crate) rotation: f64,
    pub(crate) is_full: bool,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The system still has what was written.
    Killed,
    /// The disk has what was flushed, and any part of the rest.
    PowerLost,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    /// As programs see it.
    cache: Vec<u8>,
    /// As the disk has it.
    disk: Vec<u8>,
    /// The changes since the last flush.
    dirty: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                if to.len() < at + bytes.len() {
                    to.resize(at + bytes.len(), 0);
                }
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => to.resize(*length, 0),
        }
    }

    /// Applies any part of the change, and sometimes garbage. A sector that is overwritten with the same bytes keeps them.
    fn tear(&self, random: &mut Random, to: &mut Vec<u8>) {
        match (self, random.below(4)) {
            (change, 1) => change.apply(to),
            (_, 0) | (Self::Length(_), _) => {}
            (Self::Write(at, bytes), kind) => {
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    if random.happens(0.5) {
                        let start = at + number * SECTOR;
                        let is_news = to.get(start..start + sector.len()) != Some(sector);
                        let mut sector = sector.to_vec();
                        if is_news && kind == 3 && random.happens(0.2) {
                            let bit = random.below(sector.len() * 8);
                            sector[bit / 8] ^= 1 << (bit % 8);
                        }
                        Self::Write(start, sector).apply(to);
                    }
                }
            }
        }
    }
}

impl World {
    /// An empty disk.
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            files: BTreeMap::new(),
            locked: BTreeSet::new(),
            tables: BTreeMap::new(),
            faults: Faults::default(),
            dies_in: None,
            is_dead: false,
            monotonic: 0,
            wall: 1_800_000_000_000,
            is_told: false,
            met: BTreeMap::new(),
        }
    }

    /// Makes this the world of the current thread.
    pub(crate) fn enter(self) {
        WORLD.with(|world| *world.borrow_mut() = Some(self));
    }

    /// Ends the world of the current thread.
    pub(crate) fn leave() -> Option<Self> {
        WORLD.with(|world| world.borrow_mut().take())
    }

    pub(crate) fn note(&mut self, kind: &'static str) {
        self.tell(|| kind.into());
        *self.met.entry(kind).or_default() += 1;
    }

    /// Prints an event of a schedule that is repeated.
    pub(crate) fn tell(&self, event: impl FnOnce() -> String) {
        if self.is_told {
            eprintln!("{}", event());
        }
    }

    /// Starts the machine or the process again.
    pub(crate) fn restart(&mut self, end: End) {
        self.is_dead = false;
        self.dies_in = None;
        self.locked.clear();
        if end == End::PowerLost {
            for contents in self.files.values_mut() {
                for change in std::mem::take(&mut contents.dirty) {
                    change.tear(&mut self.random, &mut contents.disk);
                }
                contents.cache.clone_from(&contents.disk);
            }
        }
    }

    /// The journals with content, as paths and lengths.
    pub(crate) fn journals(&self) -> Vec<(PathBuf, usize)> {
        let journals = self
            .files
            .iter()
            .filter(|(path, contents)| is_journal(path) && !contents.cache.is_empty());
        journals
            .map(|(path, contents)| (path.clone(), contents.cache.len()))
            .collect()
    }

    /// Changes one bit of a file, on the disk and in memory.
    pub(crate) fn flip(&mut self, path: &Path, bit: usize) {
        if let Some(contents) = self.files.get_mut(path) {
            for bytes in [&mut contents.cache, &mut contents.disk] {
                if let Some(byte) = bytes.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// Before a change: the part of it, from 0 to 1, that is made before the world dies. `None` = all, and it lives on.
    fn step(&mut self) -> io::Result<Option<f64>> {
        if self.is_dead {
            return Err(dead());
        }
        let Some(left) = &mut self.dies_in else {
            return Ok(None);
        };
        if *left > 0 {
            *left -= 1;
            return Ok(None);
        }
        self.is_dead = true;
        self.note("died");
        Ok(Some(match self.random.below(3) {
            0 => 0.0,
            1 => 1.0,
            _ => self.random.unit(),
        }))
    }

    fn contents(&mut self, path: &Path) -> io::Result<&mut Contents> {
        self.files.get_mut(path).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn write(&mut self, path: &Path, at: usize, bytes: &[u8]) -> io::Result<()> {
        let part = self.step()?;
        self.tell(|| format!("  write {} {at}+{}", path.display(), bytes.len()));
        let fails = part.is_none() && (self.faults.is_full || self.random.happens(self.faults.write));
        let share = match part {
            Some(share) => share,
            None if fails => self.random.unit(),
            None => 1.0,
        };
        let written = bytes[..(bytes.len() as f64 * share) as usize].to_vec();
        if !written.is_empty() {
            let contents = self.contents(path)?;
            let change = Change::Write(at, written);
            change.apply(&mut contents.cache);
            contents.dirty.push(change);
        }
        if self.is_dead {
            return Err(dead());
        }
        if fails {
            self.note("write failed");
            let kind = if self.faults.is_full {
                ErrorKind::StorageFull
            } else {
                ErrorKind::Other
            };
            return Err(kind.into());
        }
        Ok(())
    }

    fn set_length(&mut self, path: &Path, length: usize) -> io::Result<()> {
        let part = self.step()?;
        self.tell(|| format!("  cut {} {length}", path.display()));
        if part.is_none_or(|share| share > 0.5) {
            let contents = self.contents(path)?;
            contents.cache.resize(length, 0);
            contents.dirty.push(Change::Length(length));
        }
        if self.is_dead { Err(dead()) } else { Ok(()) }
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        let part = self.step()?;
        self.tell(|| format!("  flush {}", path.display()));
        let fails = part.is_none() && self.random.happens(self.faults.sync);
        let mut random = self.random.clone();
        self.random.bits();
        let contents = self.contents(path)?;
        let dirty = std::mem::take(&mut contents.dirty);
        if fails {
            // The system forgets that these bytes are not on the disk, and still shows them. The length of a file is in the
            // journal of the file system, and stays there.
            for change in dirty {
                change.tear(&mut random, &mut contents.disk);
                if matches!(change, Change::Length(_)) {
                    contents.dirty.push(change);
                }
            }
            self.note("flush failed");
            return Err(ErrorKind::Other.into());
        }
        match part {
            Some(share) if share < 1.0 => contents.dirty = dirty,
            _ => dirty.iter().for_each(|change| change.apply(&mut contents.disk)),
        }
        if self.is_dead { Err(dead()) } else { Ok(()) }
    }
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jnl")
}

fn dead() -> io::Error {
    io::Error::other("the simulated machine is dead")
}

/// The world of this thread.
pub(crate) fn world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|world| {
        act(world
            .borrow_mut()
            .as_mut()
            .expect("a simulation runs on this thread"))
    })
}

/// A step that is not a write to a file: whether it takes place.
pub(super) fn take_step() -> io::Result<()> {
    world(|world| match world.step()? {
        Some(share) if share < 1.0 => Err(dead()),
        // It takes place, and nobody is told.
        _ => Ok(()),
    })
}

/// The wall clock: the simulated one on the thread of a simulation.
pub(crate) fn wall() -> Utc {
    WORLD.with(|world| match &*world.borrow() {
        Some(world) => Utc::from_millis(world.wall),
        None => Utc::now(),
    })
}

/// The clock that never jumps: the simulated one on the thread of a simulation.
pub(crate) fn monotonic() -> Instant {
    thread_local! {
        static START: Instant = Instant::now();
    }
    WORLD.with(|world| match &*world.borrow() {
        Some(world) => START.with(|start| *start + Duration::from_millis(world.monotonic)),
        None => Instant::now(),
    })
}

/// Free bytes on the disk.
pub(crate) fn available() -> Option<u64> {
    world(|world| {
        if world.faults.is_full {
            // Some systems say it before the write, on others the write fails.
            return world.random.happens(0.5).then_some(0);
        }
        None
    })
}

#[expect(clippy::unnecessary_wraps, reason = "as the real one")]
pub(crate) fn create_dir_all(_: &Path) -> io::Result<()> {
    Ok(())
}

pub(crate) fn length(path: &Path) -> io::Result<u64> {
    world(|world| Ok(world.contents(path)?.cache.len() as u64))
}

#[expect(clippy::unnecessary_wraps, reason = "as the real one")]
pub(crate) fn exists(path: &Path) -> io::Result<bool> {
    Ok(world(|world| world.files.contains_key(path)))
}

#[expect(clippy::unnecessary_wraps, reason = "as the real one")]
pub(crate) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(world(|world| {
        let inside = world.files.keys().filter(|path| path.parent() == Some(folder));
        inside.cloned().collect()
    }))
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    take_step()?;
    world(|world| match world.files.remove(path) {
        Some(_) => Ok(()),
        None => Err(ErrorKind::NotFound.into()),
    })
}

pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    take_step()?;
    world(|world| {
        let bytes = world.contents(from)?.cache.clone();
        let length = bytes.len() as u64;
        let contents = Contents {
            cache: bytes.clone(),
            disk: bytes,
            dirty: Vec::new(),
        };
        world.files.insert(to.into(), contents);
        Ok(length)
    })
}

pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    take_step()
}

/// As [`std::fs::OpenOptions`].
#[derive(Debug, Default)]
pub(crate) struct OpenOptions {
    creates: bool,
}

impl OpenOptions {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn create(&mut self, create: bool) -> &mut Self {
        self.creates = create;
        self
    }

    pub(crate) fn truncate(&mut self, _: bool) -> &mut Self {
        self
    }

    pub(crate) fn read(&mut self, _: bool) -> &mut Self {
        self
    }

    pub(crate) fn write(&mut self, _: bool) -> &mut Self {
        self
    }

    pub(crate) fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        if self.creates && !exists(path)? {
            take_step()?;
            world(|world| {
                world.files.entry(path.into()).or_default();
            });
        }
        File::open(path)
    }
}

/// As [`std::fs::File`].
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    position: usize,
    holds_lock: bool,
}

impl File {
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        if !exists(path)? {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(Self {
            path: path.into(),
            position: 0,
            holds_lock: false,
        })
    }

    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        // The handle that takes the lock is the only one that releases it: see `Drop`.
        if world(|world| world.locked.contains(&self.path)) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(())
    }

    /// Takes the lock until the handle is dropped.
    pub(super) fn hold_lock(&mut self) -> bool {
        self.holds_lock = world(|world| world.locked.insert(self.path.clone()));
        self.holds_lock
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        world(|world| world.set_length(&self.path, length as usize))
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        world(|world| world.sync(&self.path))
    }

    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if self.holds_lock {
            WORLD.with(|world| {
                if let Some(world) = &mut *world.borrow_mut() {
                    world.locked.remove(&self.path);
                }
            });
        }
    }
}

impl Read for File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        world(|world| {
            let cache = &world.contents(&self.path)?.cache;
            let rest = cache.get(self.position..).unwrap_or_default();
            let length = rest.len().min(into.len());
            into[..length].copy_from_slice(&rest[..length]);
            self.position += length;
            Ok(length)
        })
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        world(|world| world.write(&self.path, self.position, bytes))?;
        self.position += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let length = length(&self.path)?;
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(back) => length.checked_add_signed(back),
            SeekFrom::Current(by) => (self.position as u64).checked_add_signed(by),
        };
        self.position = position.ok_or(ErrorKind::InvalidInput)? as usize;
        Ok(self.position as u64)
    }
}
