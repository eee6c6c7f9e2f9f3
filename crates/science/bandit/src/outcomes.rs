//! What came of a decision, joined to it: late, restated, twice, or never.
//!
//! Each decision has an [`Account`]. An outcome is entered under its sender's key: the same key with the same content is
//! a duplicate and changes nothing; the same key with other content is a restatement and replaces what it said. The
//! reward is computed anew from all entries, so that nothing depends on how often or in which order they came.
//!
//! Feedback is censored: that nobody clicked *yet* is no failure. Good news is taught at once; silence counts as a
//! reward of 0 only once the attribution window has passed, and a choice that was never shown teaches nothing at all.

use std::collections::BTreeMap;

use limbic_domain::{HumanDuration, Outcome, OutcomeKind, Utc};
use serde::{Deserialize, Serialize};

use crate::policy::{PolicyError, within};

/// From which sign of life a choice's attribution windows run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// From the impression: what was delivered but not seen teaches nothing.
    #[default]
    Impression,
    /// From the delivery, for platforms that report no impressions.
    Delivered,
}

/// What an outcome is worth, and for how long it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Of a click; further clicks add nothing.
    pub click: f64,
    /// Of each conversion, whatever its value.
    pub conversion: f64,
    /// Of each unit of a conversion's value.
    pub conversion_value: f64,
    /// A dismissal takes everything away.
    pub dismissal_voids: bool,
    /// The most that one decision can be worth.
    pub most: f64,
    /// What makes a choice count as shown.
    pub exposure: Exposure,
    /// Time from exposure within which a click counts, and after which silence is a failure. Default 30min.
    pub click_window: HumanDuration,
    /// Time from exposure within which a conversion counts. Default 7d.
    pub conversion_window: HumanDuration,
    /// Time from its first report within which an outcome may be restated. Default 28d.
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
    /// Refuses settings outside their ranges.
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

    /// Of one conversion.
    fn worth(&self, entry: &Entry) -> f64 {
        self.conversion + self.conversion_value * entry.value.map_or(0.0, f64::from_bits)
    }

    /// How long after its latest word a decision's account is kept.
    pub fn longest_window_millis(&self) -> i64 {
        self.restatement_window
            .as_millis()
            .max(self.conversion_window.as_millis())
            .max(self.click_window.as_millis())
    }
}

/// One outcome, as last stated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    kind: OutcomeKind,
    /// The bits of its value.
    value: Option<u64>,
    at: Utc,
    /// When it was first stated.
    first: Utc,
}

/// All that is known of what came of one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    decided: Utc,
    entries: BTreeMap<String, Entry>,
    /// The bits of the reward that was taught.
    taught: Option<u64>,
    latest: Utc,
}

/// What an outcome was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// New.
    Counted,
    /// New content under a known key.
    Restated,
    /// Known already: nothing changed.
    Duplicate,
    /// A restatement after its window: nothing changed.
    TooLate,
}

/// What the policy must now be taught.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Teaching {
    /// Nothing (yet).
    Nothing,
    /// The reward, for the first time.
    Reward(f64),
    /// Another reward than was taught before.
    Correction {
        /// What was taught.
        before: f64,
        /// What is right.
        now: f64,
    },
}

/// Why an outcome cannot be entered. Trying again never helps.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OutcomeError {
    /// No such decision, or one so long ago that its account was closed.
    #[error("no open decision `{0}`: it was never made, chose nothing, or its windows have passed")]
    UnknownDecision(String),
    /// Nothing can come of a decision before it is made.
    #[error("the outcome happened at {at}, before its decision at {decided}")]
    BeforeDecision {
        /// When it is said to have happened.
        at: Utc,
        /// When it was decided.
        decided: Utc,
    },
    /// A value that no reward can be computed from.
    #[error("the value {0} is negative or not a number")]
    Value(f64),
    /// An impression, say, of those whom no ad may reach.
    #[error("the people of `{0}` are held out: only conversions can come of it, what they did without an ad")]
    HeldOut(String),
    /// One decision with implausibly many outcomes.
    #[error("more than {0} outcomes for one decision")]
    TooMany(usize),
}

impl OutcomeError {
    /// The reason in one word, for a dead letter.
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

impl Account {
    /// Most outcomes of one decision.
    pub const MOST_OUTCOMES: usize = 1024;

