//! Attribution of outcomes to a decision: late, restated, withdrawn, duplicate or missing.
//!
//! Each decision has an [`Attribution`]. It stores an outcome under the key that the sender gave it. The latest
//! [statement](limbic_domain::Statement) of a key counts. The reward is always computed from all stored outcomes
//! ([`RewardConfig::reward`]), so it does not depend on how often or in which order they arrived.
//!
//! Feedback is censored: a missing click may still arrive. So an impression is judged when its click window has passed, clicked
//! or not; if clicks counted as soon as they come, successes would be learned before failures. What arrives later, a conversion
//! or a restatement, corrects the reward at once. A choice that was never shown is not learned from.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use limbic_domain::{Outcome, OutcomeKind, Pseudonym, Statement, Utc};
use serde::{Deserialize, Serialize};

use crate::rewards::{Event, Exposed, RewardConfig, Shown};

/// One outcome, with its latest content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    kind: OutcomeKind,
    /// Value of the outcome, as the bits of an `f64`.
    value: Option<u64>,
    /// The earliest event time of its statements.
    at: Utc,
    /// When the first statement was made.
    first: Utc,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    count: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    withdrawn: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<Pseudonym>,
    #[serde(default, skip_serializing_if = "is_zero")]
    revision: u64,
    /// When the latest statement was made; `None` if it is the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stated: Option<Utc>,
}

impl Entry {
    fn statement(&self) -> Statement {
        Statement {
            revision: self.revision,
            stated_at: self.stated.unwrap_or(self.first),
            withdrawn: self.withdrawn,
            kind: self.kind,
            value: self.value.map(f64::from_bits),
            count: self.count,
        }
    }

    fn event(&self) -> Event {
        Event {
            kind: self.kind,
            at: self.at,
            value: self.value.map(f64::from_bits),
            count: self.count,
            person: self.person.clone(),
        }
    }
}

/// The outcomes of one decision, and the reward that was last learned from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    decided: Utc,
    /// How many people the decision may reach.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    people: u64,
    entries: BTreeMap<String, Entry>,
    /// The last learned reward, as the bits of an `f64`.
    learned: Option<u64>,
    /// Impressions whose click window ended until then are part of the learned reward. Version 1 learned from all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    judged: Option<Utc>,
    /// Whether an outcome was rejected because there were too many. The share of clicks is then unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
    latest: Utc,
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_one(count: &u64) -> bool {
    *count == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How an outcome was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// Stored under a key that was not known.
    Counted,
    /// Stored in place of other content under the same key.
    Restated,
    /// The same content was stored before. Its reward did not change.
    Duplicate,
    /// A later statement of the same key is stored already. At most its time changed: the earliest one counts.
    Superseded,
    /// A restatement after its window. Nothing changed.
    TooLate,
}

/// What the policy has to learn after a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RewardUpdate {
    /// The reward did not change, or is not known yet.
    Unchanged,
    /// The reward of this decision, for the first time.
    First(f64),
    /// The reward differs from the one that was learned before.
    Corrected {
        /// The reward that was learned.
        before: f64,
        /// The correct reward.
        now: f64,
    },
    /// No reward is known any more, because every impression was withdrawn: the policy must unlearn it.
    Withdrawn {
        /// The reward that was learned.
        before: f64,
    },
}

/// A change of what a person's conversions are worth, for the comparison with people who see no ad.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversionChange {
    /// Whose conversion it is.
    pub person: Pseudonym,
    /// When it happened.
    pub at: Utc,
    /// What it adds to the person's rewards. Negative if an earlier statement is taken back.
    pub reward: f64,
}

/// What the outcomes of a decision add up to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Impressions.
    pub impressions: u64,
    /// Clicks.
    pub clicks: u64,
    /// Conversions.
    pub conversions: u64,
    /// The value of the conversions.
    pub value: f64,
}

