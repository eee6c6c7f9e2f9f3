//! Prompt strategies: versioned files with instructions, a prompt and examples.

use std::sync::LazyLock;

use limbic_domain::{Campaign, Direction, GeneratorVersion, Platform, Slug, TenantId, WrittenText, event_id};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::model::prompt_hash;
use super::{GenerateSettings, TextOrder};

/// The files, in the order in which they are used.
const FILES: [&str; 2] = [
    include_str!("../../strategies/lively.toml"),
    include_str!("../../strategies/quiet.toml"),
];

/// A strategy of prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Strategy {
    /// The name, unique.
    name: Slug,
    /// The version, which its author raises with each change.
    version: u32,
    /// The direction of the moments that it suits. Absent = both.
    #[serde(default)]
    direction: Option<Direction>,
    /// The tones that a text may have.
    tones: Vec<Slug>,
    /// What a text may appeal to.
    appeals: Vec<Slug>,
    /// Maximum number of tokens of the reply.
    max_tokens: u32,
    /// Instructions for the model.
    system: String,
    /// The prompt, in the syntax of minijinja.
    prompt: String,
    /// Briefs with good texts.
    examples: Vec<Example>,
}

/// A brief with good texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    brief: BriefForModel,
    texts: Vec<WrittenText>,
}

/// What a model learns of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BriefForModel {
    product: String,
    promise: String,
    call_to_action: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    offer: String,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    facts: std::collections::BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    claims: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    never_say: Vec<String>,
}

impl BriefForModel {
    fn of(campaign: &Campaign) -> Self {
        let brief = &campaign.brief;
        Self {
            product: brief.product.clone(),
            promise: brief.promise.clone(),
            call_to_action: brief.call_to_action.clone(),
            offer: brief.offer.clone(),
            facts: brief.values.clone(),
            claims: brief.brand.claims.clone().unwrap_or_default(),
            never_say: brief.brand.banned_words.clone(),
        }
    }

    /// One line of JSON: a text in it cannot end it.
    fn line(&self) -> String {
        serde_json::to_string(self).expect("a brief has string keys")
    }
}

/// The strategies with their compiled prompts.
#[derive(Debug)]
pub(crate) struct Strategies {
    environment: Environment<'static>,
    all: Vec<Strategy>,
}

static BUILT_IN: LazyLock<Strategies> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let all: Vec<Strategy> = FILES
        .iter()
        .map(|file| toml::from_str(file).expect("a built-in strategy is valid: a test reads it"))
        .collect();
    for strategy in &all {
        environment
            .add_template_owned(strategy.name.to_string(), strategy.prompt.clone())
            .expect("a built-in prompt compiles: a test reads it");
    }
    Strategies { environment, all }
});

impl Strategies {
    /// The built-in strategies.
    pub(crate) fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// The orders of a campaign: one for each ad platform and each strategy that suits the campaign. None if no model is set up.
    pub(crate) fn orders(
        &self,
        tenant: &TenantId,
        campaign: &Campaign,
        settings: &GenerateSettings,
    ) -> Vec<TextOrder> {
        if settings.model.is_empty() {
            return Vec::new();
        }
        let suits = |strategy: &&Strategy| match (campaign.direction, strategy.direction) {
            (Some(wanted), Some(suited)) => wanted == suited,
            _ => true,
        };
        let suited: Vec<&Strategy> = self.all.iter().filter(suits).collect();
        let platforms = campaign.platforms.iter();
        platforms
            .flat_map(|platform| suited.iter().map(move |strategy| (platform, *strategy)))
            .filter_map(|(platform, strategy)| self.order(tenant, campaign, platform, strategy, settings))
            .collect()
    }

    /// `None` if the brand kit allows none of the strategy's tones.
    fn order(
        &self,
        tenant: &TenantId,
        campaign: &Campaign,
        platform: &Platform,
        strategy: &Strategy,
        settings: &GenerateSettings,
    ) -> Option<TextOrder> {
        let kit = &campaign.brief.brand.tones;
        let allowed = |tone: &&Slug| kit.is_empty() || kit.contains(tone);
        let tones: Vec<Slug> = strategy.tones.iter().filter(allowed).cloned().collect();
        if tones.is_empty() {
            return None;
        }
        let prompt = self.prompt(strategy, campaign, platform, (&tones, settings.texts));
        let schema = schema(&tones, &strategy.appeals);
        let system = strategy.system.trim();
        let hash = prompt_hash(system, &prompt, &schema);
        let causes = [
            tenant.as_str(),
            campaign.id.as_str(),
            platform.name.as_str(),
            strategy.name.as_str(),
            &settings.model,
            &hash,
        ];
        Some(TextOrder {
            id: event_id("text_order", &causes),
            tenant: tenant.clone(),
            campaign: campaign.clone(),
            platform: platform.clone(),
            direction: strategy.direction,
            strategy: strategy.name.clone(),
            tones,
            appeals: strategy.appeals.clone(),
            prompt_version: GeneratorVersion {
                version: strategy.version,
                hash,
            },
            model: settings.model.clone(),
            system: system.to_owned(),
            prompt,
            schema,
            max_tokens: strategy.max_tokens,
            round: 0,
            past: Vec::new(),
        })
    }

    fn prompt(
        &self,
        strategy: &Strategy,
        campaign: &Campaign,
        platform: &Platform,
        (tones, count): (&[Slug], usize),
    ) -> String {
        let examples: Vec<Value> = strategy
            .examples
            .iter()
            .map(|example| {
                let answer = json!({"texts": example.texts}).to_string();
                context! { brief => example.brief.line(), answer }
            })
            .collect();
        let names: Vec<&str> = tones.iter().map(Slug::as_str).collect();
        let words = context! {
            brief => BriefForModel::of(campaign).line(),
            examples,
            count,
            headline => platform.headline,
            body => platform.body,
            tones => names.join(", "),
        };
        let compiled = self.environment.get_template(strategy.name.as_str());
        let rendered = compiled.and_then(|template| template.render(words));
        rendered
            .expect("a built-in prompt uses known names: a test renders it")
            .trim()
            .to_owned()
    }
}

/// The JSON Schema of a reply. Every field is required and no other is allowed, as the providers' strict modes demand.
fn schema(tones: &[Slug], appeals: &[Slug]) -> serde_json::Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["texts"],
        "properties": {"texts": {"type": "array", "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["headline", "body", "tone", "appeal", "call_to_action"],
            "properties": {
                "headline": {"type": "string"},
                "body": {"type": "string"},
                "tone": {"type": "string", "enum": tones},
                "appeal": {"type": "string", "enum": appeals},
                "call_to_action": {"type": "string", "enum": ["none", "invitation", "direct"]},
            }
        }}}
    })
}
