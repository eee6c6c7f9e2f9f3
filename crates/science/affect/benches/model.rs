//! The rate at which the trained engine reads real streams, and the effect of the early exit and the text cache.
//!
//! `cargo bench -p limbic-affect --bench model [-- MODEL]`. MODEL is a model's folder (default: `models/affect-l6`). The
//! streams are those of the data folder, in their original order. Complete readings are computed (language, names,
//! distress, VADER's rules and the model's numbers) by two threads, as in the stage. Figures are medians of several
//! rounds; the variants alternate within a round.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

#[path = "../tests/texts/mod.rs"]
mod texts;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use limbic_affect::tokens::{Tokeniser, Tokens};
use limbic_affect::{AffectEngine, ModelOptions, ModelReader, Numbers, Readers, ReadersOptions};

const ROUNDS: usize = 3;
/// A live boxing match, a politician's account, tweets of many places, and a forum with many repeated posts.
const STREAMS: [&str; 4] = [
    "replay_mayweather_mcgregor/tweets.csv",
    "replay_twitter_ratio/realDonaldTrump.csv",
    "replay_broad_twitter_corpus/b.no-labels.json",
    "replay_reddit/lifestyle_drunk.csv",
];
/// Texts per call, as in a stage's batch of records.
const BATCH: usize = 500;
/// Number of texts from the start of each stream.
const MOST: usize = 1_000;
/// A variant: its name, whether posts may leave early, and the size of the cache.
const VARIANTS: [(&str, bool, usize); 4] = [
    ("all layers", false, 0),
    ("early exit", true, 0),
    ("cache", false, 100_000),
    ("both", true, 100_000),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or_else(default_model, PathBuf::from);
    let Some(data) = limbic_domain::testing::data_dir() else {
        return Err("the data folder is not there: set LIMBIC_DATA".into());
    };
    println!("medians of {ROUNDS} rounds, two threads\n");
    println!(
        "{:<46} {:>6} {:>7}  {:>10} {:>10} {:>10} {:>10}  {:>5} {:>5}",
        "stream", "texts", "tokens", "all layers", "early exit", "cache", "both", "early", "hits"
    );
    let tokeniser = Tokeniser::open(&folder.join("vocab.txt"))?;
    let streams = texts::all(&data);
    for stream in streams
        .iter()
        .filter(|stream| STREAMS.contains(&stream.file.as_str()))
    {
        let texts: Vec<&str> = stream.texts.iter().take(MOST).map(String::as_str).collect();
        let mut rounds = vec![Vec::new(); VARIANTS.len()];
        let mut known = 0.0;
        for _ in 0..ROUNDS {
            for ((_, cascade, cache), rounds) in VARIANTS.iter().zip(&mut rounds) {
                // A new engine, whose cache is empty.
                let reader = Arc::new(open(&folder, *cascade, *cache)?);
                let readers = Readers::start(Arc::clone(&reader) as Arc<dyn AffectEngine>, two_threads())?;
                let began = Instant::now();
                for batch in texts.chunks(BATCH) {
                    std::hint::black_box(readers.read(batch));
                }
                rounds.push(texts.len() as f64 / began.elapsed().as_secs_f64());
                let counts = reader.cache();
                known = counts.hits as f64 / (counts.hits + counts.misses).max(1) as f64;
            }
        }
        let mut room = Tokens::default();
        let tokens = texts
            .iter()
            .map(|text| tokeniser.tokenise(text, 128, &mut room).len());
        let mean = tokens.sum::<usize>() as f64 / texts.len() as f64;
        let speeds: Vec<f64> = rounds.into_iter().map(median).collect();
        println!(
            "{:<46} {:>6} {mean:>7.1}  {:>10.0} {:>10.0} {:>10.0} {:>10.0}  {:>3.0} % {:>3.0} %",
            stream.file,
            texts.len(),
            speeds[0],
            speeds[1],
            speeds[2],
            speeds[3],
            100.0 * early(&folder, &texts)?,
            100.0 * known,
        );
    }
    Ok(())
}

fn default_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/affect-l6")
}

fn open(folder: &Path, cascade: bool, cache: usize) -> Result<ModelReader, limbic_affect::OpenError> {
    let options = ModelOptions {
        cascade,
        cache,
        ..ModelOptions::default()
    };
    ModelReader::open(folder, &options)
}

fn two_threads() -> ReadersOptions {
    ReadersOptions {
        threads: 2,
        ..ReadersOptions::default()
    }
}

/// The share of texts that would leave the model early if all were allowed to.
fn early(folder: &Path, texts: &[&str]) -> Result<f64, limbic_affect::OpenError> {
    let layers: Vec<usize> = open(folder, true, 0)?
        .numbers(texts)
        .iter()
        .map(Numbers::layer)
        .collect();
    let whole = open(folder, false, 0)?.numbers(&texts[..1]);
    let early = layers.iter().filter(|layer| **layer < whole[0].layer()).count();
    Ok(early as f64 / texts.len() as f64)
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