/// What became of an outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// How it was stored.
    pub acceptance: Acceptance,
    /// What the policy has to learn.
    pub update: RewardUpdate,
    /// How the conversions of people changed. Two entries if the person of a conversion was restated.
    pub conversions: Vec<ConversionChange>,
}

/// An outcome was rejected. A retry gives the same result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OutcomeError {
    /// The decision is unknown: it was never made, chose nothing, or is so old that its attribution was removed.
    #[error(
        "no open decision `{0}`: it was never made, chose nothing, or its windows have passed; check the decision id in the outcome"
    )]
    UnknownDecision(String),
    /// The outcome has an earlier time than its decision.
    #[error("the outcome's time {at} is before its decision at {decided}: check the sender's clock")]
    BeforeDecision {
        /// Event time of the outcome.
        at: Utc,
        /// Event time of the decision.
        decided: Utc,
    },
    /// The value is negative, infinite or NaN.
    #[error("the outcome's value {0} is not usable: it must be finite and not negative")]
    Value(f64),
    /// An outcome other than a conversion, for people whom no ad reaches.
    #[error("`{0}` is a hold-out decision: its people see no ad, so only conversions can be reported for it")]
    HeldOut(String),
    /// The decision has [`Attribution::MAX_OUTCOMES`] outcomes already.
    #[error(
        "the decision has {0} outcomes already: further ones are rejected, and nothing more is learned from it; report numbers \
         with `count` instead of single events, and check the sender for outcomes without a stable key"
    )]
    TooMany(usize),
}

impl OutcomeError {
    /// Name of the error, as dead letters carry it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownDecision(_) => "unknown_decision",
            Self::BeforeDecision { .. } => "outcome_before_decision",
            Self::Value(_) => "bad_value",
            Self::HeldOut(_) => "reached_hold_out",
            Self::TooMany(_) => "too_many_outcomes",
        }
    }
}

impl Attribution {
    /// Largest number of stored outcomes of one decision.
    pub const MAX_OUTCOMES: usize = 1024;

    /// Starts the attribution of a decision made at `decided` that may reach `people`.
    pub const fn open(decided: Utc, people: u64) -> Self {
        Self {
            decided,
            people,
            entries: BTreeMap::new(),
            learned: None,
            judged: None,
            is_cut: false,
            latest: decided,
        }
    }

    /// Stores an outcome that happened `at`. An error changes nothing, except that after [`OutcomeError::TooMany`] nothing more is
    /// learned from this decision.
    ///
    /// A conversion of a known person may be earlier than the decision: it says how the person behaved before.
    pub fn accept(
        &mut self,
        outcome: &Outcome,
        at: Utc,
        config: &RewardConfig,
    ) -> Result<Accepted, OutcomeError> {
        if let Some(value) = outcome.value
            && !(value.is_finite() && value >= 0.0)
        {
            return Err(OutcomeError::Value(value));
        }
        let is_earlier_behaviour = outcome.kind == OutcomeKind::Conversion && outcome.person.is_some();
        if at < self.decided && !is_earlier_behaviour {
            return Err(OutcomeError::BeforeDecision {
                at,
                decided: self.decided,
            });
        }
        let said = outcome.statement(at);
        let known = self.entries.get(&outcome.key);
        let Some(known) = known else {
            if self.entries.len() >= Self::MAX_OUTCOMES {
                self.is_cut = true;
                return Err(OutcomeError::TooMany(Self::MAX_OUTCOMES));
            }
            let entry = Entry {
                kind: said.kind,
                value: said.value.map(f64::to_bits),
                at,
                first: said.stated_at,
                count: said.count,
                withdrawn: said.withdrawn,
                person: outcome.person.clone(),
                revision: said.revision,
                stated: None,
            };
            return Ok(self.store(&outcome.key, entry, at, Acceptance::Counted, config));
        };
        let before = known.statement();
        let is_same = said.says_the_same_as(&before);
        // Ad platforms resend an outcome with a new time. It happened no later than they ever said.
        let happened = known.at.min(at);
        let first = known.first.min(said.stated_at);
        if said.stated_at.millis_since(known.first) > config.restatement_window.as_millis() {
            return Ok(Accepted {
                acceptance: Acceptance::TooLate,
                update: RewardUpdate::Unchanged,
                conversions: Vec::new(),
            });
        }
        let (entry, acceptance) = if said.order(&before) == Ordering::Greater {
            let entry = Entry {
                kind: said.kind,
                value: said.value.map(f64::to_bits),
                at: happened,
                first,
                count: said.count,
                withdrawn: said.withdrawn,
                person: outcome.person.clone(),
                revision: said.revision,
                // The same content, stated later, wins over what was stated in between but arrives after it.
                stated: Some(said.stated_at),
            };
            (entry, Acceptance::Restated)
        } else {
            let entry = Entry {
                at: happened,
                first,
                stated: Some(before.stated_at).filter(|stated| *stated != first),
                ..known.clone()
            };
            (entry, Acceptance::Superseded)
        };
        let acceptance = if is_same {
            Acceptance::Duplicate
        } else {
            acceptance
        };
        Ok(self.store(&outcome.key, entry, at, acceptance, config))
    }

