//! Attribution of outcomes to a decision: late, restated, duplicate or missing.
//!
//! Each decision has an [`Attribution`]. It stores an outcome under the key that the sender gave it. The same key
//! with the same content is a duplicate and changes nothing. The same key with other content is a restatement and
//! replaces the earlier content. The reward is always computed from all stored outcomes, so it does not depend on how
//! often or in which order they arrived.
//!
//! Feedback is censored: a missing click may still arrive. A positive reward is learned at once. A reward of 0 is
//! learned only after the attribution window has passed without a click. A choice that was never shown is not learned
//! from.

use std::collections::BTreeMap;

use limbic_domain::{HumanDuration, Outcome, OutcomeKind, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{PolicyError, within};

/// The event from which the attribution windows of a choice run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// The impression. A choice that was delivered but not seen is not learned from.
    #[default]
    Impression,
    /// The delivery, for ad platforms that report no impressions.
    Delivered,
}

/// The reward of each kind of outcome, and the window in which it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Reward for the first click, not negative. Later clicks add nothing.
    pub click: f64,
    /// Reward for each conversion, independent of its value; not negative.
    pub conversion: f64,
    /// Reward for each unit of a conversion's value, not negative.
    pub conversion_value: f64,
    /// Whether a dismissal sets the reward of the decision to 0.
    pub dismissal_voids: bool,
    /// Largest reward of one decision, positive. Larger sums are cut to it.
    pub most: f64,
    /// The event that makes a choice count as shown.
    pub exposure: Exposure,
    /// Time after exposure in which a click counts. When it has passed without a click, the reward is 0. Default 30min.
    pub click_window: HumanDuration,
    /// Time after exposure in which a conversion counts. Default 7d.
    pub conversion_window: HumanDuration,
    /// Time after its first report in which an outcome can be restated. Default 28d.
    pub restatement_window: HumanDuration,
}

impl Default for RewardConfig {
    fn default() -> Self {
        Self {
            click: 1.0,
            conversion: 1.0,
            conversion_value: 0.0,
            dismissal_voids: true,
            most: 1.0,
            exposure: Exposure::Impression,
            click_window: HumanDuration::from_mins(30),
            conversion_window: HumanDuration::from_days(7),
            restatement_window: HumanDuration::from_days(28),
        }
    }
}

impl RewardConfig {
    /// Returns an error for the first setting that is outside its range.
    pub fn check(&self) -> Result<(), PolicyError> {
        let usable = 0.0..=1e12;
        for (setting, value) in [
            ("rewards.click", self.click),
            ("rewards.conversion", self.conversion),
            ("rewards.conversion_value", self.conversion_value),
            ("rewards.click_window", self.click_window.as_millis() as f64),
            (
                "rewards.conversion_window",
                self.conversion_window.as_millis() as f64,
            ),
            (
                "rewards.restatement_window",
                self.restatement_window.as_millis() as f64,
            ),
        ] {
            within(setting, value, usable.clone(), "must be finite and not negative")?;
        }
        within(
            "rewards.most",
            self.most,
            f64::MIN_POSITIVE..=1e12,
            "must be positive",
        )
    }

    /// Reward of one conversion.
    fn conversion_reward(&self, entry: &Entry) -> f64 {
        self.conversion + self.conversion_value * entry.value.map_or(0.0, f64::from_bits)
    }

    /// Milliseconds after its latest outcome during which the attribution of a decision is kept.
    pub fn longest_window_millis(&self) -> i64 {
        self.restatement_window
            .as_millis()
            .max(self.conversion_window.as_millis())
            .max(self.click_window.as_millis())
    }
}

/// One outcome, with its latest content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    kind: OutcomeKind,
    /// Value of the outcome, as the bits of an `f64`.
    value: Option<u64>,
    at: Utc,
    /// Event time of the first report.
    first: Utc,
}

/// The outcomes of one decision, and the reward that was last learned from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    decided: Utc,
    entries: BTreeMap<String, Entry>,
    /// The last learned reward, as the bits of an `f64`.
    learned: Option<u64>,
    latest: Utc,
}