    /// The account of a decision made at `decided`.
    pub const fn open(decided: Utc) -> Self {
        Self {
            decided,
            entries: BTreeMap::new(),
            taught: None,
            latest: decided,
        }
    }

    /// Enters an outcome that happened `at`. An error changes nothing.
    pub fn accept(
        &mut self,
        outcome: &Outcome,
        at: Utc,
        config: &RewardConfig,
    ) -> Result<(Accepted, Teaching), OutcomeError> {
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
            None if self.entries.len() >= Self::MOST_OUTCOMES => {
                return Err(OutcomeError::TooMany(Self::MOST_OUTCOMES));
            }
            None => Accepted::Counted,
            // Platforms resend with a fresh time: only another kind or value says something new.
            Some(entry) if entry.kind == outcome.kind && entry.value == value => {
                return Ok((Accepted::Duplicate, Teaching::Nothing));
            }
            Some(entry) if at.millis_since(entry.first) > config.restatement_window.as_millis() => {
                return Ok((Accepted::TooLate, Teaching::Nothing));
            }
            Some(_) => Accepted::Restated,
        };
        let first = known.map_or(at, |entry| entry.first);
        let entry = Entry {
            kind: outcome.kind,
            value,
            // A restatement says what it was worth, not that it happened later.
            at: first,
            first,
        };
        self.entries.insert(outcome.key.clone(), entry);
        self.latest = self.latest.max(at);
        Ok((accepted, self.teach(config, false)))
    }

    /// Silence until now is the answer: to be called when [`Self::closes`] has passed.
    pub fn close(&mut self, config: &RewardConfig) -> Teaching {
        self.teach(config, true)
    }

    /// When silence becomes a failure: `None` if it was never shown, or something was taught already.
    pub fn closes(&self, config: &RewardConfig) -> Option<Utc> {
        if self.taught.is_some() {
            return None;
        }
        self.silence_ends(config)
    }

    /// When silence is an answer, whether or not it was broken: `None` if it was never shown.
    pub fn silence_ends(&self, config: &RewardConfig) -> Option<Utc> {
        if self.refused() {
            return None;
        }
        Some(self.exposed(config)?.plus_millis(config.click_window.as_millis()))
    }

    /// When the decision was made.
    pub const fn decided(&self) -> Utc {
        self.decided
    }

    /// When nothing can change it any more.
    pub fn expires(&self, config: &RewardConfig) -> Utc {
        self.latest.plus_millis(config.longest_window_millis())
    }

    /// Whether the platform refused the creative.
    pub fn refused(&self) -> bool {
        self.first_of(OutcomeKind::Refused).is_some()
    }

    fn teach(&mut self, config: &RewardConfig, closing: bool) -> Teaching {
        if self.refused() && self.taught.is_none() {
            return Teaching::Nothing;
        }
        let reward = self.reward(config);
        match self.taught.map(f64::from_bits) {
            None if reward > 0.0 || (closing && self.exposed(config).is_some()) => {
                self.taught = Some(reward.to_bits());
                Teaching::Reward(reward)
            }
            Some(before) if before.to_bits() != reward.to_bits() => {
                self.taught = Some(reward.to_bits());
                Teaching::Correction { before, now: reward }
            }
            _ => Teaching::Nothing,
        }
    }

    /// When the choice was shown, as far as is known.
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

    /// What conversions brought that came within their window from the decision, whether or not anything was seen: what
    /// can be compared with people who saw nothing.
    pub fn conversions(&self, config: &RewardConfig) -> f64 {
        let of_window = self.entries.values().filter(|entry| {
            entry.kind == OutcomeKind::Conversion
                && entry.at.millis_since(self.decided) <= config.conversion_window.as_millis()
        });
        of_window.fold(0.0, |sum, entry| sum + config.worth(entry))
    }

