//! The champion/challenger test: compares two policies while one of them is in use.
//!
//! Both policies learn from the same outcomes. In *shadow* mode the champion makes all decisions. In *live* mode, a
//! random share `s` of decisions is assigned to the challenger. The probabilities `p` and `q` with which the two
//! would make a decision are known, so it is made with `m = (1 − s) p + s q` (in shadow mode `s = 0`). Then `r (p −
//! q) / m` is in expectation the champion's lead in reward, for decisions of either policy. The test keeps a lower bound of
//! its mean that is valid at all times (the predictable plug-in empirical-Bernstein confidence sequence of
//! Waudby-Smith and Ramdas 2024, Theorem 2), so it can be read after every outcome. If the champion is better by more
//! than a tolerance, the challenger is rolled back.
//!
//! With a *floor*, the challenger's share follows the evidence: see [`ChampionChallengerConfig::floor`]. It is conservative in the
//! sense of conservative bandits (Wu, Shariff, Lattimore and Szepesvári 2016): before the evidence is in, the challenger counts as
//! earning nothing.
//!
//! Weights `q / m` are cut at the engine's maximum weight `W`. A cut makes the challenger look worse than it is. The
//! largest effect of the cut is known when the decision is made, `Σ (q − W m)⁺` over all arms, and is credited to the
//! challenger in full. A cut therefore never causes a rollback. It only makes the test longer.

mod lower_bound;
mod settings;
#[cfg(test)]
mod tests;

use limbic_domain::{ChallengerMode, PolicyRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use lower_bound::LowerBound;
pub use settings::{ChampionChallengerConfig, Limits};

use super::ratio_alarm::RatioAlarm;
use crate::exact;
use crate::policy::{PolicyConfig, PolicyError};
use crate::random::{Random, derive};

/// A policy that is tested against the one in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Challenger {
    /// The challenger's policy. It has the same bounds as the champion.
    pub policy: PolicyConfig,
    /// Settings of the test.
    #[serde(default, alias = "contest")]
    pub test: ChampionChallengerConfig,
}

/// A decision of a test, kept until its outcome is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Id of the test.
    test: u64,
    by: PolicyRole,
    /// The probability with which the champion would have made the same choice.
    #[serde(with = "exact")]
    champion: f64,
    /// The probability with which the challenger would have made the same choice.
    #[serde(with = "exact")]
    challenger: f64,
    /// The largest expected effect of the cut of weights on the challenger, as a fraction of the largest reward.
    #[serde(with = "exact")]
    lost: f64,
    /// The challenger's share at the decision, as the bits of an `f64`; `None` if it is that of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<u64>,
}

/// The state of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChampionChallengerState {
    id: u64,
    mode: ChallengerMode,
    judged: u64,
    /// Lower bound of the champion's lead.
    champion: LowerBound,
    /// Lower bound of the challenger's lead.
    challenger: LowerBound,
    ratio: RatioAlarm,
    /// Lower bound of what the champion earns; only with a floor.
    #[serde(default)]
    earnings: LowerBound,
}

/// The event that an observation caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestEvent {
    /// No event.
    None,
    /// The challenger is significantly worse and was rolled back.
    RolledBack,
    /// The ratio alarm was raised.
    RatioAlarm,
    /// The challenger is significantly better.
    ChallengerLeads,
}

/// A test of two policies.
#[derive(Debug, Clone, PartialEq)]
pub struct ChampionChallengerTest {
    config: ChampionChallengerConfig,
    limits: Limits,
    state: ChampionChallengerState,
}

impl ChampionChallengerTest {
    /// Starts the test `id`. Returns an error for the first setting that is outside its range.
    pub fn new(config: ChampionChallengerConfig, limits: Limits, id: u64) -> Result<Self, PolicyError> {
        config.check()?;
        let config = ChampionChallengerConfig {
            floor: config.floor_in_force(),
            ..config
        };
        let (mode, limits) = if config.shadow {
            (ChallengerMode::Shadow, limits)
        } else {
            // In live mode the mixture bounds the weights.
            let least = if config.floor > 0.0 {
                config.share.min(1.0 - config.floor)
            } else {
                config.share
            };
            let weight = limits.weight.min(1.0 / least);
            (ChallengerMode::Live, Limits { weight, ..limits })
        };
        Ok(Self {
            state: ChampionChallengerState {
                id,
                mode,
                judged: 0,
                champion: LowerBound::default(),
                challenger: LowerBound::default(),
                ratio: RatioAlarm::new(&[1.0 - config.share, config.share])?,
                earnings: LowerBound::default(),
            },
            config,
            limits,
        })
    }

    /// The state; [`Self::resume`] restores it to the bit.
    pub const fn state(&self) -> &ChampionChallengerState {
        &self.state
    }

    /// Continues from a stored state. The state of a test with another id is ignored.
    pub fn resume(&mut self, state: ChampionChallengerState) {
        if state.id == self.state.id {
            self.state = state;
        }
    }

    /// How the challenger takes part.
    pub const fn mode(&self) -> ChallengerMode {
        self.state.mode
    }

    /// The policy that makes the decision with this seed.
    pub fn assign(&self, seed: u64) -> PolicyRole {
        let is_live = self.state.mode == ChallengerMode::Live;
        if is_live && Random::new(derive(seed, 7)).unit() < self.share() {
            PolicyRole::Challenger
        } else {
            PolicyRole::Champion
        }
    }

