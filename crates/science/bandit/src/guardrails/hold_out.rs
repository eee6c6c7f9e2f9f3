//! The permanent hold-out: a share of people, fixed by a hash, whom no decision ever reaches.
//!
//! What the whole engine adds is the difference between them and everybody else ([`Added`]). Membership is a function of
//! the person and the salt alone, so it is the same in every process and after every restart; another salt is another
//! experiment.

use limbic_domain::{Pseudonym, TenantId};
use serde::{Deserialize, Serialize};

use super::champion_challenger::LowerBound;
use crate::policy::{PolicyError, within};
use crate::random::{Random, hash};

/// Settings of the hold-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldoutConfig {
    /// The share of people held out, in `[0, 1]`.
    pub share: f64,
    /// Which experiment this is.
    pub salt: String,
    /// Probability that the interval of what ads add is ever wrong.
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
    /// Refuses settings outside their ranges.
    pub fn check(&self) -> Result<(), PolicyError> {
        within("holdout.share", self.share, 0.0..=1.0, "must be in [0, 1]")?;
        within("holdout.alpha", self.alpha, 1e-12..=0.5, "must be in (0, 0.5]")
    }

    /// Whether this person is never to be reached.
    pub fn holds(&self, tenant: &TenantId, person: &Pseudonym) -> bool {
        if self.share <= 0.0 {
            return false;
        }
        let name = format!("{}/{tenant}/{person}", self.salt);
        Random::new(hash(name.as_bytes())).unit() < self.share
    }
}

/// What ads add: moment for moment, what a person brought whom an ad could reach, less what one brought who was held out.
///
/// Each moment counts once, whatever its audience's size. Numbers are parts of the largest reward; the interval holds at
/// every moment at once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Added {
    /// Of the difference, moved from `[-1, 1]` to `[0, 1]`; then of its negative.
    sides: [LowerBound; 2],
    #[serde(with = "crate::exact")]
    reached: f64,
    #[serde(with = "crate::exact")]
    held_out: f64,
}

impl Added {
    /// One more moment: what a person brought on average in each group, at most 1.
    pub fn observe(&mut self, reached: f64, held_out: f64, alpha: f64) {
        let (reached, held_out) = (reached.clamp(0.0, 1.0), held_out.clamp(0.0, 1.0));
        let moved = f64::midpoint(reached - held_out, 1.0);
        let [low, high] = &mut self.sides;
        low.observe(moved, alpha / 2.0);
        high.observe(1.0 - moved, alpha / 2.0);
        self.reached += reached;
        self.held_out += held_out;
    }

    /// An interval of the mean difference, right at every moment at once with probability `1 - alpha`.
    pub fn difference(&self, alpha: f64) -> (f64, f64) {
        let [low, high] = &self.sides;
        let bound = |side: &LowerBound| 2.0 * side.at_least(alpha / 2.0) - 1.0;
        (bound(low), -bound(high))
    }

    /// How many moments were compared.
    pub const fn count(&self) -> u64 {
        self.sides[0].count()
    }

    /// What a person brought on average whom an ad could reach.
    pub fn reached(&self) -> f64 {
        self.reached / self.count().max(1) as f64
    }

    /// What a person brought on average who was held out.
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
            let mut added = Added::default();
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
        assert_eq!(Added::default().difference(0.05), (-1.0, 1.0));
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
            .filter(|person| config.holds(&tenant, person))
            .count();
        assert!((1850..2150).contains(&held), "{held}");
        let both = people
            .iter()
            .filter(|person| config.holds(&tenant, person) && other.holds(&tenant, person))
            .count();
        assert!((140..260).contains(&both), "another salt is independent: {both}");
        assert!(
            people
                .iter()
                .all(|person| config.holds(&tenant, person) == config.clone().holds(&tenant, person))
        );
        assert!(!HoldoutConfig::default().holds(&tenant, &people[0]));
    }
}
