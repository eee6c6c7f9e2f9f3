//! The permanent hold-out: a share of people, fixed by a hash, whom no decision ever reaches.
//!
//! What the whole engine adds is the difference between them and everybody else. Membership is a function of the person
//! and the salt alone, so it is the same in every process and after every restart; another salt is another experiment.

use limbic_domain::{Pseudonym, TenantId};
use serde::{Deserialize, Serialize};

use crate::random::{Random, hash};

/// Settings of the hold-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldoutConfig {
    /// The share of people held out, in `[0, 1]`.
    pub share: f64,
    /// Which experiment this is.
    pub salt: String,
}

impl Default for HoldoutConfig {
    fn default() -> Self {
        Self {
            share: 0.0,
            salt: "limbic".to_owned(),
        }
    }
}

impl HoldoutConfig {
    /// Whether this person is never to be reached.
    pub fn holds(&self, tenant: &TenantId, person: &Pseudonym) -> bool {
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
