//! Asks people about ads that no rule objects to, except that nobody has approved them.

use limbic_domain::{
    CampaignDraft, Creative, Draft, Envelope, Removal, ReviewRequest, ReviewVerdict, TenantId, event_id,
    topics,
};
use limbic_stream::{Cause, Outputs, Reference, StageError};

use crate::rules::AWAITS_REVIEW;

/// Maximum bytes of the table of reviews, far above what the limits below allow for a hundred tenants.
pub(crate) const TABLE: usize = 512 << 20;

/// Maximum number of ads of a campaign that wait.
const WAITING: usize = 500;

/// Maximum number of requests and verdicts of a tenant.
const OF_TENANT: usize = 4_000;

/// Writes a request for each ad of the campaign that waits for a person, unless it is in the topic. Its key and its content are
/// functions of the ad and of the first moment, so a request that two instances write is one request.
pub(crate) fn request(
    cause: &Cause,
    draft: &Envelope<Draft>,
    campaign: &CampaignDraft,
    removals: &[Removal],
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    let waiting = waiting(campaign, removals);
    if waiting.is_empty() {
        return Ok(());
    }
    let table = out.reference(topics::REVIEWS)?;
    let new = |creative: &&Creative| {
        let key = ReviewRequest::key(&draft.tenant, &campaign.campaign, &creative.id);
        table.value(&key).is_none()
    };
    let new: Vec<&Creative> = waiting.into_iter().filter(new).collect();
    let room = if new.is_empty() {
        0
    } else {
        room(table, &draft.tenant, campaign)
    };
    if new.len() > room {
        tracing::warn!(
            tenant = %draft.tenant, campaign = %campaign.campaign, ads = new.len() - room,
            "too many ads wait for a person: these ones do not run, and nobody is asked about them; decide about those that wait, or \
             delete old reviews"
        );
    }
    for creative in new.into_iter().take(room) {
        let request = ReviewRequest {
            campaign: campaign.campaign.clone(),
            creative: creative.clone(),
            moment: draft.data.moment.clone(),
        };
        let causes = [draft.tenant.as_str(), campaign.campaign.as_str(), &creative.id];
        let id = event_id("review_request", &causes);
        let envelope = Envelope::new(draft.tenant.clone(), id, draft.at, request);
        let key = ReviewRequest::key(&draft.tenant, &campaign.campaign, &creative.id);
        out.emit(cause, topics::REVIEWS, &key, &envelope);
    }
    Ok(())
}

/// The ads of the campaign that only wait for a person.
fn waiting<'a>(campaign: &'a CampaignDraft, removals: &[Removal]) -> Vec<&'a Creative> {
    let removed = removals
        .iter()
        .filter(|removal| removal.rule == AWAITS_REVIEW.id)
        .flat_map(|removal| &removal.removed)
        .filter_map(|removed| removed.strip_prefix("creative/"));
    removed
        .filter_map(|id| campaign.creatives.iter().find(|creative| creative.id == id))
        .collect()
}

/// How many more requests of the campaign the topic takes.
fn room(table: Reference<'_>, tenant: &TenantId, campaign: &CampaignDraft) -> usize {
    let of_tenant = table.values(&format!("{tenant}/")).count();
    let prefix = format!("{tenant}/{}/", campaign.campaign);
    let requests = table
        .values(&prefix)
        .filter(|(key, _)| key.ends_with(b"/request"));
    let undecided = requests.filter(|(key, _)| {
        let text = String::from_utf8_lossy(key);
        let creative = text.trim_end_matches("/request").rsplit('/').next();
        let verdict = creative.map(|id| ReviewVerdict::key(tenant, &campaign.campaign, id));
        verdict.is_none_or(|verdict| table.value(&verdict).is_none())
    });
    WAITING
        .saturating_sub(undecided.count())
        .min(OF_TENANT.saturating_sub(of_tenant))
}
