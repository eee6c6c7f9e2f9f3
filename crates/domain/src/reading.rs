//! What a post feels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConsentState, PostRef, Probability, Pseudonym, Record, Slug};

/// Which way a text leans.
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
    /// The leaning.
    pub label: Label,
    /// Share of each leaning, adding up to 1 within rounding (VADER's `neg`, `neu`, `pos`; a model's probabilities).
    pub scores: BTreeMap<String, f64>,
    /// From -1 (most negative) to 1 (most positive).
    pub compound: f64,
}

/// Emotions by name (`joy`, `anger`, `fear`, `sadness`...), each in `[0, 1]`, independent of each other.
/// Names a reader cannot tell are absent, not zero. A trained reader tells the 28 of GoEmotions, `neutral` among them, a
/// lexicon Plutchik's eight; `anger`, `disgust`, `fear`, `joy`, `sadness` and `surprise` are in both.
pub type Emotions = BTreeMap<String, f64>;

/// Cues of grief, fear, crisis or self-harm (DESIGN, law 8). Tuned for recall: it protects people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distress {
    /// How likely the author is in distress.
    pub score: Probability,
    /// The kinds of cue that were found: `grief`, `fear`, `crisis`, `self_harm`, in that order.
    pub cues: Vec<String>,
}

/// What a text is up to. A question that complains is a complaint: where several fit, the one written first here counts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// Leaving a product, a service or a brand, or saying so.
    Churn,
    /// Something bought or used is not as it should be.
    Complaint,
    /// Buying, or looking for what to buy.
    Purchase,
    /// A product, a service, a brand or a person is praised.
    Praise,
    /// Something is asked.
    Question,
    /// None of these.
    #[default]
    None,
}

/// What a text is up to, and how likely.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// What it is.
    pub kind: IntentKind,
    /// How likely it is that (of `none`, how likely that it is none of the others).
    pub score: Probability,
}

/// What kind of thing a text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// An account: `@name`.
    Mention,
    /// `#words`.
    Hashtag,
    /// A brand that the reader was told of.
    Brand,
    /// Somebody.
    Person,
    /// A company, a club, a party, a public body.
    Organisation,
    /// Somewhere.
    Place,
    /// Something that is sold.
    Product,
    /// A name of something that the reader cannot tell.
    Other,
}

/// Something that a text names, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entity {
    /// What kind of thing.
    pub kind: EntityKind,
    /// As it is written in the text.
    pub text: String,
    /// Where it begins: bytes of the text in UTF-8 (as facets of Bluesky count).
    pub start: u32,
    /// Where it ends, the first byte behind it.
    pub end: u32,
    /// The name it is known by, where that is another than its text: the brand's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Which reader made a reading: `vader-3.3.2`, `affect-l6-…`. Two readings of one version agree bit for bit.
pub type ModelVersion = String;

/// What one text feels: the answer of an affect engine, before it is tied to a post.
///
/// What a reader cannot tell is absent; absence is no evidence. Readings written before a field came lack it too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Affect {
    /// Negative, neutral, positive, and how far.
    pub sentiment: Sentiment,
    /// Emotions that the reader can tell.
    pub emotions: Emotions,
    /// Pleasantness in `[-1, 1]`.
    pub valence: f64,
    /// Activation in `[0, 1]`.
    pub arousal: f64,
    /// How strongly it is felt, whatever it is, in `[0, 1]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intensity: Option<Probability>,
    /// How likely it means something else than it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irony: Option<Probability>,
    /// How likely it offends: insults, threats, profanity. For brand safety, as is `hate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offence: Option<Probability>,
    /// How likely it attacks people for what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hate: Option<Probability>,
    /// What it is up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// What it names, in the order of the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// Cues of distress.
    pub distress: Distress,
    /// BCP 47 tag of the language as read, or `und`.
    pub language: String,
    /// Which reader made it.
    pub model: ModelVersion,
}

impl Default for Affect {
    /// Nothing felt, nothing named, in no language, read by nobody: what other readings differ from.
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
            },
            language: "und".to_owned(),
            model: ModelVersion::new(),
        }
    }
}

/// A post's affect. Its envelope's `at` is the post's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reading {
    /// Which post.
    pub post: PostRef,
    /// Who wrote it.
    pub author: Pseudonym,
    /// What it feels.
    #[serde(flatten)]
    pub affect: Affect,
    /// Subjects that the source named or the text mentions, sorted, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Slug>,
    /// As in the post.
    #[serde(default)]
    pub consent: ConsentState,
    /// As in the post.
    #[serde(default)]
    pub minor: bool,
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
        let old = r#"{"post": {"network": "town", "id": "1"}, "author": "9f86d081884c7d659a2feaa0c55ad015",
            "sentiment": {"label": "neutral", "scores": {}, "compound": 0.0}, "emotions": {"joy": 0.5}, "valence": 0.0,
            "arousal": 0.1, "distress": {"score": 0.0, "cues": []}, "language": "en", "model": "lexicon-1"}"#;
        let reading: Reading = serde_json::from_str(old).unwrap();
        assert_eq!(reading.affect.irony, None);
        let again = serde_json::to_value(&reading).unwrap();
        for newer in ["intensity", "irony", "offence", "hate", "intent", "entities"] {
            assert!(again.get(newer).is_none(), "{newer} was made up");
        }
    }

    #[test]
    fn a_reading_with_everything_comes_back_as_it_was() {
        let some = Some(Probability::new(0.25).unwrap());
        let affect = Affect {
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
            ..Affect::default()
        };
        let text = serde_json::to_string(&affect).unwrap();
        assert!(
            text.contains(r#""intent":{"kind":"churn","score":1.0}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Affect>(&text).unwrap(), affect);
    }
}
