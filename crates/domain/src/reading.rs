//! The reading of a post: its sentiment, emotions and other affect.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ConsentState, PostRef, Probability, Pseudonym, Record, Slug, TextFingerprint};

/// The polarity of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Unfavourable.
    Negative,
    /// Neither.
    Neutral,
    /// Favourable.
    Positive,
}

/// The sentiment of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sentiment {
    /// The most likely polarity.
    pub label: Label,
    /// The share of each polarity. They add up to 1, except for rounding (VADER's `neg`, `neu`, `pos`; a model's
    /// probabilities).
    pub scores: BTreeMap<String, f64>,
    /// From -1 (most negative) to 1 (most positive).
    pub compound: f64,
}

/// Emotions by name (`joy`, `anger`, `fear`, `sadness`...), each in `[0, 1]`, independent of each other. An emotion that
/// an engine cannot detect is absent, not zero. A trained model detects the 28 classes of GoEmotions, which include
/// `neutral`. A lexicon detects Plutchik's eight. `anger`, `disgust`, `fear`, `joy`, `sadness` and `surprise` are in
/// both.
pub type Emotions = BTreeMap<String, f64>;

/// Cues of grief, fear, crisis or self-harm, and news of events. Tuned for recall, because it protects people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distress {
    /// The probability that the author is in distress.
    pub score: Probability,
    /// The kinds of cue that were found: `grief`, `fear`, `crisis`, `self_harm`, in that order.
    pub cues: Vec<String>,
    /// The probability that the text is about a real death, disaster or violence (a *sensitive event*).
    #[serde(default = "impossible", skip_serializing_if = "Probability::is_zero")]
    pub sensitive_event: Probability,
    /// The text is in a language in which the reader knows no cues: their absence proves nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

pub(crate) const fn impossible() -> Probability {
    Probability::ZERO
}

impl Distress {
    /// The probability from which a text counts as being about a sensitive event.
    pub const EVENT_FROM: f64 = 0.5;
    /// The probability from which that is nearly certain: of ordinary posts, less than half of those from [`Self::EVENT_FROM`] on.
    pub const EVENT_CERTAIN_FROM: f64 = 0.7;

    /// Whether the text counts as being about a death, a disaster or violence.
    pub fn is_about_sensitive_event(&self) -> bool {
        self.sensitive_event.get() >= Self::EVENT_FROM
    }
}

/// The intention of a text. If several apply, the one that is listed first counts: a question that complains is a
/// complaint.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// The author leaves a product, a service or a brand, or announces it.
    Churn,
    /// The author reports a problem with something bought or used.
    Complaint,
    /// The author buys something, or looks for something to buy.
    Purchase,
    /// The author praises a product, a service, a brand or a person.
    Praise,
    /// The author asks something.
    Question,
    /// None of these.
    #[default]
    None,
}

impl IntentKind {
    /// All intentions, in the order in which they count.
    pub const ALL: [Self; 6] = [
        Self::Churn,
        Self::Complaint,
        Self::Purchase,
        Self::Praise,
        Self::Question,
        Self::None,
    ];

    /// Its name in records: `churn`, `complaint`, `purchase`, `praise`, `question`, `none`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Churn => "churn",
            Self::Complaint => "complaint",
            Self::Purchase => "purchase",
            Self::Praise => "praise",
            Self::Question => "question",
            Self::None => "none",
        }
    }
}

/// The intention of a text, with its probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// The most likely intention.
    pub kind: IntentKind,
    /// Its probability. For `none`, the probability that none of the others applies.
    pub score: Probability,
}

/// The kind of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// An account: `@name`.
    Mention,
    /// `#words`.
    Hashtag,
    /// A brand from the engine's list.
    Brand,
    /// A person.
    Person,
    /// A company, a club, a party, a public body.
    Organisation,
    /// A place.
    Place,
    /// A product or service.
    Product,
    /// A name whose kind the engine cannot determine.
    Other,
}

/// A name in a text, with its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entity {
    /// The kind of the entity.
    pub kind: EntityKind,
    /// The name as it is written in the text.
    pub text: String,
    /// The start, in bytes of the UTF-8 text (as in facets of Bluesky).
    pub start: u32,
    /// The first byte after the end.
    pub end: u32,
    /// The canonical name, if it differs from the text: the brand's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The engine and version that made a reading: `vader-3.3.2`, `affect-l6-…`. Two readings of one text by the same version
