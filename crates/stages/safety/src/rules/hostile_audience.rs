//! Too many of the audience's posts are hateful or offensive, lately or since the change.
//!
//! The measured share counts even if there are few posts, because the harm is to the brand. Posts in which neither
//! can be read count for nothing.

use limbic_domain::{CampaignDraft, Draft};

use super::evidence::{percent, share};
use crate::gate::Context;
use crate::rule::{Check, Objects, Protection, Rule, RuleError};

pub(super) const AUDIENCE_HATE: Rule = Rule {
    id: "audience_hate",
    protection: Protection::P2,
    version: 1,
    protects: "groups that are attacked, and the brand",
    objects_when: "the share of posts that attack people because of a group reaches `safety.hate`, lately or since the change",
    check: Check::Campaign(hate),
};

pub(super) const AUDIENCE_OFFENCE: Rule = Rule {
    id: "audience_offence",
    protection: Protection::P2,
    version: 1,
    protects: "the brand",
    objects_when: "the share of offensive posts reaches `safety.offence`, lately or since the change",
    check: Check::Campaign(offence),
};

fn hate(draft: &Draft, _: &CampaignDraft, context: &Context<'_>) -> Objects {
    let what = "were read as attacks on people because of a group that they belong to";
    let shares = (draft.mood.hate, draft.change.hateful);
    hostile(draft, shares, context.rules.hate, what)
}

fn offence(draft: &Draft, _: &CampaignDraft, context: &Context<'_>) -> Objects {
    let shares = (draft.mood.offence, draft.change.offensive);
    hostile(draft, shares, context.rules.offence, "were read as offensive")
}

fn hostile(draft: &Draft, (lately, count): (f64, u64), limit: f64, what: &str) -> Objects {
    let lately = share(lately, "the share of hostile posts")?;
    let judged = draft.change.judged;
    if count > judged {
        return Err(RuleError::Unreadable("the number of hostile posts"));
    }
    let who = if judged > 0 && count as f64 >= limit * judged as f64 {
        format!("{count} of {judged} posts since {}", draft.change.since)
    } else if lately >= limit {
        format!("{} of the posts that this audience wrote lately", percent(lately))
    } else {
        return Ok(None);
    };
    Ok(Some(format!("{who} {what}; at {} no ad runs.", percent(limit))))
}
