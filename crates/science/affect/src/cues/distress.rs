//! Distress from phrases: grief, fear, crisis and self-harm.
//!
//! The result decides whether people see advertising, so in doubt it protects them:
//!
//! * Laughter, negation and a figurative reading *weaken* a cue of self-harm, and never remove an explicit one.
//! * A denial directly before a cue of grief, fear or crisis ("not scared") removes it. Disbelief ("can't believe he
//!   passed away") does not.
//! * Cues in languages other than English are few and only the plainest. Other phrases in them are not found.
//!
//! The score of a kind is the probability that at least one of its cues is right, with the weight of each cue from
//! `data/distress.tsv`. The weights are a judgement, not a measurement: the scores rank texts, but are not
//! calibrated.

use super::phrases::Found;
use super::words::{Spoken, Words};
use super::{DISBELIEVES, Knowledge, NEGATES, any_of};

/// The kinds, in the order of [`limbic_domain::Distress::cues`].
const KINDS: [&str; 4] = ["grief", "fear", "crisis", "self_harm"];
const SELF_HARM: &str = "self_harm";
const GRIEF: &str = "grief";

/// Score from which a kind is among the cues.
pub(crate) const NAMED: f64 = 0.3;
/// Weight from which a cue is explicit: no figurative reading weakens it.
const EXPLICIT: f64 = 0.9;
/// Factor of a cue in a text with laughter.
const LAUGHED_AT: f64 = 0.6;
/// Factor of a negated cue of self-harm ("I would never kill myself" still needs care).
const NEGATED_SELF_HARM: f64 = 0.6;
/// Factor of any other negated cue.
const NEGATED: f64 = 0.3;
/// Number of words before a cue that can negate it. For grief, only the word directly before.
const REACH: usize = 3;

/// The distress of a text by kind, each in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DistressScores {
    /// Someone died, or is dying.
    pub grief: f64,
    /// The author is afraid or threatened.
    pub fear: f64,
    /// An emergency, an attack, a disaster.
    pub crisis: f64,
    /// Self-harm, a wish to be dead, despair.
    pub self_harm: f64,
}

impl DistressScores {
    /// The highest of the four scores.
    pub fn score(&self) -> f64 {
        self.by_kind()
            .into_iter()
            .map(|(_, score)| score)
            .fold(0.0, f64::max)
    }

    /// The kinds with a sufficient score, in a fixed order.
    pub fn cues(&self) -> Vec<String> {
        self.by_kind()
            .into_iter()
            .filter(|(_, score)| *score >= NAMED)
            .map(|(kind, _)| kind.to_owned())
            .collect()
    }

    /// The higher score of each kind.
    pub(crate) fn strongest(self, other: Self) -> Self {
        Self {
            grief: self.grief.max(other.grief),
            fear: self.fear.max(other.fear),
            crisis: self.crisis.max(other.crisis),
            self_harm: self.self_harm.max(other.self_harm),
        }
    }

    fn by_kind(&self) -> [(&'static str, f64); 4] {
        let [grief, fear, crisis, self_harm] = KINDS;
        [
            (grief, self.grief),
            (fear, self.fear),
            (crisis, self.crisis),
            (self_harm, self.self_harm),
        ]
    }

    fn of(&mut self, kind: &str) -> &mut f64 {
        match kind {
            "grief" => &mut self.grief,
            "fear" => &mut self.fear,
            "crisis" => &mut self.crisis,
            _ => &mut self.self_harm,
        }
    }
}

/// Probabilities nearer to 0 or 1 than this are not told apart.
const LEAST: f64 = 1e-6;

/// The score of a probability that says yes from `threshold` on: at the threshold it is [`NAMED`], and it moves as the logit does.
pub(crate) fn score_from(probability: f64, threshold: f64) -> f64 {
    logistic(logit(probability) - logit(threshold) + logit(NAMED))
}

fn logit(probability: f64) -> f64 {
    let probability = probability.clamp(LEAST, 1.0 - LEAST);
    (probability / (1.0 - probability)).ln()
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn score(words: &Words, knowledge: &Knowledge) -> DistressScores {
    let spoken = &words.spoken;
    let mut cues: Vec<Found> = knowledge.distress.find(spoken).collect();
    if cues.is_empty() {
        return DistressScores::default();
    }
    let mut is_figurative = vec![false; spoken.len()];
    for phrase in knowledge.figurative.find(spoken) {
        is_figurative[phrase.start..phrase.end].fill(true);
    }
    cues.retain(|cue| {
        (cue.weight >= EXPLICIT && cue.kind == SELF_HARM)
            || !is_figurative[cue.start..cue.end].contains(&true)
    });
    for cue in &mut cues {
        if words.laughs {
            cue.weight *= LAUGHED_AT;
        }
        if is_negated(cue, spoken, knowledge) {
            cue.weight *= if cue.kind == SELF_HARM {
                NEGATED_SELF_HARM
            } else {
                NEGATED
            };
        }
    }
    // Of phrases over the same words, only the strongest counts.
    cues.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.start.cmp(&b.start)));
    let mut scores = DistressScores::default();
    let mut counted: Vec<Found> = Vec::new();
    for cue in cues {
        if counted.iter().any(|c| c.kind == cue.kind && overlap(c, &cue)) {
            continue;
        }
        let score = scores.of(cue.kind);
        *score = any_of(*score, cue.weight);
        counted.push(cue);
        if counted.len() == MOST_COUNTED {
            break;
        }
    }
    scores
}

/// Only this number of the strongest cues count, so that the cost of a long text stays bounded.
const MOST_COUNTED: usize = 64;

fn overlap(a: &Found, b: &Found) -> bool {
    a.start < b.end && b.start < a.end
}

fn is_negated(cue: &Found, spoken: &[Spoken], knowledge: &Knowledge) -> bool {
    let reach = if cue.kind == GRIEF { 1 } else { REACH };
    let clause = spoken[cue.start].clause;
    spoken[cue.start.saturating_sub(reach)..cue.start]
        .iter()
        .any(|word| {
            word.clause == clause
                && knowledge.is(word.id, NEGATES)
                && (cue.kind == SELF_HARM || !knowledge.is(word.id, DISBELIEVES))
        })
}
