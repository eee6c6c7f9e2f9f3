//! Records per second on one core: `cargo bench -p limbic-profile`.
//!
//! It includes everything that a stage does (decoding, state, ids, encoding), over committed state in memory, without the
//! log. It measures the processor time of this thread, so other work on the machine does not count.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use limbic_domain::{
    Affect, ConsentState, Distress, Emotions, Envelope, Label, PostRef, Probability, Pseudonym, Reading,
    Sentiment, Slug, TenantId, Utc, event_id, topics,
};
use limbic_profile::{MomentStage, ProfileStage, Settings};
use limbic_stream::testing::MemoryState;
use limbic_stream::{Batch, Headers, Outputs, Record, Stage, header};

const POSTS: u32 = 5_000;
const AUTHORS: u32 = 4_500;
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A reading with one subject, four emotions and a language, by one of `AUTHORS` people: about 620 bytes.
fn reading(post: u32) -> Record {
    let hash = post.wrapping_mul(2_654_435_761) >> 8;
    let valence = f64::from(hash % 2_000) / 1_000.0 - 1.0;
    let network = Slug::new("bluesky").expect("a slug");
    let author = Pseudonym::of(&[1; 32], &network, &(hash % AUTHORS).to_string());
    let post_ref = PostRef {
        network,
        id: format!("at://did:plc:z72i7hdynmk6r22z27h6tvur/{post}"),
    };
    let id = event_id("reading", &["default", &post_ref.to_string()]);
    let shares = [("neg", 0.1), ("neu", 0.6), ("pos", 0.3)];
    let emotions = [("joy", 0.61), ("anger", 0.02), ("fear", 0.013), ("sadness", 0.2)];
    let named = |pairs: &[(&str, f64)]| -> Emotions {
        pairs
            .iter()
            .map(|(name, score)| ((*name).to_owned(), *score))
            .collect()
    };
    let data = Reading {
        post: post_ref,
        author: author.clone(),
        affect: Affect {
            sentiment: Sentiment {
                label: Label::Positive,
                scores: named(&shares),
                compound: valence,
            },
            emotions: named(&emotions),
            valence,
            arousal: valence.abs(),
            distress: Distress {
                score: Probability::ZERO,
                cues: Vec::new(),
                sensitive_event: Probability::ZERO,
                unread: false,
            },
            language: "en".to_owned(),
            model: "vader-3.3.2".to_owned(),
            ..Affect::default()
        },
        subjects: vec![Slug::new("football").expect("a slug")],
        consent: ConsentState::NotRequired,
        minor: false,
        revision: 0,
    };
    let at = Utc::from_millis(1_700_000_000_000 + i64::from(post));
    let envelope = Envelope::new(TenantId::default(), id, at, data);
    Record {
        topic: topics::READINGS.into(),
        partition: 0,
        offset: u64::from(post),
        key: format!("default/{author}").into(),
        value: envelope.encode().into(),
        headers: Headers::new()
            .with(header::TRACE_PARENT, TRACE)
            .with(header::ACCEPTED_AT, "1700000000000"),
        timestamp: at,
    }
}

fn hot_path(c: &mut Criterion<ProcessorTime>) {
    let settings = Settings::default();
    let mut profile = ProfileStage::new(&settings).expect("the defaults work");
    let readings = Batch {
        records: (0..POSTS).map(reading).collect(),
    };
    let mut group = c.benchmark_group("hot_path");
    group.throughput(Throughput::Elements(u64::from(POSTS)));
    group.sample_size(20);

    group.bench_function("decode a reading", |bencher| {
        bencher.iter(|| {
            for record in &readings.records {
                black_box(Envelope::<Reading>::decode(&record.value).is_ok());
            }
        });
    });

    // Every author is already known.
    let mut people = MemoryState::default();
    let mut out = Outputs::new(&people);
    profile.process(&readings, &mut out).expect("it is done");
    let effects = out.into_effects();
    people.commit(&effects);
    group.bench_function("profile", |bencher| {
        bencher.iter(|| {
            let mut out = Outputs::new(&people);
            profile.process(&readings, &mut out).expect("it is done");
            black_box(out.into_effects());
        });
    });

    let feelings = Batch {
        records: effects
            .records
            .into_iter()
            .zip(0..)
            .map(|((_, new), offset)| Record {
                topic: new.topic,
                partition: 0,
                offset,
                key: new.key,
                value: new.value,
                headers: new.headers,
                timestamp: new.timestamp,
            })
            .collect(),
    };
    let mut moments = MomentStage::new(&settings).expect("the defaults work");
    group.bench_function("moments", |bencher| {
        bencher.iter_batched(
            MemoryState::default,
            |mut kept| {
                // Stored by one transaction, released by the next.
                let mut out = Outputs::new(&kept);
                moments.process(&feelings, &mut out).expect("it is done");
                let effects = out.into_effects();
                kept.commit(&effects);
                let mut out = Outputs::new(&kept);
                moments
                    .watermark(
                        0,
                        &TenantId::default(),
                        Utc::from_millis(1_800_000_000_000),
                        &mut out,
                    )
                    .expect("it is done");
                black_box(out.into_effects());
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// The processor time of this thread, as Linux counts it.
struct ProcessorTime;

impl ProcessorTime {
    fn now() -> Duration {
        let statistics =
            std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
        let nanoseconds = statistics.split(' ').next().and_then(|field| field.parse().ok());
        Duration::from_nanos(nanoseconds.expect("a number of nanoseconds comes first"))
    }
}

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = hot_path
}
criterion_main!(benches);
