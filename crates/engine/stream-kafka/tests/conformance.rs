//! Kafka: the specification of every backend. Runs if `LIMBIC_TEST_KAFKA` names a bootstrap server (`scripts/services up
//! kafka`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test must be seen")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limbic_domain::Utc;
use limbic_stream::testing::conformance::Backend;
use limbic_stream::testing::conformance::client::{Client, limits};
use limbic_stream::testing::conformance::compaction::FILLER;
use limbic_stream::{Headers, Log, NewRecord};
use limbic_stream_kafka::{KafkaLog, KafkaOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};

limbic_stream::conformance!(Kafka, Kafka::new());

/// Kafka with a prefix that no other test uses.
pub(crate) struct Kafka {
    url: String,
    prefix: String,
    log: Arc<dyn Log>,
}

impl Kafka {
    /// The cluster in `LIMBIC_TEST_KAFKA`. If there is none, prints a notice and returns `None`.
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
            Utc::now().as_millis(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let log = <Self as Backend>::open(&format!("{url} {prefix}"));
        Some(Self { url, prefix, log })
    }
}

/// The number of rounds of 100 ms within which the cluster must have compacted a topic.
const ROUNDS: usize = 1_200;

impl Kafka {
    fn clean_at_once(&self, topic: &str) {
        let servers = self.url.trim_start_matches("kafka://");
        let admin: AdminClient<_> = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .create()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let name = format!("{}.{topic}", self.prefix);
        let settings = [
            ("cleanup.policy", "compact"),
            ("segment.ms", "1"),
            ("min.cleanable.dirty.ratio", "0.001"),
            ("message.timestamp.type", "LogAppendTime"),
        ];
        let alter = settings.iter().fold(
            AlterConfig::new(ResourceSpecifier::Topic(&name)),
            |alter, (key, value)| alter.set(key, value),
        );
        let done = runtime
            .block_on(admin.alter_configs([&alter], &AdminOptions::new()))
            .unwrap();
        assert!(done.iter().all(Result::is_ok), "{done:?}");
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

    /// The cleaner does not compact the newest segment, and wakes every 15 seconds. So the test makes segments end early,
    /// with a record after each wait.
    fn compact(&self, topic: &Arc<str>, is_compacted: &mut dyn FnMut() -> bool) {
        self.clean_at_once(topic);
        let filler = (0..self.log.topic(topic).unwrap().offsets.len()).map(|partition| NewRecord {
            topic: topic.clone(),
            partition: Some(partition as u32),
            key: FILLER.into(),
            value: "x".into(),
            headers: Headers::new(),
            timestamp: Utc::from_millis(0),
        });
        let filler: Vec<NewRecord> = filler.collect();
        let elsewhere = self.topics(&["elsewhere"], 1);
        let mut waiting = Client::join(&self.log, "waiting", "a", &elsewhere);
        for _ in 0..ROUNDS {
            self.log.publish(filler.clone()).unwrap();
            waiting.poll(&limits()).unwrap();
            if is_compacted() {
                return waiting.consumer.close().unwrap();
            }
        }
    }

    fn address(&self) -> String {
        format!("{} {}", self.url, self.prefix)
    }

    fn lend(&mut self, run: &mut dyn FnMut()) {
        run();
    }
}
