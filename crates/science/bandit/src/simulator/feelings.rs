//! People whose feelings decide which tone they click, without a node: the decisions of two campaigns.

use limbic_domain::{Micros, Utc};

use super::SimulatedDecision;
use crate::decide::Offer;
use crate::random::{Random, derive};
use crate::{Arm, Features};

/// An environment in which moods of four subjects rise and fall.
///
/// After a rise, `celebrate` is clicked most, except for music, where `bright` is. After a fall, `calm` is, except for
/// the weather, where `practical` is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feelings {
    /// Factor on all click probabilities, in `(0, 1]`. With 1, the best tone is clicked with 0.5 or 0.42.
    pub click_rate: f64,
    /// Whether feelings decide. Otherwise a tone is clicked equally often in all of them.
    pub matter: bool,
}

const SUBJECTS: [&str; 4] = ["football", "music", "weather", "market"];
/// The indexes of the subjects of each campaign.
const CAMPAIGNS: [(&str, [usize; 3]); 2] = [("bakery", [0, 2, 3]), ("ferry", [0, 1, 2])];
/// The creatives after a rise and after a fall.
const CREATIVES: [&[&str]; 2] = [
    &[
        "celebrate-1",
        "celebrate-2",
        "celebrate-3",
        "bright-1",
        "plain-1",
        "plain-2",
        "plain-3",
    ],
    &["calm-1", "calm-2", "practical-1", "plain-1", "plain-2", "plain-3"],
];
const DIRECTIONS: [&str; 2] = ["up", "down"];
const EMOTIONS: [[&str; 2]; 2] = [["joy", "excitement"], ["sadness", "anger"]];

impl Feelings {
    /// `count` decisions, one in each round.
    pub fn decisions(&self, count: usize, seed: u64) -> Vec<SimulatedDecision> {
        (0..count as u64)
            .map(|number| {
                let mut random = Random::new(derive(seed, number));
                let (campaign, subjects) = CAMPAIGNS[random.below(2)];
                let (direction, subject) = (random.below(2), subjects[random.below(3)]);
                let emotion = EMOTIONS[direction][random.below(2)];
                let creatives = CREATIVES[direction];
                let offer = |&id: &&str| Offer {
                    arm: Arm::new(id, tone_of(id), Features::new().with("tone", tone_of(id))),
                    price: Micros(1),
                };
                let rate = |&id: &&str| {
                    let all = subjects.map(|one| if self.matter { subject } else { one });
                    let sum: f64 = all.iter().map(|&one| rate(direction, one, tone_of(id))).sum();
                    self.click_rate * sum / all.len() as f64
                };
                SimulatedDecision {
                    campaign: campaign.to_owned(),
                    at: Utc::from_millis(number as i64 * 60_000),
                    context: Features::new()
                        .with("direction", DIRECTIONS[direction])
                        .with("subject", SUBJECTS[subject])
                        .with("feeling", &format!("{} {emotion}", DIRECTIONS[direction])),
                    offers: creatives.iter().map(offer).collect(),
                    click_probabilities: creatives.iter().map(rate).collect(),
                    round: number,
                }
            })
            .collect()
    }
}

/// The name of a creative begins with its tone.
fn tone_of(id: &str) -> &str {
    id.split('-').next().unwrap_or(id)
}

fn rate(direction: usize, subject: usize, tone: &str) -> f64 {
    match (DIRECTIONS[direction], SUBJECTS[subject], tone) {
        ("up", "music", "bright") | ("up", "football" | "weather" | "market", "celebrate") => 0.5,
        ("down", "weather", "practical") | ("down", "football" | "music" | "market", "calm") => 0.42,
        ("up", _, "bright" | "celebrate") => 0.22,
        ("down", _, "calm" | "practical") => 0.18,
        _ => 0.06,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyConfig;
    use crate::decide::EngineConfig;
    use crate::simulator::learning_curves;

    fn policies() -> Vec<(String, PolicyConfig)> {
        [
            r#"{"name": "bernoulli-ts"}"#,
            r#"{"name": "bernoulli-ts", "stratify": ["direction", "subject"]}"#,
            r#"{"name": "pooled-ts"}"#,
        ]
        .into_iter()
        .map(|text| (text.to_owned(), serde_json::from_str(text).unwrap()))
        .collect()
    }

    #[test]
    fn the_default_learns_faster_than_a_policy_that_is_blind_to_feelings_and_than_one_without_pooling() {
        assert_eq!(policies()[2].1, PolicyConfig::default());
        let world = Feelings {
            click_rate: 1.0,
            matter: true,
        };
        let engine = EngineConfig::default();
        let curves = learning_curves(&world.decisions(260, 1), &engine, &policies(), &[90, 260], 4).unwrap();
        let gain = |policy: usize, mark: usize| curves[policy].points[mark].over_random;
        let [blind, strata, pooled, oracle] = [0, 1, 2, 3].map(|policy| gain(policy, 1));
        assert!(pooled.low > blind.high && blind.low > strata.high, "{curves:?}");
        assert!(oracle.mean > pooled.high && pooled.mean > 0.4, "{curves:?}");
        assert!(gain(2, 0).mean > 0.3, "{curves:?}");
    }

    #[test]
    fn where_feelings_do_not_matter_the_default_loses_nothing_to_the_policy_that_is_blind_to_them() {
        let world = Feelings {
            click_rate: 1.0,
            matter: false,
        };
        let policies = [policies()[0].clone(), policies()[2].clone()];
        let engine = EngineConfig::default();
        let curves = learning_curves(&world.decisions(260, 2), &engine, &policies, &[90, 260], 4).unwrap();
        for point in &curves[1].points {
            assert!(point.over_first.high > 0.0, "{curves:?}");
        }
        assert!(curves[1].points[1].over_first.low > -0.02, "{curves:?}");
    }
}
