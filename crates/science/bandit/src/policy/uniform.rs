//! The baseline policy: every arm has the same probability, and nothing is learned.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Feedback, MAX_REWARD, Policy, PolicyError, check};
use crate::{Arm, Features};

/// The uniform policy has no settings. Any setting beside its name is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniformConfig {}

/// The same probability for every arm.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uniform;

impl Policy for Uniform {
    fn probabilities(&self, _: &Features, arms: &[Arm], _: u64) -> Vec<f64> {
        vec![1.0 / arms.len() as f64; arms.len()]
    }

    fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, MAX_REWARD)
    }

    fn unlearn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        check(feedback, MAX_REWARD)
    }

    fn snapshot(&self) -> Vec<u8> {
        b"{}".to_vec()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), PolicyError> {
        serde_json::from_slice::<UniformConfig>(snapshot)?;
        Ok(())
    }
}
