//! Free space on the disk.
//!
//! After one failed write, fjall accepts no more writes. So the committer checks the free space before it writes, and
//! leaves a reserve for fjall's background flushes.

use std::path::Path;

/// Bytes that this user may still write under `path`. `None` if the system does not report it.
#[cfg(all(unix, not(test)))]
pub(super) fn available(path: &Path) -> Option<u64> {
    fail::fail_point!("space::available", |bytes| bytes
        .and_then(|bytes| bytes.parse().ok()));
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Always `None`: the system does not report it.
#[cfg(all(not(unix), not(test)))]
pub(super) fn available(_path: &Path) -> Option<u64> {
    None
}

/// The simulated disk.
#[cfg(test)]
pub(super) fn available(_path: &Path) -> Option<u64> {
    crate::simulation::files::available()
}

/// Whether the system refused a write because there was not enough space (full disk, quota, file size limit).
pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge
    )
}
