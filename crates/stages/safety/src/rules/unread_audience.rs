//! Too much of what the audience writes cannot be read.

use limbic_domain::{CampaignDraft, Draft};

use super::evidence::percent;
use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule};

pub(super) const UNREAD_AUDIENCE: Rule = Rule {
    id: "unread_audience",
    protection: Protection::P1,
    version: 1,
    protects: "people whose distress the program cannot read",
    objects_when: "the share of posts since the change in languages in which distress is not read reaches `safety.unread`",
    check: Check::Campaign(unread),
};

fn unread(draft: &Draft, _: &CampaignDraft, context: &Context<'_>) -> Objects {
    let (unread, posts) = (draft.change.unread, draft.change.posts);
    let limit = context.rules.unread;
    let share = if posts == 0 {
        1.0
    } else {
        unread as f64 / posts as f64
    };
    Ok((share >= limit).then(|| {
        format!(
            "{unread} of {posts} posts since {} are in languages in which distress cannot be read; at {} no ad runs.",
            draft.change.since,
            percent(limit)
        )
    }))
}
