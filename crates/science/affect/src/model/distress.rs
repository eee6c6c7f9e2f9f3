//! What the trained head for distress says: the kinds of a reading from the labels of the task `distress`.

use limbic_encoder::{Task, TaskKind};

use crate::cues::{DistressScores, score_from};

/// The label for any distress. The others name its kind.
const ANY: &str = "any";

/// The label of each kind. Several labels belong to one kind.
const KINDS: [(&str, Kind); 8] = [
    ("grief", Kind::Grief),
    ("fear", Kind::Fear),
    ("abuse", Kind::Fear),
    ("disaster", Kind::Crisis),
    ("life", Kind::Crisis),
    ("despair", Kind::SelfHarm),
    ("self_harm", Kind::SelfHarm),
    ("eating", Kind::SelfHarm),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grief,
    Fear,
    Crisis,
    SelfHarm,
}

/// Places of the head's labels, and the probability from which each says yes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DistressHead {
    any: (usize, f64),
    kinds: Vec<(usize, f64, Kind)>,
}

impl DistressHead {
    /// The head of a task, or `None` if the task has other labels or no thresholds.
    pub(super) fn new(task: &Task) -> Option<Self> {
        if task.kind != TaskKind::Sigmoid {
            return None;
        }
        let thresholds = task.thresholds.as_ref()?;
        let place = |name: &str| {
            let place = task.labels.iter().position(|label| label == name)?;
            Some((place, f64::from(*thresholds.get(place)?)))
        };
        let kinds = KINDS.iter().filter_map(|(label, kind)| {
            let (place, threshold) = place(label)?;
            Some((place, threshold, *kind))
        });
        Some(Self {
            any: place(ANY)?,
            kinds: kinds.collect(),
        })
        .filter(|head| !head.kinds.is_empty())
    }

    /// The scores of a post. `probabilities` has one for each label.
    ///
    /// The probability of `any` alone sets the score: at its threshold, the score is that from which a kind is among the
    /// cues. The kind is the label that is furthest above its threshold, or nearest below it. Only that kind gets the
    /// score, because the labels rise together.
    pub(super) fn scores(&self, probabilities: &[f32]) -> DistressScores {
        let score = |place: usize, threshold: f64| {
            let probability = probabilities.get(place).copied().map_or(0.0, f64::from);
            score_from(probability, threshold)
        };
        let mut scores = DistressScores::default();
        let kinds = self.kinds.iter();
        let kinds = kinds.map(|&(place, threshold, kind)| (score(place, threshold), kind));
        if let Some((_, kind)) = kinds.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
            *part_of(&mut scores, kind) = score(self.any.0, self.any.1);
        }
        scores
    }
}

fn part_of(scores: &mut DistressScores, kind: Kind) -> &mut f64 {
    match kind {
        Kind::Grief => &mut scores.grief,
        Kind::Fear => &mut scores.fear,
        Kind::Crisis => &mut scores.crisis,
        Kind::SelfHarm => &mut scores.self_harm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cues::NAMED;
    use proptest::prelude::*;

    fn task() -> Task {
        let json = r#"{
            "name": "distress", "kind": "sigmoid",
            "labels": ["any", "grief", "fear", "despair", "self_harm", "life", "eating", "abuse", "disaster"],
            "thresholds": [0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
        }"#;
        serde_json::from_str(json).expect("a task")
    }

    #[test]
    fn a_label_at_its_threshold_is_named() {
        let head = DistressHead::new(&task()).expect("a head");
        let mut said = [0.01_f32; 9];
        said[0] = 0.2;
        said[7] = 0.3;
        let scores = head.scores(&said);
        assert!((scores.fear - NAMED).abs() < 1e-6, "{scores:?}");
        assert_eq!(scores.cues(), ["fear"]);
        said[0] = 0.19;
        assert!(head.scores(&said).cues().is_empty());
    }

    #[test]
    fn a_task_without_thresholds_or_with_other_labels_is_no_head() {
        let mut without = task();
        without.thresholds = None;
        assert_eq!(DistressHead::new(&without), None);
        let mut other = task();
        other.labels = vec!["yes".to_owned()];
        assert_eq!(DistressHead::new(&other), None);
    }

    proptest! {
        /// One kind is as strong as any distress.
        #[test]
        fn the_strongest_kind_is_as_strong_as_any_distress(said in prop::array::uniform9(0.0_f32..1.0)) {
            let head = DistressHead::new(&task()).expect("a head");
            let any = score_from(f64::from(said[0]), f64::from(0.2_f32));
            prop_assert!((head.scores(&said).score() - any).abs() < 1e-6);
        }
    }
}
