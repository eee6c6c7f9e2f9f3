//! The file system, as the journals use it.
//!
//! The unit tests of this crate run on a file system in memory that loses, tears and damages what was not flushed
//! (`simulation`). Everything else runs on the real one.

#[cfg(not(test))]
mod real {
    use std::io;
    use std::path::{Path, PathBuf};

    pub(crate) use std::fs::{File, OpenOptions, copy, create_dir_all, remove_file};

    pub(crate) fn length(path: &Path) -> io::Result<u64> {
        path.metadata().map(|metadata| metadata.len())
    }

    pub(crate) fn exists(path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    pub(crate) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    }

    pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

#[cfg(not(test))]
pub(crate) use real::{
    File, OpenOptions, copy, create_dir_all, exists, length, list, remove_file, sync_folder,
};

#[cfg(test)]
pub(crate) use crate::simulation::files::{
    File, OpenOptions, copy, create_dir_all, exists, length, list, remove_file, sync_folder,
};
