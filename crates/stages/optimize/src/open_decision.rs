//! A decision that outcomes can still change.

use limbic_domain::{Micros, Utc};
use serde::{Deserialize, Serialize};

use limbic_bandit::guardrails::champion_challenger::Observation;
use limbic_bandit::outcomes::Attribution;
use limbic_bandit::rewards::RewardConfig;
use limbic_bandit::{Arm, Features};

/// A decision whose outcomes may still arrive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenDecision {
    pub(crate) campaign: String,
    pub(crate) attribution: Attribution,
    /// The choice; `None` for a hold-out decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chosen: Option<ChosenArm>,
    /// The observation for the champion/challenger test, until the test has used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observation: Option<Observation>,
    /// The money reserved by the campaign's pacer, until it is settled or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reserved: Option<Micros>,
    /// Whether it was counted as a decision with clicks and without impressions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_unseen: bool,
    /// Time of this decision's timer.
    pub(crate) due: Utc,
}

/// The choice, with everything that the policy needs to learn from its reward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChosenArm {
    pub(crate) arm: Arm,
    pub(crate) context: Features,
    /// The propensity, as the bits of an `f64`.
    pub(crate) propensity: u64,
}

impl OpenDecision {
    pub(crate) fn of(campaign: &str, attribution: Attribution) -> Self {
        Self {
            campaign: campaign.to_owned(),
            attribution,
            chosen: None,
            observation: None,
            reserved: None,
            is_unseen: false,
            due: Utc::MIN,
        }
    }

    /// When the test uses the decision. Every choice that was shown waits equally long, until neither a click nor a
    /// conversion can add to its reward any more, so that rewards are not counted earlier than missing ones.
    pub(crate) fn observed_at(&self, rewards: &RewardConfig) -> Option<Utc> {
        self.observation.as_ref()?;
        self.attribution.settles(rewards)
    }

    /// When it counts as a decision with clicks and without impressions: impressions may be reported up to a click window later
    /// than the first click.
    pub(crate) fn unseen_at(&self, rewards: &RewardConfig) -> Option<Utc> {
        let is_open = self.chosen.is_some() && !self.is_unseen;
        let first = is_open.then(|| self.attribution.first_click_without_impression(rewards))??;
        Some(first.plus_millis(rewards.click_window.as_millis()))
    }

    /// When the decision can be removed.
    pub(crate) fn expires(&self, rewards: &RewardConfig) -> Utc {
        self.attribution.expires(rewards)
    }

    /// When the decision is next due.
    pub(crate) fn next_due(&self, rewards: &RewardConfig) -> Utc {
        let waits = [
            self.observed_at(rewards),
            self.attribution.click_window_closes(rewards),
            self.unseen_at(rewards),
        ];
        waits.into_iter().flatten().fold(self.expires(rewards), Utc::min)
    }
}
