//! An ad as the rules see it.

use limbic_domain::{CampaignDraft, Creative, Declaration, Slug};
use serde::Deserialize;

use crate::Rules;
use crate::gate::guarded;
use crate::reading::Reading;
use crate::rule::{Check, Rule};
use crate::rules::{RULE_FAILED, RULES, cannot_be_judged};

/// An ad, with what the rules need to know of its campaign and its audience.
pub(crate) struct Ad<'a> {
    pub(crate) rules: &'a Rules,
    /// The name of each part and its text.
    pub(crate) texts: Vec<(&'static str, &'a str)>,
    /// The web address that a click opens, if the ad has one.
    pub(crate) link: Option<&'a str>,
    pub(crate) platform: Option<&'a Slug>,
    pub(crate) generator: &'a str,
    pub(crate) ai_generated: bool,
    /// The model that painted the picture behind its texts, if there is one.
    pub(crate) painter: Option<&'a str>,
    pub(crate) declared: &'a Declaration,
    /// The audience is in a negative feeling of high arousal.
    pub(crate) is_to_upset_people: bool,
    /// A person must approve it, and nobody has.
    pub(crate) awaits_review: bool,
    /// All texts, read as one: `Feeling` may stand in the headline and `sad?` in the body.
    pub(crate) copy: Reading,
}

impl<'a> Ad<'a> {
    /// An ad of a draft.
    pub(crate) fn of(
        creative: &'a Creative,
        campaign: &'a CampaignDraft,
        is_to_upset_people: bool,
        rules: &'a Rules,
    ) -> Self {
        let rendering = &creative.rendering;
        let mut texts = vec![
            ("headline", rendering.headline.as_str()),
            ("body", rendering.body.as_str()),
        ];
        if let Some(picture) = &creative.picture {
            let on_it = [
                ("brand on the picture", picture.brand.as_str()),
                ("button on the picture", picture.button.as_str()),
            ];
            texts.extend(on_it.into_iter().filter(|(_, text)| !text.is_empty()));
        }
        Self {
            rules,
            copy: copy(&texts),
            texts,
            link: Some(&rendering.link),
            platform: Some(&rendering.platform),
            generator: &creative.generator,
            ai_generated: creative.ai_generated,
            painter: creative
                .picture
                .as_ref()
                .and_then(|picture| Some(&*picture.background.as_ref()?.model)),
            declared: &campaign.declared,
            is_to_upset_people,
            awaits_review: campaign.review.demands_review(creative.ai_generated)
                && creative.approval.is_none(),
        }
    }

    /// The first objection of the rules about ads among `all`.
    pub(crate) fn objection<'r>(&self, all: &'r [Rule]) -> Result<Option<(&'r Rule, String)>, String> {
        for rule in all {
            if let Check::Ad(check) = rule.check
                && let Some(reason) = guarded(|| check(self))?
            {
                return Ok(Some((rule, reason)));
            }
        }
        Ok(None)
    }
}

fn copy(texts: &[(&'static str, &str)]) -> Reading {
    let texts: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
    Reading::of(&texts.join(" "))
}

/// A text to be judged by itself, outside a campaign: what `limbic safety test` reads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdText {
    /// The headline, if there is one.
    #[serde(default)]
    pub headline: Option<String>,
    /// The text.
    pub body: String,
    /// The web address, if there is one.
    #[serde(default)]
    pub link: Option<String>,
    /// The ad platform, whose limits apply.
    #[serde(default)]
    pub platform: Option<Slug>,
    /// What wrote the text, as in [`Creative::generator`]. Default: `template/by-hand`.
    #[serde(default)]
    pub generator: Option<String>,
    /// As in [`Creative::ai_generated`].
    #[serde(default)]
    pub ai_generated: bool,
    /// Whether the ad is for an audience in a negative feeling of high arousal.
    #[serde(default)]
    pub to_upset_people: bool,
    /// What the campaign declares.
    #[serde(default)]
    pub declared: Declaration,
}

impl AdText {
    /// A text without a headline.
    pub fn new(body: impl Into<String>) -> Self {
        Self {
            headline: None,
            body: body.into(),
            link: None,
            platform: None,
            generator: None,
            ai_generated: false,
            to_upset_people: false,
            declared: Declaration::default(),
        }
    }
}

/// Why an ad may not run.
#[derive(Debug, Clone, PartialEq)]
pub struct Objection {
    /// The rule.
    pub rule: &'static Rule,
    /// The reason, in one sentence.
    pub reason: String,
}

/// Judges a text by the rules about ads. `None` = they have no objection. A rule that fails is an objection.
pub fn judge_ad(text: &AdText, rules: &Rules) -> Option<Objection> {
    let headline = text.headline.as_deref().map(|headline| ("headline", headline));
    let texts: Vec<_> = headline
        .into_iter()
        .chain([("body", text.body.as_str())])
        .collect();
    let ad = Ad {
        rules,
        copy: copy(&texts),
        texts,
        link: text.link.as_deref(),
        platform: text.platform.as_ref(),
        generator: text.generator.as_deref().unwrap_or("template/by-hand"),
        ai_generated: text.ai_generated,
        painter: None,
        declared: &text.declared,
        is_to_upset_people: text.to_upset_people,
        // The text is judged as the person sees it who approves it.
        awaits_review: false,
    };
    match ad.objection(&RULES) {
        Ok(None) => None,
        Ok(Some((rule, reason))) => Some(Objection { rule, reason }),
        Err(error) => Some(Objection {
            rule: &RULE_FAILED,
            reason: cannot_be_judged(&error),
        }),
    }
}
