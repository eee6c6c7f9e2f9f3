//! Replies that are used again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use limbic_domain::TenantId;
use serde::Serialize;

use super::key::CacheKey;
use super::settings::CacheSettings;
use crate::gateway::{Answered, Made};

/// Bytes of an entry besides its texts.
const ENTRY: u64 = 256;

/// The replies, bounded in bytes. The one that was not used for the longest time makes room.
#[derive(Debug)]
pub(super) struct Cache {
    settings: CacheSettings,
    entries: HashMap<CacheKey, Entry>,
    /// Keys in the order of their last use.
    order: BTreeMap<u64, CacheKey>,
    uses: u64,
    bytes: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Entry {
    tenant: TenantId,
    answered: Arc<Answered<Made>>,
    stored: Duration,
    last_use: u64,
    bytes: u64,
}

/// What the cache has done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Replies that were used while they were fresh.
    pub hits: u64,
    /// Replies that were used while they were stale.
    pub stale_hits: u64,
    /// Requests without a reply in the cache.
    pub misses: u64,
    /// Replies that made room for others.
    pub evictions: u64,
}

/// How full the cache is, or the part of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fill {
    /// Replies.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A reply in the cache.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Fresh(Arc<Answered<Made>>),
    Stale(Arc<Answered<Made>>),
    Nothing,
}

