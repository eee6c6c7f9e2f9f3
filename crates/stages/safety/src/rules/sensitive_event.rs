//! Posts since the change name a death, a disaster or violence.

use limbic_domain::{CampaignDraft, Draft};

use super::evidence::{compared, is_plausible, read_posts, share_since};
use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const SENSITIVE_EVENT: Rule = Rule {
    id: "sensitive_event",
    protection: Protection::P1,
    version: 1,
    protects: "everybody after a death, a disaster or violence",
    objects_when: "it is plausible that the share of posts since the change that name such an event reaches `safety.sensitive_events`",
    check: Check::Campaign(event),
};

fn event(draft: &Draft, _: &CampaignDraft, context: &Context<'_>) -> Objects {
    let limit = context.rules.sensitive_events;
    let events = draft.change.sensitive_events;
    let posts = read_posts(draft);
    Ok(is_plausible(events, posts, limit).then(|| {
        format!(
            "{} were read as reports of a death, a disaster or violence. {}",
            share_since(draft, events),
            compared(events, posts, limit)
        )
    }))
}
