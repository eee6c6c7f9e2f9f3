//! The settings of the creative stage, and their problems.

use std::collections::BTreeMap;

use limbic_domain::{Direction, Slug, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Campaigns, GenerateSettings, PaintSettings, ReviewSettings, Template, Writer};

/// The settings of the creative stage: `[creative]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether the built-in templates are used. Default: yes.
    pub built_in: bool,
    /// Maximum number of ads for one platform in one draft, at least 1. Tones take turns, so that each has some. Default: 8.
    pub variants: usize,
    /// The format of ad platforms, as `PLATFORM/FORMAT` of the file of limits, for instance `social = "x/post"`. Texts for a platform
    /// that is listed here must also fit its format, counted as the platform counts. Default: none.
    pub formats: BTreeMap<Slug, String>,
    /// The picture of the ads on an ad platform, as an image of its format, for instance `social = "landscape"`. It is drawn when an ad is
    /// delivered, by a program that was built with the feature `render`. Default: none.
    pub pictures: BTreeMap<Slug, String>,
    /// Which ads wait for a person.
    pub review: ReviewSettings,
    /// Texts by language models.
    pub generate: GenerateSettings,
    /// Pictures by models, behind the texts of cards.
    pub paint: PaintSettings,
    /// Additional templates: `[[creative.templates]]`.
    pub templates: Vec<Template>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            built_in: true,
            variants: 8,
            formats: BTreeMap::new(),
            pictures: BTreeMap::new(),
            review: ReviewSettings::default(),
            generate: GenerateSettings::default(),
            paint: PaintSettings::default(),
            templates: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks that every campaign can be written for every platform that it names. The error lists all problems.
    pub fn check(&self, campaigns: &Campaigns) -> Result<(), SettingsError> {
        Writer::new(self)?.check(campaigns)
    }
}

/// A problem in the settings or campaigns, and how to correct it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A number is out of its range.
    #[error("creative.{name} = {value}: must be at least {least}")]
    TooSmall {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: usize,
        /// The smallest valid value.
        least: usize,
    },
    /// A setting of the texts by language models is out of its range.
    #[error("creative.generate.{name} = {problem}")]
    Generate {
        /// The setting.
        name: &'static str,
        /// Its value and the range.
        problem: String,
    },
    /// A setting of the pictures by models is out of its range.
    #[error("creative.paint.{name} = {problem}")]
    Paint {
        /// The setting.
        name: &'static str,
        /// Its value and the range.
        problem: String,
    },
    /// A format is not in the file of limits.
    #[error("creative.formats.{platform}: {problem}")]
    UnknownFormat {
        /// The ad platform.
        platform: Slug,
        /// The known formats.
        problem: String,
    },
    /// A picture is not of the platform's format.
    #[error("creative.pictures.{platform}: {problem}")]
    Picture {
        /// The ad platform.
        platform: Slug,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// A template asks for an emotion that must not choose an ad.
    #[error(
        "template `{template}` is for the emotion `{emotion}`: an ad is never chosen by an unpleasant emotion; use `direction`, or \
         one of {allowed}"
    )]
    Emotion {
        /// The template's name.
        template: Slug,
        /// The emotion.
        emotion: Slug,
        /// The emotions that are allowed, separated by commas.
        allowed: String,
    },
    /// The settings name a template that does not exist.
    #[error("creative.review.templates: there is no template `{0}`: correct the name, or remove it")]
    UnknownTemplate(Slug),
    /// Two templates have the same name.
    #[error("template `{0}` exists twice: give one of them another name")]
    TemplateTwice(Slug),
    /// A template does not compile.
    #[error("template `{template}`, {part}: {problem}")]
    Syntax {
        /// The template's name.
        template: Slug,
        /// `headline` or `body`.
        part: &'static str,
        /// The template engine's message, with the line.
        problem: String,
    },
    /// A template names a tenant or campaign that does not exist.
    #[error(
        "template `{template}` is for `{wanted}`, but this campaign does not exist: correct the name, or add the campaign"
    )]
    UnknownCampaign {
        /// The template's name.
        template: Slug,
        /// The campaign that it names.
        wanted: String,
    },
    /// Two campaigns of a tenant have the same name.
    #[error("campaign {tenant}/{campaign} exists twice: give one of them another name")]
    CampaignTwice {
        /// The campaign's tenant.
        tenant: TenantId,
        /// The campaign's id.
        campaign: Slug,
    },
    /// A field of a campaign is not valid.
    #[error("campaign {tenant}/{campaign}, {field}: {problem}")]
    Field {
        /// The campaign's tenant.
        tenant: TenantId,
        /// The campaign's id.
        campaign: Slug,
        /// The field, for instance `brief.product`.
        field: String,
        /// The problem and its correction.
        problem: String,
    },
    /// A template cannot be rendered with a campaign's brief.
    #[error(
        "campaign {tenant}/{campaign}: template `{template}` fails on its brief: {problem}; \
         add the value to the brief, or say in the template's `campaigns` whom it is for"
    )]
    Render {
        /// The campaign's tenant.
        tenant: TenantId,
        /// The campaign's id.
        campaign: Slug,
        /// The template's name.
        template: Slug,
        /// The template engine's message.
        problem: String,
    },
    /// No template fits the platform.
    #[error(
        "campaign {tenant}/{campaign} cannot run on `{platform}` when an audience's mood goes {way}: none of {tried} templates \
         fits a headline of {headline} and a body of {body} graphemes ({closest}); \
         shorten the brief, raise the platform's limits, or add a shorter template",
        way = match direction { Direction::Up => "up", Direction::Down => "down" }
    )]
    NothingFits {
        /// The campaign's tenant.
        tenant: TenantId,
        /// The campaign's id.
        campaign: Slug,
        /// The ad platform.
        platform: Slug,
        /// The direction of the moment.
        direction: Direction,
        /// How many templates were tried.
        tried: usize,
        /// The platform's limit of a headline, in graphemes.
        headline: usize,
        /// The platform's limit of a body, in graphemes.
        body: usize,
        /// The limits that the closest template needs, for instance `the closest, plain-short, needs 22 and 14`.
        closest: String,
    },
}

/// All problems of the settings or the campaigns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError {
    /// At least one.
    pub problems: Vec<Problem>,
}
