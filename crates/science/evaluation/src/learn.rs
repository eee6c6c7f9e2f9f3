//! Evaluation of Limbic's own policies, which learn along the log: each row's probabilities come from a policy that
//! has learned from the rows before it.
//!
//! The weight of a row is computed before its reward is used, so inverse propensity weighting is unbiased for the
//! mean value of the policy along the log (progressive validation; Blum, Kalai and Langford 1999). Each position of a
//! row is a separate decision, with the position as a feature.

use crate::estimator::Scored;
use crate::log::{BanditLog, LogRow};
use crate::score::{Predictor, index_in, settle};
use crate::{EvaluateError, EvaluationOptions};
use limbic_bandit::policy::{AnyPolicy, Feedback, Policy, PolicyConfig};
use limbic_bandit::random::derive;
use limbic_bandit::{Arm, Features};

/// The stream of the seed that the policy draws from.
const DRAWS: u64 = 0x006c_6561_726e;

/// The weight of every row and, with a predictor, its predictions; and the number of weights that were cut.
pub(super) fn weigh_learning_policy(
    log: &BanditLog,
    config: &PolicyConfig,
    predictor: Option<&Predictor>,
    options: &EvaluationOptions,
) -> Result<(Vec<Scored>, u64), EvaluateError> {
    let refuse = |error: &dyn std::error::Error| EvaluateError::policy(config.name(), error.to_string());
    let mut policy: AnyPolicy = config.build().map_err(|e| refuse(&e))?;
    let arms: Vec<Arm> = (0..log.arms.len()).map(|arm| arm_of(log, arm)).collect();
    let sets: Vec<Vec<Arm>> = log
        .sets
        .iter()
        .map(|set| set.iter().map(|&arm| arms[arm as usize].clone()).collect())
        .collect();
    let mut contexts: Vec<Option<Features>> = vec![None; log.situations.len()];
    let seed = derive(options.seed, DRAWS);
    let mut scored = Vec::with_capacity(log.rows.len());
    for (index, row) in log.rows.iter().enumerate() {
        let &LogRow {
            situation,
            arm,
            reward,
            propensity,
        } = row;
        let context = contexts[situation as usize].get_or_insert_with(|| context_of(log, situation));
        let set = log.situations[situation as usize].set as usize;
        let probabilities = policy.probabilities(context, &sets[set], derive(seed, index as u64));
        let probability = index_in(&log.sets[set], arm).and_then(|place| probabilities.get(place));
        let (direct, residual) =
            predictor.map_or((0.0, 0.0), |predictor| predictor.one(log, index, &probabilities));
        scored.push(Scored {
            weight: probability.map_or(f64::NAN, |p| *p) / propensity,
            reward,
            direct,
            residual,
            accepted: false,
        });
        let feedback = Feedback {
            context,
            arm: &arms[arm as usize],
            reward,
            previous_reward: None,
            propensity,
        };
        policy.learn(&feedback).map_err(|e| refuse(&e))?;
    }
    let cut = settle(log, config.name(), &mut scored, options)?;
    Ok((scored, cut))
}

/// Features of a context: `space=value` is a category, `space.name` a number, as in the optimize stage's contexts.
fn context_of(log: &BanditLog, situation: u32) -> Features {
    let situation = log.situations[situation as usize];
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