impl Cache {
    pub(super) fn new(settings: CacheSettings) -> Self {
        Self {
            settings,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            bytes: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn find(&mut self, key: &CacheKey, now: Duration) -> Found {
        let fresh = self.settings.fresh.get();
        let last = fresh.saturating_add(self.settings.stale.get());
        let Some(entry) = self.entries.get_mut(key) else {
            self.counts.misses += 1;
            return Found::Nothing;
        };
        let age = now.saturating_sub(entry.stored);
        if age >= last {
            self.remove(key);
            self.counts.misses += 1;
            return Found::Nothing;
        }
        self.uses += 1;
        self.order.remove(&entry.last_use);
        self.order.insert(self.uses, *key);
        entry.last_use = self.uses;
        let answered = Arc::clone(&entry.answered);
        if age < fresh {
            self.counts.hits += 1;
            Found::Fresh(answered)
        } else {
            self.counts.stale_hits += 1;
            Found::Stale(answered)
        }
    }

    /// A reply that is fresh. It does not count as used.
    pub(super) fn fresh(&self, key: &CacheKey, now: Duration) -> Option<Arc<Answered<Made>>> {
        let entry = self.entries.get(key)?;
        let is_fresh = now.saturating_sub(entry.stored) < self.settings.fresh.get();
        is_fresh.then(|| Arc::clone(&entry.answered))
    }

    /// Stores a reply, if it is not larger than the whole cache.
    pub(super) fn store(
        &mut self,
        key: CacheKey,
        tenant: &TenantId,
        answered: &Arc<Answered<Made>>,
        now: Duration,
    ) {
        self.remove(&key);
        let texts = answered.generated.size() + tenant.as_str().len();
        let bytes = texts as u64 + ENTRY;
        let size = self.settings.size.get();
        if bytes > size {
            return;
        }
        while self.bytes + bytes > size {
            let Some((_, oldest)) = self.order.first_key_value() else {
                break;
            };
            let oldest = *oldest;
            self.remove(&oldest);
            self.counts.evictions += 1;
        }
        self.uses += 1;
        self.bytes += bytes;
        self.order.insert(self.uses, key);
        let entry = Entry {
            tenant: tenant.clone(),
            answered: Arc::clone(answered),
            stored: now,
            last_use: self.uses,
            bytes,
        };
        self.entries.insert(key, entry);
    }

    /// Deletes the replies of a tenant. Returns what they were.
    pub(super) fn clear(&mut self, tenant: &TenantId) -> Fill {
        let fill = self.fill_of(tenant);
        let keys = self.entries.iter().filter(|(_, entry)| entry.tenant == *tenant);
        let keys: Vec<CacheKey> = keys.map(|(key, _)| *key).collect();
        for key in &keys {
            self.remove(key);
        }
        fill
    }

    pub(super) fn fill(&self) -> Fill {
        Fill {
            entries: self.entries.len() as u64,
            bytes: self.bytes,
        }
    }

    pub(super) fn fill_of(&self, tenant: &TenantId) -> Fill {
        let own = self.entries.values().filter(|entry| entry.tenant == *tenant);
        own.fold(Fill { entries: 0, bytes: 0 }, |fill, entry| Fill {
            entries: fill.entries + 1,
            bytes: fill.bytes + entry.bytes,
        })
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) const fn settings(&self) -> &CacheSettings {
        &self.settings
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.last_use);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use limbic_domain::{ByteSize, HumanDuration, Micros, Slug};
    use proptest::prelude::*;

    use super::*;
    use crate::Generated;

    fn cache(size: u64) -> Cache {
        Cache::new(CacheSettings {
            size: ByteSize::from_bytes(size),
            fresh: HumanDuration::from_secs(10),
            stale: HumanDuration::from_secs(20),
        })
    }

    fn answered(text: &str) -> Arc<Answered<Made>> {
        Arc::new(Answered {
            generated: Made::Text(Generated::text(text)),
            provider: Slug::new("p").unwrap(),
            cost: Micros(1),
        })
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_reply_is_fresh_then_stale_then_gone() {
        let mut cache = cache(1_000);
        cache.store([1; 32], &tenant("a"), &answered("x"), seconds(0));
        assert!(matches!(cache.find(&[1; 32], seconds(9)), Found::Fresh(_)));
        assert!(matches!(cache.find(&[1; 32], seconds(10)), Found::Stale(_)));
        assert!(matches!(cache.find(&[1; 32], seconds(29)), Found::Stale(_)));
        assert!(matches!(cache.find(&[1; 32], seconds(30)), Found::Nothing));
        let expected = Counts {
            hits: 1,
            stale_hits: 2,
            misses: 1,
            evictions: 0,
        };
        assert_eq!(
            (cache.counts(), cache.fill().entries, cache.fill().bytes),
            (expected, 0, 0)
        );
    }

    #[test]
    fn the_reply_that_was_not_used_for_the_longest_time_makes_room_and_a_tenant_clears_its_own() {
        let mut cache = cache(2 * (ENTRY + 2));
        for key in [1, 2] {
            cache.store([key; 32], &tenant("a"), &answered("x"), seconds(0));
        }
        cache.find(&[1; 32], seconds(1));
        cache.store([3; 32], &tenant("b"), &answered("x"), seconds(1));
        assert!(matches!(cache.find(&[2; 32], seconds(1)), Found::Nothing));
        assert!(matches!(cache.find(&[1; 32], seconds(1)), Found::Fresh(_)));
        assert_eq!(cache.clear(&tenant("a")).entries, 1);
        assert!(matches!(cache.find(&[1; 32], seconds(1)), Found::Nothing));
        assert!(matches!(cache.find(&[3; 32], seconds(1)), Found::Fresh(_)));
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_entries_and_never_more_than_the_size(
            steps in prop::collection::vec((0u8..4, 0u8..6, 0usize..700, 0u64..20), 0..60),
        ) {
            let mut cache = cache(1_500);
            let mut now = 0;
            for (step, key, length, wait) in steps {
                now += wait;
                let owner = tenant(["a", "b"][usize::from(key % 2)]);
                match step {
                    0 => drop(cache.find(&[key; 32], seconds(now))),
                    1 => drop(cache.clear(&owner)),
                    _ => cache.store([key; 32], &owner, &answered(&"x".repeat(length)), seconds(now)),
                }
                let (a, b) = (cache.fill_of(&tenant("a")), cache.fill_of(&tenant("b")));
                prop_assert_eq!(cache.fill(), Fill { entries: a.entries + b.entries, bytes: a.bytes + b.bytes });
                prop_assert!(cache.bytes <= 1_500);
                prop_assert_eq!(cache.order.len(), cache.entries.len());
            }
        }
    }
}
