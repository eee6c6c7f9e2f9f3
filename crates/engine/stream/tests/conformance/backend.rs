//! The backends under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limbic_stream::embedded::{EmbeddedLog, EmbeddedOptions};
use limbic_stream::kafka::{KafkaLog, KafkaOptions};
use limbic_stream::{Log, Retention, TopicSpec};

/// A log to be tested.
pub(crate) trait Backend {
    /// The log; the same for every call until [`Backend::reopen`].
    fn log(&self) -> Arc<dyn Log>;

    /// The log as another process would have it: for a backend with a server a connection of its own.
    fn other(&self) -> Arc<dyn Log>;

    /// Closes the log, which nobody may be using any more, and opens it again.
    fn reopen(&mut self);

    /// The steps of a commit at which a process can be killed: names of failpoints.
    fn steps(&self) -> &'static [&'static str];

    /// Where a child process finds this log: for [`open`].
    fn address(&self) -> String;

    /// Lets a child process use the log while `run` runs.
    fn lend(&mut self, run: &mut dyn FnMut());

    /// Creates topics with `partitions` partitions and answers their names.
    fn topics(&self, bases: &[&str], partitions: u32) -> Vec<Arc<str>> {
        let names: Vec<Arc<str>> = bases.iter().map(|base| (*base).into()).collect();
        let specs: Vec<TopicSpec> = names
            .iter()
            .map(|name| TopicSpec {
                name: name.clone(),
                partitions,
                retention: Retention::default(),
            })
            .collect();
        self.log().ensure_topics(&specs).unwrap();
        names
    }
}

/// Opens the log of a [`Backend::address`].
pub(crate) fn open(address: &str) -> Arc<dyn Log> {
    let (kind, place) = address.split_once(' ').unwrap();
    match kind {
        "embedded" => Arc::new(EmbeddedLog::open(place, options()).unwrap()),
        "kafka" => {
            let (url, prefix) = place.split_once(' ').unwrap();
            let options = KafkaOptions::default().prefixed(prefix);
            Arc::new(KafkaLog::connect(url, options).unwrap())
        }
        other => panic!("there is no backend `{other}`"),
    }
}

/// The embedded log, in a folder that goes with it.
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

    fn open(&mut self) {
        self.log = Some(Arc::new(
            EmbeddedLog::open(self.folder.path(), options()).unwrap(),
        ));
    }
}

/// Small, so that tests come to the edges of what is in memory.
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

    fn reopen(&mut self) {
        self.close();
        self.open();
    }

    fn steps(&self) -> &'static [&'static str] {
        &[
            "commit::before-write",
            "commit::after-write-before-sync",
            "commit::after-sync-before-ack",
        ]
    }

    fn address(&self) -> String {
        format!("embedded {}", self.folder.path().display())
    }

    fn lend(&mut self, run: &mut dyn FnMut()) {
        self.close();
        run();
        self.open();
    }
}

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
        let log = open(&format!("kafka {url} {prefix}"));
        Some(Self { url, prefix, log })
    }
}

impl Backend for Kafka {
    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    fn other(&self) -> Arc<dyn Log> {
        open(&self.address())
    }

    fn reopen(&mut self) {
        self.log.close().unwrap();
        self.log = open(&self.address());
    }

    fn steps(&self) -> &'static [&'static str] {
        &[
            "commit::before-offsets",
            "commit::before-commit",
            "commit::after-commit",
        ]
    }

    fn address(&self) -> String {
        format!("kafka {} {}", self.url, self.prefix)
    }

    fn lend(&mut self, run: &mut dyn FnMut()) {
        run();
    }
}