    /// What the choice is worth by all that is known.
    pub fn reward(&self, config: &RewardConfig) -> f64 {
        if config.dismissal_voids && self.first_of(OutcomeKind::Dismissal).is_some() {
            return 0.0;
        }
        // A click that comes without word of its impression is a click all the same.
        let from = self.exposed(config);
        let counts =
            |entry: &Entry, window: i64| from.is_none_or(|from| entry.at.millis_since(from) <= window);
        let mut reward = 0.0;
        let mut clicked = false;
        for entry in self.entries.values() {
            match entry.kind {
                OutcomeKind::Click if counts(entry, config.click_window.as_millis()) => clicked = true,
                OutcomeKind::Conversion if counts(entry, config.conversion_window.as_millis()) => {
                    reward += config.worth(entry);
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
        let mut account = Account::open(at(0));
        assert_eq!(account.closes(&config), None, "never shown");
        let seen = outcome(OutcomeKind::Impression, "i", None);
        let answer = account.accept(&seen, at(5), &config).unwrap();
        assert_eq!(answer, (Accepted::Counted, Teaching::Nothing));
        assert_eq!(account.closes(&config), Some(at(35)));
        assert_eq!(account.close(&config), Teaching::Reward(0.0));
        assert_eq!(account.close(&config), Teaching::Nothing);
    }

    #[test]
    fn a_late_word_of_an_early_click_corrects_the_failure() {
        let config = RewardConfig::default();
        let mut account = Account::open(at(0));
        account
            .accept(&outcome(OutcomeKind::Impression, "i", None), at(0), &config)
            .unwrap();
        account.close(&config);
        let answer = account
            .accept(&outcome(OutcomeKind::Click, "c", None), at(20), &config)
            .unwrap();
        assert_eq!(
            answer.1,
            Teaching::Correction {
                before: 0.0,
                now: 1.0
            }
        );
        let too_late = account
            .accept(&outcome(OutcomeKind::Click, "c2", None), at(31), &config)
            .unwrap();
        assert_eq!(too_late.1, Teaching::Nothing);
    }

    #[test]
    fn a_duplicate_changes_nothing_and_a_restatement_replaces() {
        let config = RewardConfig {
            conversion: 0.0,
            conversion_value: 0.01,
            ..RewardConfig::default()
        };
        let mut account = Account::open(at(0));
        let sale = outcome(OutcomeKind::Conversion, "s", Some(50.0));
        assert_eq!(
            account.accept(&sale, at(1), &config).unwrap().1,
            Teaching::Reward(0.5)
        );
        let before = account.clone();
        assert_eq!(
            account.accept(&sale, at(9), &config).unwrap().0,
            Accepted::Duplicate
        );
        assert_eq!(account, before);
        let restated = outcome(OutcomeKind::Conversion, "s", Some(20.0));
        let answer = account.accept(&restated, at(60), &config).unwrap();
        assert_eq!(
            answer,
            (
                Accepted::Restated,
                Teaching::Correction {
                    before: 0.5,
                    now: 0.2
                }
            )
        );
        let again = outcome(OutcomeKind::Conversion, "s", Some(70.0));
        let answer = account.accept(&again, at(29 * 24 * 60), &config).unwrap();
        assert_eq!(answer.0, Accepted::TooLate);
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let config = RewardConfig::default();
        let mut account = Account::open(at(10));
        let before = account.clone();
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            let wrong = outcome(OutcomeKind::Conversion, "s", Some(value));
            assert!(matches!(
                account.accept(&wrong, at(20), &config),
                Err(OutcomeError::Value(_))
            ));
        }
        let early = account.accept(&outcome(OutcomeKind::Click, "c", None), at(9), &config);
        assert!(matches!(early, Err(OutcomeError::BeforeDecision { .. })));
        assert_eq!(account, before);
    }

    #[test]
    fn a_refused_creative_teaches_nothing() {
        let config = RewardConfig {
            exposure: Exposure::Delivered,
            ..RewardConfig::default()
        };
        let mut account = Account::open(at(0));
        account
            .accept(&outcome(OutcomeKind::Refused, "r", None), at(1), &config)
            .unwrap();
        assert_eq!(account.closes(&config), None);
        assert_eq!(account.close(&config), Teaching::Nothing);
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
            let mut account = Account::open(at(0));
            for &index in order.iter().chain(&repeated) {
                account.accept(&outcomes[index].0, outcomes[index].1, &config).unwrap();
            }
            account.close(&config);
            let taught = account.taught.map(f64::from_bits).unwrap();
            prop_assert!((taught - 2.7).abs() < 1e-12);
        }
    }
}
