//! A stage that passes 512-byte records on, on Kafka, in the runtime of every stage: exactly once, at least once with
//! offsets committed equally often, and without committed offsets.
//!
//! ```text
//! scripts/services up kafka && eval "$(scripts/services env)" && cargo bench -p limbic-stream-kafka --bench kafka
//! ```
//!
//! `RECORDS` and `ROUNDS` can be set in the environment. The three variants alternate within each round. The benchmark
//! prints medians, and the cost of exactly-once: the median over the rounds of the cost within a round, with an interval
//! that contains the true median with a confidence of at least 95 % (order statistics, without assumptions about the
//! distribution).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "the benchmark of the peers includes this file"
)]

#[path = "kafka/side.rs"]
mod side;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use limbic_domain::Utc;
use limbic_stream::runtime::{RunOptions, StageMeters, spawn};
use limbic_stream::{
    Batch, BatchLimits, EventTime, Forward, Headers, Log, NewRecord, Outputs, Stage, StageError, StageSpec,
    TopicSpec,
};
use limbic_stream_kafka::{KafkaLog, KafkaOptions};

use side::{Promise, Side};

pub const PARTITIONS: u32 = 3;
/// Maximum duration of a run.
const PATIENCE: Duration = Duration::from_mins(2);

pub fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// The cluster with its filled input.
pub struct Input {
    pub servers: String,
    pub prefix: String,
    pub log: KafkaLog,
    pub records: usize,
}

impl Input {
    pub fn build(records: usize) -> Self {
        let servers = std::env::var("LIMBIC_TEST_KAFKA").unwrap();
        let prefix = format!("bench-{}", Utc::now().as_millis());
        let options = KafkaOptions::default().prefixed(&prefix);
        let log = KafkaLog::connect(&format!("kafka://{servers}"), options).unwrap();
        let topics = ["in", "out"].map(|name| TopicSpec::new(name, PARTITIONS));
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
}

struct Pass;

impl Stage for Pass {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            let key = std::str::from_utf8(&record.key).unwrap();
            out.emit_bytes(
                &record.cause(),
                "out",
                key,
                record.timestamp,
                record.value.clone(),
            );
        }
        Ok(())
    }
}

/// Seconds for all records, and the mean interval between commits in milliseconds.
fn run(input: &Input, promise: Promise, round: usize) -> (f64, f64) {
    let (finished, report) = channel();
    let side = Side {
        promise,
        servers: input.servers.clone(),
        prefix: input.prefix.clone(),
        records: input.records,
        finished,
    };
    let spec = StageSpec::new(&format!("{promise:?}-{round}"))
        .reads("in", EventTime::Ignored)
        .writes("out", Forward::Nothing)
        .batches(BatchLimits::default());
    let meters = StageMeters::register(&prometheus::Registry::new()).unwrap();
    let options = RunOptions::default();
    let mut handle = spawn(
        Arc::new(side.of(input.log.clone())),
        Box::new(Pass),
        spec,
        options,
        &meters,
    )
    .unwrap();
    let finished = report.recv_timeout(PATIENCE);
    handle.stop();
    handle.join_by(Instant::now() + PATIENCE);
    let finished = finished.unwrap();
    let seconds = finished.ended.duration_since(finished.began).as_secs_f64();
    (seconds, seconds * 1_000.0 / f64::from(finished.commits))
}

pub fn exactly_once(input: &Input, round: usize) -> (f64, f64) {
    run(input, Promise::ExactlyOnce, round)
}

pub fn at_least_once(input: &Input, round: usize) -> (f64, f64) {
    run(input, Promise::AtLeastOnce, round)
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len().is_multiple_of(2) {
        f64::midpoint(figures[middle - 1], figures[middle])
    } else {
        figures[middle]
    }
}

/// The narrowest pair of order statistics that contains the median with a confidence of at least 95 %. All values, if
/// there are too few.
fn interval(mut figures: Vec<f64>) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    let n = figures.len();
    // The probability that at most `k` of `n` values are below the median: a fair coin.
    let mut ways = 1.0;
    let mut below = 0.0;
    let mut left_out = 0;
    for k in 0..n / 2 {
        below += ways / 2_f64.powi(i32::try_from(n).unwrap());
        if below > 0.025 {
            break;
        }
        left_out = k + 1;
        ways = ways * (n - k) as f64 / (k + 1) as f64;
    }
    let low = left_out.saturating_sub(1);
    (figures[low], figures[n - 1 - low])
}

pub fn say(what: &str, input: &Input, runs: &[(f64, f64)]) -> f64 {
    let rates: Vec<f64> = runs
        .iter()
        .map(|(seconds, _)| input.records as f64 / seconds)
        .collect();
    let every = median(runs.iter().map(|(_, every)| *every).collect());
    let rate = median(rates.clone());
    println!("{what:<28} median {rate:>9.0} records/s, a commit every {every:.0} ms; runs {rates:.0?}");
    rate
}

/// The cost of the first variant compared with the second, in percent, from runs that alternated.
fn say_cost(beside: &str, with: &[(f64, f64)], without: &[(f64, f64)]) {
    let costs: Vec<f64> = with
        .iter()
        .zip(without)
        .map(|((with, _), (without, _))| (1.0 - without / with) * 100.0)
        .collect();
    let (low, high) = interval(costs.clone());
    let cost = median(costs);
    println!("exactly once costs {cost:.1} % compared with {beside} ({low:.1} to {high:.1})");
}

fn main() {
    let input = Input::build(number("RECORDS", 200_000));
    let sides = [
        Promise::ExactlyOnce,
        Promise::AtLeastOnce,
        Promise::NeverCommitted,
    ];
    let mut runs = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..number("ROUNDS", 12) {
        // Each round starts with another variant, so that the broker's remaining work affects all of them.
        for turn in 0..sides.len() {
            let side = (round + turn) % sides.len();
            runs[side].push(run(&input, sides[side], round));
        }
    }
    let [with, as_often, never] = runs;
    say("exactly once", &input, &with);
    say("at least once", &input, &as_often);
    say("offsets never committed", &input, &never);
    say_cost("at least once, committing as often", &with, &as_often);
    say_cost("never committing an offset", &with, &never);
}
