//! Templates of ads.

use limbic_domain::{
    CallToAction, Campaign, Direction, GeneratorVersion, IntentKind, Moment, Platform, Slug, TenantId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An emotion of an audience that is not stronger than this chooses no template.
const FAINT: f64 = 0.1;

/// The emotions that a template may ask for. Those of grief, fear and anger never choose an ad, and neither do caring, realization and
/// surprise: condolence is caring, and bad news is a surprise.
pub(crate) const PLEASANT: [&str; 14] = [
    "admiration",
    "amusement",
    "anticipation",
    "approval",
    "curiosity",
    "desire",
    "excitement",
    "gratitude",
    "joy",
    "love",
    "optimism",
    "pride",
    "relief",
    "trust",
];

/// A template of an ad, in the syntax of minijinja.
///
/// A template can use `product`, `promise`, `call_to_action`, `offer`, `subject`, `platform` and `values` (the brief's further
/// values). It can also use what the audience writes about: `intent`, the intention that most posts since the change have (`churn`,
/// `complaint`, `purchase`, `praise`, `question`, or `none`), and `brands`, a list of the brands of `affect.brands` that these posts
/// name, most often named first. It can use the filter `sentence`, which adds a full stop if the text does not end like a sentence. An
/// undefined name is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The template's name, unique. A creative's generator is `template/NAME`.
    pub name: Slug,
    /// The template's version, which its author raises with each change. Default: 1.
    #[serde(default = "first")]
    pub version: u32,
    /// The tone of its ads.
    pub tone: Slug,
    /// What its ads appeal to, for instance `benefit` or `occasion`. The policy learns the effect of each appeal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appeal: Option<Slug>,
    /// How its ads ask for something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_to_action: Option<CallToAction>,
    /// The direction of the moments that it suits. Absent = both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The intentions that it suits, of which one is the most frequent in the posts since the change. Empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<IntentKind>,
    /// The emotions that it suits, of which one is the strongest in the posts since the change. Only pleasant emotions are allowed. Empty
    /// = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emotions: Vec<Slug>,
    /// Whether it is only for audiences that write about the campaign's own brand or product. Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_brand: bool,
    /// Whether its text names the audience's subject. It is not used for the campaign's own brand, nor for all subjects together.
    /// Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub names_subject: bool,
    /// Whether it is only for campaigns with an offer. Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_offer: bool,
    /// The tenant that may use it. Absent = every tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The campaigns that may use it. Empty = all. A template with `values` names the campaigns that have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub campaigns: Vec<Slug>,
    /// The platforms that may use it. Empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Slug>,
    /// The template of the headline.
    pub headline: String,
    /// The template of the body.
    pub body: String,
}

const fn first() -> u32 {
    1
}

impl Template {
    /// Whether this campaign of this tenant may use the template, on this platform and on this occasion.
    pub(crate) fn suits(
        &self,
        tenant: &TenantId,
        campaign: &Campaign,
        platform: &Platform,
        occasion: &Occasion<'_>,
    ) -> bool {
        let among = |names: &[Slug], name: &Slug| names.is_empty() || names.contains(name);
        let emotion = occasion.emotion;
        let feels = || emotion.is_some_and(|name| self.emotions.iter().any(|wanted| wanted.as_str() == name));
        let tones = &campaign.brief.brand.tones;
        self.tenant.as_ref().is_none_or(|owner| owner == tenant)
            && among(&self.campaigns, &campaign.id)
            && among(&self.platforms, &platform.name)
            && among(tones, &self.tone)
            && self.direction.is_none_or(|suited| suited == occasion.direction)
            && (self.intents.is_empty() || self.intents.contains(&occasion.intent))
            && (self.emotions.is_empty() || feels())
            && (!self.own_brand || occasion.is_about(campaign))
            && (!self.names_subject || occasion.has_subject_besides(campaign))
            && (!self.needs_offer || !campaign.brief.offer.trim().is_empty())
    }

