//! From tokens to scores: the rules of the reference in its order, so that rounding errors are also equal.

use std::collections::{BTreeSet, HashMap};

use super::Scores;
use super::lexicon::{Name, Word};
use super::round::round;
use super::text::capitals_differ;

/// Amount that capitals add, if the text is not in capitals only.
const CAPITALS: f64 = 0.733;
/// Factor of a negation.
const NEGATION: f64 = -0.74;
/// Approximates the largest expected sum.
const NORMALISER: f64 = 15.0;

/// The valence of each token after all rules.
pub(super) fn sentiments(words: &[Word], into: &mut Vec<f64>) {
    into.clear();
    let capitals_differ = capitals_differ(words);
    for (index, word) in words.iter().enumerate() {
        let is_kind_of =
            word.name == Name::Kind && words.get(index + 1).is_some_and(|next| next.name == Name::Of);
        into.push(if !word.rated() || word.boosts() || is_kind_of {
            0.0
        } else {
            valence(words, index, capitals_differ)
        });
    }
    weigh_around_but(words, into);
}

fn valence(words: &[Word], index: usize, capitals_differ: bool) -> f64 {
    let word = words[index];
    let back = |steps: usize| words[index - steps];
    let mut valence = word.valence;

    // "no" before a rated word negates that word instead of having a valence.
    if word.name == Name::No && words.get(index + 1).is_some_and(|next| next.rated()) {
        valence = 0.0;
    }
    if (index > 0 && back(1).name == Name::No)
        || (index > 1 && back(2).name == Name::No)
        || (index > 2 && back(3).name == Name::No && matches!(back(1).name, Name::Or | Name::Nor))
    {
        valence = word.valence * NEGATION;
    }

    if word.upper() && capitals_differ {
        valence += if valence > 0.0 { CAPITALS } else { -CAPITALS };
    }

    for steps in 1..=3 {
        if index < steps || back(steps).rated() {
            continue;
        }
        let boost = boost(back(steps), valence, capitals_differ);
        valence += match steps {
            1 => boost,
            2 => boost * 0.95,
            _ => boost * 0.9,
        };
        valence = match steps {
            1 => negated_by_one(valence, back(1)),
            2 => negated_by_two(valence, back(2), back(1)),
            _ => special_phrases(negated_by_three(valence, back(3), back(2), back(1)), words, index),
        };
    }
    negated_by_least(valence, words, index)
}

fn boost(word: Word, valence: f64, capitals_differ: bool) -> f64 {
    if !word.boosts() {
        return 0.0;
    }
    let mut boost = if valence < 0.0 { -word.boost } else { word.boost };
    if word.upper() && capitals_differ {
        boost += if valence > 0.0 { CAPITALS } else { -CAPITALS };
    }
    boost
}

fn negated_by_one(valence: f64, one: Word) -> f64 {
    if one.negates() {
        valence * NEGATION
    } else {
        valence
    }
}

fn negated_by_two(valence: f64, two: Word, one: Word) -> f64 {
    match (two.name, one.name) {
        (Name::Never, Name::So | Name::This) => valence * 1.25,
        (Name::Without, Name::Doubt) => valence,
        _ => negated_by_one(valence, two),
    }
}

/// The reference's `and` binds tighter than its `or`: "so" or "this" directly before the word suffices, without
/// "never".
fn negated_by_three(valence: f64, three: Word, two: Word, one: Word) -> f64 {
    let is_so = |word: Word| matches!(word.name, Name::So | Name::This);
    if (three.name == Name::Never && is_so(two)) || is_so(one) {
        valence * 1.25
    } else if three.name == Name::Without && (two.name == Name::Doubt || one.name == Name::Doubt) {
        valence
    } else {
        negated_by_one(valence, three)
    }
}

fn negated_by_least(valence: f64, words: &[Word], index: usize) -> f64 {
    let is_least = index > 0 && words[index - 1].name == Name::Least;
    let is_at_least = index > 1 && matches!(words[index - 2].name, Name::At | Name::Very);
    if is_least && !is_at_least {
        valence * NEGATION
    } else {
        valence
    }
}

fn pair(first: Word, second: Word) -> Option<f64> {
    match (first.name, second.name) {
        (Name::The, Name::Shit | Name::Bomb) => Some(3.0),
        (Name::Bad, Name::Ass) => Some(1.5),
        (Name::Bus, Name::Stop) => Some(0.0),
        (Name::Yeah, Name::Right) => Some(-2.0),
        (Name::Beating, Name::Heart) => Some(3.5),
        _ => None,
    }
}

fn triple(first: Word, second: Word, third: Word) -> Option<f64> {
    match (first.name, second.name, third.name) {
        (Name::Kiss, Name::Of, Name::Death) => Some(-1.5),
        (Name::To, Name::Die, Name::For) => Some(3.0),
        _ => None,
    }
}

fn is_dampening_pair(first: Word, second: Word) -> bool {
    matches!(
        (first.name, second.name),
        (Name::Just, Name::Enough) | (Name::Kind | Name::Sort, Name::Of)
    )
}

