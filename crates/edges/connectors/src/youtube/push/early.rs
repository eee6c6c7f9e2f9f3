//! Videos that are asked about before the next turn.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The wait between the first two questions about a video. Each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The most videos at a time.
const MOST: usize = 50;

/// Videos that were pushed, and when each is asked about: at once, and then at growing distances, until the turns of the connector are
/// as frequent.
#[derive(Debug)]
pub(in crate::youtube) struct Early {
    /// How far apart the turns are.
    turns: Duration,
    videos: BTreeMap<String, Video>,
}

#[derive(Debug)]
struct Video {
    channel: String,
    at: Instant,
    wait: Duration,
}

impl Early {
    pub(in crate::youtube) const fn new(turns: Duration) -> Self {
        Self {
            turns,
            videos: BTreeMap::new(),
        }
    }

    /// Asks about a video from now on. `false` if too many are asked about.
    pub(super) fn add(&mut self, video: String, channel: String, now: Instant) -> bool {
        if self.videos.len() >= MOST && !self.videos.contains_key(&video) {
            return false;
        }
        let added = Video {
            channel,
            at: now,
            wait: FIRST_WAIT,
        };
        self.videos.insert(video, added);
        true
    }

    /// When the next question is due.
    pub(in crate::youtube) fn due_at(&self) -> Option<Instant> {
        self.videos.values().map(|video| video.at).min()
    }

    /// A video whose question is due, with its channel. Its next question is later.
    pub(in crate::youtube) fn next(&mut self, now: Instant) -> Option<(String, String)> {
        let due = self.videos.iter_mut().find(|(_, video)| video.at <= now);
        let (id, video) = due?;
        let found = (id.clone(), video.channel.clone());
        if video.wait >= self.turns {
            self.videos.remove(&found.0);
        } else {
            video.at = now + video.wait;
            video.wait *= 2;
        }
        Some(found)
    }

    /// Asks no more about a video.
    pub(in crate::youtube) fn forget(&mut self, video: &str) {
        self.videos.remove(video);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_is_asked_about_at_growing_distances_until_the_turns_are_as_frequent() {
        let mut early = Early::new(Duration::from_mins(5));
        let begin = Instant::now();
        assert!(early.add("video".to_owned(), "channel".to_owned(), begin));
        let (mut now, mut waits) = (begin, Vec::new());
        while let Some(at) = early.due_at() {
            waits.push(at.saturating_duration_since(now).as_secs());
            now = at;
            assert!(early.next(now).is_some() && early.next(now).is_none());
        }
        assert_eq!(waits, [0, 30, 60, 120, 240]);
    }

    #[test]
    fn the_number_of_videos_has_a_limit() {
        let mut early = Early::new(Duration::from_mins(5));
        let now = Instant::now();
        let mut add = |n: usize| early.add(n.to_string(), "channel".to_owned(), now);
        assert!((0..MOST).all(&mut add));
        assert!(!add(MOST) && add(0), "one that is there can be pushed again");
    }
}
