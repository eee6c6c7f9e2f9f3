//! A person's feeling towards an audience's subject: a reading, regrouped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reading::impossible;
use crate::{AudienceId, Emotions, IntentKind, PostRef, Probability, Pseudonym, Record, TextFingerprint};

/// Whether a person agreed to be shown ads on the ground of what they write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentState {
    /// The source does not ask for consent: the network's own terms cover it.
    NotRequired,
    /// They agreed.
    Given,
    /// They said no, or took it back.
    Denied,
    /// The source demands consent and none is known. What silence means.
    #[default]
    Unknown,
}

impl ConsentState {
    /// Whether an ad may be chosen for this person at all.
    pub const fn permits(self) -> bool {
        matches!(self, Self::NotRequired | Self::Given)
    }
}

/// What is known of a person at the time of a feeling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PersonState {
    /// Who.
    pub person: Pseudonym,
    /// Exponentially decayed mean valence in `[-1, 1]`, this post included.
    pub valence: f64,
    /// Exponentially decayed mean arousal in `[0, 1]`.
    pub arousal: f64,
    /// Decayed *maximum* of the distress scores in `[0, 1]`: a cue weighs for days, not for one post.
    pub distress: f64,
    /// Consent as last stated.
    pub consent: ConsentState,
    /// Whether any source ever said or suspected that they are a minor.
    pub minor: bool,
    /// How many posts of theirs were read.
    pub posts: u64,
    /// The account posts like a program: very often, or the same text again and again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automated: bool,
}

/// One post's feeling, as it counts for one audience. Its envelope's `at` is the post's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Feeling {
    /// Which audience it counts for.
    pub audience: AudienceId,
    /// Which post it comes from.
    pub post: PostRef,
    /// The person, as known then.
    pub person: PersonState,
    /// The post's valence in `[-1, 1]`.
    pub valence: f64,
    /// The post's arousal in `[0, 1]`.
    pub arousal: f64,
    /// The post's emotions.
    pub emotions: Emotions,
    /// The post's distress score in `[0, 1]`.
    pub distress: f64,
    /// How likely the post is about a death, a disaster or violence.
    #[serde(default = "impossible", skip_serializing_if = "Probability::is_zero")]
    pub sensitive_event: Probability,
    /// The post is in a language in which distress and sensitive events are not read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// The probability that the post is offensive. Absent if it is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offence: Option<Probability>,
    /// The probability that the post attacks people because of a group that they belong to. Absent if it is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hate: Option<Probability>,
    /// The intention of the post. Absent if it is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<IntentKind>,
    /// The brands that the post names, by their names in the settings, at most 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brands: Vec<String>,
    /// The post most likely means the opposite of what it says, or its language is not read: its valence and emotions count for nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ironic: bool,
    /// The fingerprint of the text, by which copies are noticed. A very short text has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<TextFingerprint>,
    /// The person said this elsewhere: it counts for nothing here, but what is known of the person protects them here too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protects: bool,
}

impl Record for Feeling {
    const TYPE: &'static str = "feeling";
    const VERSION: u32 = 1;
}