/// Phrases whose valence differs from that of their words. Only words after three others are examined.
fn special_phrases(mut valence: f64, words: &[Word], index: usize) -> f64 {
    let at = |offset: usize| words[index + offset - 3];
    let (three, two, one, zero) = (at(0), at(1), at(2), at(3));
    let before = pair(one, zero)
        .or_else(|| triple(two, one, zero))
        .or_else(|| pair(two, one))
        .or_else(|| triple(three, two, one))
        .or_else(|| pair(three, two));
    valence = before.unwrap_or(valence);
    if let Some(&next) = words.get(index + 1) {
        valence = pair(zero, next).unwrap_or(valence);
        if let Some(&after) = words.get(index + 2) {
            valence = triple(zero, next, after).unwrap_or(valence);
        }
    }
    for (first, second) in [(three, two), (two, one)] {
        if is_dampening_pair(first, second) {
            valence -= 0.293;
        }
    }
    valence
}

/// Halves the valences before "but", and raises those after it by half.
///
/// The reference does not weight the current token but the *first token with the same valence*. That is another token
/// if an earlier one reached the same valence by weighting. The scores depend on this.
fn weigh_around_but(words: &[Word], sentiments: &mut [f64]) {
    let Some(but) = words.iter().position(|w| w.name == Name::But) else {
        return;
    };
    if sentiments.len() <= SCANNED {
        weigh_by_scanning(but, sentiments);
    } else {
        weigh_by_index(but, sentiments);
    }
}

/// Up to this number of tokens, a linear search for the first equal valence is fastest.
const SCANNED: usize = 256;

fn weight(place: usize, but: usize) -> f64 {
    match place.cmp(&but) {
        std::cmp::Ordering::Less => 0.5,
        std::cmp::Ordering::Equal => 1.0,
        std::cmp::Ordering::Greater => 1.5,
    }
}

#[expect(clippy::float_cmp, reason = "the reference compares valences for equality")]
fn weigh_by_scanning(but: usize, sentiments: &mut [f64]) {
    for index in 0..sentiments.len() {
        let value = sentiments[index];
        if value == 0.0 {
            continue;
        }
        let place = sentiments[..index]
            .iter()
            .position(|&v| v == value)
            .unwrap_or(index);
        sentiments[place] = value * weight(place, but);
    }
}

/// The same in O(n log n): a hostile text of 64 KiB has twenty thousand tokens.
fn weigh_by_index(but: usize, sentiments: &mut [f64]) {
    let mut places: HashMap<u64, BTreeSet<usize>> = HashMap::new();
    for (index, value) in sentiments.iter().enumerate().filter(|(_, v)| **v != 0.0) {
        places.entry(value.to_bits()).or_default().insert(index);
    }
    for index in 0..sentiments.len() {
        let value = sentiments[index];
        let Some(same) = places.get_mut(&value.to_bits()) else {
            continue;
        };
        let Some(place) = same.pop_first() else { continue };
        sentiments[place] = value * weight(place, but);
        places
            .entry(sentiments[place].to_bits())
            .or_default()
            .insert(place);
    }
}

/// The scores of a text whose tokens have these valences.
pub(super) fn score(sentiments: &[f64], text: &str) -> Scores {
    if sentiments.is_empty() {
        return Scores {
            neg: 0.0,
            neu: 0.0,
            pos: 0.0,
            compound: 0.0,
        };
    }
    let emphasis = emphasis(text);
    let mut sum: f64 = sentiments.iter().sum();
    if sum > 0.0 {
        sum += emphasis;
    } else if sum < 0.0 {
        sum -= emphasis;
    }
    let compound = (sum / (sum * sum + NORMALISER).sqrt()).clamp(-1.0, 1.0);

    // A neutral word counts as 1, so every other word counts 1 more than its valence.
    let (mut positive, mut negative, mut neutral) = (0.0, 0.0, 0.0);
    for &sentiment in sentiments {
        if sentiment > 0.0 {
            positive += sentiment + 1.0;
        } else if sentiment < 0.0 {
            negative += sentiment - 1.0;
        } else {
            neutral += 1.0;
        }
    }
    if positive > f64::abs(negative) {
        positive += emphasis;
    } else if positive < f64::abs(negative) {
        negative -= emphasis;
    }
    let negative = f64::abs(negative);
    let total = positive + negative + neutral;
    Scores {
        neg: round(negative / total, 3),
        neu: round(neutral / total, 3),
        pos: round(positive / total, 3),
        compound: round(compound, 4),
    }
}

/// Up to four exclamation marks count. Question marks count from the second on.
fn emphasis(text: &str) -> f64 {
    let count = |mark: u8| text.bytes().filter(|&b| b == mark).count();
    let exclamations = count(b'!').min(4) as f64 * 0.292;
    let questions = match count(b'?') {
        0 | 1 => 0.0,
        marks @ 2..=3 => marks as f64 * 0.18,
        _ => 0.96,
    };
    exclamations + questions
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_implementations_of_the_rule_for_but_agree(
            values in proptest::collection::vec(prop_oneof![
                Just(0.0), Just(1.0), Just(2.0), Just(0.5), Just(-1.5), Just(3.0), Just(4.5), -4.0..4.0f64
            ], 1..400),
            but in 0usize..400,
        ) {
            let but = but % values.len();
            let (mut scanned, mut indexed) = (values.clone(), values);
            weigh_by_scanning(but, &mut scanned);
            weigh_by_index(but, &mut indexed);
            prop_assert_eq!(scanned, indexed);
        }
    }
}
