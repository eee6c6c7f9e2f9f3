//! The permanent hold-out: a share of people, selected by a hash, whom no decision reaches.
//!
//! The difference between them and all others is the [`LiftEstimate`] of the ads. Membership is a function of the tenant, the
//! person and the salt, so it is the same in every process and after every restart. Another salt starts another
//! experiment.

use limbic_domain::{Pseudonym, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::champion_challenger::LowerBound;
use crate::policy::{PolicyError, within};
use crate::random::{Random, hash};

/// Settings of the hold-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HoldoutConfig {
    /// Share of people who are held out, in `[0, 1]`.
    pub share: f64,
    /// Name of the experiment. Another salt selects other people.
    pub salt: String,
    /// Probability that the interval of the lift is ever wrong, in `(0, 0.5]`.
    pub alpha: f64,
}

impl Default for HoldoutConfig {
    fn default() -> Self {
        Self {
            share: 0.0,
            salt: "limbic".to_owned(),
            alpha: 0.05,
        }
    }
}

impl HoldoutConfig {
    /// Returns an error for the first setting that is outside its range.
    pub fn check(&self) -> Result<(), PolicyError> {
        within("holdout.share", self.share, 0.0..=1.0, "must be in [0, 1]")?;
        within("holdout.alpha", self.alpha, 1e-12..=0.5, "must be in (0, 0.5]")
    }

    /// Whether this person is held out.
    pub fn contains(&self, tenant: &TenantId, person: &Pseudonym) -> bool {
        if self.share <= 0.0 {
            return false;
        }
        let name = format!("{}/{tenant}/{person}", self.salt);
        Random::new(hash(name.as_bytes())).unit() < self.share
    }
}

/// The lift of the ads: the reward per person whom an ad could reach, minus the reward per person held out.
///
/// Each moment counts once, with any size of its audience. Rewards are fractions of the largest reward. The
/// interval is valid at all times.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LiftEstimate {
    /// Lower bounds of the difference, mapped from `[-1, 1]` to `[0, 1]`, and of its negative.
    sides: [LowerBound; 2],
    #[serde(with = "crate::exact")]
    reached: f64,
    #[serde(with = "crate::exact")]
    held_out: f64,
}

impl LiftEstimate {
    /// Adds a moment: the mean reward per person in each group. Values outside `[0, 1]` are cut.
    pub fn observe(&mut self, reached: f64, held_out: f64, alpha: f64) {
        let (reached, held_out) = (reached.clamp(0.0, 1.0), held_out.clamp(0.0, 1.0));
        let moved = f64::midpoint(reached - held_out, 1.0);
        let [low, high] = &mut self.sides;
        low.observe(moved, alpha / 2.0);
        high.observe(1.0 - moved, alpha / 2.0);
        self.reached += reached;
        self.held_out += held_out;
    }

    /// An interval of the mean difference. With probability `1 - alpha` it is correct at all times together.
    pub fn difference(&self, alpha: f64) -> (f64, f64) {
        let [low, high] = &self.sides;
        let bound = |side: &LowerBound| 2.0 * side.at_least(alpha / 2.0) - 1.0;
        (bound(low), -bound(high))
    }

    /// Number of compared moments.
    pub const fn count(&self) -> u64 {
        self.sides[0].count()
    }

    /// Mean reward per person whom an ad could reach.
    pub fn reached(&self) -> f64 {
        self.reached / self.count().max(1) as f64
    }

    /// Mean reward per person held out.
    pub fn held_out(&self) -> f64 {
        self.held_out / self.count().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ads_add_is_found_and_an_interval_holds_it_at_all_moments() {
        let (with, without) = (0.12, 0.05);
        let mut missed = 0;
        let mut found = 0;
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let mut added = LiftEstimate::default();
            let mut happened = |rate| f64::from(u8::from(random.unit() < rate));
            let mut was_wrong = false;
            for _ in 0..3000 {
                added.observe(happened(with), happened(without), 0.05);
                let (low, high) = added.difference(0.05);
                was_wrong |= !(low..=high).contains(&(with - without));
            }
            missed += usize::from(was_wrong);
            found += usize::from(added.difference(0.05).0 > 0.0);
        }
        assert!(missed <= 14, "{missed}");
        assert!(found >= 95, "{found}");
        assert_eq!(LiftEstimate::default().difference(0.05), (-1.0, 1.0));
    }

    #[test]
    fn the_share_is_met_and_membership_is_for_ever() {
        let config = HoldoutConfig {
            share: 0.1,
            ..HoldoutConfig::default()
        };
        let other = HoldoutConfig {
            salt: "other".into(),
            ..config.clone()
        };
        let tenant = TenantId::default();
        let people: Vec<Pseudonym> = (0..20_000)
            .map(|n| Pseudonym::new(&format!("{n:032x}")).unwrap())
            .collect();
        let held = people
            .iter()
            .filter(|person| config.contains(&tenant, person))
            .count();
        assert!((1850..2150).contains(&held), "{held}");
        let both = people
            .iter()
            .filter(|person| config.contains(&tenant, person) && other.contains(&tenant, person))
            .count();
        assert!((140..260).contains(&both), "another salt is independent: {both}");
        assert!(
            people
                .iter()
                .all(|person| config.contains(&tenant, person) == config.clone().contains(&tenant, person))
        );
        assert!(!HoldoutConfig::default().contains(&tenant, &people[0]));
    }
}
