//! How the deliveries of each tenant to each ad platform stand: counted in the state, published in ticks.

use limbic_domain::{Envelope, PlatformProblem, PlatformStatus, Slug, TenantId, Utc, event_id, topics};
use limbic_stream::outbox::Outbox;
use limbic_stream::{
    Cause, DecodeProblem, Decoder, Encoder, KeyFor, Outputs, StageError, StateKey, StateSchema, StateValue,
    Table,
};

use crate::order::Order;

const STANDING: Table<StandingKey, Standing> = Table::new("standing of platforms", b"standing/");
/// Most entries of a partition: tenants × platforms.
const MOST: usize = 10_000;
/// A status is published at most once in this time, in milliseconds.
const PAUSE: i64 = 1_000;

/// Whose deliveries, and to which platform.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StandingKey {
    tenant: TenantId,
    platform: Slug,
}

impl StateKey for StandingKey {
    fn from_key(bytes: &[u8]) -> Option<Self> {
        let (tenant, platform) = std::str::from_utf8(bytes).ok()?.split_once('/')?;
        Some(Self {
            tenant: tenant.parse().ok()?,
            platform: platform.parse().ok()?,
        })
    }
}

impl KeyFor<StandingKey> for (&TenantId, &str) {
    fn write_key(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0.as_str().as_bytes());
        to.push(b'/');
        to.extend_from_slice(self.1.as_bytes());
    }
}

/// The counts of one tenant and platform in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Standing {
    waiting: u64,
    delivered: u64,
    refused: u64,
    withdrawn: u64,
    dead: u64,
    problem: Option<PlatformProblem>,
    last_refusal: Option<PlatformProblem>,
    /// When it was last published; `None` before.
    published: Option<Utc>,
    /// It has changed since.
    is_changed: bool,
}

impl StateValue for Standing {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Encoder) {
        for count in [
            self.waiting,
            self.delivered,
            self.refused,
            self.withdrawn,
            self.dead,
        ] {
            to.unsigned(count);
        }
        for problem in [&self.problem, &self.last_refusal] {
            to.flag(problem.is_some());
            if let Some(problem) = problem {
                to.time(problem.at);
                to.flag(problem.blocked);
                to.text(&problem.detail);
            }
        }
        to.flag(self.published.is_some());
        if let Some(at) = self.published {
            to.time(at);
        }
        to.flag(self.is_changed);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut standing = Self {
            waiting: from.unsigned()?,
            delivered: from.unsigned()?,
            refused: from.unsigned()?,
            withdrawn: from.unsigned()?,
            dead: from.unsigned()?,
            ..Self::default()
        };
        for problem in [&mut standing.problem, &mut standing.last_refusal] {
            if from.flag()? {
                *problem = Some(PlatformProblem {
                    at: from.time()?,
                    blocked: from.flag()?,
                    detail: from.text()?.to_owned(),
                });
            }
        }
        if from.flag()? {
            standing.published = Some(from.time()?);
        }
        standing.is_changed = from.flag()?;
        Ok(standing)
    }
}

/// What happened to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Accepted,
    Dead,
    Delivered,
    /// With the reason, at a time of the node's clock.
    Refused(Utc, String),
    Withdrawn,
}

/// Counts what happened to a delivery.
pub(crate) fn count(
    out: &mut Outputs<'_>,
    partition: u32,
    (tenant, platform): (&TenantId, &str),
    event: Event,
) -> Result<(), StageError> {
    let key = (tenant, platform);
    let mut standing = STANDING.get(out, partition, &key)?.unwrap_or_default();
    let ended = match event {
        Event::Accepted => {
            standing.waiting += 1;
            None
        }
        Event::Dead => {
            standing.dead += 1;
            None
        }
        Event::Delivered => Some(&mut standing.delivered),
        Event::Refused(at, detail) => {
            standing.last_refusal = Some(PlatformProblem {
                at,
                blocked: false,
                detail,
            });
            Some(&mut standing.refused)
        }
        Event::Withdrawn => Some(&mut standing.withdrawn),
    };
    if let Some(ended) = ended {
        *ended += 1;
        // Deliveries that waited before there were counts are not in `waiting`.
        standing.waiting = standing.waiting.saturating_sub(1);
    }
    standing.is_changed = true;
    STANDING.put(out, partition, &key, &standing);
    Ok(())
}

/// Publishes what has changed since the last second.
pub(crate) fn publish(
    outbox: &Outbox<Order>,
    out: &mut Outputs<'_>,
    partition: u32,
    now: Utc,
) -> Result<(), StageError> {
    for (key, mut standing) in STANDING.scan(out, partition, b"", MOST)? {
        let StandingKey { tenant, platform } = &key;
        let is_known = outbox.has_destination(platform.as_str());
        // Only deliveries that wait, or have just ended, say that there is a problem now.
        let problem = outbox.problem(platform.as_str()).map(|problem| PlatformProblem {
            at: problem.at,
            blocked: problem.is_blocked,
            detail: problem.detail.clone(),
        });
        let is_concerned = standing.is_changed || standing.waiting > 0;
        if is_known && is_concerned && problem != standing.problem {
            standing.problem = problem;
            standing.is_changed = true;
        }
        let is_due = standing
            .published
            .is_none_or(|at| now.millis_since(at).abs() >= PAUSE);
        if !standing.is_changed || !is_due {
            continue;
        }
        standing.is_changed = false;
        standing.published = Some(now);
        let status = PlatformStatus {
            platform: platform.clone(),
            partition,
            waiting: standing.waiting,
            delivered: standing.delivered,
            refused: standing.refused,
            withdrawn: standing.withdrawn,
            dead: standing.dead,
            problem: standing.problem.clone(),
            last_refusal: standing.last_refusal.clone(),
        };
        let topic_key = PlatformStatus::key(tenant, platform, partition);
        let id = event_id("status", &[&topic_key, &now.to_string()]);
        let envelope = Envelope::new(tenant.clone(), id, now, status);
        out.emit(
            &Cause::of_partition(partition),
            topics::STATUS,
            &topic_key,
            &envelope,
        );
        STANDING.put(out, partition, &(tenant, platform.as_str()), &standing);
    }
    Ok(())
}

/// Adds the table to `schema`.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema.table(&STANDING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_survive_being_written() {
        let mut standing = Standing::default();
        assert_eq!(Standing::from_bytes(&standing.to_bytes()), Ok(standing.clone()));
        standing = Standing {
            waiting: 1,
            delivered: 2,
            refused: 3,
            withdrawn: 4,
            dead: 5,
            problem: Some(PlatformProblem {
                at: Utc::from_millis(7),
                blocked: true,
                detail: "401: who are you?".into(),
            }),
            last_refusal: Some(PlatformProblem {
                at: Utc::from_millis(8),
                blocked: false,
                detail: "400: no".into(),
            }),
            published: Some(Utc::from_millis(9)),
            is_changed: true,
        };
        assert_eq!(Standing::from_bytes(&standing.to_bytes()), Ok(standing));
    }
}
