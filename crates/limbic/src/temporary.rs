//! Temporary folders, which are removed also when the command is interrupted.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// A folder for one command. It is removed when the value is dropped, and on SIGINT, SIGTERM and SIGHUP, which then end the
/// process.
pub struct TemporaryFolder(tempfile::TempDir);

impl TemporaryFolder {
    /// Makes the folder in the system's folder for temporary files.
    pub fn new(prefix: &str) -> anyhow::Result<Self> {
        // The signals first: one that comes when the folder is there removes it.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot listen for signals")?;
        let guard = runtime.enter();
        let signals = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let signals: Vec<_> = signals.into_iter().map(signal).collect::<Result<_, _>>()?;
        drop(guard);
        let folder = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .context("cannot make a temporary folder")?;
        let path = folder.path().to_owned();
        std::thread::Builder::new()
            .name("limbic-signals".into())
            .spawn(move || {
                runtime.block_on(first_of(signals));
                remove(&path);
                // As a shell reports a process that SIGINT has ended.
                std::process::exit(130);
            })
            .context("cannot start a thread")?;
        Ok(Self(folder))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

async fn first_of(signals: Vec<tokio::signal::unix::Signal>) {
    let [mut a, mut b, mut c] = signals.try_into().expect("there are three signals");
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
        _ = c.recv() => {}
    }
}

/// Removes the folder while other threads may still write to it.
fn remove(path: &PathBuf) {
    for _ in 0..100 {
        if std::fs::remove_dir_all(path).is_ok() || !path.exists() {
            return;
        }
    }
}
