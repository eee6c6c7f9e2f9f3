//! What a text is up to, from phrases: leaving, complaining, buying, praising, asking.
//!
//! A kind's score is how likely it is that at least one of its cues is right, each with the weight written beside it in
//! `data/intent.tsv`. The weights are judgement, not measurement. Then:
//!
//! * a denial right before a cue of buying or praise ("not buying", "never recommend") takes most of it away;
//! * praise of a text that is unfavourable on the whole is not believed, nor is a complaint of one that is clearly favourable;
//! * a question mark asks, unless it stands in a link or in a row with `!`; a text that begins as a question does, is one more;
//! * an unfavourable text addressed to a known brand's account leans towards a complaint, a favourable one towards praise.
//!
//! Where several kinds are likely, the one that matters most to whom it is about is told: leaving before complaining, before
//! buying, before praising, before asking.

use limbic_domain::{Entity, EntityKind, Intent, IntentKind, Probability};

use super::phrases::Found;
use super::words::{Spoken, Words};
use super::{Knowledge, NEGATES, any_of};

/// From this score on a kind is told.
const TOLD: f64 = 0.5;
/// What a denial leaves of a cue of buying or praise.
const NEGATED: f64 = 0.2;
/// How many words before a cue may deny it.
const REACH: usize = 2;
/// A leaning (VADER's compound or a model's) from which a text is clearly favourable, and from its negative on unfavourable.
const CLEAR: f64 = 0.4;
/// What a leaning against it leaves of praise or of a complaint.
const CONTRADICTED: f64 = 0.5;
/// What a question mark says, by itself and after a `!` or a second one, where it is more often amazement.
const MARK: f64 = 0.75;
const DOUBLED_MARK: f64 = 0.45;
/// What addressing a known brand's account with a clear leaning says of complaint or praise.
const ADDRESSED: f64 = 0.5;

/// How likely each kind is by its phrases, before it is known which way the text leans.
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
    /// Those in the words of `text`.
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

    /// What the text is up to, given which way it leans in `[-1, 1]` and what it names.
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
            .find(|(_, score)| *score >= TOLD)
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

/// How a question begins: no question anywhere else ("I know what is good").
const ASKS: &str = "asks";

fn begins_a_clause(cue: &Found, spoken: &[Spoken]) -> bool {
    cue.start == 0 || spoken[cue.start - 1].clause != spoken[cue.start].clause
}

/// The strongest so many cues count: more add nothing, and a long text shall not cost the square of its cues.
const MOST_COUNTED: usize = 32;

/// Of cues of one kind over the same words only the strongest.
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

/// What the text's question marks say, those of links left out.
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
    fn a_mark_asks_unless_it_is_part_of_a_link_or_of_amazement() {
        assert_eq!(mark("is it open today?"), Some(0.75));
        assert_eq!(mark("what?!"), Some(0.45));
        assert_eq!(mark("really??"), Some(0.45));
        assert_eq!(mark("really?? is it open?"), Some(0.75));
        assert_eq!(mark("see https://example.com/?q=1"), None);
        assert_eq!(mark("no."), None);
    }
}
