//! A declared category may not be advertised by what people write, in a region of the campaign.

use limbic_domain::{CampaignDraft, Draft};

use crate::gate::Context;
use crate::regions::REGIONS;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const REFUSED_CATEGORY: Rule = Rule {
    id: "refused_category",
    protection: Protection::P8,
    version: 1,
    protects: "people whom the law protects from being chosen for such offers",
    objects_when: "the campaign declares a category that one of its regions refuses to ads chosen by what people write",
    check: Check::Campaign(refused),
};

fn refused(_: &Draft, campaign: &CampaignDraft, _: &Context<'_>) -> Objects {
    let declared = &campaign.declared;
    let applying = declared.regions();
    let packs = REGIONS.iter().filter(|pack| applying.contains(&pack.region));
    let mut refusals = packs.flat_map(|pack| pack.refuses.iter().map(move |refusal| (pack, refusal)));
    let refused = refusals.find(|(_, refusal)| declared.categories.contains(&refusal.category));
    Ok(refused.map(|(pack, refusal)| {
        format!(
            "The campaign is about {}, which may not be advertised by what people write in {} ({}).",
            refusal.category.name(),
            pack.name,
            refusal.source
        )
    }))
}
