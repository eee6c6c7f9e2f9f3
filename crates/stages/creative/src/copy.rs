//! Rendered texts, and which of them become ads.

use std::collections::BTreeMap;

use limbic_domain::{
    Background, Brief, Campaign, Creative, Factors, Picture, Platform, Removal, Rendering, Slug, TenantId,
    TextLength, event_id,
};
use limbic_fit::AdFormat;
use minijinja::Value;

use crate::brand::objection;
use crate::similar::Wording;
use crate::text::{clip, graphemes, hidden_character, one_line};
use crate::{Occasion, Template};

/// The names that a template can use.
pub(crate) fn words(campaign: &Campaign, platform: &Platform, occasion: &Occasion<'_>) -> Value {
    let Brief {
        product,
        promise,
        call_to_action,
        link: _,
        offer,
        values,
        background: _,
        brand: _,
    } = &campaign.brief;
    let values = values.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    Value::from_pairs([
        ("product", Value::from(product.as_str())),
        ("promise", Value::from(promise.as_str())),
        ("call_to_action", Value::from(call_to_action.as_str())),
        ("offer", Value::from(offer.as_str())),
        ("values", Value::from_pairs(values)),
        (
            "subject",
            Value::from(occasion.subject.replace(['-', '_', '.'], " ")),
        ),
        ("intent", Value::from(occasion.intent.name())),
        ("brands", occasion.brands.iter().copied().collect::<Value>()),
        ("platform", Value::from(platform.name.as_str())),
    ])
}

/// A rendered headline and body.
#[derive(Clone)]
pub(crate) struct Copy<'a> {
    pub(crate) template: &'a Template,
    pub(crate) headline: String,
    pub(crate) body: String,
}

/// The limits of a campaign's platform: its own, and those of the ad platform's format, if it is known.
#[derive(Clone, Copy)]
pub(crate) struct Room<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) format: Option<&'static AdFormat>,
    /// The picture of its ads, if they have one.
    pub(crate) picture: Option<&'a PictureFormat>,
}

/// The picture that the ads of a platform have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PictureFormat {
    /// As `PLATFORM/FORMAT/IMAGE`.
    pub(crate) image: String,
    /// The name of the image, as a factor.
    pub(crate) name: Slug,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Room<'_> {
    /// The picture of the campaign's ads.
    pub(crate) fn picture(&self, campaign: &Campaign) -> Option<Picture> {
        let format = self.picture?;
        let brief = &campaign.brief;
        Some(Picture {
            image: format.image.clone(),
            width: format.width,
            height: format.height,
            brand: one_line(&brief.product),
            button: one_line(&brief.call_to_action),
            colours: brief.brand.colours.clone(),
            background: None,
        })
    }

    /// The shape of the picture, as a factor.
    pub(crate) fn image(&self) -> Option<Slug> {
        self.picture.map(|format| format.name.clone())
    }
}

impl Copy<'_> {
    /// The graphemes of headline and body.
    pub(crate) fn size(&self) -> (usize, usize) {
        (graphemes(&self.headline), graphemes(&self.body))
    }

    /// The copy as it is, with what the format forbids removed. `None` if it does not fit.
    fn whole(&self, room: Room<'_>) -> Option<Self> {
        self.fitted(room, false)
    }

    /// The copy with its body cut. `None` if it does not fit, or if too little of the body remains.
    fn cut(&self, room: Room<'_>) -> Option<Self> {
        self.fitted(room, true)
    }

    fn fitted(&self, room: Room<'_>, cut: bool) -> Option<Self> {
        let (headline, body) = fit_texts(&self.headline, &self.body, room, cut)?;
        Some(Self {
            template: self.template,
            headline,
            body,
        })
    }
}

/// A headline and a body with what the format forbids removed, the body cut if `cut`. `None` if they do not fit, or if too little of
/// the body would remain.
pub(crate) fn fit_texts(headline: &str, body: &str, room: Room<'_>, cut: bool) -> Option<(String, String)> {
    let fit = |name: &str, text: &str| -> Option<String> {
        let Some(field) = room.format.and_then(|format| format.text.get(name)) else {
            return Some(text.to_owned());
        };
        let fitted = field.fit(text).ok()?;
        let shortened = fitted.repairs.contains(&limbic_fit::Repair::Shortened);
        (cut || !shortened).then_some(fitted.text)
    };
    let headline = fit("headline", headline)?;
    let mut body = fit("body", body)?;
    if cut {
        body = clip(&body, room.platform.body)?;
    }
    let fits = graphemes(&headline) <= room.platform.headline && graphemes(&body) <= room.platform.body;
    fits.then_some((headline, body))
}

