//! The environment of Vowpal Wabbit's contextual-bandit tutorial: two users, two times of day, seven articles. Each
//! user clicks exactly one article at each time of day. After half of the rounds the preferences may change, in one
//! of two ways.

use crate::decide::{DecisionEngine, Offer, Selection};
use crate::policy::{Feedback, PolicyError};
use crate::random::{Random, derive};
use crate::{Arm, Features};
use limbic_domain::{Micros, Utc};

/// How the preferences change for the second half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// They do not change, and there is no second half.
    None,
    /// To articles that some user preferred before.
    Known,
    /// To an article that no user preferred before.
    Unknown,
}

const USERS: [&str; 2] = ["Tom", "Anna"];
const TIMES: [&str; 2] = ["morning", "afternoon"];
const ARTICLES: [&str; 7] = [
    "politics", "sports", "music", "food", "finance", "health", "camping",
];

/// Index of the preferred article: `[user][time]`.
type Preferences = [[usize; 2]; 2];
const BEFORE: Preferences = [[0, 2], [1, 0]];
const KNOWN: Preferences = [[0, 1], [1, 1]];
const UNKNOWN: Preferences = [[0, 3], [3, 3]];

/// Settings of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tutorial {
    /// Rounds of each half.
    pub rounds: usize,
    /// The change after the first half.
    pub drift: Drift,
}

/// Click-through rates of one run, in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClickRates {
    /// Of the first half.
    pub first: f64,
    /// Of the second half. Without drift, that of the first half.
    pub second: f64,
}

impl Tutorial {
    /// Runs `engine`, which should have learned nothing, through the environment with the given seed.
    pub fn run(&self, engine: &mut DecisionEngine, seed: u64) -> Result<ClickRates, PolicyError> {
        let offers = ARTICLES.map(|article| Offer {
            arm: Arm::new(article, "article", Features::new()),
            price: Micros(0),
        });
        let contexts =
            USERS.map(|user| TIMES.map(|time| Features::new().with("user", user).with("time", time)));
        let first = self.half(engine, seed, 0, &BEFORE, &offers, &contexts)?;
        let preferences = match self.drift {
            Drift::None => return Ok(ClickRates { first, second: first }),
            Drift::Known => &KNOWN,
            Drift::Unknown => &UNKNOWN,
        };
        let second = self.half(engine, seed, self.rounds, preferences, &offers, &contexts)?;
        Ok(ClickRates { first, second })
    }

    fn half(
        &self,
        engine: &mut DecisionEngine,
        seed: u64,
        from: usize,
        preferences: &Preferences,
        offers: &[Offer],
        contexts: &[[Features; 2]; 2],
    ) -> Result<f64, PolicyError> {
        let mut clicks = 0.0;
        for round in from..from + self.rounds {
            let mut random = Random::new(derive(seed, round as u64));
            let (user, time) = (random.below(2), random.below(2));
            let context = &contexts[user][time];
            let id = format!("{seed}.{round}");
            let Selection::Chosen(draft) = engine.decide(&id, Utc::from_millis(0), context, offers) else {
                continue;
            };
            let article = draft.eligible[draft.choice];
            let reward = if preferences[user][time] == article {
                1.0
            } else {
                0.0
            };
            clicks += reward;
            engine.learn(&Feedback {
                context,
                arm: &offers[article].arm,
                reward,
                previous_reward: None,
                propensity: draft.propensity,
            })?;
        }
        Ok(clicks / self.rounds as f64)
    }
}
