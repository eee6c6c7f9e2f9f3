//! What was read lately, by text: a repost costs a look.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts, each with a lock of its own.
const SHARDS: usize = 16;

/// Longer texts are not kept: who writes so much is seldom repeated, and memory is counted in texts.
const LONGEST: usize = 1024;

/// A bounded memory of answers, by the exact text. The answer is a function of the text, so that a hit changes no reading.
#[derive(Debug)]
pub(super) struct Cache<T> {
    shards: Vec<Mutex<Shard<T>>>,
    hasher: foldhash::fast::RandomState,
    /// Of each shard.
    most: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
struct Shard<T> {
    kept: HashMap<Arc<str>, Kept<T>, foldhash::fast::RandomState>,
    /// In the order in which they came, or were spared.
    line: VecDeque<Arc<str>>,
}

#[derive(Debug)]
struct Kept<T> {
    answer: Arc<T>,
    /// Whether it was asked for since it came, or was last spared.
    was_used: bool,
}

/// How a cache has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheCounts {
    /// Texts that were there.
    pub hits: u64,
    /// Texts that were not.
    pub misses: u64,
    /// Texts that are there now.
    pub texts: u64,
}

impl<T> Cache<T> {
    /// Room for about `most` texts; 0 = none is kept.
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
        // The map uses the low bits of its own hash; which shard is decided by other bits of another one.
        let place = (self.hasher.hash_one(text) >> 40) as usize % SHARDS;
        // Nothing panics while it holds the lock but what has run out of memory.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to this text, if it was given lately.
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

    /// Keeps an answer, and forgets the one that has gone unused for longest, as CLOCK does (second chance).
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
    fn what_was_put_is_found_by_its_exact_text_and_counted() {
        let cache = Cache::new(100);
        assert!(cache.get("good").is_none());
        cache.put("good", Arc::new(1));
        assert_eq!(cache.get("good").as_deref(), Some(&1));
        assert!(cache.get("Good").is_none() && cache.get("good ").is_none());
        let counts = cache.counts();
        assert_eq!((counts.hits, counts.misses, counts.texts), (1, 3, 1));
    }

    #[test]
    fn it_never_holds_more_than_its_room_and_spares_what_is_used() {
        let cache = Cache::new(160);
        cache.put("the repost", Arc::new(0));
        for n in 1..5_000 {
            assert!(cache.get("the repost").is_some(), "forgotten at {n}");
            cache.put(&n.to_string(), Arc::new(n));
        }
        assert!(cache.counts().texts <= 160, "{:?}", cache.counts());
    }

    #[test]
    fn without_room_and_for_long_texts_nothing_is_kept() {
        let none = Cache::new(0);
        none.put("a", Arc::new(1));
        assert!(none.get("a").is_none());
        let some = Cache::new(16);
        let long = "a".repeat(LONGEST + 1);
        some.put(&long, Arc::new(1));
        assert_eq!((some.get(&long), some.counts()), (None, CacheCounts::default()));
    }
}
