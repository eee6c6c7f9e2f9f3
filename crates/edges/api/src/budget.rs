//! Bytes that all requests together may hold in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of bytes that many holders share. One *owner*, for instance a tenant, can have at most half of them, so that one owner
/// never takes everything.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: u64,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    by_owner: HashMap<String, u64>,
}

impl Budget {
    pub(crate) fn new(total: u64) -> Self {
        Self(Arc::new(Inner {
            total,
            taken: Mutex::default(),
        }))
    }

    /// A share of no bytes, which grows.
    pub(crate) fn share_of(&self, owner: &str) -> Share {
        Share {
            budget: self.clone(),
            owner: owner.to_owned(),
            bytes: 0,
        }
    }

    /// The bytes that are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that one holder has taken. They are free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    owner: String,
    bytes: u64,
}

impl Share {
    /// A share of no bytes, of the same owner.
    pub(crate) fn another(&self) -> Self {
        self.budget.share_of(&self.owner)
    }

    /// Takes more bytes. Returns `false`, and takes none, if the owner or all owners together would have too many.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let total = self.budget.0.total;
        let mut taken = self.budget.lock();
        let of_owner = taken.by_owner.get(&self.owner).copied().unwrap_or(0);
        if taken.all.saturating_add(bytes) > total || of_owner.saturating_add(bytes) > total / 2 {
            return false;
        }
        taken.all += bytes;
        taken.by_owner.insert(self.owner.clone(), of_owner + bytes);
        drop(taken);
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.budget.lock();
        taken.all -= self.bytes;
        if let Some(of_owner) = taken.by_owner.get_mut(&self.owner) {
            *of_owner -= self.bytes;
            if *of_owner == 0 {
                taken.by_owner.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_has_at_most_half_and_what_is_dropped_is_free_again() {
        let budget = Budget::new(100);
        let mut greedy = budget.share_of("greedy");
        let mut second = budget.share_of("greedy");
        assert!(greedy.grow(30) && second.grow(20));
        assert!(!second.grow(1), "half is taken");
        let mut neighbour = budget.share_of("neighbour");
        assert!(neighbour.grow(50));
        assert!(!budget.share_of("third").grow(1), "all is taken");
        assert_eq!(budget.taken(), 100);
        drop(greedy);
        assert!(second.grow(30));
        drop((second, neighbour));
        assert_eq!(budget.taken(), 0);
        assert!(budget.lock().by_owner.is_empty());
    }
}
