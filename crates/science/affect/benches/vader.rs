//! The speed of VADER on the public tweets: ours, the crate `vader_sentiment` 0.1.1, and the whole lexicon reader.
//!
//! `scripts/vader-reference --time` measures the Python reference. This benchmark prints the command, because it cannot
//! run Python.

#![expect(
    clippy::print_stderr,
    reason = "what is measured, and where the reference is, must be seen"
)]

#[path = "../tests/texts/mod.rs"]
mod texts;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limbic_affect::{AffectEngine, LexiconReader, Vader};

fn vader(c: &mut Criterion) {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let tweets = texts::ground_truth(&data, "tweets").texts;
    let bytes: usize = tweets.iter().map(String::len).sum();
    eprintln!(
        "{} tweets, {} bytes each; the reference: scripts/vader-reference --time",
        tweets.len(),
        bytes / tweets.len()
    );
    let mut group = c.benchmark_group("tweets");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));

    group.throughput(Throughput::Elements(tweets.len() as u64));
    group.bench_function("vader, ours", |b| {
        let vader = Vader::new();
        let mut scratch = limbic_affect::VaderScratch::default();
        b.iter(|| {
            for text in &tweets {
                black_box(vader.score_in(black_box(text), &mut scratch));
            }
        });
    });
    group.bench_function("lexicon reader", |b| {
        let reader = LexiconReader::new();
        let texts: Vec<&str> = tweets.iter().map(String::as_str).collect();
        b.iter(|| {
            for batch in texts.chunks(256) {
                black_box(reader.read(black_box(batch)));
            }
        });
    });

    let few = &tweets[..500];
    group.throughput(Throughput::Elements(few.len() as u64));
    group.bench_function("vader_sentiment 0.1.1", |b| {
        let analyzer = vader_sentiment::SentimentIntensityAnalyzer::new();
        b.iter(|| {
            for text in few {
                black_box(analyzer.polarity_scores(black_box(text)));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, vader);
criterion_main!(benches);
