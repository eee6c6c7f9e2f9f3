//! Ads: drafts before the safety gate, creative sets behind it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Approval, AudienceId, Change, Declaration, Direction, Micros, MoodSummary, Picture, Pseudonym, Recipient,
    Record, ReviewMode, Slug, Transparency,
};

/// The texts of an ad, within the limits of one ad platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rendering {
    /// The ad platform.
    pub platform: Slug,
    /// One line.
    pub headline: String,
    /// One line.
    pub body: String,
    /// The web address that a click opens.
    pub link: String,
}

/// One ad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Creative {
    /// A function of campaign, template, platform, texts and picture. The same texts are the same creative in every moment, so a
    /// policy keeps what it learned about them.
    pub id: String,
    /// The template or model that wrote it, for instance `template/celebrate-1`.
    pub generator: String,
    /// An AI model wrote the texts, or painted the picture behind them: the mark that a machine can read (Regulation (EU) 2024/1689, Article 50(2)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ai_generated: bool,
    /// Which version of the template or prompt wrote it. Absent in records of programs that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_version: Option<GeneratorVersion>,
    /// The model that wrote the texts, as `PROVIDER/MODEL`. Absent if no model did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its tone, for instance `celebrate`, `calm`, `plain`.
    pub tone: Slug,
    /// Its other declared factors.
    #[serde(default, skip_serializing_if = "Factors::is_empty")]
    pub factors: Factors,
    /// Who or what approved it. Absent if nobody had to, or nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The texts that a person sees.
    pub rendering: Rendering,
    /// The picture that a person sees. Absent if the ad has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Picture>,
}

/// The version of a template or a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorVersion {
    /// The version that its author gave it, from 1.
    pub version: u32,
    /// The first 16 hexadecimal digits of the BLAKE3 hash of its text: two texts with one version are told apart.
    pub hash: String,
}

/// What an ad does, apart from its tone, as its author declares it. A policy learns the effect of each factor from all ads that
/// share it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Factors {
    /// What the ad appeals to, for instance `benefit`, `occasion`, `ease`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appeal: Option<Slug>,
    /// How the ad asks for something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_to_action: Option<CallToAction>,
    /// Whether the ad states an offer, such as a price or a discount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<bool>,
    /// How long headline and body are together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<TextLength>,
    /// The shape of the ad's picture, for instance `landscape`. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Slug>,
}

impl Factors {
    /// Whether no factor is declared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The declared factors as pairs of name and value.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self {
            appeal,
            call_to_action,
            offer,
            length,
            image,
        } = self;
        let offer = offer.map(|stated| if stated { "stated" } else { "none" });
        [
            ("appeal", appeal.as_ref().map(Slug::as_str)),
            ("call_to_action", call_to_action.map(CallToAction::name)),
            ("offer", offer),
            ("length", length.map(TextLength::name)),
            ("image", image.as_ref().map(Slug::as_str)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// How an ad asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallToAction {
    /// It does not ask.
    None,
    /// It asks without haste ("In your own time: …").
    Invitation,
    /// It asks plainly.
    Direct,
}

impl CallToAction {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Invitation => "invitation",
            Self::Direct => "direct",
        }
    }
}

/// The length of an ad's texts together, in graphemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextLength {
    /// Up to 40.
    Short,
    /// 41 to 100.
    Medium,
    /// More.
    Long,
}

impl TextLength {
    /// The length of so many graphemes.
    pub const fn of(graphemes: usize) -> Self {
        match graphemes {
            0..=40 => Self::Short,
            41..=100 => Self::Medium,
            _ => Self::Long,
        }
    }

    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Medium => "medium",
            Self::Long => "long",
        }
    }
}

/// What one rule removed from a draft, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removal {
    /// The rule, for instance `distress`, `consent`, `minor`, `sensitive_category`.
    pub rule: String,
    /// One sentence, true of everything in [`Removal::removed`].
    pub reason: String,
    /// What was removed, at least one: `creative/ID`, `person/PSEUDONYM` or `template/NAME`.
    pub removed: Vec<String>,
}

impl Removal {
    /// Adds one removal to `removals`. Those with the same rule and reason share an entry, so that the reason is
    /// written once.
    pub fn note(removals: &mut Vec<Self>, rule: &str, reason: &str, removed: String) {
        let same = removals
            .iter_mut()
            .find(|removal| removal.rule == rule && removal.reason == reason);
        match same {
            Some(removal) => removal.removed.push(removed),
            None => removals.push(Self {
                rule: rule.to_owned(),
                reason: reason.to_owned(),
                removed: vec![removed],
            }),
        }
    }
}

/// The ads of one campaign in a [`Draft`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CampaignDraft {
    /// The campaign.
    pub campaign: Slug,
    /// The most that one delivery may cost.
    pub bid: Micros,
    /// Whether the audience's subject is the campaign's own brand or product.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_brand: bool,
    /// As in the campaign: a hold on one of these subjects holds the campaign for every audience.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brands: Vec<Slug>,
    /// As in the campaign.
    #[serde(default, skip_serializing_if = "Declaration::is_empty")]
    pub declared: Declaration,
    /// Which of its ads may not run before a person has approved them.
    #[serde(default, skip_serializing_if = "ReviewMode::is_none")]
    pub review: ReviewMode,
    /// The ads to choose from.
    pub creatives: Vec<Creative>,
    /// Templates that could not be rendered, with the rule `render`, those whose text the brand kit does not allow, with the
    /// rule `brand`, texts of a person that do not fit, with the rule `fit`, and ads that a person rejected, with the rule `rejected`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
}

/// Ads for one moment before the safety gate. Its envelope's `at` is the moment's.
///
/// One record contains the ads of many campaigns, so that the people of a moment are stored once and not for each
/// campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Draft {
    /// The moment's id.
    pub moment: String,
    /// The audience whose mood changed.
    pub audience: AudienceId,
    /// The direction of the change.
    pub direction: Direction,
    /// The posts since the change began.
    pub change: Change,
    /// The audience's decayed state, with the posts before the change.
    pub mood: MoodSummary,
    /// The people that the moment could reach.
    pub people: Vec<Recipient>,
    /// The campaigns that want the moment, at least one.
    pub campaigns: Vec<CampaignDraft>,
}

impl Record for Draft {
    const TYPE: &'static str = "draft";
    const VERSION: u32 = 1;
}

/// What the safety gate cleared for one campaign and moment. Its envelope's `at` is the moment's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreativeSet {
    /// The moment's id.
    pub moment: String,
    /// The campaign.
    pub campaign: Slug,
    /// The most that one delivery may cost.
    pub bid: Micros,
    /// The audience whose mood changed.
    pub audience: AudienceId,
    /// The direction of the change.
    pub direction: Direction,
    /// What the audience feels now: the posts since the change began.
    pub mood: MoodSummary,
    /// The people whom an ad may reach, at least one, each once.
    pub people: Vec<Pseudonym>,
    /// Those of `people` who are in a negative feeling, in the same order. Stricter frequency caps hold for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_negative_feeling: Vec<Pseudonym>,
    /// The ads to choose from, at least one.
    pub creatives: Vec<Creative>,
    /// What did not pass the gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
    /// Who is behind the ads and why they are shown. Absent if no region of the campaign requires it and the campaign does not
    /// say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparency: Option<Transparency>,
    /// The version of the safety rules that cleared it. Nothing is decided without it.
    pub cleared_by: String,
}

impl Record for CreativeSet {
    const TYPE: &'static str = "creative_set";
    const VERSION: u32 = 1;
}
