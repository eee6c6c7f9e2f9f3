//! Judges texts of ads that a person has edited, as the stages `creative` and `safety` will.

use limbic_api::JudgeEdits;
use limbic_creative::{CreativeStage, Writer};
use limbic_domain::{Campaign, Creative, TenantId};
use limbic_safety::{AdText, Rules, SafetyStage, judge_ad};

use crate::settings::Settings;

/// The writer and the safety rules of the settings.
pub(crate) struct EditJudge {
    writer: Writer,
    rules: Rules,
}

impl EditJudge {
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            writer: Writer::new(settings.section::<CreativeStage>())?,
            rules: Rules::new(settings.section::<SafetyStage>())?,
        })
    }
}

impl JudgeEdits for EditJudge {
    fn judge(&self, tenant: &TenantId, campaign: &Campaign, edited: &Creative) -> Result<(), String> {
        let edited = self.writer.edit(tenant, campaign, edited)?;
        let rendering = edited.rendering;
        let text = AdText {
            headline: Some(rendering.headline),
            link: Some(rendering.link),
            platform: Some(rendering.platform),
            generator: Some(edited.generator),
            ai_generated: edited.ai_generated,
            declared: campaign.declared.clone(),
            ..AdText::new(rendering.body)
        };
        match judge_ad(&text, &self.rules) {
            None => Ok(()),
            Some(objection) => Err(format!("{} (rule `{}`)", objection.reason, objection.rule.id)),
        }
    }
}
