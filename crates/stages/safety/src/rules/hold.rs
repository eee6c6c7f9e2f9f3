//! The subject or one of the campaign's brands is on hold.

use limbic_domain::{CampaignDraft, Draft, Slug};

use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const HOLD: Rule = Rule {
    id: "hold",
    protection: Protection::P1,
    version: 1,
    protects: "everybody after a death, a disaster or violence",
    objects_when: "posts named such an event, and the audience's subject or a brand of the campaign is on hold",
    check: Check::Campaign(on_hold),
};

fn on_hold(draft: &Draft, campaign: &CampaignDraft, context: &Context<'_>) -> Objects {
    let subject = std::iter::once(draft.audience.subject());
    let mut subjects = subject.chain(campaign.brands.iter().map(Slug::as_str));
    let hold = subjects.find_map(|subject| context.hold_on(subject));
    Ok(hold.map(limbic_domain::Hold::reason))
}
