//! The contextual-bandit tutorial of Vowpal Wabbit as a world: two users, two times of day, seven articles; each user
//! likes exactly one article at each time. After half of the rounds the likes may change, in one of two ways.

use crate::decide::{Answer, DecisionEngine, Offer};
use crate::policy::{Feedback, PolicyError};
use crate::random::{Random, derive};
use crate::{Arm, Features};
use limbic_domain::{Micros, Utc};

/// How the likes change for the second half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// Not at all; there is no second half.
    None,
    /// To articles that somebody liked before.
    Known,
    /// To an article that nobody ever liked.
    Unknown,
}

const USERS: [&str; 2] = ["Tom", "Anna"];
const TIMES: [&str; 2] = ["morning", "afternoon"];
const ARTICLES: [&str; 7] = [
    "politics", "sports", "music", "food", "finance", "health", "camping",
];

/// Which article is liked: `[user][time]`.
type Likes = [[usize; 2]; 2];
const BEFORE: Likes = [[0, 2], [1, 0]];
const KNOWN: Likes = [[0, 1], [1, 1]];
const UNKNOWN: Likes = [[0, 3], [3, 3]];

/// The world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tutorial {
    /// Rounds of each half.
    pub rounds: usize,
    /// What changes after the first.
    pub drift: Drift,
}

/// Click-through rates of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Of the first half.
    pub first: f64,
    /// Of the second half; of a run without drift, the first half's again.
    pub second: f64,
}

impl Tutorial {
    /// Plays `engine` (which should have learnt nothing) through the world of `seed`.
    pub fn play(&self, engine: &mut DecisionEngine, seed: u64) -> Result<Run, PolicyError> {
        let offers = ARTICLES.map(|article| Offer {
            arm: Arm::new(article, "article", Features::new()),
            price: Micros(0),
        });
        let contexts =
            USERS.map(|user| TIMES.map(|time| Features::new().with("user", user).with("time", time)));
        let first = self.half(engine, seed, 0, &BEFORE, &offers, &contexts)?;
        let likes = match self.drift {
            Drift::None => return Ok(Run { first, second: first }),
            Drift::Known => &KNOWN,
            Drift::Unknown => &UNKNOWN,
        };
        let second = self.half(engine, seed, self.rounds, likes, &offers, &contexts)?;
        Ok(Run { first, second })
    }

    fn half(
        &self,
        engine: &mut DecisionEngine,
        seed: u64,
        from: usize,
        likes: &Likes,
        offers: &[Offer],
        contexts: &[[Features; 2]; 2],
    ) -> Result<f64, PolicyError> {
        let mut clicks = 0.0;
        for round in from..from + self.rounds {
            let mut random = Random::new(derive(seed, round as u64));
            let (user, time) = (random.below(2), random.below(2));
            let context = &contexts[user][time];
            let id = format!("{seed}.{round}");
            let Answer::Chosen(draft) = engine.decide(&id, Utc::from_millis(0), context, offers) else {
                continue;
            };
            let article = draft.eligible[draft.choice];
            let reward = if likes[user][time] == article { 1.0 } else { 0.0 };
            clicks += reward;
            engine.learn(&Feedback {
                context,
                arm: &offers[article].arm,
                reward,
                corrects: None,
                propensity: draft.propensity,
            })?;
        }
        Ok(clicks / self.rounds as f64)
    }
}