    /// Describes a decision for `choice`, made by `by`. `champion` and `challenger` are the probabilities of the same
    /// arms.
    pub fn observation(
        &self,
        by: PolicyRole,
        champion: &[f64],
        challenger: &[f64],
        choice: usize,
    ) -> Observation {
        let pairs = champion.iter().zip(challenger);
        let beyond = pairs.map(|(&p, &q)| (q - self.limits.weight * self.mixed(p, q)).max(0.0));
        Observation {
            test: self.state.id,
            by,
            champion: champion[choice],
            challenger: challenger[choice],
            lost: beyond.fold(0.0, |sum, part| sum + part).min(1.0),
            share: (self.config.floor > 0.0).then(|| self.share().to_bits()),
        }
    }

    /// The probability with which both together make a choice to which the champion gives `p` and the challenger `q`.
    pub fn mixed(&self, p: f64, q: f64) -> f64 {
        self.mixed_by(self.share(), p, q)
    }

    fn mixed_by(&self, share: f64, p: f64, q: f64) -> f64 {
        if self.config.shadow {
            p
        } else {
            (1.0 - share) * p + share * q
        }
    }

    /// The challenger's share of the next decision. A floor keeps it so low that both together earn the floor's share of the
    /// champion's rewards even if the challenger is as bad as the evidence allows.
    pub fn share(&self) -> f64 {
        let ChampionChallengerConfig { share, floor, .. } = self.config;
        let safe = 1.0 - floor;
        if floor <= 0.0 || share <= safe {
            return share;
        }
        // The champion's lead is at most this, and at most all of its rewards.
        let lead = -self.challenger_leads_by();
        if lead <= 0.0 {
            return share;
        }
        (safe * (self.champion_earns() / lead).max(1.0)).min(share)
    }

    /// Lower bound of the champion's reward per decision; 0 without a floor.
    fn champion_earns(&self) -> f64 {
        self.state.earnings.at_least(self.config.alpha) / (1.0 - self.config.share) * self.limits.reward
    }

    /// Adds the reward of a decision. Decisions of another test, and decisions after a rollback, are ignored.
    pub fn observe(&mut self, observation: &Observation, reward: f64) -> TestEvent {
        if observation.test != self.state.id || self.state.mode == ChallengerMode::RolledBack {
            return TestEvent::None;
        }
        let before = (self.ratio_alarm(), self.challenger_leads_by() > 0.0);
        let reward = (reward / self.limits.reward).clamp(0.0, 1.0);
        let share = observation.share.map_or(self.config.share, f64::from_bits);
        let mixed = self.mixed_by(share, observation.champion, observation.challenger);
        let champion = observation.champion / mixed;
        let challenger = (observation.challenger / mixed).min(self.limits.weight);
        let lead = reward * (champion - challenger);
        let (low, high) = self.range();
        let scaled = |lead: f64| (lead - low) / (high - low);
        let alpha = self.config.alpha;
        self.state
            .champion
            .observe(scaled(lead - observation.lost), alpha);
        // In the other direction, the cut only makes the bound lower.
        self.state.challenger.observe(1.0 - scaled(lead), alpha);
        self.state.judged += 1;
        if self.config.floor > 0.0 {
            let earned = reward * champion * (1.0 - self.config.share);
            self.state.earnings.observe(earned, alpha);
        }
        if self.state.mode == ChallengerMode::Live {
            let arm = usize::from(observation.by == PolicyRole::Challenger);
            let ratio = &mut self.state.ratio;
            match observation.share {
                None => ratio.observe(arm, self.config.ratio_alpha),
                Some(_) => ratio.observe_with(arm, &[1.0 - share, share], self.config.ratio_alpha),
            };
        }
        if self.champion_leads_by() > self.config.tolerance * self.limits.reward {
            self.state.mode = ChallengerMode::RolledBack;
            return TestEvent::RolledBack;
        }
        match (before, (self.ratio_alarm(), self.challenger_leads_by() > 0.0)) {
            ((false, _), (true, _)) => TestEvent::RatioAlarm,
            ((_, false), (false, true)) => TestEvent::ChallengerLeads,
            _ => TestEvent::None,
        }
    }

    /// Smallest and largest value of the champion's lead, with the credit for cuts.
    fn range(&self) -> (f64, f64) {
        let champion = if self.config.shadow {
            1.0
        } else {
            1.0 / (1.0 - self.config.share)
        };
        (-self.limits.weight - 1.0, champion)
    }

    /// Number of observed decisions.
    pub const fn judged(&self) -> u64 {
        self.state.judged
    }

    /// Lower bound of the champion's lead in reward per decision. Negative: the champion is not significantly better.
    pub fn champion_leads_by(&self) -> f64 {
        let (low, high) = self.range();
        let bound = self.state.champion.at_least(self.config.alpha);
        (low + (high - low) * bound) * self.limits.reward
    }

    /// Lower bound of the challenger's lead. Above 0, the challenger is significantly better.
    pub fn challenger_leads_by(&self) -> f64 {
        let (low, high) = self.range();
        let bound = self.state.challenger.at_least(self.config.alpha);
        (-high + (high - low) * bound) * self.limits.reward
    }

    /// Whether the shares of the observed decisions differ significantly from the assigned shares.
    pub fn ratio_alarm(&self) -> bool {
        self.state.ratio.alarmed(self.config.ratio_alpha)
    }
}
