//! Evaluation of Limbic's own policies: while they learn along the log, and as they were saved.
//!
//! A policy that learns has, at each row, learned from the rows before it. The weight of a row is computed before its
//! reward is used, so inverse propensity weighting is unbiased for the mean value of the policy along the log
//! (progressive validation; Blum, Kalai and Langford 1999). A saved policy learns nothing more. Each position of a row
//! is a separate decision, with the position as a feature.

use std::path::Path;

use limbic_bandit::policy::{AnyPolicy, Feedback, Policy, PolicyConfig};
use limbic_bandit::random::derive;
use limbic_bandit::{Arm, Features};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::log::{BanditLog, LogRow, Situation};
use crate::target::TargetPolicy;
use crate::{EvaluateError, EvaluationOptions};

/// The stream of the seed that the policy draws from.
const DRAWS: u64 = 0x006c_6561_726e;

/// The policy after the log, and the probability that it gave each candidate of each row before it learned from it.
pub(super) fn along_the_log(
    log: &BanditLog,
    config: &PolicyConfig,
    seed: u64,
) -> Result<(SavedPolicy, Vec<f64>), EvaluateError> {
    let refuse = |error: &dyn std::error::Error| EvaluateError::policy(config.name(), error.to_string());
    let mut policy: AnyPolicy = config.build().map_err(|e| refuse(&e))?;
    let arms: Vec<Arm> = (0..log.arms.len()).map(|arm| arm_of(log, arm)).collect();
    let sets: Vec<Vec<Arm>> = log
        .sets
        .iter()
        .map(|set| set.iter().map(|&arm| arms[arm as usize].clone()).collect())
        .collect();
    let mut contexts: Vec<Option<Features>> = vec![None; log.situations.len()];
    let seed = derive(seed, DRAWS);
    let mut values = Vec::new();
    for (index, row) in log.rows.iter().enumerate() {
        let &LogRow {
            situation,
            arm,
            reward,
            propensity,
        } = row;
        let context =
            contexts[situation as usize].get_or_insert_with(|| context_of(log, log.situation_of(row)));
        let set = log.situations[situation as usize].set as usize;
        let probabilities = policy.probabilities(context, &sets[set], derive(seed, index as u64));
        if probabilities.len() != sets[set].len() {
            let reason = format!("row {}: no probability for its candidates", index + 1);
            return Err(EvaluateError::policy(config.name(), reason));
        }
        values.extend(probabilities);
        let feedback = Feedback {
            context,
            arm: &arms[arm as usize],
            reward,
            previous_reward: None,
            propensity,
        };
        policy.learn(&feedback).map_err(|e| refuse(&e))?;
    }
    let saved = SavedPolicy {
        config: config.clone(),
        policy,
    };
    Ok((saved, values))
}

/// A policy with what it had learned when it was saved. It learns nothing more, so it can be trained on one log and
/// evaluated on another.
#[derive(Debug)]
pub struct SavedPolicy {
    config: PolicyConfig,
    policy: AnyPolicy,
}

/// Format of a saved policy, in JSON.
#[derive(Serialize, Deserialize)]
struct Saved {
    /// Version of the format.
    v: u32,
    policy: PolicyConfig,
    state: Box<RawValue>,
}

const VERSION: u32 = 1;

impl SavedPolicy {
    /// Builds a policy and lets it learn along a log in memory. Every row must have a propensity.
    pub fn train(
        log: &BanditLog,
        config: &PolicyConfig,
        options: &EvaluationOptions,
    ) -> Result<Self, EvaluateError> {
        Ok(along_the_log(log, config, options.seed)?.0)
    }

