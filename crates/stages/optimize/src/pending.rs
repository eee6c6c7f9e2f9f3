//! What is kept of a decision until nothing can change it any more.

use limbic_domain::{CreativeSet, Decision, Envelope, Micros, Pseudonym, Utc};
use serde::{Deserialize, Serialize};

use limbic_bandit::guardrails::champion_challenger::Trial;
use limbic_bandit::outcomes::{Account, RewardConfig};
use limbic_bandit::{Arm, Features};

/// A decision whose outcomes may still come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) campaign: String,
    pub(crate) account: Account,
    /// Nothing for those who are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chosen: Option<ChosenArm>,
    /// Until it is judged: its part in a contest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<Trial>,
    /// Until they are compared: those who were held out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<Beside>,
    /// Until it is settled or released: what its campaign's pacer keeps for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reserved: Option<Micros>,
    /// The `due/…` entry that points here.
    pub(crate) due: Utc,
}

/// What was chosen, as the policy must be told again when it learns from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChosenArm {
    pub(crate) arm: Arm,
    pub(crate) context: Features,
    /// The bits of its probability.
    pub(crate) propensity: u64,
}

impl Pending {
    pub(crate) fn of(campaign: &str, account: Account) -> Self {
        Self {
            campaign: campaign.to_owned(),
            account,
            chosen: None,
            trial: None,
            beside: None,
            reserved: None,
            due: Utc::MIN,
        }
    }

    /// When the contest may judge it: every choice that was shown waits as long, so that bad news is not later than good.
    pub(crate) fn judged_at(&self, rewards: &RewardConfig) -> Option<Utc> {
        self.trial.as_ref()?;
        self.account.silence_ends(rewards)
    }

    pub(crate) fn compared_at(&self, rewards: &RewardConfig) -> Option<Utc> {
        self.beside.as_ref()?;
        Some(
            self.account
                .decided()
                .plus_millis(rewards.conversion_window.as_millis()),
        )
    }

    /// When nothing can change it any more. Those who are held out are still there when the others are compared with them.
    pub(crate) fn expires(&self, rewards: &RewardConfig) -> Utc {
        let expires = self.account.expires(rewards);
        if self.chosen.is_some() {
            return expires;
        }
        let compared = self
            .account
            .decided()
            .plus_millis(rewards.conversion_window.as_millis());
        expires.max(compared.plus_millis(1))
    }

    /// When it next wants attention.
    pub(crate) fn next_due(&self, rewards: &RewardConfig) -> Utc {
        let waits = [
            self.judged_at(rewards),
            self.account.closes(rewards),
            self.compared_at(rewards),
        ];
        waits.into_iter().flatten().fold(self.expires(rewards), Utc::min)
    }
}

/// The two groups of a moment, until their conversions are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beside {
    /// The decision about those who are held out.
    pub(crate) hold_out: String,
    /// How many people an ad may reach.
    pub(crate) reached: u64,
    /// How many are held out.
    pub(crate) held_out: u64,
}

impl Beside {
    /// Nothing where nobody is held out.
    pub(crate) fn of(
        set: &Envelope<CreativeSet>,
        people: &[Pseudonym],
        held_out: &[Pseudonym],
    ) -> Option<Self> {
        (!held_out.is_empty()).then(|| Self {
            hold_out: Decision::hold_out_id_of(&set.data.campaign, &set.data.moment),
            reached: people.len() as u64,
            held_out: held_out.len() as u64,
        })
    }
}
