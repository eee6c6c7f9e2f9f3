//! Snapshots of a model as JSON, restored to the bit.
//!
//! The weights come first, 36 bytes each before base64, in the order in which they were first updated. A weight never
//! changes its place, so a caller that stores a snapshot in chunks finds most chunks unchanged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Model, UNTOUCHED, Weight};
use crate::policy::PolicyError;

#[derive(Serialize, Deserialize)]
struct Saved {
    weights: String,
    feedback: u64,
    sweep: usize,
}

/// Index, mean, variance, error, age: 4 + 4 × 8 bytes.
const WIDTH: usize = 36;

fn pack(&(index, weight): &(u32, Weight)) -> [u8; WIDTH] {
    let numbers = [
        weight.mean.to_bits(),
        weight.variance.to_bits(),
        weight.error.to_bits(),
        weight.at,
    ];
    let mut packed = [0; WIDTH];
    let (first, rest) = packed.split_at_mut(4);
    first.copy_from_slice(&index.to_le_bytes());
    for (place, number) in rest.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    packed
}

fn unpack(packed: &[u8; WIDTH]) -> (u32, Weight) {
    let [a, b, c, d, ..] = *packed;
    let number = |at: usize| {
        let bytes: [u8; 8] = std::array::from_fn(|byte| packed[4 + 8 * at + byte]);
        u64::from_le_bytes(bytes)
    };
    let weight = Weight {
        mean: f64::from_bits(number(0)),
        variance: f64::from_bits(number(1)),
        error: f64::from_bits(number(2)),
        at: number(3),
    };
    (u32::from_le_bytes([a, b, c, d]), weight)
}

fn damaged(what: &str) -> PolicyError {
    PolicyError::Snapshot(serde::de::Error::custom(what))
}

impl Model {
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let packed: Vec<u8> = self.touched.iter().flat_map(pack).collect();
        let saved = Saved {
            weights: STANDARD_NO_PAD.encode(packed),
            feedback: self.feedback,
            sweep: self.sweep,
        };
        serde_json::to_vec(&saved).expect("a text and two numbers")
    }

    pub(crate) fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        let saved: Saved = serde_json::from_slice(snapshot)?;
        let packed = STANDARD_NO_PAD
            .decode(&saved.weights)
            .map_err(|error| damaged(&error.to_string()))?;
        let (weights, rest) = packed.as_chunks::<WIDTH>();
        if !rest.is_empty() {
            return Err(damaged("a weight is cut off"));
        }
        let mut fresh = Self::new(self.config.clone(), self.link)?;
        fresh.feedback = saved.feedback;
        for (index, weight) in weights.iter().map(unpack) {
            let is_new = fresh
                .places
                .get(index as usize)
                .is_some_and(|&place| place == UNTOUCHED);
            let is_sound = weight.mean.is_finite()
                && weight.error.is_finite()
                && weight.variance > 0.0
                && weight.variance.is_finite()
                && weight.at <= saved.feedback;
            if !(is_new && is_sound) {
                return Err(damaged("a weight is out of range or given twice"));
            }
            *fresh.weight(index) = weight;
            fresh.update_serving(index);
        }
        fresh.sweep = saved.sweep;
        *self = fresh;
        Ok(())
    }
}
