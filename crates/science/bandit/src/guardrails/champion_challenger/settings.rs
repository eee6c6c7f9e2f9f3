//! What a test is told: its settings and its limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{PolicyError, within};

/// Settings of a [`ChampionChallengerTest`](super::ChampionChallengerTest).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChampionChallengerConfig {
    /// Whether the challenger is in shadow mode, where it makes no decisions.
    pub shadow: bool,
    /// The challenger's share of decisions in live mode, in `[0.001, 0.999]`.
    pub share: f64,
    /// Probability of ever rolling back a challenger that is within the tolerance, in `(0, 0.5]`.
    pub alpha: f64,
    /// How much worse the challenger may be, as a fraction of the largest reward, in `[0, 1]`.
    pub tolerance: f64,
    /// The least share of the champion's rewards that both together must be sure to earn while the test runs, in `[0, 0.999]`; 0:
    /// no floor. The challenger then starts with a share of `1 - floor` and gets more, up to `share`, as the evidence allows
    /// (with probability `1 - 2 alpha` that the floor holds at all times). With the default share of 0.1, a floor of 0.9 holds
    /// without any evidence, because a reward is never negative.
    #[serde(skip_serializing_if = "is_zero")]
    pub floor: f64,
    /// Probability of ever raising the ratio alarm if the shares are right, in `(0, 0.5]`.
    pub ratio_alpha: f64,
}

impl Default for ChampionChallengerConfig {
    fn default() -> Self {
        Self {
            shadow: true,
            share: 0.1,
            alpha: 0.05,
            tolerance: 0.0,
            floor: 0.0,
            ratio_alpha: 0.001,
        }
    }
}

impl ChampionChallengerConfig {
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let small = 1e-12..=0.5;
        within(
            "challenger.test.share",
            self.share,
            0.001..=0.999,
            "must be in [0.001, 0.999]",
        )?;
        within(
            "challenger.test.alpha",
            self.alpha,
            small.clone(),
            "must be in (0, 0.5]",
        )?;
        within(
            "challenger.test.floor",
            self.floor,
            0.0..=0.999,
            "must be in [0, 0.999]",
        )?;
        within(
            "challenger.test.ratio_alpha",
            self.ratio_alpha,
            small,
            "must be in (0, 0.5]",
        )?;
        within(
            "challenger.test.tolerance",
            self.tolerance,
            0.0..=1.0,
            "must be in [0, 1]",
        )
    }
}

// A test without a floor keeps its id: the id is made of the serialised settings.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(floor: &f64) -> bool {
    *floor == 0.0
}

/// Largest reward and largest weight in a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest reward of one decision, positive.
    pub reward: f64,
    /// Importance weights are cut to this.
    pub weight: f64,
}