    fn store(
        &mut self,
        key: &str,
        entry: Entry,
        at: Utc,
        acceptance: Acceptance,
        config: &RewardConfig,
    ) -> Accepted {
        let conversions = conversion_changes(self.entries.get(key), &entry, config);
        self.entries.insert(key.to_owned(), entry);
        if matches!(acceptance, Acceptance::Counted | Acceptance::Restated) {
            self.latest = self.latest.max(at);
        }
        Accepted {
            acceptance,
            update: self.correct(config),
            conversions,
        }
    }

    /// Judges the impressions whose click window ends at `until` or before. Call it with the time of
    /// [`Self::click_window_closes`] when that time has passed.
    pub fn close_click_window(&mut self, until: Utc, config: &RewardConfig) -> RewardUpdate {
        self.judged = Some(self.judged.map_or(until, |judged| judged.max(until)));
        self.correct(config)
    }

    /// Corrects a reward that was learned, or takes it back. If the impressions of a reward that was taken back are stated again, it
    /// is learned again.
    fn correct(&mut self, config: &RewardConfig) -> RewardUpdate {
        if self.is_cut || (self.learned.is_none() && self.judged.is_none()) {
            return RewardUpdate::Unchanged;
        }
        let before = self.learned.map(f64::from_bits);
        let now = self.judged_reward(config);
        self.learned = now.map(f64::to_bits);
        match (before, now) {
            (None, None) => RewardUpdate::Unchanged,
            (None, Some(now)) => RewardUpdate::First(now),
            (Some(before), None) => RewardUpdate::Withdrawn { before },
            (Some(before), Some(now)) if before.to_bits() == now.to_bits() => RewardUpdate::Unchanged,
            (Some(before), Some(now)) => RewardUpdate::Corrected { before, now },
        }
    }

    fn judged_reward(&self, config: &RewardConfig) -> Option<f64> {
        if self.is_cut {
            return None;
        }
        self.reward(self.judged.unwrap_or(Utc::MAX), config)
    }

    /// When a click window ends that is not judged yet; `None` if there is none.
    ///
    /// The first window is judged at its end. After that, the end of a further window is rounded up, so that impressions over a
    /// whole day are judged at most four times in each click window.
    pub fn click_window_closes(&self, config: &RewardConfig) -> Option<Utc> {
        // Version 1 learned a click at once, and from all impressions together.
        let is_of_version_1 = self.learned.is_some() && self.judged.is_none();
        if self.is_cut || is_of_version_1 {
            return None;
        }
        let ends = self.exposures(config).into_iter();
        let ends = ends.map(|exposed| config.window_end(exposed.at));
        let Some(judged) = self.judged else {
            return ends.min();
        };
        let next = ends.filter(|end| *end > judged).min()?;
        Some(next.max(judged.plus_millis(config.click_window.as_millis() / 4)))
    }

