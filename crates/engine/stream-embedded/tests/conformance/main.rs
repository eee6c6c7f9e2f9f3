//! The embedded log: the specification of every backend, and the tests of a log on a local disk.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test must be seen")]

mod compaction;
mod disk;

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::Utc;
use limbic_stream::Log;
use limbic_stream::testing::conformance::Backend;
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

limbic_stream::conformance!(Embedded, Some(Embedded::new()));

/// The embedded log, in a folder that is removed with it.
pub(crate) struct Embedded {
    folder: tempfile::TempDir,
    log: Option<Arc<EmbeddedLog>>,
}

impl Embedded {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), options()).unwrap();
        Self {
            folder,
            log: Some(Arc::new(log)),
        }
    }

    fn close(&mut self) {
        let log = self.log.take().unwrap();
        log.close().unwrap();
    }

    fn open_again(&mut self) {
        self.log = Some(Arc::new(
            EmbeddedLog::open(self.folder.path(), options()).unwrap(),
        ));
    }
}

/// Small limits, so that tests exceed what is kept in memory.
pub(crate) fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        tail_bytes: 64 << 10,
        memtable_bytes: 1 << 20,
        reserve_bytes: 8 << 20,
        retention_interval: Duration::ZERO,
        ..EmbeddedOptions::default()
    }
}

impl Backend for Embedded {
    fn log(&self) -> Arc<dyn Log> {
        self.log.clone().unwrap()
    }

    fn other(&self) -> Arc<dyn Log> {
        self.log()
    }

    fn open(address: &str) -> Arc<dyn Log> {
        Arc::new(EmbeddedLog::open(address, options()).unwrap())
    }

    fn reopen(&mut self) {
        self.close();
        self.open_again();
    }

    fn steps(&self) -> &'static [&'static str] {
        &[
            "commit::before-write",
            "commit::after-write-before-sync",
            "commit::after-sync-before-ack",
        ]
    }

    fn compact(&self, _topic: &Arc<str>, _is_compacted: &mut dyn FnMut() -> bool) {
        let log = self.log.as_ref().unwrap();
        log.compact(Utc::now()).unwrap();
    }

    fn address(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn lend(&mut self, run: &mut dyn FnMut()) {
        self.close();
        run();
        self.open_again();
    }
}
