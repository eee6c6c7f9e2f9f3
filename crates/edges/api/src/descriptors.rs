//! File descriptors: connections must leave some for the log and the databases.

use std::fs::File;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that connections never take: the files of the log, the databases, and the connections to servers.
const KEPT: u64 = 256;
/// The limit, if the system allows any.
const MOST: u64 = 1 << 20;

/// Raises the process's limit of descriptors as far as the system allows without more rights.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum.or(Some(MOST)),
        ..limit
    };
    if limit.current.is_none() || limit.current >= raised.current {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of file descriptors stays");
    }
}

/// The connections for which there are descriptors. A process with very few keeps at least a quarter of them for other things.
pub(crate) fn for_connections() -> usize {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return usize::MAX;
    };
    let for_connections = limit.saturating_sub(KEPT).max(limit / 4);
    usize::try_from(for_connections).unwrap_or(usize::MAX)
}

/// Whether the error says that there are no descriptors left.
pub(crate) fn are_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| missing.contains(&code))
}

/// Why nothing can be opened, if so. The log cannot work then.
pub(crate) fn problem() -> Option<&'static str> {
    let opened = File::open("/dev/null");
    let error = opened.err()?;
    are_missing(&error).then_some("no file descriptors are left: raise their limit (`ulimit -n`)")
}
