//! Publishes what policies have learned to the compacted topic `posteriors`, at the end of each [`INTERVAL`] of event
//! time in which it changed.

use limbic_domain::{Envelope, Posterior, Slug, TenantId, Utc, event_id, topics};
use limbic_stream::{Cause, Outputs, StageError};

use crate::OptimizeStage;
use crate::policies::PolicyCache;
use crate::state::{DUE, damaged};

/// Milliseconds of event time. A campaign's posterior is published at most once in each interval.
const INTERVAL: i64 = 10_000;

/// Maximum bytes of a published snapshot.
const LARGEST: usize = 256 * 1024;

/// The prefix of the id of a timer that publishes a posterior.
pub(crate) const PUBLISH: &str = "publish/";

/// Schedules a publication at the end of the current interval, because a campaign's policy has learned at `at`. The timer's
/// time is a function of that time, so it is set once even if the policy learns several times.
pub(crate) fn schedule_publication(
    partition: u32,
    tenant: &TenantId,
    campaign: &str,
    at: Utc,
    out: &mut Outputs<'_>,
) {
    let due = at
        .as_millis()
        .div_euclid(INTERVAL)
        .saturating_add(1)
        .saturating_mul(INTERVAL);
    let target = format!("{PUBLISH}{tenant}/{campaign}");
    DUE.of(tenant)
        .set(out, partition, Utc::from_millis(due), target.as_bytes(), &());
}

impl OptimizeStage {
    /// Publishes the posterior of the campaign for a `publish/…` timer that was due at `at`.
    pub(crate) fn publish_posterior(
        &self,
        cache: &mut PolicyCache,
        partition: u32,
        target: &str,
        at: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        let whose = target.strip_prefix(PUBLISH).unwrap_or(target);
        let (tenant, campaign) = split(whose)?;
        let policies = self.policies(cache, partition, &tenant, campaign.as_str(), out)?;
        let (policy, snapshot) = policies.snapshot();
        let policy = policy.clone();
        let text = String::from_utf8(snapshot).map_err(|error| damaged(&error))?;
        let id = event_id(
            "posterior",
            &[tenant.as_str(), campaign.as_str(), &*policy.hash, &*text],
        );
        let posterior = Posterior {
            campaign,
            policy,
            snapshot_bytes: text.len() as u64,
            snapshot: (text.len() <= LARGEST).then_some(text),
        };
        let envelope = Envelope::new(tenant, id, at, posterior);
        out.emit(
            &Cause::of_partition(partition),
            topics::POSTERIORS,
            whose,
            &envelope,
        );
        Ok(())
    }
}

fn split(whose: &str) -> Result<(TenantId, Slug), StageError> {
    let (tenant, campaign) = whose
        .split_once('/')
        .ok_or_else(|| damaged(&"a campaign without its tenant"))?;
    let tenant = TenantId::new(tenant).map_err(|error| damaged(&error))?;
    let campaign = Slug::new(campaign).map_err(|error| damaged(&error))?;
    Ok((tenant, campaign))
}
