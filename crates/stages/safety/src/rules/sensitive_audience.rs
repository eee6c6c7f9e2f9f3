//! The audience or the campaign is chosen by a special category.

use limbic_domain::{CampaignDraft, Draft};

use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const SENSITIVE_AUDIENCE: Rule = Rule {
    id: "sensitive_audience",
    protection: Protection::P2,
    version: 3,
    protects: "people who would be chosen for their health, belief, politics, sexuality, union, origin, crime or money trouble",
    objects_when: "a word of a sensitive category is in the name of the audience, its subject, the campaign or one of its brands",
    check: Check::Campaign(sensitive),
};

fn sensitive(draft: &Draft, campaign: &CampaignDraft, context: &Context<'_>) -> Objects {
    let brands = campaign.brands.iter().map(|brand| ("brand", brand.to_string()));
    let names = [
        ("audience", draft.audience.as_str().replace(':', "-")),
        ("subject", draft.audience.subject().to_owned()),
        ("campaign", campaign.campaign.as_str().to_owned()),
    ];
    Ok(names.into_iter().chain(brands).find_map(|(what, name)| {
        let found = context.rules.lexicon.sensitive_name(&name)?;
        Some(format!(
            "The {what} `{name}` touches {} (`{}`), which is never a ground for advertising.",
            found.category, found.entry
        ))
    }))
}