    /// When nothing new can be added to the reward of the first impression any more; `None` if the choice was not shown.
    pub fn settles(&self, config: &RewardConfig) -> Option<Utc> {
        if self.is_cut {
            return None;
        }
        let first = self.exposures(config).into_iter().next()?;
        Some(first.at.plus_millis(config.settled_after_millis()))
    }

    /// Event time of the decision.
    pub const fn decided(&self) -> Utc {
        self.decided
    }

    /// When the attribution can be removed: no outcome can change it after this time.
    pub fn expires(&self, config: &RewardConfig) -> Utc {
        self.latest.plus_millis(config.longest_window_millis())
    }

    /// Whether the ad never ran: the ad platform refused it, or it was withdrawn before it was sent.
    pub fn refused(&self) -> bool {
        self.events()
            .any(|event| matches!(event.kind, OutcomeKind::Refused | OutcomeKind::Withdrawn))
    }

    /// When the first click was reported, if there are clicks and no impression, so that the ad has no reward.
    pub fn first_click_without_impression(&self, config: &RewardConfig) -> Option<Utc> {
        let clicks = self.events().filter(|event| event.kind == OutcomeKind::Click);
        let first = clicks.map(|event| event.at).min()?;
        self.exposures(config).is_empty().then_some(first)
    }

    /// What the stored outcomes add up to, without those that were taken back. Conversions from before the decision are not
    /// counted: they say how the person behaved before.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for event in self.events().filter(|event| event.at >= self.decided) {
            match event.kind {
                OutcomeKind::Impression => totals.impressions += event.count,
                OutcomeKind::Click => totals.clicks += event.count,
                OutcomeKind::Conversion => {
                    totals.conversions += event.count;
                    totals.value += event.value.unwrap_or(0.0);
                }
                OutcomeKind::Delivered
                | OutcomeKind::Refused
                | OutcomeKind::Withdrawn
                | OutcomeKind::Paused
                | OutcomeKind::Dismissal => {}
            }
        }
        totals
    }

    /// The last learned reward.
    pub fn learned(&self) -> Option<f64> {
        self.learned.map(f64::from_bits)
    }

    /// The reward of the choice from the impressions whose click window ends at `until` or before, by all stored outcomes.
    pub fn reward(&self, until: Utc, config: &RewardConfig) -> Option<f64> {
        config.reward(self.shown(), &self.events().collect::<Vec<_>>(), until)
    }

    fn exposures(&self, config: &RewardConfig) -> Vec<Exposed> {
        config.exposures(self.shown(), &self.events().collect::<Vec<_>>())
    }

    const fn shown(&self) -> Shown {
        Shown {
            decided: self.decided,
            people: self.people,
        }
    }

    fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.entries
            .values()
            .filter(|entry| !entry.withdrawn)
            .map(Entry::event)
    }
}

/// How a change of an outcome changes the conversions of its person.
fn conversion_changes(before: Option<&Entry>, now: &Entry, config: &RewardConfig) -> Vec<ConversionChange> {
    let change = |entry: &Entry, sign: f64| {
        let person = entry.person.clone()?;
        let is_conversion = entry.kind == OutcomeKind::Conversion && !entry.withdrawn;
        let reward = config.of_conversions(entry.count, entry.value.map(f64::from_bits));
        (is_conversion && reward > 0.0).then_some(ConversionChange {
            person,
            at: entry.at,
            reward: sign * reward,
        })
    };
    let (taken, given) = (before.and_then(|before| change(before, -1.0)), change(now, 1.0));
    match (taken, given) {
        (Some(taken), Some(given)) if taken.person == given.person && taken.at == given.at => {
            let reward = given.reward + taken.reward;
            let change = ConversionChange { reward, ..given };
            Vec::from_iter((change.reward != 0.0).then_some(change))
        }
        (taken, given) => taken.into_iter().chain(given).collect(),
    }
}

#[cfg(test)]
mod tests;
