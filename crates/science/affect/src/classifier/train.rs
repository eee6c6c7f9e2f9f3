//! Trains an [`TextClassifier`]: logistic regression by `AdaGrad`, deterministic.

use limbic_domain::random::Random;

use super::{ClassifierRoom, TextClassifier, features};
use crate::normalise;

/// A labelled text.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The text, as written.
    pub text: String,
    /// Whether it belongs to the class.
    pub is_positive: bool,
    /// Its weight in the loss, above 0.
    pub weight: f64,
}

/// Options of the training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// Passes over the examples.
    pub epochs: usize,
    /// Step size of `AdaGrad`, above 0.
    pub step: f64,
    /// Weight decay (L2), from 0. It applies to the features of each example when the example is seen.
    pub decay: f64,
    /// Seed of the order of examples.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 30,
            step: 0.5,
            decay: 1e-5,
            seed: 1,
        }
    }
}

/// Trains a classifier. The same examples and options give the same classifier.
pub fn train(examples: &[Example], training: &Training) -> TextClassifier {
    let mut room = ClassifierRoom::default();
    let featured: Vec<Vec<u32>> = examples
        .iter()
        .map(|example| {
            features::of(&normalise(&example.text), &mut room);
            room.features.clone()
        })
        .collect();
    let mut weights = vec![0.0_f64; features::BUCKETS];
    let mut squares = vec![1e-6_f64; features::BUCKETS];
    let (mut bias, mut bias_squares) = (0.0_f64, 1e-6_f64);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    let mut random = Random::new(training.seed);
    for _ in 0..training.epochs {
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        for &place in &order {
            let (example, of_text) = (&examples[place], &featured[place]);
            if of_text.is_empty() {
                continue;
            }
            let norm = features::norm(of_text.len());
            let sum: f64 = of_text.iter().map(|&feature| weights[feature as usize]).sum();
            let probability = 1.0 / (1.0 + (-(sum / norm + bias)).exp());
            let error = (probability - f64::from(u8::from(example.is_positive))) * example.weight;
            bias_squares += error * error;
            bias -= training.step * 0.1 * error / bias_squares.sqrt();
            for &feature in of_text {
                let feature = feature as usize;
                let slope = error / norm + training.decay * weights[feature];
                squares[feature] += slope * slope;
                weights[feature] -= training.step * 0.1 * slope / squares[feature].sqrt();
            }
        }
    }
    quantised(&weights, bias)
}

/// Weights in whole units of 1/127 of the largest.
fn quantised(weights: &[f64], bias: f64) -> TextClassifier {
    let largest = weights
        .iter()
        .fold(1e-9_f64, |most, weight| most.max(weight.abs()));
    let scale = largest / 127.0;
    TextClassifier {
        bias: bias as f32,
        scale: scale as f32,
        weights: weights
            .iter()
            .map(|weight| (weight / scale).round() as i8)
            .collect(),
    }
}