    /// Reads a saved policy.
    pub fn read(path: &Path) -> Result<Self, EvaluateError> {
        let malformed = |reason: String| EvaluateError::malformed(path, reason);
        let text = std::fs::read(path).map_err(|e| EvaluateError::read(path, e))?;
        let saved: Saved = serde_json::from_slice(&text)
            .map_err(|e| malformed(format!("not a saved policy ({e}): write one with --save")))?;
        if saved.v != VERSION {
            return Err(malformed(format!(
                "version {} of a saved policy, this program reads version {VERSION}",
                saved.v
            )));
        }
        let mut policy = saved.policy.build().map_err(|e| malformed(e.to_string()))?;
        policy
            .restore(saved.state.get().as_bytes())
            .map_err(|e| malformed(e.to_string()))?;
        Ok(Self {
            config: saved.policy,
            policy,
        })
    }

    /// Writes the policy to a file.
    pub fn write(&self, path: &Path) -> Result<(), EvaluateError> {
        let malformed = |e: serde_json::Error| EvaluateError::malformed(path, e.to_string());
        let state = String::from_utf8_lossy(&self.policy.snapshot()).into_owned();
        let saved = Saved {
            v: VERSION,
            policy: self.config.clone(),
            state: RawValue::from_string(state).map_err(malformed)?,
        };
        let text = serde_json::to_vec(&saved).map_err(malformed)?;
        std::fs::write(path, text).map_err(|e| EvaluateError::write(path, e))
    }

    /// As a policy for a log. `seed` selects the draws of Thompson sampling.
    pub(super) fn on_log(self, log: &BanditLog, seed: u64) -> FixedPolicy {
        let arms: Vec<Arm> = (0..log.arms.len()).map(|arm| arm_of(log, arm)).collect();
        let draws = if self.policy.is_seeded() { SEEDS } else { 1 };
        FixedPolicy {
            name: format!("{} (saved)", self.config.name()),
            policy: self.policy,
            sets: log
                .sets
                .iter()
                .map(|set| set.iter().map(|&arm| arms[arm as usize].clone()).collect())
                .collect(),
            seeds: (0..draws).map(|draw| derive(derive(seed, DRAWS), draw)).collect(),
        }
    }
}

/// A policy that draws from its posterior has other probabilities for each seed. Its value is that of their mean, which
/// is taken over this many seeds: it makes smaller weights than any single seed.
const SEEDS: u64 = 16;

/// A saved policy, for the candidate sets of one log.
pub(super) struct FixedPolicy {
    name: String,
    policy: AnyPolicy,
    sets: Vec<Vec<Arm>>,
    seeds: Vec<u64>,
}

impl TargetPolicy for FixedPolicy {
    fn name(&self) -> &str {
        &self.name
    }

    fn probabilities(&self, log: &BanditLog, situation: Situation, out: &mut Vec<f64>) {
        let context = context_of(log, situation);
        let set = &self.sets[situation.set as usize];
        out.resize(set.len(), 0.0);
        let share = 1.0 / self.seeds.len() as f64;
        for &seed in &self.seeds {
            for (mean, p) in out.iter_mut().zip(self.policy.probabilities(&context, set, seed)) {
                *mean += share * p;
            }
        }
    }

    fn looks_at_context(&self) -> bool {
        true
    }
}

/// Features of a context: `space=value` is a category, `space.name` a number, as in the optimize stage's contexts.
fn context_of(log: &BanditLog, situation: Situation) -> Features {
    let mut features = Features::new();
    for &(feature, value) in &log.contexts[situation.context as usize] {
        features = add(features, &log.feature_names[feature as usize], value);
    }
    if log.positions > 1 {
        features = features.with("position", &situation.position.to_string());
    }
    features
}

fn arm_of(log: &BanditLog, arm: usize) -> Arm {
    let mut features = Features::new();
    for &(feature, value) in log.arm_features.get(arm).into_iter().flatten() {
        features = features.with_number("item", &log.arm_feature_names[feature as usize], value);
    }
    Arm::new(log.arms[arm].clone(), "", features)
}

fn add(features: Features, name: &str, value: f64) -> Features {
    if let Some((space, category)) = name.split_once('=') {
        features.with(space, category)
    } else {
        let (space, name) = name.rsplit_once('.').unwrap_or(("context", name));
        features.with_number(space, name, value)
    }
}
