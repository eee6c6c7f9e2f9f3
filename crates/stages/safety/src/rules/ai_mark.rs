//! A text that an AI model wrote, or a picture that it painted, without the mark that says so.

use super::required;
use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const AI_MARK: Rule = Rule {
    id: "ai_mark",
    protection: Protection::P9,
    version: 2,
    protects: "people who want to know whether a person or a machine speaks to them",
    objects_when: "anything but a template wrote the ad, or a model painted the picture behind its texts, `ai_generated` is not set, and a region \
                   of the campaign requires the mark",
    check: Check::Ad(unmarked),
};

/// What a template wrote. Everything else counts as an AI model, so that a new generator is marked from its first day.
const BY_TEMPLATE: &str = "template/";

fn unmarked(ad: &Ad<'_>) -> Objects {
    if ad.ai_generated {
        return Ok(None);
    }
    if let Some(painter) = ad.painter {
        return Ok(required(ad.declared, AI_MARK.id).map(|source| {
            format!("`{painter}` painted the picture behind the texts, and the ad is not marked, which {source} requires.")
        }));
    }
    if ad.generator.starts_with(BY_TEMPLATE) {
        return Ok(None);
    }
    Ok(required(ad.declared, AI_MARK.id).map(|source| {
        format!(
            "`{}` is not a template, and the ad is not marked as written by an AI model, which {source} requires.",
            ad.generator
        )
    }))
}
