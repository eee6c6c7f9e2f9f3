//! Two coarser views of the emotions of a reading. Both are computed from it and are not stored.
//!
//! The 28 labels of the model are those of `GoEmotions` (Demszky et al., ACL 2020), and both maps use these names.
//! The score of a category is the score of its strongest label: several weak labels do not add up to a strong one.
//!
//! | Ekman | labels (table 1 of the paper's data release, `ekman_mapping.json`) |
//! |---|---|
//! | anger | anger, annoyance, disapproval |
//! | disgust | disgust |
//! | fear | fear, nervousness |
//! | joy | joy, admiration, amusement, approval, caring, desire, excitement, gratitude, love, optimism, pride, relief |
//! | sadness | sadness, disappointment, embarrassment, grief, remorse |
//! | surprise | surprise, confusion, curiosity, realization |
//!
//! | Plutchik | labels: the emotion in its strengths, and the pairs that it is half of (Plutchik, *Emotion: A Psychoevolutionary Synthesis*, 1980) |
//! |---|---|
//! | anger | anger, annoyance |
//! | anticipation | anticipation, excitement, desire; optimism (with joy), nervousness (with fear) |
//! | disgust | disgust; remorse (with sadness), embarrassment (with fear) |
//! | fear | fear, nervousness; embarrassment (with disgust) |
//! | joy | joy, amusement, excitement, relief; love (with trust), optimism (with anticipation), pride, gratitude |
//! | sadness | sadness, grief, pessimism; disappointment, disapproval (with surprise), remorse (with disgust) |
//! | surprise | surprise, confusion, realization; disapproval, disappointment (with sadness), curiosity (with trust) |
//! | trust | trust, approval, admiration, caring; love (with joy), curiosity (with surprise), gratitude |
//!
//! One pair is incomplete: Plutchik composes pride of joy and *anger*, but here a proud text does not count as angry.
//!
//! `neutral` is in neither view. A reading of the lexicon has Plutchik's eight emotions by name, and they map to
//! themselves.

use limbic_domain::Emotions;

/// Ekman's six emotions and their labels.
const EKMAN: [(&str, &[&str]); 6] = [
    ("anger", &["anger", "annoyance", "disapproval"]),
    ("disgust", &["disgust"]),
    ("fear", &["fear", "nervousness"]),
    (
        "joy",
        &[
            "joy",
            "admiration",
            "amusement",
            "approval",
            "caring",
            "desire",
            "excitement",
            "gratitude",
            "love",
            "optimism",
            "pride",
            "relief",
        ],
    ),
    (
        "sadness",
        &["sadness", "disappointment", "embarrassment", "grief", "remorse"],
    ),
    ("surprise", &["surprise", "confusion", "curiosity", "realization"]),
];

/// Plutchik's eight emotions and their labels.
const PLUTCHIK: [(&str, &[&str]); 8] = [
    ("anger", &["anger", "annoyance"]),
    (
        "anticipation",
        &["anticipation", "excitement", "desire", "optimism", "nervousness"],
    ),
    ("disgust", &["disgust", "remorse", "embarrassment"]),
    ("fear", &["fear", "nervousness", "embarrassment"]),
    (
        "joy",
        &[
            "joy",
            "amusement",
            "excitement",
            "relief",
            "love",
            "optimism",
            "pride",
            "gratitude",
        ],
    ),
    (
        "sadness",
        &[
            "sadness",
            "grief",
            "pessimism",
            "disappointment",
            "disapproval",
            "remorse",
        ],
    ),
    (
        "surprise",
        &[
            "surprise",
            "confusion",
            "realization",
            "disapproval",
            "disappointment",
            "curiosity",
        ],
    ),
    (
        "trust",
        &[
            "trust",
            "approval",
            "admiration",
            "caring",
            "love",
            "curiosity",
            "gratitude",
        ],
    ),
];

/// Ekman's view of the emotions of a reading. A category without a label in the reading is absent.
pub fn ekman(emotions: &Emotions) -> Emotions {
    view(&EKMAN, emotions)
}

/// Plutchik's view of the emotions of a reading. A category without a label in the reading is absent.
pub fn plutchik(emotions: &Emotions) -> Emotions {
    view(&PLUTCHIK, emotions)
}

/// Ekman's category of a label of `GoEmotions`; `None` for `neutral` and for unknown names.
pub fn ekman_of(label: &str) -> Option<&'static str> {
    EKMAN
        .iter()
        .find(|(_, labels)| labels.contains(&label))
        .map(|(name, _)| *name)
}

fn view(map: &[(&str, &[&str])], emotions: &Emotions) -> Emotions {
    map.iter()
        .filter_map(|(name, labels)| {
            let scores = labels.iter().filter_map(|label| emotions.get(*label).copied());
            Some(((*name).to_owned(), scores.max_by(f64::total_cmp)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The labels of `GoEmotions`, without `neutral`.
    const LABELS: &str = "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval \
        disgust embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse sadness \
        surprise";

    #[test]
    fn every_label_has_one_category_of_ekman_and_at_least_one_of_plutchik() {
        for label in LABELS.split_ascii_whitespace() {
            let homes =
                |map: &[(&str, &[&str])]| map.iter().filter(|(_, labels)| labels.contains(&label)).count();
            assert_eq!(homes(&EKMAN), 1, "{label}");
            assert!((1..=2).contains(&homes(&PLUTCHIK)), "{label}");
        }
        assert_eq!(LABELS.split_ascii_whitespace().count(), 27);
        assert_eq!(ekman_of("neutral"), None);
    }

    #[test]
    fn a_category_has_the_score_of_its_strongest_label_and_is_absent_without_labels() {
        let emotions = Emotions::from([
            ("annoyance".to_owned(), 0.4),
            ("anger".to_owned(), 0.3),
            ("love".to_owned(), 0.9),
            ("neutral".to_owned(), 0.2),
        ]);
        let expected = |pairs: &[(&str, f64)]| -> Emotions {
            pairs.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect()
        };
        assert_eq!(ekman(&emotions), expected(&[("anger", 0.4), ("joy", 0.9)]));
        assert_eq!(
            plutchik(&emotions),
            expected(&[("anger", 0.4), ("joy", 0.9), ("trust", 0.9)])
        );
        assert!(ekman(&Emotions::new()).is_empty());
    }

    #[test]
    fn plutchiks_emotions_map_to_themselves() {
        let names = PLUTCHIK.iter().map(|(name, _)| *name);
        let own: Emotions = names
            .zip(1..)
            .map(|(name, n)| (name.to_owned(), f64::from(n) / 10.0))
            .collect();
        assert_eq!(plutchik(&own), own);
    }
}