/// The copies that fit completely. If there are none, those whose body can be cut without losing too much.
pub(crate) fn fitting<'a>(copies: &[Copy<'a>], room: Room<'_>) -> Vec<Copy<'a>> {
    let whole: Vec<_> = copies.iter().filter_map(|copy| copy.whole(room)).collect();
    if whole.is_empty() {
        copies.iter().filter_map(|copy| copy.cut(room)).collect()
    } else {
        whole
    }
}

/// Removes the copies that the brand kit does not allow, and notes them.
pub(crate) fn allowed<'a>(
    copies: Vec<Copy<'a>>,
    campaign: &Campaign,
    platform: &Platform,
    removals: &mut Vec<Removal>,
) -> Vec<Copy<'a>> {
    let kit = &campaign.brief.brand;
    let allow = |copy: &Copy<'a>| {
        let mut texts = [&copy.headline, &copy.body].into_iter();
        let Some(reason) = texts.find_map(|text| objection(kit, text)) else {
            return true;
        };
        let name = &copy.template.name;
        let reason = format!(
            "The brand kit does not allow the template {name} on {}: {reason}",
            platform.name
        );
        Removal::note(removals, "brand", &reason, format!("template/{name}"));
        false
    };
    let mut allow = allow;
    copies.into_iter().filter(|copy| allow(copy)).collect()
}

/// At most `most` ads, no two of them nearly the same, in the order given. If there are more, tones take turns, and so do
/// templates and language models within a tone.
pub(crate) fn chosen(ads: Vec<Creative>, most: usize) -> Vec<Creative> {
    let mut known: Vec<Wording> = Vec::new();
    let mut different = Vec::new();
    for ad in ads {
        let wording = Wording::of(&ad.rendering.headline, &ad.rendering.body);
        if known.iter().any(|other| wording.is_near(other)) {
            continue;
        }
        known.push(wording);
        different.push(ad);
    }
    // The first of each tone come first, then the second, and so on; among them, one of a template and one of a model in turn.
    let mut of_tone: BTreeMap<(&Slug, bool), usize> = BTreeMap::new();
    let mut of_turn: BTreeMap<(usize, bool), usize> = BTreeMap::new();
    let mut turns: Vec<(usize, usize, bool, usize)> = Vec::new();
    for (position, ad) in different.iter().enumerate() {
        let is_by_model = ad.ai_generated;
        let turn = of_tone.entry((&ad.tone, is_by_model)).or_default();
        let place = of_turn.entry((*turn, is_by_model)).or_default();
        turns.push((*turn, *place, is_by_model, position));
        *turn += 1;
        *place += 1;
    }
    turns.sort_unstable();
    turns.truncate(most);
    let mut kept = vec![false; different.len()];
    for (.., position) in turns {
        kept[position] = true;
    }
    let kept = different.into_iter().zip(kept);
    kept.filter_map(|(ad, kept)| kept.then_some(ad)).collect()
}

/// An ad with the texts of a person, which must fit as they are and be allowed by the brand kit. The error has the rule.
pub(crate) fn edited(
    mut ad: Creative,
    (tenant, campaign): (&TenantId, &Campaign),
    room: Room<'_>,
) -> Result<Creative, (&'static str, String)> {
    let Rendering { headline, body, .. } = &ad.rendering;
    for (name, text, most) in [
        ("headline", headline, room.platform.headline),
        ("body", body, room.platform.body),
    ] {
        if text.trim().is_empty() || one_line(text) != *text {
            return Err(("fit", format!("The {name} is not one line of text.")));
        }
        if let Some(hidden) = hidden_character(text) {
            return Err((
                "fit",
                format!(
                    "The {name} contains the hidden character U+{:04X}.",
                    u32::from(hidden)
                ),
            ));
        }
        let length = graphemes(text);
        if length > most {
            return Err((
                "fit",
                format!(
                    "The {name} has {length} graphemes, and {} takes {most}.",
                    room.platform.name
                ),
            ));
        }
        if let Some(field) = room.format.and_then(|format| format.text.get(name)) {
            let fitted = field
                .fit(text)
                .map_err(|error| ("fit", format!("The {name} does not fit: {error}.")))?;
            if fitted.text != *text {
                return Err((
                    "fit",
                    format!(
                        "The {name} does not fit {} as it is: “{}” would.",
                        room.platform.name, fitted.text
                    ),
                ));
            }
        }
        if let Some(reason) = objection(&campaign.brief.brand, text) {
            return Err((
                "brand",
                format!("The brand kit does not allow the {name}: {reason}"),
            ));
        }
    }
    let background = ad.picture.take().and_then(|picture| picture.background);
    ad.picture = room.picture(campaign);
    ad.factors.image = room.image();
    if let Some(background) = background {
        set_background(&mut ad, background);
    }
    ad.id = id_of(
        (tenant, campaign),
        &ad.generator,
        &ad.rendering,
        ad.picture.as_ref(),
    );
    ad.factors.offer = Some(states_offer(campaign, &ad.rendering));
    ad.factors.length = Some(length_of(&ad.rendering));
    Ok(ad)
}

