//! How much room the disk has.
//!
//! fjall gives up for good once a write fails, so the committer asks before it writes, and leaves fjall's own
//! background flushes a reserve to work in.

use std::path::Path;

/// Bytes that this user may still write under `path`, if the system tells.
#[cfg(unix)]
pub(super) fn available(path: &Path) -> Option<u64> {
    fail::fail_point!("space::available", |bytes| bytes
        .and_then(|bytes| bytes.parse().ok()));
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes that this user may still write under `path`, if the system tells.
#[cfg(not(unix))]
pub(super) fn available(_path: &Path) -> Option<u64> {
    None
}

/// Whether the system refused a write for want of room (full disk, quota, file size limit).
pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge
    )
}
