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
    /// (with probability `1 - 2 alpha` that the floor holds at all times). Default 0.9. With the default share of 0.1 that holds
    /// without any evidence, because a reward is never negative.
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
            floor: 0.9,
            ratio_alpha: 0.001,
        }
    }
}

impl ChampionChallengerConfig {
    /// The floor, or 0 if it changes nothing: in shadow mode, or with a share that is safe without evidence.
    pub fn floor_in_force(&self) -> f64 {
        let is_safe = self.share <= 1.0 - self.floor + 1e-9;
        if self.shadow || is_safe { 0.0 } else { self.floor }
    }

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

/// Largest reward and largest weight in a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest reward of one decision, positive.
    pub reward: f64,
    /// Importance weights are cut to this.
    pub weight: f64,
}
