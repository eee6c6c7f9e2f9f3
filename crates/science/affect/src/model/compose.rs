//! Composes a reading from the outputs of the model and the results of the rules.

use limbic_domain::{Affect, Distress, Emotions, Label, Sentiment};

use super::{ModelReader, Numbers};
use crate::cues::{DistressScores, rounded};
use crate::reader::{Seen, Stirring, probability};

/// Factor of the model's probability of grief, compared with that of phrases.
const GRIEF: f64 = 0.8;
/// Factor of fear and of nervousness.
const FEAR: f64 = 0.8;
const NERVOUSNESS: f64 = 0.5;
/// Fraction of the remaining uncertainty that despair (sadness, remorse, disappointment, pessimism) removes if a
/// phrase was found.
const DESPAIR: f64 = 0.4;
/// How much of an even distribution is mixed into a sentiment whose text is far from what was learnt.
const FLATTENED: f64 = 0.5;

impl ModelReader {
    /// * **sentiment**: the model's three probabilities; compound = positive − negative.
    /// * **valence**: the model's value if it has the task and computed it, otherwise the compound. With early exits,
    ///   always the compound, so that all posts are on one scale.
    /// * **arousal**: as in the lexicon engine, with the model's emotions.
    /// * **intensity**: the greatest of the model's intensities if it has them, otherwise the probability of any
    ///   label but `neutral`.
    ///
    /// If the text is far from what was learnt ([`Affect::is_far`]), the probabilities of the sentiment are flattened. Nothing that
    /// holds ads back becomes weaker: distress, hate, offence and events stay as they are.
    ///
    /// With an adapter, sentiment and compound are the adapter's, and the valence moves by as much as the compound does.
    pub(super) fn compose(&self, seen: Seen, numbers: &Numbers, adapter: Option<usize>) -> Affect {
        let plan = &self.plan;
        let general = plan.sentiment(numbers);
        // A post that left early has no state that an adapter could read.
        let read_by = adapter.and_then(|place| Some((place, *numbers.adapted.get(place)?)));
        let out_of_domain = numbers.distance.map(|distance| probability(f64::from(distance)));
        let is_far = out_of_domain.is_some_and(Affect::is_far);
        let read = read_by.map_or(general, |(_, probabilities)| probabilities);
        let [negative, neutral, positive] = if is_far { flattened(read) } else { read };
        let compound = rounded(positive - negative);
        let moved = compound - rounded(general[2] - general[0]);
        let emotions = plan.emotions(numbers);
        let distress = with_evidence(seen.distress, &emotions);
        let distress = match plan.distress(numbers) {
            Some(head) => distress.strongest(head),
            None => distress,
        };
        let felt = emotions.get("neutral").map(|neutral| 1.0 - neutral);
        let trained = if self.exits.is_empty() {
            plan.intensity(numbers)
        } else {
            None
        };
        let valence = if self.exits.is_empty() {
            plan.valence(numbers)
        } else {
            None
        };
        Affect {
            sentiment: Sentiment {
                label: label(negative, neutral, positive),
                scores: [
                    ("negative".to_owned(), rounded(negative)),
                    ("neutral".to_owned(), rounded(neutral)),
                    ("positive".to_owned(), rounded(positive)),
                ]
                .into(),
                compound,
            },
            valence: valence.map_or(compound, |valence| rounded((valence + moved).clamp(-1.0, 1.0))),
            arousal: seen.arousal(stirring(&emotions)),
            intensity: trained.or(felt).map(probability),
            irony: plan.irony(numbers).map(probability),
            offence: plan.offence(numbers).map(probability),
            hate: plan.hate(numbers).map(probability),
            intent: Some(seen.intent.intent(compound, &seen.entities)),
            fingerprint: None,
            entities: seen.entities,
            distress: Distress {
                score: probability(distress.score()),
                cues: distress.cues(),
                sensitive_event: probability(match (&self.event_head, numbers.event) {
                    (Some(head), Some(state)) => head.probability(seen.sensitive_event, state),
                    _ => seen.sensitive_event,
                }),
                // A text far from what was learnt may have cues that nobody can read.
                unread: seen.unread || (is_far && distress.cues().is_empty()),
            },
            emotions,
            language: seen.language.tag.to_owned(),
            unknown_language: false,
            out_of_domain,
            model: match read_by {
                Some((place, _)) => format!("{}+adapter-{}", self.version, self.adapters.version(place)),
                None => self.version.clone(),
            },
        }
    }
}

/// The probabilities nearer to even ones, in the same order. The compound becomes smaller in the same proportion.
fn flattened(probabilities: [f64; 3]) -> [f64; 3] {
    probabilities.map(|one| (1.0 - FLATTENED) * one + FLATTENED / 3.0)
}

/// The most likely label. Among equals, the more neutral, then the less favourable.
fn label(negative: f64, neutral: f64, positive: f64) -> Label {
    if neutral >= negative && neutral >= positive {
        Label::Neutral
    } else if negative >= positive {
        Label::Negative
    } else {
        Label::Positive
    }
}

fn strongest(emotions: &Emotions, names: &[(&str, f64)]) -> f64 {
    let weighed = names
        .iter()
        .map(|(name, worth)| emotions.get(*name).copied().unwrap_or(0.0) * worth);
    weighed.fold(0.0, f64::max)
}

fn stirring(emotions: &Emotions) -> Stirring {
    let of = |names: &[(&str, f64)]| strongest(emotions, names);
    Stirring {
        anger: of(&[("anger", 1.0), ("annoyance", 0.6)]),
        fear: of(&[("fear", 1.0), ("nervousness", 0.8)]),
        surprise: of(&[("surprise", 1.0)]),
        joy: of(&[
            ("joy", 1.0),
            ("excitement", 1.0),
            ("amusement", 0.8),
            ("love", 0.8),
        ]),
        anticipation: of(&[("excitement", 1.0), ("desire", 0.8), ("anticipation", 1.0)]),
        sadness: of(&[("sadness", 1.0), ("grief", 1.0), ("disappointment", 0.6)]),
    }
}

/// The distress of the phrases, raised by the model's emotions and never lowered.
fn with_evidence(seen: DistressScores, emotions: &Emotions) -> DistressScores {
    let any_of = |so_far: f64, more: f64| 1.0 - (1.0 - so_far) * (1.0 - more);
    let despair = strongest(
        emotions,
        &[
            ("sadness", 1.0),
            ("grief", 1.0),
            ("remorse", 0.8),
            ("disappointment", 0.6),
            ("pessimism", 0.8),
        ],
    );
    let raised = |score: f64| {
        if score > 0.0 {
            any_of(score, DESPAIR * despair)
        } else {
            0.0
        }
    };
    DistressScores {
        grief: any_of(raised(seen.grief), strongest(emotions, &[("grief", GRIEF)])),
        fear: any_of(
            raised(seen.fear),
            strongest(emotions, &[("fear", FEAR), ("nervousness", NERVOUSNESS)]),
        ),
        crisis: raised(seen.crisis),
        self_harm: raised(seen.self_harm),
    }
}
