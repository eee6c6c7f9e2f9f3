//! Kafka, held to the specification of every backend. Tested when `LIMBIC_TEST_KAFKA` names a bootstrap server
//! (`scripts/services up kafka`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test must be seen")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limbic_stream::Log;
use limbic_stream::testing::conformance::Backend;
use limbic_stream_kafka::{KafkaLog, KafkaOptions};

limbic_stream::conformance!(Kafka, Kafka::new());

/// Kafka, under a prefix that no other test has.
pub(crate) struct Kafka {
    url: String,
    prefix: String,
    log: Arc<dyn Log>,
}

impl Kafka {
    /// The cluster that `LIMBIC_TEST_KAFKA` names; `None`, said loudly, without one.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Ok(servers) = std::env::var("LIMBIC_TEST_KAFKA") else {
            eprintln!(
                "\n*** SKIPPED: no Kafka (scripts/services up kafka; eval \"$(scripts/services env)\") ***\n"
            );
            return None;
        };
        let url = format!("kafka://{servers}");
        let prefix = format!(
            "conformance-{}-{}-{}",
            std::process::id(),
            limbic_domain::Utc::now().as_millis(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let log = <Self as Backend>::open(&format!("{url} {prefix}"));
        Some(Self { url, prefix, log })
    }
}

impl Backend for Kafka {
    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    fn other(&self) -> Arc<dyn Log> {
        <Self as Backend>::open(&self.address())
    }

    fn open(address: &str) -> Arc<dyn Log> {
        let (url, prefix) = address.split_once(' ').unwrap();
        let options = KafkaOptions::default().prefixed(prefix);
        Arc::new(KafkaLog::connect(url, options).unwrap())
    }

    fn reopen(&mut self) {
        self.log.close().unwrap();
        self.log = <Self as Backend>::open(&self.address());
    }

    fn steps(&self) -> &'static [&'static str] {
        &[
            "commit::before-offsets",
            "commit::before-commit",
            "commit::after-commit",
        ]
    }

    fn address(&self) -> String {
        format!("{} {}", self.url, self.prefix)
    }

    fn lend(&mut self, run: &mut dyn FnMut()) {
        run();
    }
}
