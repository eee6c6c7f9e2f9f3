//! An ad, or the name of its campaign, is of a regulated category that the campaign does not declare.

use limbic_domain::{CampaignDraft, Draft, RegulatedCategory};

use crate::ad::Ad;
use crate::gate::Context;
use crate::reading::Reading;
use crate::rule::{Check, Objects, Protection, Rule};
use crate::words::Found;

pub(super) const UNDECLARED_CAMPAIGN: Rule = Rule {
    id: "undeclared_campaign",
    protection: Protection::P8,
    version: 2,
    protects: "people whom the law protects in credit, housing, employment, politics, gambling, alcohol and medicines",
    objects_when: "the campaign's name is of a regulated category that `declared.categories` does not list",
    check: Check::Campaign(campaign),
};

pub(super) const UNDECLARED_CATEGORY: Rule = Rule {
    id: "undeclared_category",
    protection: Protection::P8,
    version: 2,
    protects: "people whom the law protects in credit, housing, employment, politics, gambling, alcohol and medicines",
    objects_when: "the ad's texts or link are of a regulated category that `declared.categories` does not list",
    check: Check::Ad(ad),
};

fn campaign(_: &Draft, campaign: &CampaignDraft, context: &Context<'_>) -> Objects {
    let name = campaign.campaign.as_str();
    let found = context.rules.lexicon.regulated_name(name);
    let declared = &campaign.declared.categories;
    Ok(undeclared(found, declared).map(|(category, found)| {
        format!("The campaign `{name}` is about {category} (`{found}`), which it does not declare: {ADVICE}.")
    }))
}

fn ad(ad: &Ad<'_>) -> Objects {
    let lexicon = &ad.rules.lexicon;
    let mut found = lexicon.regulated(&ad.copy);
    if let Some(link) = ad.link {
        found.extend(lexicon.regulated(&Reading::of_link(link)));
    }
    Ok(
        undeclared(found, &ad.declared.categories).map(|(category, found)| {
            format!("The ad is about {category} (`{found}`), which its campaign does not declare: {ADVICE}.")
        }),
    )
}

const ADVICE: &str = "set `declared.categories` if it is, or change the words if it is not";

fn undeclared(
    found: Vec<(RegulatedCategory, Found)>,
    declared: &std::collections::BTreeSet<RegulatedCategory>,
) -> Option<(&'static str, String)> {
    let mut found = found.into_iter();
    let (category, found) = found.find(|(category, _)| !declared.contains(category))?;
    Some((category.name(), found.entry))
}