/// are identical bit for bit.
pub type ModelVersion = String;

/// The affect of one text: the result of an affect engine, before it is joined with a post.
///
/// A field that the engine cannot determine is absent, which says nothing about the text. Readings that were written
/// before a field existed also lack it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Affect {
    /// Negative, neutral or positive, with scores.
    pub sentiment: Sentiment,
    /// The emotions that the engine can detect.
    pub emotions: Emotions,
    /// Pleasantness in `[-1, 1]`.
    pub valence: f64,
    /// Activation in `[0, 1]`.
    pub arousal: f64,
    /// The strength of the affect, independent of its kind, in `[0, 1]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intensity: Option<Probability>,
    /// The probability that the text means something else than it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irony: Option<Probability>,
    /// The probability that the text is offensive: insults, threats, profanity. For brand safety, as is `hate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offence: Option<Probability>,
    /// The probability that the text attacks people because of a group that they belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hate: Option<Probability>,
    /// The intention of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Names in the text, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// Cues of distress.
    pub distress: Distress,
    /// The fingerprint of the text, by which copies are noticed. A text of fewer than three words has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<TextFingerprint>,
    /// BCP 47 tag of the detected language, or `und`.
    pub language: String,
    /// The engine does not read the text's language. Sentiment, valence and arousal say nothing then, and do not count in a mood. Emotions come
    /// from emoji only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown_language: bool,
    /// How far the text is from the posts that the engine learnt from: the share of ordinary posts that are nearer, so that one in a
    /// hundred of them has 0.99 or more. Code, lists and letters without sense have about 1. From [`Affect::FAR`] on, the sentiment is
    /// flattened and does not count in a mood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_domain: Option<Probability>,
    /// The engine and version.
    pub model: ModelVersion,
}

impl Affect {
    /// The names of the brands in the text, as they are in the engine's list, sorted, each once, at most
    /// [`Self::MOST_BRANDS`].
    pub fn brands(&self) -> Vec<String> {
        let is_brand = |entity: &&Entity| entity.kind == EntityKind::Brand;
        let name = |entity: &Entity| entity.name.clone().unwrap_or_else(|| entity.text.clone());
        let brands: BTreeSet<String> = self.entities.iter().filter(is_brand).map(name).collect();
        brands.into_iter().take(Self::MOST_BRANDS).collect()
    }

    /// The most brands of a text that count.
    pub const MOST_BRANDS: usize = 4;

    /// From this value of `out_of_domain` on, a text is far from what the engine learnt.
    pub const FAR: f64 = 0.99;

    /// Whether this value of `out_of_domain` is far from what the engine learnt.
    pub fn is_far(out_of_domain: Probability) -> bool {
        out_of_domain.get() >= Self::FAR
    }

    /// Whether valence and arousal say something about a mood: the engine reads the language, and the text is not far from what it learnt.
    pub fn has_mood(&self) -> bool {
        !self.unknown_language && !self.out_of_domain.is_some_and(Self::is_far)
    }
}

impl Default for Affect {
    /// A neutral affect without emotions, entities, language or engine.
    fn default() -> Self {
        Self {
            sentiment: Sentiment {
                label: Label::Neutral,
                scores: BTreeMap::new(),
                compound: 0.0,
            },
            emotions: Emotions::new(),
            valence: 0.0,
            arousal: 0.0,
            intensity: None,
            irony: None,
            offence: None,
            hate: None,
            intent: None,
            entities: Vec::new(),
            distress: Distress {
                score: Probability::ZERO,
                cues: Vec::new(),
                sensitive_event: Probability::ZERO,
                unread: false,
            },
            fingerprint: None,
            language: "und".to_owned(),
            unknown_language: false,
            out_of_domain: None,
            model: ModelVersion::new(),
        }
    }
}

/// The affect of a post. Its envelope's `at` is the post's.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Reading {
    /// The post's id on its social network.
    pub post: PostRef,
    /// The pseudonym of the author.
    pub author: Pseudonym,
    /// The affect of the text.
    #[serde(flatten)]
    pub affect: Affect,
    /// Subjects that the source named or the text mentions, sorted, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Slug>,
    /// As in the post.
    #[serde(default)]
    pub consent: ConsentState,
    /// Whether the source says or suspects that the author is a minor, or the text says it.
    #[serde(default)]
    pub minor: bool,
    /// As in the post: 0 for the reading of its first version.
    #[serde(default, skip_serializing_if = "crate::post::is_first")]
    pub revision: u64,
}