/// The id of an ad: a function of tenant, campaign, generator, platform, texts, link and picture.
pub(crate) fn id_of(
    (tenant, campaign): (&TenantId, &Campaign),
    generator: &str,
    rendering: &Rendering,
    picture: Option<&Picture>,
) -> String {
    let mut causes = vec![
        tenant.as_str(),
        campaign.id.as_str(),
        // Ads of templates had their ids before there were other generators.
        generator.strip_prefix("template/").unwrap_or(generator),
        rendering.platform.as_str(),
        &rendering.headline,
        &rendering.body,
        &rendering.link,
    ];
    // An ad without a picture had its id before there were pictures.
    if let Some(picture) = picture {
        causes.extend([&*picture.image, &*picture.brand, &*picture.button]);
        causes.extend(picture.colours.iter().map(String::as_str));
        causes.extend(picture.background.iter().map(|background| &*background.file));
    }
    event_id("creative", &causes)
}

/// The same ad over this picture: another ad, which nobody has approved. `None` if it has no card.
pub(crate) fn painted(
    ad: &Creative,
    (tenant, campaign): (&TenantId, &Campaign),
    background: &Background,
) -> Option<Creative> {
    let mut ad = ad.clone();
    ad.picture.as_ref()?;
    set_background(&mut ad, background.clone());
    ad.ai_generated = true;
    ad.approval = None;
    ad.id = id_of(
        (tenant, campaign),
        &ad.generator,
        &ad.rendering,
        ad.picture.as_ref(),
    );
    Some(ad)
}

/// Lays a card over this picture. Its shape as a factor says so, for instance `landscape-painted`.
fn set_background(ad: &mut Creative, background: Background) {
    let image = ad.factors.image.as_ref().map(|image| format!("{image}-painted"));
    ad.factors.image = image.and_then(|image| Slug::new(&image).ok());
    if let Some(picture) = &mut ad.picture {
        picture.background = Some(background);
    }
}

pub(crate) fn states_offer(campaign: &Campaign, rendering: &Rendering) -> bool {
    let offer = &campaign.brief.offer;
    !offer.trim().is_empty() && (rendering.headline.contains(offer) || rendering.body.contains(offer))
}

pub(crate) fn length_of(rendering: &Rendering) -> TextLength {
    TextLength::of(graphemes(&rendering.headline) + graphemes(&rendering.body))
}

/// The ad of a copy.
pub(crate) fn creative(tenant: &TenantId, campaign: &Campaign, room: Room<'_>, copy: Copy<'_>) -> Creative {
    let template = copy.template;
    let generator = format!("template/{}", template.name);
    let rendering = Rendering {
        platform: room.platform.name.clone(),
        headline: copy.headline,
        body: copy.body,
        link: campaign.brief.link.clone(),
    };
    let picture = room.picture(campaign);
    Creative {
        id: id_of((tenant, campaign), &generator, &rendering, picture.as_ref()),
        generator,
        ai_generated: false,
        generator_version: Some(template.generator_version()),
        tone: template.tone.clone(),
        factors: Factors {
            appeal: template.appeal.clone(),
            call_to_action: template.call_to_action,
            offer: Some(states_offer(campaign, &rendering)),
            length: Some(length_of(&rendering)),
            image: room.image(),
        },
        model: None,
        approval: None,
        rendering,
        picture,
    }
}
