//! What may be set, and everything that can be wrong with it.

use limbic_domain::{Direction, Slug, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Campaigns, Template, Writer};

/// The settings of the creative stage: `[creative]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether the built-in templates are used. Default: yes.
    pub built_in: bool,
    /// Most ads for one platform in one draft, at least 1. Default: 8.
    pub variants: usize,
    /// Further templates: `[[creative.templates]]`.
    pub templates: Vec<Template>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            built_in: true,
            variants: 8,
            templates: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether every campaign can be written on every platform it names; all that is wrong, at once.
    pub fn check(&self, campaigns: &Campaigns) -> Result<(), SettingsError> {
        Writer::new(self)?.check(campaigns)
    }
}

/// One thing that is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A number is out of its range.
    #[error("creative.{name} = {value}: must be at least {least}")]
    TooSmall {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: usize,
        /// The least that works.
        least: usize,
    },
    /// Two templates of one name.
    #[error("template `{0}` is there twice: give one of them another name")]
    TemplateTwice(Slug),
    /// A template does not compile.
    #[error("template `{template}`, {part}: {problem}")]
    Syntax {
        /// Which.
        template: Slug,
        /// `headline` or `body`.
        part: &'static str,
        /// What the template engine says, with the line.
        problem: String,
    },
    /// A template names a tenant or campaign that does not exist.
    #[error("template `{template}` is for `{wanted}`, and there is no such campaign")]
    NobodysTemplate {
        /// Which.
        template: Slug,
        /// Whom it is for.
        wanted: String,
    },
    /// Two campaigns of one name.
    #[error("campaign {tenant}/{campaign} is there twice: give one of them another name")]
    CampaignTwice {
        /// Whose.
        tenant: TenantId,
        /// Which.
        campaign: Slug,
    },
    /// Something in a campaign cannot be.
    #[error("campaign {tenant}/{campaign}, {field}: {problem}")]
    Field {
        /// Whose.
        tenant: TenantId,
        /// Which.
        campaign: Slug,
        /// The field, for instance `brief.product`.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A template cannot be rendered with a campaign's brief.
    #[error(
        "campaign {tenant}/{campaign}: template `{template}` fails on its brief: {problem}; \
         add the value to the brief, or say in the template's `campaigns` whom it is for"
    )]
    Render {
        /// Whose.
        tenant: TenantId,
        /// Which campaign.
        campaign: Slug,
        /// Which template.
        template: Slug,
        /// What the template engine says.
        problem: String,
    },
    /// No template fits.
    #[error(
        "campaign {tenant}/{campaign} cannot run on `{platform}` when an audience goes {way}: of {tried} templates none \
         fits a headline of {headline} and a body of {body} graphemes ({closest}); \
         shorten the brief, raise the platform's limits, or add a shorter template",
        way = match direction { Direction::Up => "up", Direction::Down => "down" }
    )]
    NothingFits {
        /// Whose.
        tenant: TenantId,
        /// Which campaign.
        campaign: Slug,
        /// Where.
        platform: Slug,
        /// When.
        direction: Direction,
        /// How many templates were tried.
        tried: usize,
        /// The platform's limit.
        headline: usize,
        /// The platform's limit.
        body: usize,
        /// How near the nearest came, for instance `the shortest, plain-short, needs 22 and 14`.
        closest: String,
    },
}

/// Everything that is wrong with the settings or the campaigns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError {
    /// At least one.
    pub problems: Vec<Problem>,
}
