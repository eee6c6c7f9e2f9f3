//! When a source is asked again that does not send by itself.

use std::time::Duration;

use limbic_domain::random::{self, Random};

use crate::{Cursor, Page};

/// The longest wait that a source can ask for.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// The rhythm of requests. It reads no clock: after a page that brought something, the next pull asks nothing and says that nothing is
/// there, so that the runner waits.
#[derive(Debug)]
pub(crate) struct Rhythm {
    interval: Duration,
    seed: u64,
    /// How many requests there were.
    requests: u64,
    /// The cursor at which the next pull asks nothing.
    rests_at: Option<Cursor>,
    wait: Duration,
}

impl Rhythm {
    /// Requests this far apart, with up to a tenth more or less. Different sources have different seeds.
    pub(crate) fn new(interval: Duration, seed: u64) -> Self {
        let mut rhythm = Self {
            interval,
            seed,
            requests: 0,
            rests_at: None,
            wait: interval,
        };
        rhythm.set_wait(Duration::ZERO);
        rhythm
    }

    /// Whether a pull at this cursor asks nothing.
    pub(crate) fn rests(&mut self, at: Option<&Cursor>) -> bool {
        self.rests_at.take().is_some_and(|rests_at| Some(&rests_at) == at)
    }

    /// A request at the cursor `at` had the answer `page`. The source wants to be asked again after `at_least`.
    pub(crate) fn asked(&mut self, at: Option<&Cursor>, page: &Page, at_least: Duration) {
        self.requests += 1;
        self.set_wait(at_least);
        let is_idle = page.items.is_empty() && page.next.as_ref() == at;
        if !is_idle && !page.has_more {
            self.rests_at.clone_from(&page.next);
        }
    }

    fn set_wait(&mut self, at_least: Duration) {
        let share = Random::new(random::derive(self.seed, self.requests)).unit();
        let wait = self.interval.max(at_least).min(LONGEST_WAIT);
        self.wait = wait.mul_f64(0.9 + 0.2 * share);
    }

    /// The wait until the next request.
    pub(crate) const fn wait(&self) -> Duration {
        self.wait
    }

    /// The next pull asks.
    pub(crate) fn reset(&mut self) {
        self.rests_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;

    #[test]
    fn after_a_page_with_something_one_pull_asks_nothing() {
        let mut rhythm = Rhythm::new(Duration::from_mins(10), 3);
        let (first, second) = (Cursor("1".to_owned()), Cursor("2".to_owned()));
        assert!(!rhythm.rests(None));
        let page = Page {
            items: vec![Item::Unreadable("x".to_owned())],
            next: Some(first.clone()),
            ..Page::default()
        };
        rhythm.asked(None, &page, Duration::ZERO);
        assert!(rhythm.rests(Some(&first)) && !rhythm.rests(Some(&first)));
        rhythm.asked(None, &page, Duration::ZERO);
        assert!(!rhythm.rests(Some(&second)), "at another place it asks");
        let idle = Page {
            next: Some(first.clone()),
            ..Page::default()
        };
        rhythm.asked(Some(&first), &idle, Duration::ZERO);
        assert!(!rhythm.rests(Some(&first)), "the runner has waited");
    }

    #[test]
    fn waits_differ_and_are_never_shorter_than_nine_tenths() {
        let mut rhythm = Rhythm::new(Duration::from_secs(100), 3);
        let mut waits = std::collections::BTreeSet::new();
        for _ in 0..100 {
            rhythm.asked(None, &Page::default(), Duration::ZERO);
            assert!(
                (90..=110).contains(&rhythm.wait().as_secs()),
                "{:?}",
                rhythm.wait()
            );
            waits.insert(rhythm.wait());
        }
        assert!(waits.len() > 90);
        rhythm.asked(None, &Page::default(), Duration::from_secs(1_000));
        assert!(rhythm.wait() >= Duration::from_mins(15));
        rhythm.asked(None, &Page::default(), Duration::MAX);
        assert!(rhythm.wait() <= LONGEST_WAIT.mul_f64(1.1));
    }
}
