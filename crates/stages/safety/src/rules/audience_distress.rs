//! Too many of the audience's posts show distress, lately or since the change.

use limbic_domain::{CampaignDraft, Draft};

use super::evidence::{compared, is_plausible, percent, read_posts, share, share_since};
use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const AUDIENCE_DISTRESS: Rule = Rule {
    id: "audience_distress",
    protection: Protection::P1,
    version: 1,
    protects: "people in grief, fear, despair or danger of self-harm",
    objects_when: "the share of recent posts with distress reaches `safety.audience_distress`, or plausibly does since the change",
    check: Check::Campaign(distress),
};

fn distress(draft: &Draft, _: &CampaignDraft, context: &Context<'_>) -> Objects {
    let lately = share(draft.mood.distress, "the audience's distress")?;
    let limit = context.rules.audience_distress;
    let (distressed, posts) = (draft.change.distressed, read_posts(draft));
    Ok(if lately >= limit {
        Some(format!(
            "{} of what this audience wrote lately shows distress; at {} no ad runs.",
            percent(lately),
            percent(limit)
        ))
    } else {
        is_plausible(distressed, posts, limit).then(|| {
            format!(
                "{} show distress. {}",
                share_since(draft, distressed),
                compared(distressed, posts, limit)
            )
        })
    })
}
