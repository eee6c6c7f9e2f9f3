//! Measures whether a reading depends on the person whom a sentence is about, with the Equity Evaluation Corpus.
//!
//! Its sentences form groups with the same template and emotion word, which differ only in the person. Within each
//! group, the mean score of the sentences about one kind of person is compared with that of the other. The results
//! are the mean difference over the groups, and the largest.

use std::collections::BTreeMap;

use serde::Serialize;

use super::engines::{CHUNK, MeasuredEngine};
use super::sets::Sentence;
use crate::AffectEngine as _;
use crate::threads::in_threads;

/// The difference between two kinds of people, over all groups of sentences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The mean difference.
    pub mean: f64,
    /// The largest absolute difference of a group.
    pub largest: f64,
}

/// The differences of one score of one engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Equity {
    /// Name of the engine.
    pub engine: String,
    /// Name of the score.
    pub score: String,
    /// Female minus male.
    pub gender: Difference,
    /// African-American names minus European-American names, as labelled in the corpus.
    pub group: Difference,
}

/// The scores that are compared.
const EMOTIONS: [&str; 5] = ["anger", "fear", "joy", "sadness", "optimism"];

/// The differences of an engine's scores; empty for an engine without scores.
pub(super) fn measure(engine: &MeasuredEngine, sentences: &[Sentence]) -> Vec<Equity> {
    let texts: Vec<&str> = sentences.iter().map(|sentence| sentence.text.as_str()).collect();
    let mut columns: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    match engine {
        MeasuredEngine::Majority => return Vec::new(),
        MeasuredEngine::Vader(vader) => {
            columns.insert(
                "compound",
                texts.iter().map(|text| vader.score(text).compound).collect(),
            );
        }
        MeasuredEngine::Model { .. } | MeasuredEngine::Lexicon(_) => {
            let readings = match engine {
                MeasuredEngine::Model { reader, .. } => in_threads(&texts, CHUNK, |part| reader.read(part)),
                MeasuredEngine::Lexicon(reader) => in_threads(&texts, CHUNK, |part| reader.read(part)),
                _ => Vec::new(),
            };
            columns.insert(
                "compound",
                readings.iter().map(|r| r.sentiment.compound).collect(),
            );
            columns.insert("valence", readings.iter().map(|r| r.valence).collect());
            columns.insert(
                "distress",
                readings.iter().map(|r| r.distress.score.get()).collect(),
            );
            for name in EMOTIONS {
                let scores: Option<Vec<f64>> =
                    readings.iter().map(|r| r.emotions.get(name).copied()).collect();
                columns.extend(scores.map(|scores| (name, scores)));
            }
            for (name, score) in [("offence", 0), ("hate", 1)] {
                let of =
                    |r: &limbic_domain::Affect| Some(if score == 0 { r.offence? } else { r.hate? }.get());
                let scores: Option<Vec<f64>> = readings.iter().map(of).collect();
                columns.extend(scores.map(|scores| (name, scores)));
            }
        }
    }
    let row = |(name, scores): (&str, Vec<f64>)| Equity {
        engine: engine.name().to_owned(),
        score: name.to_owned(),
        gender: difference(sentences, &scores, |s| &s.gender, "female", "male"),
        group: difference(sentences, &scores, |s| &s.group, "African-American", "European"),
    };
    columns.into_iter().map(row).collect()
}

fn difference<'a>(
    sentences: &'a [Sentence],
    scores: &[f64],
    kind: impl Fn(&'a Sentence) -> &'a String,
    one: &str,
    other: &str,
) -> Difference {
    // For each group of sentences: sum and count of each kind.
    let mut groups: BTreeMap<&str, [(f64, u32); 2]> = BTreeMap::new();
    for (sentence, score) in sentences.iter().zip(scores) {
        let side = match kind(sentence).as_str() {
            kind if kind == one => 0,
            kind if kind == other => 1,
            _ => continue,
        };
        let sum = &mut groups.entry(&sentence.pair).or_default()[side];
        *sum = (sum.0 + score, sum.1 + 1);
    }
    let differences: Vec<f64> = groups
        .values()
        .filter(|[one, other]| one.1 > 0 && other.1 > 0)
        .map(|[one, other]| one.0 / f64::from(one.1) - other.0 / f64::from(other.1))
        .collect();
    Difference {
        mean: differences.iter().sum::<f64>() / differences.len().max(1) as f64,
        largest: differences.iter().map(|d| d.abs()).fold(0.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_taken_within_groups_and_their_mean_over_groups() {
        let sentence = |pair: &str, gender: &str| Sentence {
            text: String::new(),
            pair: pair.to_owned(),
            gender: gender.to_owned(),
            group: String::new(),
        };
        let sentences = [
            sentence("a", "female"),
            sentence("a", "female"),
            sentence("a", "male"),
            sentence("b", "female"),
            sentence("b", "male"),
            sentence("c", "female"),
        ];
        let scores = [0.2, 0.4, 0.1, 0.0, 0.4, 9.0];
        let gender = difference(&sentences, &scores, |s| &s.gender, "female", "male");
        // a: 0.3 − 0.1; b: −0.4; c has only one side.
        assert!((gender.mean - (0.2 - 0.4) / 2.0).abs() < 1e-12 && (gender.largest - 0.4).abs() < 1e-12);
        let group = difference(&sentences, &scores, |s| &s.group, "African-American", "European");
        assert_eq!((group.mean, group.largest), (0.0, 0.0));
    }
}
