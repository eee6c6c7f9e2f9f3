//! The progress of a replay.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Stores how many rows of a file a target has accepted, in a small file.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    mark: Mark,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// The replayed file: path and length. A different file with the same name starts from the beginning.
    file: String,
    length: u64,
    /// The URL of the node, or the log.
    target: String,
    /// How the file is read. Rows that were rejected under other options are tried again.
    #[serde(default)]
    options: String,
    /// The number of rows that the target has answered.
    rows: u64,
}

impl Checkpoint {
    /// The checkpoint of the replay of `file` to `target`, in `folder`. `options` names how the file is read: with other options, a
    /// replay starts at the first row.
    pub fn open(folder: &Path, file: &Path, target: &str, options: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = fs::canonicalize(file)?;
        let length = fs::metadata(&file)?.len();
        let name = limbic_domain::event_id("replay", &[&file.to_string_lossy(), target]);
        let path = folder.join(format!("replay-{name}.json"));
        let fresh = Mark {
            file: file.to_string_lossy().into_owned(),
            length,
            target: target.to_owned(),
            options: options.to_owned(),
            rows: 0,
        };
        let kept = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Mark>(&bytes).ok());
        let mark = kept
            .filter(|kept| kept.length == length && kept.file == fresh.file && kept.options == fresh.options)
            .unwrap_or(fresh);
        Ok(Self { path, mark })
    }

    /// The number of rows that the target has answered.
    pub fn rows(&self) -> u64 {
        self.mark.rows
    }

    /// Stores the number of answered rows. Survives a crash of the machine.
    pub fn save(&mut self, rows: u64) -> io::Result<()> {
        self.mark.rows = rows;
        let beside = self.path.with_extension("tmp");
        let mut file = fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&self.mark)?)?;
        file.sync_data()?;
        fs::rename(beside, &self.path)
    }

    /// Deletes the checkpoint after a complete replay.
    pub fn finish(self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_continues_where_it_stopped_unless_the_file_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("posts.csv");
        fs::write(&file, "a").unwrap();
        let open = |target, options| Checkpoint::open(folder.path(), &file, target, options).unwrap();
        open("x", "a").save(7).unwrap();
        assert_eq!(open("x", "a").rows(), 7);
        assert_eq!(open("elsewhere", "a").rows(), 0);
        assert_eq!(open("x", "b").rows(), 0, "read in another way");
        fs::write(&file, "ab").unwrap();
        assert_eq!(open("x", "a").rows(), 0);
        open("x", "a").finish().unwrap();
    }
}
