//! How many requests of a tenant run at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use limbic_domain::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of turns, of which one tenant has at most half at a time. So a tenant that sends many requests does not take the turns of
/// the others.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    most_waiting: usize,
    tenants: Mutex<HashMap<TenantId, OfTenant>>,
}

#[derive(Debug, Clone)]
struct OfTenant {
    turns: Arc<Semaphore>,
    /// A request that waits for its turn holds one of these.
    places: Arc<Semaphore>,
}

/// A request's turn. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _of_tenant: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// `all` turns, at least two. At most `most_waiting` requests of a tenant wait for a turn.
    pub(crate) fn new(all: usize, most_waiting: usize) -> Self {
        let all = all.max(2);
        Self {
            all: Arc::new(Semaphore::new(all)),
            of_one: all.div_ceil(2),
            most_waiting,
            tenants: Mutex::default(),
        }
    }

    /// A turn, if one is free now.
    pub(crate) fn try_take(&self, tenant: &TenantId) -> Option<Turn> {
        let of_tenant = Arc::clone(&self.of(tenant).turns).try_acquire_owned().ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Turn {
            _of_tenant: of_tenant,
            _of_all: of_all,
        })
    }

    /// Waits for a turn. `None` if too many requests of the tenant wait already.
    pub(crate) async fn take(&self, tenant: &TenantId) -> Option<Turn> {
        let of_tenant = self.of(tenant);
        let _place = Arc::clone(&of_tenant.places).try_acquire_owned().ok()?;
        let turn = Arc::clone(&of_tenant.turns).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn {
            _of_tenant: turn,
            _of_all: of_all,
        })
    }

    /// Only tenants of the settings ask, so there are few.
    fn of(&self, tenant: &TenantId) -> OfTenant {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || OfTenant {
            turns: Arc::new(Semaphore::new(self.of_one)),
            places: Arc::new(Semaphore::new(self.most_waiting)),
        };
        tenants.entry(tenant.clone()).or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_tenant_has_at_most_half_of_the_turns_and_few_requests_wait() {
        let [greedy, neighbour] = ["greedy", "neighbour"].map(|name| TenantId::new(name).unwrap());
        let turns = Turns::new(4, 1);
        let first = turns.try_take(&greedy).unwrap();
        let _second = turns.take(&greedy).await.unwrap();
        assert!(turns.try_take(&greedy).is_none());
        let mut third = Box::pin(turns.take(&greedy));
        assert!(futures_are_pending(&mut third).await);
        assert!(turns.take(&greedy).await.is_none(), "one request waits already");
        assert!(turns.try_take(&neighbour).is_some());
        drop(first);
        assert!(third.await.is_some());
    }

    async fn futures_are_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }
}
