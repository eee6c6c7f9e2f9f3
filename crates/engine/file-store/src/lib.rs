//! A folder of files, each under the hash of its content. What nobody has used for a long time is removed.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use limbic_file_store::FileStore;
//!
//! let folder = tempfile::tempdir()?;
//! let store = FileStore::new(folder.path().join("pictures"), Duration::from_secs(86_400));
//! let name = store.put(b"some bytes", "png")?;
//! assert!(name.ends_with(".png"));
//! assert_eq!(store.read(&name, 100)?, b"some bytes");
//! store.used(&name, SystemTime::now())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Laws
//!
//! * A file is whole or absent, also for other processes: it is written aside, synced, and renamed.
//! * The same bytes are one file.
//! * Several processes can use one folder.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

/// How often old files are looked for.
const SWEEP: Duration = Duration::from_hours(1);

/// A file or the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}: correct the rights or the space of the folder", path = path.display())]
pub struct FileStoreError {
    /// The file or folder.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl FileStoreError {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self { path, source }
    }
}

/// A folder of files.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    keep: Duration,
    swept: Mutex<Option<SystemTime>>,
}

impl FileStore {
    /// A store in this folder, which is created with the first file. A file that nobody has [used](FileStore::used) for longer than
    /// `keep` is removed.
    pub const fn new(folder: PathBuf, keep: Duration) -> Self {
        Self {
            folder,
            keep,
            swept: Mutex::new(None),
        }
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Stores bytes under their SHA-256 hash and this ending. Returns the name of the file.
    pub fn put(&self, bytes: &[u8], ending: &str) -> Result<String, FileStoreError> {
        let name = format!("{}.{ending}", sha256(bytes));
        self.write(&name, bytes)?;
        Ok(name)
    }

    /// Stores bytes under a name, which can be in a subfolder.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FileStoreError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder).map_err(FileStoreError::of(folder))?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(FileStoreError::of(folder))?;
        file.write_all(bytes)
            .and_then(|()| file.as_file().sync_data())
            .map_err(FileStoreError::of(&path))?;
        file.persist(&path)
            .map_err(|error| FileStoreError::of(&path)(error.error))?;
        Ok(())
    }

    /// The bytes of a file. Fails if it has more than `most`.
    pub fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, FileStoreError> {
        let path = self.path(name);
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(FileStoreError::of(&path))?;
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(FileStoreError::of(&path))?;
        if bytes.len() as u64 > most {
            let error = io::Error::other(format!("it has more than {most} bytes"));
            return Err(FileStoreError::of(&path)(error));
        }
        Ok(bytes)
    }

    /// The size of a file. `None` if it is not there.
    pub fn size(&self, name: &str) -> Option<u64> {
        std::fs::metadata(self.path(name)).ok().map(|file| file.len())
    }

    /// Notes that a file is used at this time.
    pub fn used(&self, name: &str, now: SystemTime) -> Result<(), FileStoreError> {
        let path = self.path(name);
        let used = File::options().write(true).open(&path);
        used.and_then(|file| file.set_modified(now))
            .map_err(FileStoreError::of(&path))
    }

    /// Removes the files in the folder and in these subfolders that nobody has used for too long, at most once an hour. A file that
    /// cannot be removed stays.
    pub fn sweep(&self, subfolders: &[&str], now: SystemTime) {
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            let is_recent = |last: SystemTime| now.duration_since(last).is_ok_and(|since| since < SWEEP);
            if swept.is_some_and(is_recent) {
                return;
            }
            *swept = Some(now);
        }
        let folders = subfolders.iter().map(|name| self.folder.join(name));
        for folder in folders.chain([self.folder.clone()]) {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let Ok(about) = entry.metadata() else { continue };
                let unused = about
                    .modified()
                    .ok()
                    .and_then(|used| now.duration_since(used).ok());
                if about.is_file() && unused.is_some_and(|unused| unused > self.keep) {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
    }
}

/// The SHA-256 hash of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_as_long_as_somebody_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let day = Duration::from_hours(24);
        let store = FileStore::new(folder.path().to_owned(), day);
        let (used, unused) = (
            store.put(b"used", "png").unwrap(),
            store.put(b"unused", "png").unwrap(),
        );
        store.write("notes/1.json", b"{}").unwrap();
        let now = SystemTime::now() + day + day;
        store.used(&used, now).unwrap();
        store.sweep(&["notes"], now);
        assert_eq!(store.size(&used), Some(4));
        assert_eq!(store.size(&unused), None);
        assert_eq!(store.size("notes/1.json"), None);
        let again = store.put(b"unused", "png").unwrap();
        store.sweep(&[], now + Duration::from_mins(59));
        assert_eq!(store.size(&again), Some(6), "once an hour");
    }

    #[test]
    fn a_file_that_is_too_large_or_absent_names_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::new(folder.path().to_owned(), Duration::MAX);
        let name = store.put(b"five!", "png").unwrap();
        assert_eq!(store.read(&name, 5).unwrap(), b"five!");
        let error = store.read(&name, 4).unwrap_err().to_string();
        assert!(
            error.contains(&name) && error.contains("more than 4 bytes"),
            "{error}"
        );
        let error = store.read("absent.png", 4).unwrap_err().to_string();
        assert!(error.contains("absent.png"), "{error}");
    }
}
