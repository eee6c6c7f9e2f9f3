//! The model in `models/affect-l6`: the engine gives the same results as the program that trained it.
//!
//! `scripts/train/reference.py` wrote the fixture, in 32-bit arithmetic, post by post.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use limbic_affect::tokens::{Tokeniser, Tokens};
use limbic_affect::{AffectEngine, ModelOptions, ModelReader};
use limbic_domain::Label;
use limbic_encoder::{Encoder, Exit, Kernels, Model, Scratch};
use serde::Deserialize;

/// The reading of one post: its tokens, and each task's numbers after the last layer and after the early ones.
#[derive(Deserialize)]
struct Wanted {
    ids: Vec<u32>,
    heads: BTreeMap<String, Vec<f32>>,
    exits: BTreeMap<usize, BTreeMap<String, Vec<f32>>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/affect-l6")
}

fn wanted() -> Vec<Wanted> {
    include_str!("fixtures/affect-l6.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn texts() -> Vec<&'static str> {
    include_str!("texts/posts.txt").lines().collect()
}

/// The mean and largest difference from the fixture, and the number of posts with another sentiment or emotion.
#[derive(Default)]
struct Apart {
    sum: f64,
    count: f64,
    worst: f32,
    other: usize,
}

impl Apart {
    fn add(&mut self, found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            let apart = (found - wanted).abs();
            self.sum += f64::from(apart);
            self.count += 1.0;
            self.worst = self.worst.max(apart);
        }
    }

    fn mean(&self) -> f64 {
        self.sum / self.count
    }
}

fn likeliest(numbers: &[f32]) -> usize {
    (0..numbers.len())
        .max_by(|&a, &b| numbers[a].total_cmp(&numbers[b]))
        .unwrap()
}

fn apart(kernels: Kernels, layer: Option<usize>) -> Apart {
    let model = Model::open(&folder()).unwrap();
    let encoder = Encoder::new(&model, kernels).unwrap();
    let wanted = wanted();
    let posts: Vec<&[u32]> = wanted.iter().map(|post| post.ids.as_slice()).collect();
    // Every post leaves there.
    let exits: Vec<Exit> = layer
        .map(|layer| Exit {
            layer,
            min_confidence: 0.0,
        })
        .into_iter()
        .collect();
    let mut scratch = Scratch::new();
    let output = encoder.read_early(&mut scratch, &posts, &exits).unwrap();
    let mut apart = Apart::default();
    for (answer, post) in output.posts().zip(&wanted) {
        let heads = layer.map_or(&post.heads, |layer| &post.exits[&layer]);
        for (number, task) in encoder.tasks().iter().enumerate() {
            assert_eq!(
                answer.task(number).is_some(),
                heads.contains_key(&task.name),
                "{}",
                task.name
            );
            if let Some(found) = answer.task(number) {
                let wanted = &heads[&task.name];
                apart.add(found, wanted);
                if matches!(task.name.as_str(), "sentiment" | "emotion") {
                    apart.other += usize::from(likeliest(found) != likeliest(wanted));
                }
            }
        }
    }
    apart
}

fn paths() -> Vec<Kernels> {
    let model = Model::open(&folder()).unwrap();
    [Kernels::Portable, Kernels::Avx2]
        .into_iter()
        .filter(|&kernels| Encoder::new(&model, kernels).is_ok())
        .collect()
}

#[test]
fn the_tokens_equal_those_of_the_training() {
    let tokeniser = Tokeniser::open(&folder().join("vocab.txt")).unwrap();
    let mut room = Tokens::default();
    let (texts, wanted) = (texts(), wanted());
    assert_eq!(texts.len(), wanted.len());
    for (text, wanted) in texts.iter().zip(&wanted) {
        assert_eq!(tokeniser.tokenise(text, 128, &mut room), wanted.ids, "{text}");
    }
}

#[test]
fn the_reference_kernels_agree_with_the_training_program() {
    for layer in [None, Some(2), Some(3)] {
        let apart = apart(Kernels::Reference, layer);
        assert!(apart.worst < 1e-4, "{layer:?}: {}", apart.worst);
        assert_eq!(apart.other, 0);
    }
}

#[test]
fn integer_kernels_stay_near_the_reference() {
    for kernels in paths() {
        // The portable path is slow, and its layers differ only in their weights.
        let layers: &[Option<usize>] = match kernels {
            Kernels::Portable => &[None],
            _ => &[None, Some(2), Some(3)],
        };
        for &layer in layers {
            let apart = apart(kernels, layer);
            let (mean, worst, other) = (apart.mean(), apart.worst, apart.other);
            // Of 194 posts with two labels each, one in thirty may differ, if two labels are about equally likely.
            assert!(
                mean < 0.005 && worst < 0.15 && other <= 13,
                "{kernels} after {layer:?}: mean {mean}, worst {worst}, other labels {other}"
            );
        }
    }
}

#[test]
fn plain_feelings_have_the_expected_labels() {
    let reader = ModelReader::open(&folder(), &ModelOptions::default()).unwrap();
    for (text, sentiment, emotion) in [
        (
            "WE WON!!!! I can't feel my legs!!!! 🏆🎉🎉",
            Label::Positive,
            "excitement",
        ),
        (
            "they cancelled my train again and nobody says sorry, I am furious",
            Label::Negative,
            "anger",
        ),
        (
            "I am so scared of tomorrow, my hands are shaking",
            Label::Negative,
            "fear",
        ),
        (
            "thank you all so much, this means the world to me ❤️",
            Label::Positive,
            "gratitude",
        ),
        (
            "I miss my grandmother every single day 😢",
            Label::Negative,
            "sadness",
        ),
        (
            "The council meets on Tuesday at seven to discuss the bridge.",
            Label::Neutral,
            "neutral",
        ),
    ] {
        let reading = &reader.read(&[text])[0];
        assert_eq!(
            reading.sentiment.label, sentiment,
            "{text}: {:?}",
            reading.sentiment
        );
        // The label itself, or one that is as good: anger and annoyance, for instance, are both right about fury.
        let strongest = reading.emotions.values().copied().fold(0.0, f64::max);
        let expected = reading.emotions[emotion];
        assert!(
            expected >= 0.3 && strongest - expected <= 0.15,
            "{text}: {emotion} {expected}, of {:?}",
            reading.emotions
        );
    }
}
