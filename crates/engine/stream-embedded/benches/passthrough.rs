//! The rate of durable records through the embedded log, compared with the disk itself.
//!
//! `cargo bench -p limbic-stream-embedded --bench passthrough [-- FOLDER]`. FOLDER must be on the disk to be measured
//! (default: the system's folder for temporary files). Each figure is the median of several rounds. Disk and log
//! alternate within a round, so that both run under the same load.
//!
//! * **disk**: a file of zeros, overwritten from the front in pieces of one batch's bytes, `fdatasync` after each.
//! * **pass-through**: a member of a group polls a batch, appends every record to another topic and commits with the
//!   offset; each commit is on the disk before the next poll.
//! * **producers**: threads that publish small batches at once, and the same batches from one thread.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use limbic_domain::Utc;
use limbic_stream::{
    BatchLimits, Committed, Consumer, Headers, Log, NewRecord, Polled, Subscription, TopicPartition,
    TopicSpec,
};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

const RECORD: usize = 512;
const ROUNDS: usize = 5;
/// The target of the pass-through: this many records a second, or this share of the disk's rate, whichever is less.
const GOAL: f64 = 250_000.0;
const SHARE: f64 = 0.8;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(folder)?;
    println!(
        "records of {RECORD} bytes, medians of {ROUNDS} rounds, in {}",
        folder.path().display()
    );
    println!("\npass-through, every commit on the disk");
    println!("  batch   records/s    MB/s  disk MB/s  share  records per processor second  goal");
    for (batch, records) in [(200, 20_000), (1_000, 100_000), (5_000, 200_000)] {
        pass_through(folder.path(), batch, records)?;
    }
    println!("\npublish in small batches, acknowledged on the disk");
    println!("  batch  producers   records/s    MB/s");
    for batch in [1, 20] {
        for producers in [1, 8] {
            producers_at_once(folder.path(), batch, producers)?;
        }
    }
    println!("\nresident memory: {} MiB at most", peak_memory()?);
    Ok(())
}

fn pass_through(folder: &Path, batch: usize, records: usize) -> Outcome<()> {
    let path = folder.join(format!("pass-{batch}"));
    let log = EmbeddedLog::open(&path, EmbeddedOptions::default())?;
    create(&log, &["in", "out"])?;
    let mut consumer = log.subscribe(Subscription {
        group: "pass".into(),
        instance: "a".into(),
        topics: vec!["in".into()],
        stateful: false,
    })?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        for _ in 0..records / 5_000 {
            log.publish((0..5_000).map(|i| record("in", i)).collect())?;
        }
        let disk = disk(folder, batch * RECORD, (records / batch).min(500))?;
        let (began, processor) = (Instant::now(), processor_time()?);
        pass(&mut *consumer, batch, records)?;
        let rate = records as f64 / began.elapsed().as_secs_f64();
        let per_core = records as f64 / (processor_time()? - processor);
        rounds.push((rate, disk, per_core));
    }
    consumer.close()?;
    log.close()?;
    std::fs::remove_dir_all(&path)?;
    let rate = median(rounds.iter().map(|round| round.0));
    let disk = median(rounds.iter().map(|round| round.1));
    let per_core = median(rounds.iter().map(|round| round.2));
    let bytes = rate * RECORD as f64;
    let met = rate >= GOAL || bytes >= SHARE * disk;
    println!(
        "  {batch:>5}  {rate:>10.0}  {:>6.1}  {:>9.1}  {:>4.0} %  {per_core:>28.0}  {}",
        bytes / 1e6,
        disk / 1e6,
        100.0 * bytes / disk,
        if met { "met" } else { "missed" }
    );
    Ok(())
}

fn pass(consumer: &mut dyn Consumer, batch: usize, records: usize) -> Outcome<()> {
    let limits = BatchLimits {
        records: batch,
        bytes: 64 << 20,
        linger: Duration::from_secs(1),
    };
    let mut passed = 0;
    while passed < records {
        let Polled::Records(batch) = consumer.poll(&limits)? else {
            continue;
        };
        let Some(last) = batch.last() else {
            continue;
        };
        let committed = Committed {
            partition: TopicPartition {
                topic: last.topic.clone(),
                partition: last.partition,
            },
            next: last.offset + 1,
            metadata: String::new(),
        };
        passed += batch.len();
        let output: std::sync::Arc<str> = "out".into();
        let mut transaction = consumer.begin()?;
        for record in batch {
            transaction.append(NewRecord {
                topic: output.clone(),
                partition: None,
                key: record.key,
                value: record.value,
                headers: record.headers,
                timestamp: record.timestamp,
            })?;
        }
        transaction.commit_offset(committed)?;
        transaction.commit()?;
    }
    Ok(())
}

fn producers_at_once(folder: &Path, batch: usize, producers: usize) -> Outcome<()> {
    let path = folder.join(format!("publish-{batch}-{producers}"));
    let log = EmbeddedLog::open(&path, EmbeddedOptions::default())?;
    create(&log, &["in"])?;
    let each = 250;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        std::thread::scope(|scope| -> Outcome<()> {
            let threads: Vec<_> = (0..producers)
                .map(|_| {
                    scope.spawn(|| -> limbic_stream::Result<()> {
                        for _ in 0..each {
                            log.publish((0..batch).map(|i| record("in", i)).collect())?;
                        }
                        Ok(())
                    })
                })
                .collect();
            for thread in threads {
                thread.join().map_err(|_| "a producer panicked")??;
            }
            Ok(())
        })?;
        rates.push((producers * each * batch) as f64 / began.elapsed().as_secs_f64());
    }
    log.close()?;
    std::fs::remove_dir_all(&path)?;
    let rate = median(rates.into_iter());
    println!(
        "  {batch:>5}  {producers:>9}  {rate:>10.0}  {:>6.1}",
        rate * RECORD as f64 / 1e6
    );
    Ok(())
}

/// Bytes per second that the disk writes in synced pieces of `piece` bytes.
fn disk(folder: &Path, piece: usize, pieces: usize) -> Outcome<f64> {
    let path = folder.join("disk");
    let mut file = File::create(&path)?;
    file.set_len((piece * pieces) as u64)?;
    file.sync_all()?;
    let bytes: Vec<u8> = noise(piece);
    let began = Instant::now();
    for _ in 0..pieces {
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    let rate = (piece * pieces) as f64 / began.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}

fn create(log: &EmbeddedLog, topics: &[&str]) -> Outcome<()> {
    let specs: Vec<TopicSpec> = topics.iter().map(|name| TopicSpec::new(*name, 1)).collect();
    Ok(log.ensure_topics(&specs)?)
}

/// Key and value have [`RECORD`] bytes together.
fn record(topic: &str, number: usize) -> NewRecord {
    let key = format!("author-{number:09}");
    NewRecord {
        topic: topic.into(),
        partition: None,
        value: Bytes::from(noise(RECORD - key.len())),
        key: key.into(),
        headers: Headers::new(),
        timestamp: Utc::from_millis(1_503_784_800_000),
    }
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Processor time in seconds of all threads of this process so far.
fn processor_time() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(") ").ok_or("/proc/self/stat has no name")?.1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // Linux counts them in hundredths of a second.
    Ok(ticks as f64 / 100.0)
}

/// Peak resident memory in MiB.
fn peak_memory() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("no VmHWM in /proc/self/status")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024)
}
