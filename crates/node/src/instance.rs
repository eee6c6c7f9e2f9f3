//! The name under which the log knows the stages of a node.
//!
//! On Kafka the name is part of the transactional id. Two running nodes must never have the same name, because each would
//! fence the other. A node that restarts should have its old name: its first call to the brokers then aborts the
//! transaction that the old process left open, and readers do not wait for `transaction.timeout.ms`.
//!
//! So a node takes the first *slot* of its data folder that no other process has locked. A slot is a file with a random
//! seed. The name is a function of the seed, the host and the path of the folder. The operating system releases the lock
//! when the process ends for any reason.
//!
//! | case | result |
//! |---|---|
//! | a node is killed and starts again | same slot, same name |
//! | two nodes work in one data folder | two slots, two names |
//! | a data folder is copied, on one host or to another | other path or host, other name |
//! | a container loses its data folder at each start | a new name each time |

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::settings::Settings;

/// Slots in one data folder.
const SLOTS: usize = 256;

/// Bytes of a slot's seed.
const SEED: usize = 32;

/// The name of a node's instances, and the lock that keeps the name from other processes.
#[derive(Debug)]
pub(crate) struct Instance {
    name: String,
    /// Locked while this value exists. `None` if no other process can take the name.
    _slot: Option<File>,
}

impl Instance {
    /// The name from the settings, or one that no other running node has.
    ///
    /// The embedded log has only one node, so its instances need no unique name, and nothing is written.
    pub(crate) fn claim(settings: &Settings) -> anyhow::Result<Self> {
        if !settings.stream.instance.is_empty() {
            return Ok(Self {
                name: settings.stream.instance.clone(),
                _slot: None,
            });
        }
        if settings.is_embedded() {
            return Ok(Self {
                name: "0".to_owned(),
                _slot: None,
            });
        }
        Self::claim_slot(&settings.data_dir, &host_name())
    }

    fn claim_slot(data_dir: &Path, host: &str) -> anyhow::Result<Self> {
        let folder = data_dir.join("instances");
        let cannot = |path: &Path| {
            format!(
                "cannot use {}, where this node keeps its instance's name: make the data folder writable, choose \
                 another with --data, or name the instance with --set stream.instance=NAME (unique among running nodes)",
                path.display()
            )
        };
        crate::folder::create(&folder).with_context(|| cannot(&folder))?;
        let folder = folder.canonicalize().with_context(|| cannot(&folder))?;
        for slot in 0..SLOTS {
            let path = slot_path(&folder, slot);
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .with_context(|| cannot(&path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error).with_context(|| cannot(&path)),
            }
            let seed = seed_of(&mut file).with_context(|| cannot(&path))?;
            return Ok(Self {
                name: name_of(host, &path, &seed),
                _slot: Some(file),
            });
        }
        bail!(
            "{SLOTS} nodes already use {}: give this one another data folder with --data",
            data_dir.display()
        )
    }

    /// At most 57 letters, digits, `.`, `_` and `-`, unless the settings give another name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

fn slot_path(folder: &Path, slot: usize) -> PathBuf {
    folder.join(format!("{slot}.lock"))
}

/// The seed in the slot's file. A new file gets one. So does a file whose writer was killed before it was complete.
fn seed_of(file: &mut File) -> std::io::Result<[u8; SEED]> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if let Ok(seed) = bytes.try_into() {
        return Ok(seed);
    }
    let mut seed = [0; SEED];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(&seed)?;
    file.sync_all()?;
    Ok(seed)
}

fn name_of(host: &str, slot: &Path, seed: &[u8; SEED]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(seed);
    hasher.update(host.as_bytes());
    hasher.update(&[0]);
    hasher.update(slot.as_os_str().as_encoded_bytes());
    let id = hasher.finalize().to_hex();
    // The host's name is for people who read logs. The hash alone makes the name unique.
    let host: String = host
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    format!("{host}-{}", &id[..16])
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(folder: &Path, host: &str) -> String {
        Instance::claim_slot(folder, host).unwrap().name().to_owned()
    }

    #[test]
    fn a_restarted_node_has_its_old_name() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(name(folder.path(), "host"), name(folder.path(), "host"));
    }

    #[test]
    fn nodes_in_one_folder_have_different_names_and_a_free_name_is_reused() {
        let folder = tempfile::tempdir().unwrap();
        let first = Instance::claim_slot(folder.path(), "host").unwrap();
        let second = Instance::claim_slot(folder.path(), "host").unwrap();
        assert_ne!(first.name(), second.name());
        let freed = first.name().to_owned();
        drop(first);
        assert_eq!(name(folder.path(), "host"), freed);
    }

    #[test]
    fn a_copied_folder_gives_another_name_on_the_same_host_and_on_another() {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let original = name(folder.path(), "host");
        std::fs::create_dir(copy.path().join("instances")).unwrap();
        std::fs::copy(
            folder.path().join("instances/0.lock"),
            copy.path().join("instances/0.lock"),
        )
        .unwrap();
        assert_ne!(name(copy.path(), "host"), original);
        assert_ne!(name(folder.path(), "other-host"), original);
    }

    #[test]
    fn an_incomplete_seed_is_generated_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("instances")).unwrap();
        std::fs::write(folder.path().join("instances/0.lock"), b"half").unwrap();
        let made = name(folder.path(), "host");
        assert_eq!(name(folder.path(), "host"), made);
    }

    #[test]
    fn a_name_is_valid_on_kafka_for_any_host_name() {
        let folder = tempfile::tempdir().unwrap();
        let name = name(folder.path(), &"Büro 7/".repeat(20));
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        assert!(name.len() <= 57 && name.chars().all(legal), "{name}");
    }

    #[test]
    fn a_name_from_the_settings_is_used_and_the_embedded_log_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            data_dir: folder.path().join("data"),
            ..Settings::default()
        };
        assert_eq!(Instance::claim(&settings).unwrap().name(), "0");
        settings.stream.instance = "east-1".into();
        assert_eq!(Instance::claim(&settings).unwrap().name(), "east-1");
        assert!(!settings.data_dir.exists());
    }
}