    /// The version with a hash of the texts and of what decides when they are used.
    pub(crate) fn generator_version(&self) -> GeneratorVersion {
        let text = serde_json::to_string(self).expect("a template has string keys");
        let hash = blake3::hash(text.as_bytes()).to_hex();
        GeneratorVersion {
            version: self.version,
            hash: hash[..16].to_owned(),
        }
    }
}

/// What ads are written for.
#[derive(Debug, Clone)]
pub struct Occasion<'a> {
    /// The audience's subject.
    pub subject: &'a str,
    /// The direction of the moment.
    pub direction: Direction,
    /// The intention that most posts since the change have.
    pub intent: IntentKind,
    /// The strongest emotion of these posts. `None` if none is more than faint.
    pub emotion: Option<&'a str>,
    /// The brands that these posts name, most often named first.
    pub brands: Vec<&'a str>,
}

impl<'a> Occasion<'a> {
    /// An occasion of which only subject and direction are known.
    pub const fn new(subject: &'a str, direction: Direction) -> Self {
        Self {
            subject,
            direction,
            intent: IntentKind::None,
            emotion: None,
            brands: Vec::new(),
        }
    }

    /// The occasion of a moment.
    pub fn of(moment: &'a Moment) -> Self {
        let counted = moment.change.brands.iter();
        let mut brands: Vec<(&str, u64)> = counted.map(|(name, count)| (name.as_str(), *count)).collect();
        // Stable: of equal counts, the names are in order.
        brands.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let emotions = moment.change.mood.emotions.iter();
        let emotions = emotions.filter(|(_, strength)| **strength > FAINT);
        // Of equal strengths, the first by name.
        let strongest = emotions.rev().max_by(|(_, one), (_, other)| one.total_cmp(other));
        Self {
            intent: moment.change.intent(),
            emotion: strongest.map(|(name, _)| name.as_str()),
            brands: brands.into_iter().map(|(name, _)| name).collect(),
            ..Self::new(moment.audience.subject(), moment.direction)
        }
    }

    /// Whether the audience writes about the campaign's own brand or product.
    fn is_about(&self, campaign: &Campaign) -> bool {
        let mut named = self.brands.iter().copied().chain([self.subject]);
        named.any(|name| campaign.is_own_brand(name))
    }

    /// Whether there is a subject that an ad of the campaign can name beside its product.
    fn has_subject_besides(&self, campaign: &Campaign) -> bool {
        /// The subject of audiences that are divided by people alone.
        const ALL: &str = "all";
        self.subject != ALL && !self.is_about(campaign)
    }
}

/// The files of built-in templates, one for each tone, in the order in which they are used.
const BUILT_IN: [&str; 5] = [
    include_str!("../templates/celebrate.toml"),
    include_str!("../templates/bright.toml"),
    include_str!("../templates/calm.toml"),
    include_str!("../templates/practical.toml"),
    include_str!("../templates/plain.toml"),
];

/// The built-in templates. [`crate::Settings::built_in`] can switch them off.
///
/// No template mentions a person's feelings. Templates for a good moment are cheerful, templates for a bad one are quiet.
pub fn built_in() -> Vec<Template> {
    BUILT_IN.iter().flat_map(|file| read(file)).collect()
}

/// The templates of a file: tone and direction are written once for all of them.
fn read(file: &str) -> Vec<Template> {
    let mut file: toml::Table = toml::from_str(file).expect("a built-in file is TOML: a test reads it");
    let templates = file.remove("templates").expect("a built-in file has templates");
    let toml::Value::Array(templates) = templates else {
        unreachable!("a built-in file lists its templates")
    };
    templates
        .into_iter()
        .map(|template| {
            let mut fields = file.clone();
            if let toml::Value::Table(own) = template {
                fields.extend(own);
            }
            toml::Value::Table(fields)
                .try_into()
                .expect("a built-in template is valid: a test reads it")
        })
        .collect()
}
