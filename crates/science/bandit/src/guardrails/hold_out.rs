//! The permanent hold-out: a share of people, selected by a hash, whom no decision reaches.
//!
//! The difference between them and all others is the [`LiftEstimate`](super::lift::LiftEstimate) of the ads. Membership is a function of the tenant, the
//! person and the salt, so it is the same in every process and after every restart. Another salt starts another
//! experiment.

use limbic_domain::{HumanDuration, Pseudonym, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Time after a person's first contact in which their conversions are compared. Default 7d.
    pub measured_for: HumanDuration,
    /// Time before a person's first contact in which conversions count as earlier behaviour, which makes the interval shorter.
    /// Default 28d.
    pub earlier: HumanDuration,
    /// Largest value of one person's conversions, positive, in units of the reward. A larger one is cut to it, so that a few
    /// people do not decide the comparison (winsorising).
    pub largest_value: f64,
    /// Maximum number of people of a campaign and partition who are measured. Further people are not; each takes some 150
    /// bytes of state.
    pub most_people: u64,
}

impl Default for HoldoutConfig {
    fn default() -> Self {
        Self {
            share: 0.0,
            salt: "limbic".to_owned(),
            alpha: 0.05,
            measured_for: HumanDuration::from_days(7),
            earlier: HumanDuration::from_days(28),
            largest_value: 10.0,
            most_people: 100_000,
        }
    }
}

impl HoldoutConfig {
    /// Returns an error for the first setting that is outside its range.
    pub fn check(&self) -> Result<(), PolicyError> {
        within("holdout.share", self.share, 0.0..=1.0, "must be in [0, 1]")?;
        within(
            "holdout.largest_value",
            self.largest_value,
            f64::MIN_POSITIVE..=1e12,
            "must be positive",
        )?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
