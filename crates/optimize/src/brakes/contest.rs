//! Champion and challenger.
//!
//! In *shadow* a challenger decides nothing: what it would have earned is estimated from the champion's decisions by
//! inverse propensity weighting. With a *share* it decides some, by lot. In both cases the difference of their rewards
//! has a lower bound that is valid at every moment at once (the predictable plug-in empirical-Bernstein confidence
//! sequence of Waudby-Smith and Ramdas 2024, Theorem 2), so looking after each outcome costs nothing: when the champion
//! is better by more than a tolerance for sure, the challenger is rolled back; when the challenger is, it may be promoted.

use serde::{Deserialize, Serialize};

use crate::exact;
use crate::policy::{PolicyError, within};
use crate::random::{Random, derive};

/// How a challenger takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It watches.
    Shadow,
    /// It decides the configured share.
    Live,
    /// It was surely worse and decides nothing any more.
    RolledBack,
}

/// Settings of a [`Contest`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContestConfig {
    /// The challenger's share of decisions when live, in `(0, 1)`.
    pub share: f64,
    /// Whether it begins by watching.
    pub shadow: bool,
    /// Probability of ever rolling back (or promoting) wrongly.
    pub alpha: f64,
    /// By how much of the largest reward the challenger may be worse.
    pub tolerance: f64,
    /// Importance weights are cut here; it makes shadow estimates err on the low side, never on the high one.
    pub maximum_weight: f64,
    /// The largest reward.
    pub most: f64,
}

impl Default for ContestConfig {
    fn default() -> Self {
        Self {
            share: 0.1,
            shadow: true,
            alpha: 0.05,
            tolerance: 0.0,
            maximum_weight: 20.0,
            most: 1.0,
        }
    }
}

/// An anytime-valid confidence sequence for the mean of numbers in `[0, 1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceSequence {
    count: u64,
    #[serde(with = "exact")]
    sum: f64,
    #[serde(with = "exact")]
    squares: f64,
    #[serde(with = "exact")]
    weights: f64,
    #[serde(with = "exact")]
    weighted: f64,
    #[serde(with = "exact")]
    penalty: f64,
}

impl Default for ConfidenceSequence {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0.0,
            squares: 0.0,
            weights: 0.0,
            weighted: 0.0,
            penalty: 0.0,
        }
    }
}

impl ConfidenceSequence {
    /// One more number; what lies outside `[0, 1]` is cut.
    pub fn observe(&mut self, value: f64, alpha: f64) {
        let value = value.clamp(0.0, 1.0);
        let before = self.count as f64;
        let mean = (0.5 + self.sum) / (before + 1.0);
        let variance = (0.25 + self.squares) / (before + 1.0);
        let count = before + 1.0;
        let ideal = 2.0 * libm::log(2.0 / alpha) / (variance * count * libm::log(1.0 + count));
        let lambda = ideal.sqrt().min(0.5);
        let psi = (-libm::log(1.0 - lambda) - lambda) / 4.0;
        self.penalty += 4.0 * (value - mean) * (value - mean) * psi;
        self.weights += lambda;
        self.weighted += lambda * value;
        self.count += 1;
        self.sum += value;
        let now = (0.5 + self.sum) / (count + 1.0);
        self.squares += (value - now) * (value - now);
    }

    /// An interval that contains the mean, at all moments together, with probability at least `1 − alpha`.
    pub fn interval(&self, alpha: f64) -> (f64, f64) {
        if self.count == 0 {
            return (0.0, 1.0);
        }
        let centre = self.weighted / self.weights;
        let radius = (libm::log(2.0 / alpha) + self.penalty) / self.weights;
        ((centre - radius).max(0.0), (centre + radius).min(1.0))
    }
}

/// A contest's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contest {
    config: ContestConfig,
    mode: Mode,
    champion: ConfidenceSequence,
    challenger: ConfidenceSequence,
}

impl Contest {
    /// A contest not begun. Refuses settings outside their ranges.
    pub fn new(config: ContestConfig) -> Result<Self, PolicyError> {
        within(
            "contest.share",
            config.share,
            1e-9..=1.0 - 1e-9,
            "must be in (0, 1)",
        )?;
        within("contest.alpha", config.alpha, 1e-12..=0.5, "must be in (0, 0.5]")?;
        within(
            "contest.tolerance",
            config.tolerance,
            0.0..=1.0,
            "must be in [0, 1]",
        )?;
        within(
            "contest.maximum_weight",
            config.maximum_weight,
            1.0..=1e6,
            "must be at least 1",
        )?;
        within(
            "contest.most",
            config.most,
            f64::MIN_POSITIVE..=1e12,
            "must be positive",
        )?;
        Ok(Self {
            mode: if config.shadow { Mode::Shadow } else { Mode::Live },
            champion: ConfidenceSequence::default(),
            challenger: ConfidenceSequence::default(),
            config,
        })
    }

    /// How the challenger takes part now.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the challenger makes the decision of this seed.
    pub fn challenger_decides(&self, seed: u64) -> bool {
        self.mode == Mode::Live && Random::new(derive(seed, 7)).unit() < self.config.share
    }

    /// In live mode: what a decision brought, and who made it.
    pub fn observe(&mut self, by_challenger: bool, reward: f64) -> Mode {
        if self.mode != Mode::Live {
            return self.mode;
        }
        let alpha = self.config.alpha / 2.0;
        let side = if by_challenger {
            &mut self.challenger
        } else {
            &mut self.champion
        };
        side.observe(reward / self.config.most, alpha);
        self.judge(1.0)
    }

