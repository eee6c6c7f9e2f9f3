//! What a reward is: the one definition that the optimize stage and an evaluation share.
//!
//! The reward of a decision is a share of its **impressions**: `(click × clicked impressions + conversions) / impressions`.
//! Each impression has a window of its own. A click counts within the click window after an impression, and one impression
//! has at most one click. A conversion belongs to the latest impression before it, within the conversion window.
//!
//! If every impression, click, conversion and dismissal of the decision names its person, an outcome belongs to impressions of
//! the same person only. If one of them does not, persons are ignored and time alone decides.
//!
//! A decision without an impression has no reward: nobody knows how often it was seen.

use std::collections::{BTreeMap, BTreeSet};

use limbic_domain::{HumanDuration, OutcomeKind, Pseudonym, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{PolicyError, within};

/// An impression may be reported as up to this many milliseconds later than its click, because clocks differ.
const CLOCKS_DIFFER: i64 = 60_000;

/// What counts as an impression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// The impressions that are reported. A choice that was delivered but not seen is not learned from.
    #[default]
    Impression,
    /// Without any reported impression, the delivery: one impression for each person of the decision. For ad platforms
    /// that report no impressions.
    Delivered,
    /// Without any reported impression, the decision itself: one impression for each of its persons. For logs of programs
    /// that report nothing but clicks.
    Decided,
}

/// The reward of each kind of outcome, and the window in which it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Reward for a click, not negative. An impression has at most one.
    pub click: f64,
    /// Reward for each conversion, independent of its value; not negative.
    pub conversion: f64,
    /// Reward for each unit of a conversion's value, not negative.
    pub conversion_value: f64,
    /// Whether a dismissal sets the reward of its impression to 0. Where persons are not known, the rewards of all impressions
    /// are scaled down by the share of dismissed ones.
    pub dismissal_voids: bool,
    /// Largest reward of one decision, positive. Larger ones are cut to it.
    pub most: f64,
    /// What counts as an impression.
    pub exposure: Exposure,
    /// Time after an impression in which a click counts. Default 30min.
    pub click_window: HumanDuration,
    /// Time after an impression in which a conversion counts. Default 7d.
    pub conversion_window: HumanDuration,
    /// Time after its first statement in which an outcome can be restated. Default 28d.
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

/// One outcome of a decision, by its latest statement. Withdrawn outcomes are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<P = Pseudonym> {
    /// What happened.
    pub kind: OutcomeKind,
    /// When.
    pub at: Utc,
    /// The value of a conversion.
    pub value: Option<f64>,
    /// How often.
    pub count: u64,
    /// To whom, if it is known.
    pub person: Option<P>,
}

/// Impressions of a decision at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposed<P = Pseudonym> {
    /// When.
    pub at: Utc,
    /// How many.
    pub count: u64,
    /// Who saw the ad, if it is known.
    pub person: Option<P>,
}

/// A decision, as far as its reward depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// When it was made.
    pub decided: Utc,
    /// How many people it may reach. 0 counts as 1.
    pub people: u64,
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

    /// The reward of conversions: how many, and their value all together.
    pub fn of_conversions(&self, count: u64, value: Option<f64>) -> f64 {
        self.conversion * count as f64 + self.conversion_value * value.unwrap_or(0.0)
    }

    /// Milliseconds after its latest outcome during which the attribution of a decision is kept.
    pub fn longest_window_millis(&self) -> i64 {
        self.restatement_window
            .as_millis()
            .max(self.conversion_window.as_millis())
            .max(self.click_window.as_millis())
    }

    /// Milliseconds after an impression until nothing new can add to its reward: the click window, and the conversion window
    /// if conversions are rewarded.
    pub fn settled_after_millis(&self) -> i64 {
        let is_converted = self.conversion > 0.0 || self.conversion_value > 0.0;
        let conversions = if is_converted {
            self.conversion_window.as_millis()
        } else {
            0
        };
        self.click_window.as_millis().max(conversions)
    }

    /// The impressions of a decision in the order of time; empty if it was not shown, as far as is known.
    pub fn exposures<P: Clone + Ord>(&self, shown: Shown, events: &[Event<P>]) -> Vec<Exposed<P>> {
        let of = |kind| events.iter().filter(move |event| event.kind == kind);
        if of(OutcomeKind::Refused)
            .chain(of(OutcomeKind::Withdrawn))
            .next()
            .is_some()
        {
            return Vec::new();
        }
        let impressions = of(OutcomeKind::Impression).map(|event| Exposed {
            at: event.at,
            count: event.count,
            person: event.person.clone(),
        });
        let mut exposed: Vec<Exposed<P>> = impressions.filter(|exposed| exposed.count > 0).collect();
        exposed.sort_by(|a, b| (a.at, &a.person).cmp(&(b.at, &b.person)));
        if exposed.is_empty() {
            let at = match self.exposure {
                Exposure::Impression => None,
                Exposure::Delivered => of(OutcomeKind::Delivered).map(|event| event.at).min(),
                Exposure::Decided => Some(shown.decided),
            };
            exposed.extend(at.map(|at| Exposed {
                at,
                count: shown.people.max(1),
                person: None,
            }));
        }
        exposed
    }

    /// The reward of a decision, from the impressions whose click window ends at `until` or before. `None` if there are none.
    ///
    /// The result depends neither on the order of `events` nor on the machine.
    pub fn reward<P: Clone + Ord>(&self, shown: Shown, events: &[Event<P>], until: Utc) -> Option<f64> {
        if events.is_empty() {
            // Most decisions of a large log have no outcomes.
            let is_seen = self.exposure == Exposure::Decided && self.window_end(shown.decided) <= until;
            return is_seen.then_some(0.0);
        }
        let exposed = self.exposures(shown, events);
        let mut matched = Matched::of(self, &exposed, events, until)?;
        matched.match_clicks(self, events);
        matched.match_conversions(self, events);
        Some(matched.reward(self, events))
    }

    /// When the click window of an impression ends.
    pub fn window_end(&self, exposed: Utc) -> Utc {
        exposed.plus_millis(self.click_window.as_millis())
    }
}

