//! Posts per second that the encoder reads on each path, and their share of the processor's peak.
//!
//! `cargo bench -p limbic-encoder --bench encoder [-- MODEL [KERNELS…]]`. MODEL is a model's folder (default:
//! `models/affect-l6`). KERNELS are the kernels to measure (default: all that this machine can run). Posts are random
//! tokens, 8 to 64 and 28 on average, as in short posts. A figure is the median of several rounds. Paths and batches
//! alternate within a round, so that all run under the same load.
//!
//! * **posts/s**: by batch, with two workers of one thread each; and for one thread alone, by the processor's time
//!   (Linux), which other work on the machine disturbs less.
//! * **p50, p99**: of one batch on one thread, in milliseconds.
//! * **peak**: the integer instructions of a path's kernel without loads and stores, on one thread and on two.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use limbic_encoder::{Encoder, Kernels, Model, Scratch};

mod peak;

const ROUNDS: usize = 5;
const BATCHES: [usize; 4] = [1, 8, 32, 64];
/// Duration of one measurement in a round.
const SLICE: Duration = Duration::from_millis(400);
const WORKERS: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'));
    let folder = arguments.next().map_or_else(default_model, PathBuf::from);
    let mut asked = arguments
        .map(|name| name.parse())
        .collect::<Result<Vec<Kernels>, _>>()?;
    if asked.is_empty() {
        asked = [
            Kernels::Amx,
            Kernels::Avx512Vnni,
            Kernels::Avx2,
            Kernels::Neon,
            Kernels::Portable,
            Kernels::Reference,
        ]
        .into();
        asked.retain(|kernels| kernels.available());
    }
    let model = Model::open(&folder)?;
    let posts = posts(model.vocabulary());
    let tokens: usize = posts.iter().map(Vec::len).sum();
    let mean = tokens as f64 / posts.len() as f64;
    println!(
        "{}, {mean:.1} tokens a post, medians of {ROUNDS} rounds\n",
        model.version()
    );

    let encoders = asked.into_iter().map(|kernels| Encoder::new(&model, kernels));
    let encoders: Vec<Encoder> = encoders.collect::<Result<_, _>>()?;
    let peaks: Vec<_> = encoders
        .iter()
        .map(|encoder| peak::measure(encoder.kernels()))
        .collect();
    let mut cells = vec![Vec::new(); encoders.len() * BATCHES.len()];
    for _ in 0..ROUNDS {
        let places = encoders
            .iter()
            .flat_map(|encoder| BATCHES.map(|batch| (encoder, batch)));
        for (cell, (encoder, batch)) in cells.iter_mut().zip(places) {
            cell.push(Round::measure(encoder, &posts, batch));
        }
    }
    let operations = posts
        .iter()
        .map(|post| operations(&model, post.len()))
        .sum::<f64>()
        / posts.len() as f64;
    println!("kernels     batch  1 thread  {WORKERS} workers   p50 ms   p99 ms  of the peak");
    for (place, rounds) in cells.iter().enumerate() {
        let (encoder, batch) = (&encoders[place / BATCHES.len()], BATCHES[place % BATCHES.len()]);
        let both = median(rounds.iter().map(|round| round.both));
        let share = peaks[place / BATCHES.len()]
            .as_ref()
            .map_or_else(String::new, |peak| {
                format!("{:10.0} %", 100.0 * both * operations / peak.both)
            });
        println!(
            "{:<11} {batch:>4}  {:8.0}  {both:9.0}  {:7.2}  {:7.2}  {share}",
            encoder.kernels().to_string(),
            median(rounds.iter().map(|round| round.alone)),
            median(rounds.iter().map(|round| round.p50)),
            median(rounds.iter().map(|round| round.p99)),
        );
    }
    println!(
        "\n{:.3} billion integer operations per post, without those of attention (in 32 bits)",
        operations / 1e9
    );
    for (encoder, peak) in encoders.iter().zip(peaks) {
        let Some(peak) = peak else { continue };
        println!(
            "peak of {}: {:.0} GOP/s on one thread, {:.0} on {WORKERS}",
            encoder.kernels(),
            peak.alone / 1e9,
            peak.both / 1e9
        );
    }
    Ok(())
}

fn default_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/affect-l6")
}

/// The measurement of one path and batch in one round.
#[derive(Clone)]
struct Round {
    alone: f64,
    both: f64,
    p50: f64,
    p99: f64,
}

impl Round {
    fn measure(encoder: &Encoder, posts: &[Vec<u32>], batch: usize) -> Round {
        let Speed {
            by_the_processor: alone,
            mut times,
            ..
        } = read(encoder, posts, batch);
        let both = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| scope.spawn(|| read(encoder, posts, batch).by_the_clock))
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or(f64::NAN))
                .sum()
        });
        times.sort_by(f64::total_cmp);
        let at = |share: f64| 1e3 * times[(share * (times.len() - 1) as f64) as usize];
        Round {
            alone,
            both,
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

/// Posts per second, and the seconds of each batch.
struct Speed {
    by_the_clock: f64,
    by_the_processor: f64,
    times: Vec<f64>,
}

/// Reads on this thread for some time.
fn read(encoder: &Encoder, posts: &[Vec<u32>], batch: usize) -> Speed {
    let mut scratch = Scratch::new();
    let (mut count, mut times) = (0, Vec::new());
    let (began, processor) = (Instant::now(), processor_time());
    for posts in posts.chunks(batch).cycle() {
        let posts: Vec<&[u32]> = posts.iter().map(Vec::as_slice).collect();
        let started = Instant::now();
        count += encoder
            .read(&mut scratch, &posts)
            .map_or(0, |output| output.len());
        times.push(started.elapsed().as_secs_f64());
        if began.elapsed() >= SLICE {
            break;
        }
    }
    let spent = processor_time()
        .zip(processor)
        .and_then(|(now, then)| now.checked_sub(then));
    Speed {
        by_the_clock: count as f64 / began.elapsed().as_secs_f64(),
        by_the_processor: count as f64 / spent.unwrap_or(began.elapsed()).as_secs_f64(),
        times,
    }
}

/// The processor time of this thread.
fn processor_time() -> Option<Duration> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    times.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Posts of random tokens with the lengths of short posts.
fn posts(vocabulary: usize) -> Vec<Vec<u32>> {
    let mut state = 7_u64;
    let mut below = move |n: usize| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    };
    (0..2048)
        .map(|_| {
            // The smaller of two draws: most posts are short, few are long.
            let length = 8 + below(61).min(below(61)).min(56);
            (0..length).map(|_| below(vocabulary) as u32).collect()
        })
        .collect()
}

/// Integer multiplications and additions for a post.
fn operations(model: &Model, tokens: usize) -> f64 {
    (2 * model.weights() * tokens) as f64
}

fn median(rounds: impl Iterator<Item = f64>) -> f64 {
    let mut rounds: Vec<f64> = rounds.collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