/// How an outcome was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// Stored under a key that was not known.
    Counted,
    /// Stored in place of other content under the same key.
    Restated,
    /// The same content was stored before. Nothing changed.
    Duplicate,
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
        "the decision has {0} outcomes already: further ones are rejected; check the sender for outcomes without a stable key"
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

    /// Starts the attribution of a decision made at `decided`.
    pub const fn open(decided: Utc) -> Self {
        Self {
            decided,
            entries: BTreeMap::new(),
            learned: None,
            latest: decided,
        }
    }

    /// Stores an outcome that happened `at`. An error changes nothing.
    pub fn accept(
        &mut self,
        outcome: &Outcome,
        at: Utc,
        config: &RewardConfig,
    ) -> Result<(Acceptance, RewardUpdate), OutcomeError> {
        if let Some(value) = outcome.value
            && !(value.is_finite() && value >= 0.0)
        {
            return Err(OutcomeError::Value(value));
        }
        if at < self.decided {
            return Err(OutcomeError::BeforeDecision {
                at,
                decided: self.decided,
            });
        }
        let value = outcome.value.map(f64::to_bits);
        let known = self.entries.get(&outcome.key);
        let accepted = match known {
            None if self.entries.len() >= Self::MAX_OUTCOMES => {
                return Err(OutcomeError::TooMany(Self::MAX_OUTCOMES));
            }
            None => Acceptance::Counted,
            // Ad platforms resend an outcome with a new time. Only another kind or value is new information.
            Some(entry) if entry.kind == outcome.kind && entry.value == value => {
                return Ok((Acceptance::Duplicate, RewardUpdate::Unchanged));
            }
            Some(entry) if at.millis_since(entry.first) > config.restatement_window.as_millis() => {
                return Ok((Acceptance::TooLate, RewardUpdate::Unchanged));
            }
            Some(_) => Acceptance::Restated,
        };
        let first = known.map_or(at, |entry| entry.first);
        let entry = Entry {
            kind: outcome.kind,
            value,
            // A restatement changes the content of an outcome, not its time.
            at: first,
            first,
        };
        self.entries.insert(outcome.key.clone(), entry);
        self.latest = self.latest.max(at);
        Ok((accepted, self.update_reward(config, false)))
    }

    /// Ends the click window: without a click the reward is 0. Call it when [`Self::click_window_closes`] has passed.
    pub fn close_click_window(&mut self, config: &RewardConfig) -> RewardUpdate {
        self.update_reward(config, true)
    }

    /// When the click window ends; `None` if the choice was not shown, or a reward was learned already.
    pub fn click_window_closes(&self, config: &RewardConfig) -> Option<Utc> {
        if self.learned.is_some() {
            return None;
        }
        self.click_window_end(config)
    }

    /// When the click window ends, whether or not a click came; `None` if the choice was not shown.
    pub fn click_window_end(&self, config: &RewardConfig) -> Option<Utc> {
        if self.refused() {
            return None;
        }
        Some(self.exposed(config)?.plus_millis(config.click_window.as_millis()))
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
        self.first_of(OutcomeKind::Refused).is_some() || self.first_of(OutcomeKind::Withdrawn).is_some()
    }

    fn update_reward(&mut self, config: &RewardConfig, is_closed: bool) -> RewardUpdate {
        if self.refused() && self.learned.is_none() {
            return RewardUpdate::Unchanged;
        }
        let reward = self.reward(config);
        match self.learned.map(f64::from_bits) {
            None if reward > 0.0 || (is_closed && self.exposed(config).is_some()) => {
                self.learned = Some(reward.to_bits());
                RewardUpdate::First(reward)
            }
            Some(before) if before.to_bits() != reward.to_bits() => {
                self.learned = Some(reward.to_bits());
                RewardUpdate::Corrected { before, now: reward }
            }
            _ => RewardUpdate::Unchanged,
        }
    }

    /// When the choice was shown; `None` if no outcome has reported it.
    fn exposed(&self, config: &RewardConfig) -> Option<Utc> {
        let impression = self.first_of(OutcomeKind::Impression);
        match config.exposure {
            Exposure::Impression => impression,
            Exposure::Delivered => impression.or_else(|| self.first_of(OutcomeKind::Delivered)),
        }
    }

    fn first_of(&self, kind: OutcomeKind) -> Option<Utc> {
        self.entries
            .values()
            .filter(|entry| entry.kind == kind)
            .map(|entry| entry.at)
            .min()
    }

    /// Reward of the conversions within their window from the decision, whether or not the ad was seen. It can be
    /// compared between people who saw an ad and people who did not.
    pub fn conversions(&self, config: &RewardConfig) -> f64 {
        let of_window = self.entries.values().filter(|entry| {
            entry.kind == OutcomeKind::Conversion
                && entry.at.millis_since(self.decided) <= config.conversion_window.as_millis()
        });
        of_window.fold(0.0, |sum, entry| sum + config.conversion_reward(entry))
    }

    /// The reward of the choice, by all stored outcomes.
    pub fn reward(&self, config: &RewardConfig) -> f64 {
        if config.dismissal_voids && self.first_of(OutcomeKind::Dismissal).is_some() {
            return 0.0;
        }
        // A click counts even if its impression was never reported.
        let from = self.exposed(config);
        let counts =
            |entry: &Entry, window: i64| from.is_none_or(|from| entry.at.millis_since(from) <= window);
        let mut reward = 0.0;
        let mut clicked = false;
        for entry in self.entries.values() {
            match entry.kind {
                OutcomeKind::Click if counts(entry, config.click_window.as_millis()) => clicked = true,
                OutcomeKind::Conversion if counts(entry, config.conversion_window.as_millis()) => {
                    reward += config.conversion_reward(entry);
                }
                _ => {}
            }
        }
        if clicked {
            reward += config.click;
        }
        reward.min(config.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome(kind: OutcomeKind, key: &str, value: Option<f64>) -> Outcome {
        Outcome {
            decision: "d".into(),
            kind,
            value,
            key: key.into(),
            detail: None,
        }
    }

    fn at(minutes: i64) -> Utc {
        Utc::from_millis(minutes * 60_000)
    }

    #[test]
    fn silence_is_a_failure_only_after_the_window_and_only_if_seen() {
        let config = RewardConfig::default();
        let mut attribution = Attribution::open(at(0));
        assert_eq!(attribution.click_window_closes(&config), None, "never shown");
        let seen = outcome(OutcomeKind::Impression, "i", None);
        let answer = attribution.accept(&seen, at(5), &config).unwrap();
        assert_eq!(answer, (Acceptance::Counted, RewardUpdate::Unchanged));
        assert_eq!(attribution.click_window_closes(&config), Some(at(35)));
        assert_eq!(attribution.close_click_window(&config), RewardUpdate::First(0.0));
        assert_eq!(attribution.close_click_window(&config), RewardUpdate::Unchanged);
    }

    #[test]
    fn a_late_word_of_an_early_click_corrects_the_failure() {
        let config = RewardConfig::default();
        let mut attribution = Attribution::open(at(0));
        attribution
            .accept(&outcome(OutcomeKind::Impression, "i", None), at(0), &config)
            .unwrap();
        attribution.close_click_window(&config);
        let answer = attribution
            .accept(&outcome(OutcomeKind::Click, "c", None), at(20), &config)
            .unwrap();
        assert_eq!(
            answer.1,
            RewardUpdate::Corrected {
                before: 0.0,
                now: 1.0
            }
        );
        let too_late = attribution
            .accept(&outcome(OutcomeKind::Click, "c2", None), at(31), &config)
            .unwrap();
        assert_eq!(too_late.1, RewardUpdate::Unchanged);
    }

    #[test]
    fn a_duplicate_changes_nothing_and_a_restatement_replaces() {
        let config = RewardConfig {
            conversion: 0.0,
            conversion_value: 0.01,
            ..RewardConfig::default()
        };
        let mut attribution = Attribution::open(at(0));
        let sale = outcome(OutcomeKind::Conversion, "s", Some(50.0));
        assert_eq!(
            attribution.accept(&sale, at(1), &config).unwrap().1,
            RewardUpdate::First(0.5)
        );
        let before = attribution.clone();
        assert_eq!(
            attribution.accept(&sale, at(9), &config).unwrap().0,
            Acceptance::Duplicate
        );
        assert_eq!(attribution, before);
        let restated = outcome(OutcomeKind::Conversion, "s", Some(20.0));
        let answer = attribution.accept(&restated, at(60), &config).unwrap();
        assert_eq!(
            answer,
            (
                Acceptance::Restated,
                RewardUpdate::Corrected {
                    before: 0.5,
                    now: 0.2
                }
            )
        );
        let again = outcome(OutcomeKind::Conversion, "s", Some(70.0));
        let answer = attribution.accept(&again, at(29 * 24 * 60), &config).unwrap();
        assert_eq!(answer.0, Acceptance::TooLate);
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let config = RewardConfig::default();
        let mut attribution = Attribution::open(at(10));
        let before = attribution.clone();
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            let wrong = outcome(OutcomeKind::Conversion, "s", Some(value));
            assert!(matches!(
                attribution.accept(&wrong, at(20), &config),
                Err(OutcomeError::Value(_))
            ));
        }
        let early = attribution.accept(&outcome(OutcomeKind::Click, "c", None), at(9), &config);
        assert!(matches!(early, Err(OutcomeError::BeforeDecision { .. })));
        assert_eq!(attribution, before);
    }

    #[test]
    fn a_refused_creative_teaches_nothing() {
        let config = RewardConfig {
            exposure: Exposure::Delivered,
            ..RewardConfig::default()
        };
        let mut attribution = Attribution::open(at(0));
        attribution
            .accept(&outcome(OutcomeKind::Refused, "r", None), at(1), &config)
            .unwrap();
        assert_eq!(attribution.click_window_closes(&config), None);
        assert_eq!(attribution.close_click_window(&config), RewardUpdate::Unchanged);
    }

    proptest! {
        #[test]
        fn what_is_taught_in_the_end_depends_on_neither_order_nor_repetition(
            order in Just((0..4usize).collect::<Vec<_>>()).prop_shuffle(),
            repeated in prop::collection::vec(0..4usize, 0..6),
        ) {
            let config = RewardConfig { most: 10.0, conversion_value: 0.1, ..RewardConfig::default() };
            let outcomes = [
                (outcome(OutcomeKind::Impression, "i", None), at(1)),
                (outcome(OutcomeKind::Click, "c1", None), at(2)),
                (outcome(OutcomeKind::Click, "c2", None), at(50)),
                (outcome(OutcomeKind::Conversion, "s", Some(7.0)), at(90)),
            ];
            let mut attribution = Attribution::open(at(0));
            for &index in order.iter().chain(&repeated) {
                attribution.accept(&outcomes[index].0, outcomes[index].1, &config).unwrap();
            }
            attribution.close_click_window(&config);
            let learned = attribution.learned.map(f64::from_bits).unwrap();
            prop_assert!((learned - 2.7).abs() < 1e-12);
        }
    }
}
