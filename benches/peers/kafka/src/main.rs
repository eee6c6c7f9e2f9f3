//! The pass-through stage on Kafka, exactly once with a commit every 100 ms, compared with the same in
//! `ruststream-rdkafka`.
//!
//! ```text
//! scripts/services up kafka && eval "$(scripts/services env)" && cargo run --release
//! ```
//!
//! Both sides read the same topic and write the same topic. They alternate, and each turn has its own group.

#[path = "../../../../crates/engine/stream-kafka/benches/kafka.rs"]
mod ours;

use std::borrow::Borrow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use limbic_stream::Log;
use ruststream::OutgoingMessage;
use ruststream_rdkafka::EosPipeline;
use ruststream_rdkafka::prelude::*;

/// A record's bytes, as they came.
#[derive(Deserialized)]
struct Frame<'a>(&'a [u8]);

/// A name without this run's prefix, in the form of the other crate.
const OUTPUT: &str = "ruststream-out";

static TOPIC: OnceLock<String> = OnceLock::new();
static GROUP: Mutex<String> = Mutex::new(String::new());
static BEGUN: Mutex<Option<Instant>> = Mutex::new(None);
static SEEN: AtomicUsize = AtomicUsize::new(0);

fn topic() -> String {
    TOPIC.get().expect("the input is named").clone()
}

fn group() -> String {
    GROUP.lock().expect("no panic").clone()
}

#[subscriber(
    KafkaTopic::new(topic())
        .group(group())
        .commit(Commit::Transactional(group()))
        .start(StartOffset::Earliest)
        .config("fetch.queue.backoff.ms", "5")
        .lane_key(LaneKey::RecordKey),
    // Ordered by key, like our side, with as much concurrency as is useful.
    workers(256, by_key)
)]
async fn pass(
    frame: &Frame<'_>,
    Ctx(source): Ctx<Source>,
    Out(window): Out<impl Borrow<EosPipeline>>,
) -> HandlerOutcome {
    if SEEN.fetch_add(1, Ordering::Relaxed) == 0 {
        *BEGUN.lock().expect("no panic") = Some(Instant::now());
    }
    let pipeline: &EosPipeline = (**window).borrow();
    let record = OutgoingMessage::new(OUTPUT, frame.0);
    if pipeline.publish(&source, record, None).await.is_err() {
        return HandlerOutcome::retry();
    }
    HandlerOutcome::ack()
}

/// Seconds from the first record to the commit of the last.
fn theirs(input: &ours::Input, round: usize) -> (f64, f64) {
    let name = format!("ruststream-{round}");
    *GROUP.lock().expect("no panic") = format!("{}.{name}", input.prefix);
    SEEN.store(0, Ordering::Relaxed);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let seconds = runtime.block_on(async {
        let pipeline = EosPublish::new(group()).commit_interval(Duration::from_millis(100));
        let app = RustStream::new(AppInfo::new("pass", "0.1.0")).with_broker(
            KafkaBroker::new([input.servers.clone()]),
            |broker| {
                broker.include(pass).out(DefaultSlot, pipeline).build();
            },
        );
        let running = app.start().await.expect("it starts");
        let log = input.log.clone();
        let records = input.records as u64;
        let seconds = tokio::task::spawn_blocking(move || {
            let ends: u64 = log
                .topics()
                .expect("topics")
                .iter()
                .find(|t| &*t.name == "in")
                .expect("in")
                .offsets
                .iter()
                .map(|o| o.1)
                .sum();
            assert_eq!(ends, records);
            let deadline = Instant::now() + Duration::from_secs(ours::number("PATIENCE", 60) as u64);
            loop {
                let progress = log.progress(&name).expect("progress");
                let done: u64 = progress.iter().map(|p| p.committed.next).sum();
                let late = Instant::now() > deadline;
                if done >= records || late {
                    let begun = BEGUN.lock().expect("no panic").expect("it was given a record");
                    let seconds = begun.elapsed().as_secs_f64();
                    let seen = SEEN.load(Ordering::Relaxed);
                    println!("ruststream: {done} records committed, {seen} handled in {seconds:.1} s");
                    // The records that were not processed in time are counted at the rate of the others.
                    return seconds * records as f64 / done.max(1) as f64;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        })
        .await
        .expect("no panic");
        running.shutdown().await.expect("it stops");
        seconds
    });
    (seconds, 100.0)
}

fn main() {
    let input = ours::Input::build(ours::number("RECORDS", 300_000));
    let bare = limbic_stream_kafka::KafkaOptions::default().prefixed("");
    limbic_stream_kafka::KafkaLog::connect(&format!("kafka://{}", input.servers), bare)
        .expect("a cluster")
        .ensure_topics(&[limbic_stream::TopicSpec::new(OUTPUT, ours::PARTITIONS)])
        .expect("a topic");
    TOPIC.set(format!("{}.in", input.prefix)).expect("once");
    let (mut limbic, mut ruststream, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ours::number("ROUNDS", 5) {
        limbic.push(ours::exactly_once(&input, round));
        plain.push(ours::at_least_once(&input, round));
        println!(
            "round {round}: {:.2} s, {:.2} s without transactions",
            limbic[round].0, plain[round].0
        );
        ruststream.push(theirs(&input, round));
    }
    let limbic = ours::say("limbic, exactly once", &input, &limbic);
    let plain = ours::say("limbic, at least once", &input, &plain);
    let ruststream = ours::say("ruststream, exactly once", &input, &ruststream);
    println!("exactly once costs {:.1} %", (1.0 - limbic / plain) * 100.0);
    println!(
        "limbic is ahead of ruststream by a factor of {:.1}",
        limbic / ruststream
    );
}
