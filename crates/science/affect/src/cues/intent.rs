//! The intent of a text, from phrases: leave, complain, buy, praise, ask.
//!
//! The score of a kind is the probability that at least one of its cues is right, with the weight of each cue from
//! `data/intent.tsv`. The weights are a judgement, not a measurement. Further rules:
//!
//! * A denial directly before a cue of buying or praise ("not buying", "never recommend") removes most of it.
//! * Praise in a text that is unfavourable as a whole is weakened, as is a complaint in a clearly favourable text.
//! * A question mark is a question, unless it is in a link or next to a `!`. The beginning of a question is
//!   additional evidence.
//! * An unfavourable text to the account of a known brand tends to be a complaint, a favourable one praise.
//!
//! If several kinds are likely, the result is the one that matters most to the addressed brand: leave before
//! complain, before buy, before praise, before ask.

use limbic_domain::{Entity, EntityKind, Intent, IntentKind, Probability};

use super::phrases::Found;
use super::words::{Spoken, Words};
use super::{Knowledge, NEGATES, any_of};

/// Score from which a kind is the result.
const REPORTED: f64 = 0.5;
/// Factor of a denied cue of buying or praise.
const NEGATED: f64 = 0.2;
/// Number of words before a cue that can deny it.
const REACH: usize = 2;
/// Sentiment (VADER's compound or that of the model) from which a text is clearly favourable; its negative for
/// unfavourable.
const CLEAR: f64 = 0.4;
/// Factor of praise or a complaint that contradicts the sentiment.
const CONTRADICTED: f64 = 0.5;
/// Score of a question mark, alone and next to a `!` or a second one, where it is more often amazement.
const MARK: f64 = 0.75;
const DOUBLED_MARK: f64 = 0.45;
/// Score of a complaint or praise if a clearly favourable or unfavourable text addresses a known brand's account.
const ADDRESSED: f64 = 0.5;

/// The score of each kind by its phrases, before the sentiment is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct IntentCues([f64; 5]);

const KINDS: [IntentKind; 5] = [
    IntentKind::Churn,
    IntentKind::Complaint,
    IntentKind::Purchase,
    IntentKind::Praise,
    IntentKind::Question,
];

impl IntentCues {
    /// The scores of the phrases in `text`.
    pub(super) fn read(text: &str, words: &Words, knowledge: &Knowledge) -> Self {
        let spoken = &words.spoken;
        let mut cues = Self::default();
        for cue in strongest(knowledge.intent.find(spoken).collect()) {
            if cue.kind == ASKS && !begins_a_clause(&cue, spoken) {
                continue;
            }
            let kind = kind_of(cue.kind);
            let is_deniable = matches!(kind, IntentKind::Purchase | IntentKind::Praise);
            let weight = if is_deniable && is_denied(&cue, spoken, knowledge) {
                cue.weight * NEGATED
            } else {
                cue.weight
            };
            cues.add(kind, weight);
        }
        if let Some(weight) = mark(text) {
            cues.add(IntentKind::Question, weight);
        }
        cues
    }

    /// The intent, for a sentiment in `[-1, 1]` and the entities of the text.
    pub(crate) fn intent(mut self, leaning: f64, entities: &[Entity]) -> Intent {
        let addresses_a_brand = entities
            .iter()
            .any(|entity| entity.kind == EntityKind::Mention && entity.name.is_some());
        let (leans_to, leans_from) = if leaning < 0.0 {
            (IntentKind::Complaint, IntentKind::Praise)
        } else {
            (IntentKind::Praise, IntentKind::Complaint)
        };
        if leaning.abs() >= CLEAR {
            if addresses_a_brand {
                self.add(leans_to, ADDRESSED);
            }
            *self.of(leans_from) *= CONTRADICTED;
        }
        let (kind, score) = KINDS
            .into_iter()
            .zip(self.0)
            .find(|(_, score)| *score >= REPORTED)
            .unwrap_or_else(|| (IntentKind::None, 1.0 - self.0.into_iter().fold(0.0, f64::max)));
        Intent {
            kind,
            score: Probability::new(super::rounded(score)).unwrap_or(Probability::ONE),
        }
    }

    fn of(&mut self, kind: IntentKind) -> &mut f64 {
        let place = KINDS.iter().position(|k| *k == kind);
        &mut self.0[place.expect("KINDS has every kind but none, which no cue is of")]
    }

    fn add(&mut self, kind: IntentKind, weight: f64) {
        let score = self.of(kind);
        *score = any_of(*score, weight);
    }
}

fn kind_of(kind: &str) -> IntentKind {
    match kind {
        "churn" => IntentKind::Churn,
        "complaint" => IntentKind::Complaint,
        "purchase" => IntentKind::Purchase,
        "praise" => IntentKind::Praise,
        _ => IntentKind::Question,
    }
}

/// The class of words that start a question. They count only at the start ("I know what is good" is not a question).
const ASKS: &str = "asks";

fn begins_a_clause(cue: &Found, spoken: &[Spoken]) -> bool {
    cue.start == 0 || spoken[cue.start - 1].clause != spoken[cue.start].clause
}

/// Only this many of the strongest cues count. More would not change the result, and the time must not grow with the
/// square of a long text's cues.
const MOST_COUNTED: usize = 32;

/// Keeps only the strongest of the cues of one kind over the same words.
fn strongest(mut cues: Vec<Found>) -> Vec<Found> {
    cues.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.start.cmp(&b.start)));
    let mut counted: Vec<Found> = Vec::new();
    for cue in cues {
        let is_covered =
            |other: &Found| other.kind == cue.kind && other.start < cue.end && cue.start < other.end;
        if counted.len() < MOST_COUNTED && !counted.iter().any(is_covered) {
            counted.push(cue);
        }
    }
    counted
}

fn is_denied(cue: &Found, spoken: &[Spoken], knowledge: &Knowledge) -> bool {
    let clause = spoken[cue.start].clause;
    spoken[cue.start.saturating_sub(REACH)..cue.start]
        .iter()
        .any(|word| word.clause == clause && knowledge.is(word.id, NEGATES))
}

/// The score of the text's question marks, without those of links.
fn mark(text: &str) -> Option<f64> {
    let mut best = None;
    for chunk in text.split_whitespace().filter(|chunk| !chunk.contains("://")) {
        for (at, mark) in chunk
            .char_indices()
            .filter(|(_, c)| matches!(c, '?' | '？' | '¿' | '؟'))
        {
            let behind = chunk[at + mark.len_utf8()..].chars().next();
            let before = chunk[..at].chars().next_back();
            let is_amazed = [behind, before].iter().any(|c| matches!(c, Some('!' | '?')));
            let weight = if is_amazed { DOUBLED_MARK } else { MARK };
            best = Some(f64::max(best.unwrap_or(0.0), weight));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::mark;

    #[test]
    fn a_question_mark_counts_less_when_doubled_and_not_in_a_link() {
        assert_eq!(mark("is it open today?"), Some(0.75));
        assert_eq!(mark("what?!"), Some(0.45));
        assert_eq!(mark("really??"), Some(0.45));
        assert_eq!(mark("really?? is it open?"), Some(0.75));
        assert_eq!(mark("see https://example.com/?q=1"), None);
        assert_eq!(mark("no."), None);
    }
}
