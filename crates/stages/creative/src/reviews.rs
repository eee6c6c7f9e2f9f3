//! What people decided about ads, and which ads need no person.

use std::collections::{BTreeMap, HashMap, HashSet};

use limbic_domain::{
    Approval, ApprovalRule, Campaign, Creative, Envelope, ReviewMode, ReviewVerdict, Slug, TenantId, Utc,
    Verdict, text_id,
};
use limbic_stream::Reference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which ads wait for a person, and which need none: `[creative.review]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewSettings {
    /// Which ads of every tenant wait for a person: `none`, `ai_texts` (those that a model wrote), `new_texts` (every text that no
    /// person has approved for the tenant) or `all` (every ad). A tenant or a campaign can only be stricter. Default: `ai_texts`.
    pub mode: ReviewMode,
    /// The same for single tenants, for instance `acme = "all"`. Default: none.
    pub tenants: BTreeMap<TenantId, ReviewMode>,
    /// Whether an ad needs no person if one approved the same headline, body and link in another ad of the tenant, and nobody rejected
    /// them. In the mode `all` it has no effect. Default: yes.
    pub same_text: bool,
    /// Templates whose ads need no person. In the mode `all` it has no effect. Default: none.
    pub templates: Vec<Slug>,
}

impl Default for ReviewSettings {
    fn default() -> Self {
        Self {
            mode: ReviewMode::AiTexts,
            tenants: BTreeMap::new(),
            same_text: true,
            templates: Vec::new(),
        }
    }
}

impl ReviewSettings {
    /// What holds for a campaign: the strictest of the three settings.
    pub fn mode_of(&self, tenant: &TenantId, campaign: &Campaign) -> ReviewMode {
        let of_tenant = self.tenants.get(tenant).copied().unwrap_or_default();
        self.mode.max(of_tenant).max(campaign.review.unwrap_or_default())
    }
}

/// The verdicts of people, from the table of the topic `reviews`.
#[derive(Debug, Clone, Default)]
pub struct Reviews {
    /// By `TENANT/CAMPAIGN/CREATIVE`. `None` = there is one, and this program cannot read it.
    verdicts: HashMap<String, Option<ReviewVerdict>>,
    /// Texts of each tenant that a person approved: who, and when.
    approved: HashMap<(TenantId, String), (String, Utc)>,
    /// Texts of each tenant that a person rejected.
    rejected: HashSet<(TenantId, String)>,
}

/// What a verdict makes of an ad.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reviewed {
    /// It stays as it is. Whether it may run without an approval is for the safety gate to say.
    Kept(Creative),
    /// It has the texts of a person, which are to be fitted and judged like all texts.
    Edited(Creative),
    /// It is left out, for this reason.
    Rejected(String),
}

impl Reviews {
    /// The verdicts in a table of the topic `reviews`. An ad whose verdict this program cannot read is left out.
    pub(crate) fn read(table: Reference<'_>) -> Self {
        let mut reviews = Self::default();
        for (key, value) in table.values("") {
            let key = String::from_utf8_lossy(key);
            let Some(ad) = key.strip_suffix("/verdict") else {
                continue;
            };
            match Envelope::<ReviewVerdict>::decode(value) {
                Ok(verdict) => reviews.add(ad.to_owned(), &verdict.tenant, verdict.data),
                Err(error) => {
                    tracing::warn!(%key, %error, "a verdict cannot be read, and its ad does not run: decide again, or upgrade this program");
                    reviews.verdicts.insert(ad.to_owned(), None);
                }
            }
        }
        reviews
    }

    /// With one more verdict.
    #[must_use]
    pub fn with(mut self, tenant: &TenantId, verdict: ReviewVerdict) -> Self {
        let ad = format!("{tenant}/{}/{}", verdict.campaign, verdict.creative);
        self.add(ad, tenant, verdict);
        self
    }

    fn add(&mut self, ad: String, tenant: &TenantId, verdict: ReviewVerdict) {
        let text = (tenant.clone(), verdict.text.clone());
        if let Verdict::Reject { .. } = verdict.verdict {
            self.rejected.insert(text);
        } else {
            let by = (verdict.by.clone(), verdict.at);
            // Of several people who approved a text, the first is named, in whatever order the table is read.
            let known = self.approved.entry(text).or_insert_with(|| by.clone());
            if (by.1, &by.0) < (known.1, &known.0) {
                *known = by;
            }
        }
        self.verdicts.insert(ad, Some(verdict));
    }

    /// An ad with its approval, or with the texts of a person, or why it is left out. `mode` is what holds for its campaign.
    pub(crate) fn apply(
        &self,
        mut creative: Creative,
        (tenant, campaign): (&TenantId, &Slug),
        (mode, settings): (ReviewMode, &ReviewSettings),
    ) -> Reviewed {
        match self.verdicts.get(&format!("{tenant}/{campaign}/{}", creative.id)) {
            Some(None) => Reviewed::Rejected("What a person decided about the ad cannot be read.".to_owned()),
            Some(Some(verdict)) => {
                let approval = |edited_from| Approval {
                    rule: ApprovalRule::Person,
                    by: Some(verdict.by.clone()),
                    at: Some(verdict.at),
                    edited_from,
                };
                match &verdict.verdict {
                    Verdict::Reject { reason } => Reviewed::Rejected(format!(
                        "{} rejected the ad at {}: {reason}",
                        verdict.by, verdict.at
                    )),
                    Verdict::Approve => {
                        creative.approval = Some(approval(None));
                        Reviewed::Kept(creative)
                    }
                    Verdict::Edit { headline, body } => {
                        creative.approval = Some(approval(Some(creative.id.clone())));
                        creative.rendering.headline.clone_from(headline);
                        creative.rendering.body.clone_from(body);
                        Reviewed::Edited(creative)
                    }
                }
            }
            None => {
                creative.approval = self.by_rule(&creative, tenant, mode, settings);
                Reviewed::Kept(creative)
            }
        }
    }

    /// The approval of an ad that needs no verdict of its own.
    fn by_rule(
        &self,
        creative: &Creative,
        tenant: &TenantId,
        mode: ReviewMode,
        settings: &ReviewSettings,
    ) -> Option<Approval> {
        if mode == ReviewMode::All || !mode.demands_review(creative.ai_generated) {
            return None;
        }
        let template = creative.generator.strip_prefix("template/");
        let is_trusted = |name: &str| settings.templates.iter().any(|trusted| trusted.as_str() == name);
        if !creative.ai_generated && template.is_some_and(is_trusted) {
            return Some(Approval {
                rule: ApprovalRule::Template,
                by: None,
                at: None,
                edited_from: None,
            });
        }
        // The person who approved the texts has not seen them over this picture.
        let has_background = creative
            .picture
            .as_ref()
            .is_some_and(|picture| picture.background.is_some());
        let text = (tenant.clone(), text_id(&creative.rendering));
        let (by, at) = self
            .approved
            .get(&text)
            .filter(|_| settings.same_text && !has_background && !self.rejected.contains(&text))?;
        Some(Approval {
            rule: ApprovalRule::SameText,
            by: Some(by.clone()),
            at: Some(*at),
            edited_from: None,
        })
    }
}
