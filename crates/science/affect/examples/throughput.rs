//! The rate at which texts are read, one round at a time, so that another program can measure others in between.
//!
//! ```sh
//! yes 3 | head -5 | cargo run --release -p limbic-affect --example throughput -- models/affect-l6 texts.jsonl numbers 2
//! ```
//!
//! The texts are JSON strings, one per line. `numbers` measures the model alone (tokens, encoder, heads), `readings`
//! complete readings, both without a cache. The last argument is the number of threads. Each line of the input gives a
//! duration in seconds. The answer is the number of texts per second of the clock, and per second of processor time
//! (Linux).

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use limbic_affect::{AffectEngine, ModelOptions, ModelReader};

/// Texts that are read together.
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, what, threads] = &arguments[..] else {
        return Err(
            "usage: throughput MODEL TEXTS.jsonl numbers|readings THREADS < seconds, one round a line".into(),
        );
    };
    let options = ModelOptions {
        cache: 0,
        ..ModelOptions::default()
    };
    let reader = ModelReader::open(Path::new(model), &options)?;
    let texts: Vec<String> = std::fs::read_to_string(texts)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let threads: usize = threads.parse()?;
    let readings = what == "readings";
    for line in io::stdin().lock().lines() {
        let round = Duration::from_secs_f64(line?.trim().parse()?);
        let began = Instant::now();
        let read = &|first: usize| {
            let mut count = 0;
            let processor = processor_time();
            // Each thread starts at a different text.
            for batch in texts
                .chunks(BATCH)
                .cycle()
                .skip(first * texts.len() / BATCH / threads)
            {
                let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
                count += if readings {
                    reader.read(&batch).len()
                } else {
                    reader.numbers(&batch).len()
                };
                if began.elapsed() >= round {
                    break;
                }
            }
            (count, processor_time().saturating_sub(processor))
        };
        let workers: Vec<(usize, Duration)> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|first| scope.spawn(move || read(first)))
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_default())
                .collect()
        });
        let count = workers.iter().map(|(count, _)| *count as f64).sum::<f64>();
        let spent = workers.iter().map(|(_, spent)| spent.as_secs_f64()).sum::<f64>();
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{:.1} {:.1}",
            count / began.elapsed().as_secs_f64(),
            count / spent
        )?;
        out.flush()?;
    }
    Ok(())
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = times.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
