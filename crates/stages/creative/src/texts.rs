//! The texts and the pictures of models that ads can be made of.

use std::collections::HashMap;

use limbic_domain::{
    Background, Campaign, Creative, Direction, Factors, PaintedBackground, Platform, Removal, Rendering,
    Slug, TenantId, WrittenTexts, background_id, brief_id,
};
use limbic_stream::Reference;

use crate::brand::objection;
use crate::copy::{Room, fit_texts, id_of, length_of, states_offer};

/// The texts of language models, from the table of the topic `texts`, and the pictures of models, from that of `backgrounds`.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    written: HashMap<(TenantId, Slug), Vec<WrittenTexts>>,
    painted: HashMap<(TenantId, Slug), Vec<PaintedBackground>>,
}

impl Texts {
    /// The texts and the pictures in the tables of the topics `texts` and `backgrounds`. A value that this program cannot read is skipped
    /// with a warning.
    pub(crate) fn read(written: Reference<'_>, painted: Reference<'_>) -> Self {
        let mut texts = Self::default();
        for (key, decoded) in painted.scan::<PaintedBackground>("") {
            match decoded {
                Ok(painted) => texts = texts.with_background(painted.tenant, painted.data),
                Err(error) => {
                    let key = String::from_utf8_lossy(key);
                    tracing::warn!(%key, %error, "a picture of a model cannot be read and is left out: upgrade this program");
                }
            }
        }
        for (key, decoded) in written.scan::<WrittenTexts>("") {
            match decoded {
                Ok(written) => texts = texts.with(written.tenant, written.data),
                Err(error) => {
                    let key = String::from_utf8_lossy(key);
                    tracing::warn!(%key, %error, "texts of a language model cannot be read and are left out: upgrade this program");
                }
            }
        }
        texts
    }

    /// With more texts.
    #[must_use]
    pub fn with(mut self, tenant: TenantId, written: WrittenTexts) -> Self {
        let of_campaign = self
            .written
            .entry((tenant, written.campaign.clone()))
            .or_default();
        of_campaign.push(written);
        self
    }

    /// With a picture.
    #[must_use]
    pub fn with_background(mut self, tenant: TenantId, painted: PaintedBackground) -> Self {
        let of_campaign = self
            .painted
            .entry((tenant, painted.campaign.clone()))
            .or_default();
        of_campaign.push(painted);
        self
    }

    /// The picture behind the campaign's texts, in the shape of its cards. One of another brief than the campaign has is not used.
    pub(crate) fn background(
        &self,
        (tenant, campaign): (&TenantId, &Campaign),
        room: Room<'_>,
    ) -> Option<&Background> {
        let image = &room.picture?.image;
        if campaign.brief.background.trim().is_empty() {
            return None;
        }
        let of_campaign = self.painted.get(&(tenant.clone(), campaign.id.clone()))?;
        let brief = background_id(&campaign.brief);
        let fitting = of_campaign
            .iter()
            .filter(|painted| painted.image == *image && painted.brief == brief);
        // Of several, for instance after a change of the model, the same one whatever order the table is read in.
        let backgrounds = fitting.filter_map(|painted| painted.background.as_ref());
        backgrounds.min_by(|one, other| one.file.cmp(&other.file))
    }

    /// The ads that the texts make for a campaign on a platform, after a change in this direction. Texts of another brief than the
    /// campaign has are not used. Those that the brand kit or the platform no longer takes are noted.
    pub(crate) fn ads(
        &self,
        (tenant, campaign): (&TenantId, &Campaign),
        (platform, room): (&Platform, Room<'_>),
        direction: Direction,
        removals: &mut Vec<Removal>,
    ) -> Vec<Creative> {
        let Some(written) = self.written.get(&(tenant.clone(), campaign.id.clone())) else {
            return Vec::new();
        };
        let brief = brief_id(&campaign.brief);
        let fitting = written.iter().filter(|one| {
            one.platform == platform.name
                && one.brief == brief
                && one.direction.is_none_or(|suited| suited == direction)
        });
        let picture = room.picture(campaign);
        let mut ads = Vec::new();
        for one in fitting {
            for text in &one.texts {
                let generator = format!("llm/{}", one.strategy);
                let rendering = Rendering {
                    platform: platform.name.clone(),
                    headline: text.headline.clone(),
                    body: text.body.clone(),
                    link: campaign.brief.link.clone(),
                };
                let id = id_of((tenant, campaign), &generator, &rendering, picture.as_ref());
                if let Err((rule, reason)) = allowed(campaign, &rendering, room) {
                    Removal::note(removals, rule, &reason, format!("creative/{id}"));
                    continue;
                }
                ads.push(Creative {
                    id,
                    generator,
                    ai_generated: true,
                    generator_version: Some(one.prompt.clone()),
                    model: one.model.clone(),
                    tone: text.tone.clone(),
                    factors: Factors {
                        appeal: Some(text.appeal.clone()),
                        call_to_action: Some(text.call_to_action),
                        offer: Some(states_offer(campaign, &rendering)),
                        length: Some(length_of(&rendering)),
                        image: room.image(),
                    },
                    approval: None,
                    rendering,
                    picture: picture.clone(),
                });
            }
        }
        ads
    }
}

/// Whether the texts still fit, and are allowed by the brand kit. The error has the rule.
fn allowed(campaign: &Campaign, rendering: &Rendering, room: Room<'_>) -> Result<(), (&'static str, String)> {
    let Rendering { headline, body, .. } = rendering;
    let fitted = fit_texts(headline, body, room, false);
    if fitted.as_ref() != Some(&(headline.clone(), body.clone())) {
        return Err((
            "fit",
            format!("A text of a language model does not fit {}.", room.platform.name),
        ));
    }
    for line in [headline, body] {
        if let Some(reason) = objection(&campaign.brief.brand, line) {
            let reason = format!("The brand kit does not allow a text of a language model: {reason}");
            return Err(("brand", reason));
        }
    }
    Ok(())
}
