//! The latest posts of an instance, by their ids there.

use std::collections::{HashMap, VecDeque};

/// Remembers posts, the latest ones.
pub(super) struct Known {
    most: usize,
    posts: HashMap<u64, Post>,
    /// The ids in the order in which they were noted. An id that was taken stays until it is the oldest.
    order: VecDeque<u64>,
}

/// A post as deletions and replies name it.
pub(super) struct Post {
    /// Its id behind the edge.
    pub(super) post: String,
    pub(super) author: String,
}

impl Known {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            posts: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn note(&mut self, id: u64, post: &str, author: &str) {
        let post = Post {
            post: post.to_owned(),
            author: author.to_owned(),
        };
        if self.posts.insert(id, post).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.posts.remove(&oldest);
            }
        }
    }

    pub(super) fn has(&self, id: u64) -> bool {
        self.posts.contains_key(&id)
    }

    /// The id of a post behind the edge.
    pub(super) fn post(&self, id: u64) -> Option<&str> {
        self.posts.get(&id).map(|known| &*known.post)
    }

    /// Forgets a post.
    pub(super) fn take(&mut self, id: u64) -> Option<Post> {
        self.posts.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_posts_are_forgotten_first_and_memory_has_a_limit() {
        let mut known = Known::new(2);
        for id in [1, 2, 1, 3] {
            known.note(id, &id.to_string(), "ann");
        }
        assert_eq!([1, 2, 3].map(|id| known.has(id)), [false, true, true]);
        assert_eq!(known.take(2).unwrap().post, "2");
        assert!(known.take(2).is_none());
        for id in 0..1_000 {
            known.note(id, "x", "ann");
            known.take(id);
        }
        assert!(known.order.len() <= 2 && known.posts.len() <= 2);
    }
}
