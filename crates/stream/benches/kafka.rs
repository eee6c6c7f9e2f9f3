//! A stage that passes 512-byte records on, on Kafka: exactly-once with commits about every 100 ms, against the same
//! without transactions (idempotent, all replicas, waiting for the acknowledgements of each batch; no offsets are
//! committed at all, which is in its favour).
//!
//! ```text
//! scripts/services up kafka && eval "$(scripts/services env)" && cargo bench -p limbic-stream --bench kafka
//! ```
//!
//! `RECORDS` and `ROUNDS` may be given in the environment. Rounds of both sides alternate; the medians are printed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "the benchmark of the peers includes this file"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_stream::kafka::{KafkaLog, KafkaOptions};
use limbic_stream::{
    BatchLimits, Committed, Consumer, Headers, Log, NewRecord, Polled, Record, Retention, Subscription,
    TopicPartition, TopicSpec,
};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

pub const PARTITIONS: u32 = 3;
const COMMIT_EVERY: Duration = Duration::from_millis(100);

pub fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// The cluster, with its input filled.
pub struct Town {
    pub servers: String,
    pub prefix: String,
    pub log: KafkaLog,
    pub records: usize,
}

impl Town {
    pub fn build(records: usize) -> Self {
        let servers = std::env::var("LIMBIC_TEST_KAFKA").unwrap();
        let prefix = format!("bench-{}", Utc::now().as_millis());
        let options = KafkaOptions::default().prefixed(&prefix);
        let log = KafkaLog::connect(&format!("kafka://{servers}"), options).unwrap();
        let topics = ["in", "out"].map(|name| TopicSpec {
            name: name.into(),
            partitions: PARTITIONS,
            retention: Retention::default(),
        });
        log.ensure_topics(&topics).unwrap();
        let topic: Arc<str> = "in".into();
        for from in (0..records).step_by(10_000) {
            let batch = (from..records.min(from + 10_000)).map(|n| NewRecord {
                topic: Arc::clone(&topic),
                partition: None,
                key: format!("author-{:06}", n % 10_007).into(),
                value: vec![b'x'; 512].into(),
                headers: Headers::new(),
                timestamp: Utc::from_millis(1_503_000_000_000),
            });
            log.publish(batch.collect()).unwrap();
        }
        Self {
            servers,
            prefix,
            log,
            records,
        }
    }

    fn consumer(&self, group: &str) -> Box<dyn Consumer> {
        self.log
            .subscribe(Subscription {
                group: group.into(),
                instance: "0".into(),
                topics: vec!["in".into()],
                stateful: false,
            })
            .unwrap()
    }
}

/// More than a tenth of a second brings.
fn limits() -> BatchLimits {
    BatchLimits {
        records: 50_000,
        bytes: 64 << 20,
        linger: Duration::from_millis(20),
    }
}

/// What comes within half of the commit interval: writing it takes the other half.
fn collect(consumer: &mut dyn Consumer, started: &mut Option<Instant>, left: usize) -> Vec<Record> {
    let mut batch = Vec::new();
    let begun = Instant::now();
    while batch.len() < left {
        if let Polled::Records(records) = consumer.poll(&limits()).unwrap() {
            started.get_or_insert_with(Instant::now);
            batch.extend(records);
        }
        if !batch.is_empty() && begun.elapsed() >= COMMIT_EVERY / 2 {
            break;
        }
    }
    batch
}

/// Seconds for all records, and the mean interval between commits in milliseconds.
pub fn exactly_once(town: &Town, round: usize) -> (f64, f64) {
    let mut consumer = town.consumer(&format!("eos-{round}"));
    let (mut passed, mut commits, mut started) = (0, 0, None);
    let topic: Arc<str> = "out".into();
    while passed < town.records {
        let batch = collect(&mut *consumer, &mut started, town.records - passed);
        passed += batch.len();
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        let input = Arc::clone(&batch[0].topic);
        let mut transaction = consumer.begin().unwrap();
        for record in batch {
            next.insert(record.partition, record.offset + 1);
            transaction
                .append(NewRecord {
                    topic: Arc::clone(&topic),
                    partition: None,
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                    timestamp: record.timestamp,
                })
                .unwrap();
        }
        for (partition, next) in next {
            let topic = Arc::clone(&input);
            transaction
                .commit_offset(Committed {
                    partition: TopicPartition { topic, partition },
                    next,
                    metadata: String::new(),
                })
                .unwrap();
        }
        transaction.commit().unwrap();
        commits += 1;
    }
    let seconds = started.unwrap().elapsed().as_secs_f64();
    consumer.close().unwrap();
    (seconds, seconds * 1_000.0 / f64::from(commits))
}

/// The same without transactions.
pub fn without_transactions(town: &Town, round: usize) -> (f64, f64) {
    let mut consumer = town.consumer(&format!("plain-{round}"));
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &town.servers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "1")
        .set("queue.buffering.max.kbytes", "65536")
        .set("delivery.report.only.error", "true")
        .create()
        .unwrap();
    let output = format!("{}.out", town.prefix);
    let (mut passed, mut commits, mut started) = (0, 0, None);
    while passed < town.records {
        let batch = collect(&mut *consumer, &mut started, town.records - passed);
        passed += batch.len();
        for record in batch {
            let time = record.timestamp.as_millis().to_be_bytes();
            let headers = OwnedHeaders::new_with_capacity(1).insert(Header {
                key: "limbic-at",
                value: Some(&time[..]),
            });
            let partition = limbic_stream::partition_of(&record.key, PARTITIONS);
            let mut message = BaseRecord::<[u8], [u8]>::to(&output)
                .partition(i32::try_from(partition).unwrap())
                .key(&record.key)
                .payload(&record.value)
                .headers(headers);
            while let Err((_, back)) = producer.send(message) {
                message = back;
                producer.poll(Duration::from_millis(1));
            }
        }
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
        }
        commits += 1;
    }
    let seconds = started.unwrap().elapsed().as_secs_f64();
    consumer.close().unwrap();
    (seconds, seconds * 1_000.0 / f64::from(commits))
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub fn say(what: &str, town: &Town, runs: &[(f64, f64)]) -> f64 {
    let rates: Vec<f64> = runs
        .iter()
        .map(|(seconds, _)| town.records as f64 / seconds)
        .collect();
    let every = median(runs.iter().map(|(_, every)| *every).collect());
    let rate = median(rates.clone());
    println!("{what:<28} median {rate:>9.0} records/s, a commit every {every:.0} ms; runs {rates:.0?}");
    rate
}

fn main() {
    let town = Town::build(number("RECORDS", 300_000));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..number("ROUNDS", 5) {
        with.push(exactly_once(&town, round));
        without.push(without_transactions(&town, round));
    }
    let with = say("exactly once", &town, &with);
    let without = say("without transactions", &town, &without);
    println!("exactly once costs {:.1} %", (1.0 - with / without) * 100.0);
}