    /// In shadow mode: what a decision of the champion's brought, the propensity it had, and the probability with which
    /// the challenger would have chosen the same.
    ///
    /// The weighted rewards of both sides are divided by the maximum weight so that they lie in `[0, 1]`.
    pub fn observe_shadow(
        &mut self,
        reward: f64,
        propensity: f64,
        challenger: f64,
    ) -> Result<Mode, PolicyError> {
        if !(propensity > 0.0 && propensity <= 1.0) {
            return Err(PolicyError::Propensity(propensity));
        }
        if self.mode != Mode::Shadow {
            return Ok(self.mode);
        }
        let (alpha, most) = (self.config.alpha / 2.0, self.config.maximum_weight);
        let reward = reward / self.config.most;
        let weight = (challenger / propensity).min(most);
        self.champion.observe(reward / most, alpha);
        self.challenger.observe(reward * weight / most, alpha);
        Ok(self.judge(most))
    }

    /// How much better the champion is, for sure, as a part of the largest reward (negative: not surely better).
    pub fn champion_leads_by(&self) -> f64 {
        let scale = if self.mode == Mode::Live {
            1.0
        } else {
            self.config.maximum_weight
        };
        scale * self.lead(&self.champion, &self.challenger)
    }

    /// How much better the challenger is, for sure: above 0 it may be promoted.
    pub fn challenger_leads_by(&self) -> f64 {
        let scale = if self.mode == Mode::Live {
            1.0
        } else {
            self.config.maximum_weight
        };
        scale * self.lead(&self.challenger, &self.champion)
    }

    /// From shadow to live: what was seen in shadow is not mixed with what is to come.
    pub fn go_live(&mut self) {
        if self.mode == Mode::Shadow {
            self.mode = Mode::Live;
            self.champion = ConfidenceSequence::default();
            self.challenger = ConfidenceSequence::default();
        }
    }

    fn lead(&self, one: &ConfidenceSequence, other: &ConfidenceSequence) -> f64 {
        let alpha = self.config.alpha / 2.0;
        one.interval(alpha).0 - other.interval(alpha).1
    }

    fn judge(&mut self, scale: f64) -> Mode {
        if scale * self.lead(&self.champion, &self.challenger) > self.config.tolerance {
            self.mode = Mode::RolledBack;
        }
        self.mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(champion: f64, challenger: f64, rounds: u64, seed: u64) -> Mode {
        let config = ContestConfig {
            share: 0.5,
            shadow: false,
            ..ContestConfig::default()
        };
        let mut contest = Contest::new(config).unwrap();
        let mut random = Random::new(seed);
        for round in 0..rounds {
            let by_challenger = contest.challenger_decides(derive(seed, round));
            let rate = if by_challenger { challenger } else { champion };
            let reward = if random.unit() < rate { 1.0 } else { 0.0 };
            contest.observe(by_challenger, reward);
        }
        contest.mode()
    }

    #[test]
    fn a_surely_worse_challenger_is_rolled_back() {
        let back = (0..100)
            .filter(|&seed| play(0.3, 0.2, 6000, seed) == Mode::RolledBack)
            .count();
        assert!(back > 95, "{back}");
    }

    #[test]
    fn an_equal_challenger_is_rarely_rolled_back_however_often_one_looks() {
        let back = (0..200)
            .filter(|&seed| play(0.2, 0.2, 3000, seed) == Mode::RolledBack)
            .count();
        // 5 % of 200, and four standard deviations.
        assert!(back <= 22, "{back}");
    }

    #[test]
    fn a_confidence_sequence_covers_at_all_moments_together() {
        let missed = (0..300)
            .filter(|&seed| {
                let mut random = Random::new(seed);
                let mut sequence = ConfidenceSequence::default();
                (0..2000).any(|_| {
                    sequence.observe(if random.unit() < 0.1 { 1.0 } else { 0.0 }, 0.05);
                    let (low, high) = sequence.interval(0.05);
                    !(low..=high).contains(&0.1)
                })
            })
            .count();
        assert!(missed <= 30, "{missed}");
    }

    #[test]
    fn a_shadow_decides_nothing_and_is_judged_by_the_champions_log() {
        let mut contest = Contest::new(ContestConfig {
            maximum_weight: 2.0,
            ..ContestConfig::default()
        })
        .unwrap();
        let mut random = Random::new(3);
        assert!((0..100).all(|seed| !contest.challenger_decides(seed)));
        // Two arms at equal propensity, the first pays .6, the second .1; the challenger wants the second only.
        for _ in 0..20_000 {
            let first = random.unit() < 0.5;
            let reward = if random.unit() < if first { 0.6 } else { 0.1 } {
                1.0
            } else {
                0.0
            };
            contest
                .observe_shadow(reward, 0.5, if first { 0.0 } else { 1.0 })
                .unwrap();
        }
        assert_eq!(contest.mode(), Mode::RolledBack);
        assert!(contest.observe_shadow(1.0, 0.0, 0.5).is_err());
    }

    #[test]
    fn a_snapshot_gives_back_the_same_bits() {
        let mut contest = Contest::new(ContestConfig::default()).unwrap();
        for round in 0..100_u32 {
            contest
                .observe_shadow(f64::from(round % 3) / 3.0, 0.3, 0.1)
                .unwrap();
        }
        let text = serde_json::to_string(&contest).unwrap();
        assert_eq!(serde_json::from_str::<Contest>(&text).unwrap(), contest);
    }
}
