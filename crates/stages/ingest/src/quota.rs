//! How much each tenant may send.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use limbic_domain::TenantId;
use parking_lot::Mutex;

use crate::Settings;

/// What each tenant has sent lately. Each node counts on its own.
///
/// An allowance grows evenly, to at most that of one minute. A request is accepted while there is something left of it, and is
/// charged afterwards. So a large request passes, and the next one waits until its price is paid.
#[derive(Debug)]
pub(crate) struct Quotas {
    items_per_minute: u64,
    bytes_per_minute: u64,
    tenants: Mutex<HashMap<TenantId, Left>>,
}

/// What is left of a tenant's allowance. Below zero, the tenant waits.
#[derive(Debug, Clone, Copy)]
struct Left {
    items: f64,
    bytes: f64,
    at: Instant,
}

impl Quotas {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            items_per_minute: settings.items_per_minute,
            bytes_per_minute: settings.bytes_per_minute.get(),
            tenants: Mutex::default(),
        }
    }

    /// Returns how long the tenant must wait before its next request, if it must.
    pub(crate) fn check(&self, tenant: &TenantId, now: Instant) -> Result<(), Duration> {
        if self.items_per_minute == 0 && self.bytes_per_minute == 0 {
            return Ok(());
        }
        let mut tenants = self.tenants.lock();
        let left = self.left(&mut tenants, tenant, now);
        let wait = |left: f64, per_minute: u64| {
            let is_spent = per_minute > 0 && left <= 0.0;
            is_spent.then(|| Duration::from_secs_f64(1.0 + (-left * 60.0 / per_minute as f64).min(3_600.0)))
        };
        let waits = [
            wait(left.items, self.items_per_minute),
            wait(left.bytes, self.bytes_per_minute),
        ];
        waits.into_iter().flatten().max().map_or(Ok(()), Err)
    }

    /// Charges what a request has cost.
    pub(crate) fn charge(&self, tenant: &TenantId, items: u64, bytes: u64, now: Instant) {
        if self.items_per_minute == 0 && self.bytes_per_minute == 0 {
            return;
        }
        let mut tenants = self.tenants.lock();
        let left = self.left(&mut tenants, tenant, now);
        left.items -= items as f64;
        left.bytes -= bytes as f64;
    }

    /// What is left at `now`. Only tenants of the settings send, so there are few.
    fn left<'a>(
        &self,
        tenants: &'a mut HashMap<TenantId, Left>,
        tenant: &TenantId,
        now: Instant,
    ) -> &'a mut Left {
        let [items, bytes] = [self.items_per_minute, self.bytes_per_minute].map(|limit| limit as f64);
        let full = Left {
            items,
            bytes,
            at: now,
        };
        let left = tenants.entry(tenant.clone()).or_insert(full);
        let minutes = now.saturating_duration_since(left.at).as_secs_f64() / 60.0;
        left.items = (left.items + items * minutes).min(items);
        left.bytes = (left.bytes + bytes * minutes).min(bytes);
        left.at = now;
        left
    }
}

#[cfg(test)]
mod tests {
    use limbic_domain::ByteSize;

    use super::*;

    #[test]
    fn a_tenant_that_has_sent_too_much_waits_and_others_do_not() {
        let [greedy, neighbour] = ["greedy", "neighbour"].map(|name| TenantId::new(name).unwrap());
        let quotas = Quotas::new(&Settings {
            items_per_minute: 60,
            bytes_per_minute: ByteSize::from_bytes(6_000),
            ..Settings::default()
        });
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(quotas.check(&greedy, start), Ok(()));
        quotas.charge(&greedy, 90, 100, start);
        let wait = quotas.check(&greedy, start).unwrap_err();
        assert_eq!(wait, Duration::from_secs(31), "30 items at one a second");
        assert_eq!(quotas.check(&neighbour, start), Ok(()));
        assert!(quotas.check(&greedy, after(29)).is_err());
        assert_eq!(quotas.check(&greedy, after(31)), Ok(()));

        quotas.charge(&neighbour, 1, 7_000, start);
        assert_eq!(
            quotas.check(&neighbour, start),
            Err(Duration::from_secs(11)),
            "1,000 bytes at 100 a second"
        );
        assert_eq!(quotas.check(&neighbour, after(3_600)), Ok(()));
        quotas.charge(&neighbour, 61, 0, after(3_600));
        assert!(
            quotas.check(&neighbour, after(3_600)).is_err(),
            "an hour of silence saves one minute"
        );
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let quotas = Quotas::new(&Settings::default());
        let tenant = TenantId::default();
        quotas.charge(&tenant, u64::MAX, u64::MAX, Instant::now());
        assert_eq!(quotas.check(&tenant, Instant::now()), Ok(()));
        assert!(quotas.tenants.lock().is_empty());
    }
}