/// Impressions with what happened after them.
struct Matched<'a, P> {
    exposed: &'a [Exposed<P>],
    /// Whether the click window of the impression is over.
    is_judged: Vec<bool>,
    clicked: Vec<u64>,
    conversions: Vec<f64>,
    /// The impressions of each person in the order of time; all under `None` where persons are ignored.
    by_person: BTreeMap<Option<&'a P>, Vec<usize>>,
    is_by_person: bool,
    judged: u64,
}

impl<'a, P: Clone + Ord> Matched<'a, P> {
    fn of(config: &RewardConfig, exposed: &'a [Exposed<P>], events: &[Event<P>], until: Utc) -> Option<Self> {
        let is_judged: Vec<bool> = exposed
            .iter()
            .map(|exposed| config.window_end(exposed.at) <= until)
            .collect();
        let judged = exposed
            .iter()
            .zip(&is_judged)
            .filter(|(_, is_judged)| **is_judged)
            .fold(0_u64, |sum, (exposed, _)| sum.saturating_add(exposed.count));
        if judged == 0 {
            return None;
        }
        let is_of_person = |kind| {
            matches!(
                kind,
                OutcomeKind::Click | OutcomeKind::Conversion | OutcomeKind::Dismissal
            )
        };
        let is_by_person = exposed.iter().all(|exposed| exposed.person.is_some())
            && events
                .iter()
                .all(|event| event.person.is_some() || !is_of_person(event.kind));
        let mut by_person: BTreeMap<Option<&P>, Vec<usize>> = BTreeMap::new();
        for (place, exposed) in exposed.iter().enumerate() {
            let person = exposed.person.as_ref().filter(|_| is_by_person);
            by_person.entry(person).or_default().push(place);
        }
        Some(Self {
            is_judged,
            clicked: vec![0; exposed.len()],
            conversions: vec![0.0; exposed.len()],
            exposed,
            by_person,
            is_by_person,
            judged,
        })
    }

    /// The events of a kind in the order of time, with the impressions that each may belong to.
    fn sorted<'e>(&self, kind: OutcomeKind, events: &'e [Event<P>]) -> Vec<(&'e Event<P>, Option<&'e P>)> {
        let mut sorted: Vec<_> = events
            .iter()
            .filter(|event| event.kind == kind)
            .map(|event| (event, event.person.as_ref().filter(|_| self.is_by_person)))
            .collect();
        sorted.sort_by(|(a, _), (b, _)| {
            let bits = |value: Option<f64>| value.map(f64::to_bits);
            (a.at, &a.person, a.count, bits(a.value)).cmp(&(b.at, &b.person, b.count, bits(b.value)))
        });
        sorted
    }

    /// Gives each click to the impression whose window ends first: no other way finds more clicked impressions.
    fn match_clicks(&mut self, config: &RewardConfig, events: &[Event<P>]) {
        let window = config.click_window.as_millis();
        let mut next: BTreeMap<Option<&P>, usize> = BTreeMap::new();
        for (click, person) in self.sorted(OutcomeKind::Click, events) {
            let Some(places) = self.by_person.get(&person) else {
                continue;
            };
            let next = next.entry(person).or_default();
            let mut left = click.count;
            while let Some(&place) = places.get(*next)
                && left > 0
            {
                let exposed = &self.exposed[place];
                if exposed.at.millis_since(click.at) > CLOCKS_DIFFER {
                    break;
                }
                let free = exposed.count - self.clicked[place];
                if free == 0 || click.at.millis_since(exposed.at) > window {
                    *next += 1;
                    continue;
                }
                let taken = left.min(free);
                self.clicked[place] += taken;
                left -= taken;
            }
        }
    }

    fn match_conversions(&mut self, config: &RewardConfig, events: &[Event<P>]) {
        let window = config.conversion_window.as_millis();
        for (conversion, person) in self.sorted(OutcomeKind::Conversion, events) {
            let Some(places) = self.by_person.get(&person) else {
                continue;
            };
            let before = places.partition_point(|&place| self.exposed[place].at <= conversion.at);
            let Some(&place) = before.checked_sub(1).and_then(|last| places.get(last)) else {
                continue;
            };
            if conversion.at.millis_since(self.exposed[place].at) <= window {
                self.conversions[place] += config.of_conversions(conversion.count, conversion.value);
            }
        }
    }

    fn reward(&self, config: &RewardConfig, events: &[Event<P>]) -> f64 {
        let dismissals = || {
            events
                .iter()
                .filter(|event| config.dismissal_voids && event.kind == OutcomeKind::Dismissal)
        };
        let dismissed: BTreeSet<&P> = dismissals().filter_map(|event| event.person.as_ref()).collect();
        let mut sum = 0.0;
        for (place, exposed) in self.exposed.iter().enumerate() {
            let is_void = self.is_by_person
                && exposed
                    .person
                    .as_ref()
                    .is_some_and(|person| dismissed.contains(person));
            if self.is_judged[place] && !is_void {
                sum += config.click * self.clicked[place] as f64 + self.conversions[place];
            }
        }
        if !self.is_by_person {
            let count = dismissals().fold(0_u64, |sum, event| sum.saturating_add(event.count));
            sum *= 1.0 - (count as f64 / self.judged as f64).min(1.0);
        }
        (sum / self.judged as f64).min(config.most)
    }
}

#[cfg(test)]
mod tests;