/// The fields of a [`Reading`] as they are on the wire, side by side. `#[serde(flatten)]` copies every name and value before
/// it reads them, and each stage reads readings.
#[derive(Deserialize)]
#[serde(rename = "Reading")]
struct Flat {
    post: PostRef,
    author: Pseudonym,
    sentiment: Sentiment,
    emotions: Emotions,
    valence: f64,
    arousal: f64,
    #[serde(default)]
    intensity: Option<Probability>,
    #[serde(default)]
    irony: Option<Probability>,
    #[serde(default)]
    offence: Option<Probability>,
    #[serde(default)]
    hate: Option<Probability>,
    #[serde(default)]
    intent: Option<Intent>,
    #[serde(default)]
    entities: Vec<Entity>,
    distress: Distress,
    #[serde(default)]
    fingerprint: Option<TextFingerprint>,
    language: String,
    #[serde(default)]
    unknown_language: bool,
    #[serde(default)]
    out_of_domain: Option<Probability>,
    model: ModelVersion,
    #[serde(default)]
    subjects: Vec<Slug>,
    #[serde(default)]
    consent: ConsentState,
    #[serde(default)]
    minor: bool,
    #[serde(default)]
    revision: u64,
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let flat = Flat::deserialize(deserializer)?;
        Ok(Self {
            post: flat.post,
            author: flat.author,
            affect: Affect {
                sentiment: flat.sentiment,
                emotions: flat.emotions,
                valence: flat.valence,
                arousal: flat.arousal,
                intensity: flat.intensity,
                irony: flat.irony,
                offence: flat.offence,
                hate: flat.hate,
                intent: flat.intent,
                entities: flat.entities,
                distress: flat.distress,
                fingerprint: flat.fingerprint,
                language: flat.language,
                unknown_language: flat.unknown_language,
                out_of_domain: flat.out_of_domain,
                model: flat.model,
            },
            subjects: flat.subjects,
            consent: flat.consent,
            minor: flat.minor,
            revision: flat.revision,
        })
    }
}

impl Record for Reading {
    const TYPE: &'static str = "reading";
    const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_written_before_the_newer_fields_is_still_read() {
        let old = r#"{"post": {"network": "bluesky", "id": "1"}, "author": "9f86d081884c7d659a2feaa0c55ad015",
            "sentiment": {"label": "neutral", "scores": {}, "compound": 0.0}, "emotions": {"joy": 0.5}, "valence": 0.0,
            "arousal": 0.1, "distress": {"score": 0.0, "cues": []}, "language": "en", "model": "lexicon-1"}"#;
        let reading: Reading = serde_json::from_str(old).unwrap();
        assert_eq!(reading.affect.irony, None);
        let again = serde_json::to_value(&reading).unwrap();
        for newer in [
            "intensity",
            "irony",
            "offence",
            "hate",
            "intent",
            "entities",
            "fingerprint",
            "out_of_domain",
        ] {
            assert!(again.get(newer).is_none(), "{newer} was made up");
        }
    }

    #[test]
    fn a_reading_with_every_field_is_unchanged_after_encoding_and_decoding() {
        let some = Some(Probability::new(0.25).unwrap());
        let affect = Affect {
            unknown_language: true,
            out_of_domain: some,
            intensity: some,
            irony: some,
            offence: some,
            hate: some,
            intent: Some(Intent {
                kind: IntentKind::Churn,
                score: Probability::ONE,
            }),
            entities: vec![Entity {
                kind: EntityKind::Brand,
                text: "acmes".into(),
                start: 3,
                end: 8,
                name: Some("Acme".into()),
            }],
            fingerprint: Some(TextFingerprint::from_bits(7)),
            ..Affect::default()
        };
        let text = serde_json::to_string(&affect).unwrap();
        assert!(
            text.contains(r#""intent":{"kind":"churn","score":1.0}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Affect>(&text).unwrap(), affect);
        let reading = Reading {
            post: PostRef {
                network: Slug::new("bluesky").unwrap(),
                id: "1".into(),
            },
            author: Pseudonym::of(&[1; 32], &Slug::new("bluesky").unwrap(), "ada"),
            affect,
            subjects: vec![Slug::new("tea").unwrap()],
            consent: ConsentState::Given,
            minor: true,
            revision: 3,
        };
        let text = serde_json::to_string(&reading).unwrap();
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), reading);
    }
}
