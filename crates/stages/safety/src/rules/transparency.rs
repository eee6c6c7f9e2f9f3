//! Nobody is named as the advertiser where the law requires it.

use limbic_domain::{CampaignDraft, Declaration, Direction, Draft, Transparency};

use super::required;
use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const TRANSPARENCY: Rule = Rule {
    id: "transparency",
    protection: Protection::P7,
    version: 1,
    protects: "people who want to know who is behind an ad and why they see it",
    objects_when: "a region of the campaign requires it, and `declared.advertiser` is not set",
    check: Check::Campaign(anonymous),
};

fn anonymous(_: &Draft, campaign: &CampaignDraft, _: &Context<'_>) -> Objects {
    Ok(missing_advertiser(&campaign.declared))
}

/// Why a campaign with this declaration is not shown: nobody is named as the advertiser, and one of its regions requires it. `None` if
/// nothing is missing.
pub fn missing_advertiser(declared: &Declaration) -> Option<String> {
    if said(declared.advertiser.as_ref()).is_some() {
        return None;
    }
    let source = required(declared, TRANSPARENCY.id)?;
    Some(format!(
        "The campaign does not say who advertises, which {source} requires: set `declared.advertiser` in the campaign's settings."
    ))
}

fn said(name: Option<&String>) -> Option<&str> {
    name.map(|name| name.trim()).filter(|name| !name.is_empty())
}

/// What the ads of a campaign say about themselves. `None` if the advertiser is not known.
pub(crate) fn record(draft: &Draft, campaign: &CampaignDraft) -> Option<Transparency> {
    let advertiser = said(campaign.declared.advertiser.as_ref())?;
    let subject = draft.audience.subject();
    let turn = match draft.direction {
        Direction::Up => "more pleasant",
        Direction::Down => "less pleasant",
    };
    Some(Transparency {
        advertiser: advertiser.to_owned(),
        payer: said(campaign.declared.payer.as_ref())
            .unwrap_or(advertiser)
            .to_owned(),
        parameters: vec![
            format!(
                "The ad is for people who lately wrote in public about `{subject}` (the audience `{}`).",
                draft.audience
            ),
            format!(
                "It is shown now because what this audience writes has become {turn} since {}.",
                draft.change.since
            ),
        ],
        emotion_used: true,
    })
}
