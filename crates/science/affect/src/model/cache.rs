//! A cache of recent results by text, so that a repost is not computed again.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Number of shards. Each has a lock.
const SHARDS: usize = 16;

/// Longer texts are not cached: they are rarely repeated, and the size of the cache is counted in texts.
const LONGEST: usize = 1024;

/// A bounded cache by exact text. The value is a function of the text, so a hit does not change a reading.
#[derive(Debug)]
pub(super) struct Cache<T> {
    shards: Vec<Mutex<Shard<T>>>,
    hasher: foldhash::fast::RandomState,
    /// Capacity of one shard.
    most: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
struct Shard<T> {
    kept: HashMap<Arc<str>, Kept<T>, foldhash::fast::RandomState>,
    /// In the order of insertion, or of the last second chance.
    line: VecDeque<Arc<str>>,
}

#[derive(Debug)]
struct Kept<T> {
    answer: Arc<T>,
    /// Whether the entry was used since its insertion or its last second chance.
    was_used: bool,
}

/// Statistics of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheCounts {
    /// Look-ups that found the text.
    pub hits: u64,
    /// Look-ups that did not find the text.
    pub misses: u64,
    /// Number of cached texts.
    pub texts: u64,
}

impl<T> Cache<T> {
    /// A cache for about `most` texts; 0 disables it.
    pub(super) fn new(most: usize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                kept: HashMap::default(),
                line: VecDeque::new(),
            })
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            most: most.div_ceil(SHARDS),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    fn shard(&self, text: &str) -> MutexGuard<'_, Shard<T>> {
        // The map uses the low bits of its hash, so the shard is chosen by other bits of another hash.
        let place = (self.hasher.hash_one(text) >> 40) as usize % SHARDS;
        // The only possible panic under the lock is a failed allocation.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of this text, if it is cached.
    pub(super) fn get(&self, text: &str) -> Option<Arc<T>> {
        if self.most == 0 || text.len() > LONGEST {
            return None;
        }
        let mut shard = self.shard(text);
        let found = shard.kept.get_mut(text).map(|kept| {
            kept.was_used = true;
            Arc::clone(&kept.answer)
        });
        drop(shard);
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Caches a value and evicts an entry by CLOCK (second chance).
    pub(super) fn put(&self, text: &str, answer: Arc<T>) {
        if self.most == 0 || text.len() > LONGEST {
            return;
        }
        let mut shard = self.shard(text);
        if shard.kept.contains_key(text) {
            return;
        }
        while shard.kept.len() >= self.most {
            let Some(oldest) = shard.line.pop_front() else {
                break;
            };
            match shard.kept.get_mut(&oldest) {
                Some(kept) if kept.was_used => {
                    kept.was_used = false;
                    shard.line.push_back(oldest);
                }
                _ => {
                    shard.kept.remove(&oldest);
                }
            }
        }
        let text: Arc<str> = text.into();
        shard.line.push_back(Arc::clone(&text));
        shard.kept.insert(
            text,
            Kept {
                answer,
                was_used: false,
            },
        );
    }

    pub(super) fn counts(&self) -> CacheCounts {
        let texts =
            |shard: &Mutex<Shard<T>>| shard.lock().unwrap_or_else(PoisonError::into_inner).kept.len() as u64;
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            texts: self.shards.iter().map(texts).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_text_is_found_by_its_exact_spelling_and_counted() {
        let cache = Cache::new(100);
        assert!(cache.get("good").is_none());
        cache.put("good", Arc::new(1));
        assert_eq!(cache.get("good").as_deref(), Some(&1));
        assert!(cache.get("Good").is_none() && cache.get("good ").is_none());
        let counts = cache.counts();
        assert_eq!((counts.hits, counts.misses, counts.texts), (1, 3, 1));
    }

    #[test]
    fn the_cache_stays_within_its_capacity_and_keeps_used_texts() {
        let cache = Cache::new(160);
        cache.put("the repost", Arc::new(0));
        for n in 1..5_000 {
            assert!(cache.get("the repost").is_some(), "forgotten at {n}");
            cache.put(&n.to_string(), Arc::new(n));
        }
        assert!(cache.counts().texts <= 160, "{:?}", cache.counts());
    }

    #[test]
    fn a_cache_of_size_zero_keeps_nothing_and_long_texts_are_not_cached() {
        let none = Cache::new(0);
        none.put("a", Arc::new(1));
        assert!(none.get("a").is_none());
        let some = Cache::new(16);
        let long = "a".repeat(LONGEST + 1);
        some.put(&long, Arc::new(1));
        assert_eq!((some.get(&long), some.counts()), (None, CacheCounts::default()));
    }
}
