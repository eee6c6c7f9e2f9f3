//! Sources that show the posts of an owner, and the comments of each post: LinkedIn, and Meta's Graph API.
//!
//! What is gone is found by comparison: two complete lists in a row do not have it any more.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use limbic_stream::Backoff;

use crate::watch::{Asked, Marks, News, Thing};
use crate::{ConnectorError, Failure, MissingScope, Page};

/// The requests of such a source.
pub(crate) trait Forum: Send {
    /// The source, for people.
    fn name(&self) -> &str;

    /// The slug of the social network of the thing of this name.
    fn network(&self, name: &str) -> &'static str;

    /// The id behind the edge of the thing of this name.
    fn id_of(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Whose posts are read.
    fn owners(&self) -> Vec<String>;

    /// The latest posts of an owner, the newest first.
    fn posts(&mut self, owner: &str, page: &mut Page) -> Result<Vec<Post>, ConnectorError>;

    /// The comments of a post, the newest first if the source has an order. Reading can end behind the mark, unless all are wanted.
    fn comments(
        &mut self,
        post: &Post,
        marks: &Marks,
        wants_all: bool,
        page: &mut Page,
    ) -> Result<Comments, ConnectorError>;

    /// The permissions that are missing, as [`crate::Connector::check_access`] returns them.
    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError>;

    /// Sets the clock of the caller.
    fn set_time(&mut self, now: Instant) {
        let _ = now;
    }

    /// What the requests since the last call cost, of the daily budget.
    fn take_cost(&mut self) -> u64;

    /// The wait that the source's own headers ask for.
    fn pace(&self) -> Duration {
        Duration::ZERO
    }

    /// The waits after failures.
    fn schedule(&self, failure: Failure) -> Backoff;
}

/// A post of an owner.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) name: String,
    /// When it was written, in milliseconds.
    pub(crate) written: i64,
    /// The post itself, if it is read too.
    pub(crate) thing: Option<Thing>,
    /// Whether its comments are read.
    pub(crate) has_comments: bool,
    pub(crate) owner: String,
}

/// Comments of a post.
#[derive(Debug, Default)]
pub(crate) struct Comments {
    pub(crate) things: Vec<Thing>,
    /// Whether these are all comments of the post.
    pub(crate) is_complete: bool,
}

/// A source that is asked for posts and comments.
pub(crate) struct Owned<F> {
    forum: F,
    listed: Listed,
    /// How many posts of an owner are watched.
    watch_posts: usize,
    /// The post at which a turn begins: after a failure, the one that failed.
    begins_at: usize,
    turns: usize,
}

impl<F: Forum> Owned<F> {
    pub(crate) fn new(forum: F, watch_posts: usize) -> Self {
        Self {
            forum,
            listed: Listed::default(),
            watch_posts,
            begins_at: 0,
            turns: 0,
        }
    }
}

impl<F: Forum> Asked for Owned<F> {
    fn name(&self) -> &str {
        self.forum.name()
    }

    fn network(&self, name: &str) -> &'static str {
        self.forum.network(name)
    }

    fn id_of(&self, name: &str) -> String {
        self.forum.id_of(name)
    }

    fn news(&mut self, marks: &Marks, page: &mut Page) -> Result<News, ConnectorError> {
        let mut news = News::default();
        let mut posts = Vec::new();
        for owner in self.forum.owners() {
            let mut found = self.forum.posts(&owner, page)?;
            found.truncate(self.watch_posts);
            news.gone.extend(self.listed.posts(&owner, &found));
            posts.extend(found);
        }
        news.things
            .extend(posts.iter().filter_map(|post| post.thing.clone()));
        posts.retain(|post| post.has_comments);
        let begins_at = std::mem::take(&mut self.begins_at);
        self.turns = self.turns.wrapping_add(1);
        for number in 0..posts.len() {
            let at = (begins_at + number) % posts.len();
            let post = &posts[at];
            // Long lists are read whole in turns, one post at a time.
            let wants_all = at == self.turns % posts.len();
            match self.forum.comments(post, marks, wants_all, page) {
                Ok(comments) => {
                    if comments.is_complete {
                        let names = comments.things.iter().map(|thing| thing.name.clone()).collect();
                        news.gone.extend(self.listed.comments(&post.name, names));
                    }
                    news.things.extend(comments.things);
                }
                Err(error) => {
                    // The rest has its turn next time, so that a small quota is enough in the end.
                    self.begins_at = at;
                    news.failed = Some(error);
                    break;
                }
            }
        }
        match news
            .failed
            .take_if(|_| news.things.is_empty() && news.gone.is_empty())
        {
            Some(error) => Err(error),
            None => Ok(news),
        }
    }

    fn check_access(&mut self) -> Result<Vec<MissingScope>, ConnectorError> {
        self.forum.check_access()
    }

    fn take_cost(&mut self) -> u64 {
        self.forum.take_cost()
    }

    fn set_time(&mut self, now: Instant) {
        self.forum.set_time(now);
    }

    fn pace(&self) -> Duration {
        self.forum.pace()
    }

    fn schedule(&self, failure: Failure) -> Backoff {
        self.forum.schedule(failure)
    }
}

/// What the last lists had.
#[derive(Debug, Default)]
struct Listed(HashMap<String, Group>);

/// A post with its comments.
#[derive(Debug)]
struct Group {
    owner: String,
    written: i64,
    comments: BTreeSet<String>,
    /// Comments that the last list did not have. A cache can be older than the list before it, so one list proves nothing.
    missing: BTreeSet<String>,
    /// Whether the last list did not have the post.
    is_missing: bool,
}

impl Listed {
    /// The names of what is gone: posts that two lists do not have and should have, with their comments.
    fn posts(&mut self, owner: &str, now: &[Post]) -> Vec<String> {
        let mut gone = Vec::new();
        if let Some(oldest) = now.iter().map(|post| post.written).min() {
            let there: BTreeSet<&str> = now.iter().map(|post| post.name.as_str()).collect();
            self.0.retain(|name, group| {
                if group.owner != owner || there.contains(name.as_str()) {
                    group.is_missing = false;
                    return true;
                }
                // An older post has left the list at its end, and is not watched any more.
                if group.written < oldest {
                    return false;
                }
                if group.is_missing {
                    gone.push(name.clone());
                    gone.extend(std::mem::take(&mut group.comments));
                    return false;
                }
                group.is_missing = true;
                true
            });
        }
        for post in now {
            self.0.entry(post.name.clone()).or_insert_with(|| Group {
                owner: owner.to_owned(),
                written: post.written,
                comments: BTreeSet::new(),
                missing: BTreeSet::new(),
                is_missing: false,
            });
        }
        gone
    }

    /// The names of comments that two complete lists do not have.
    fn comments(&mut self, post: &str, now: BTreeSet<String>) -> Vec<String> {
        let Some(group) = self.0.get_mut(post) else {
            return Vec::new();
        };
        let absent: BTreeSet<String> = group.comments.difference(&now).cloned().collect();
        let gone: Vec<String> = absent.intersection(&group.missing).cloned().collect();
        group.missing = absent.into_iter().filter(|name| !gone.contains(name)).collect();
        group.comments = now;
        group.comments.extend(group.missing.iter().cloned());
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posts(named: &[(&str, i64)]) -> Vec<Post> {
        let post = |(name, written): &(&str, i64)| Post {
            name: (*name).to_owned(),
            written: *written,
            thing: None,
            has_comments: true,
            owner: "o".to_owned(),
        };
        named.iter().map(post).collect()
    }

    fn names(named: &[&str]) -> BTreeSet<String> {
        named.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_post_that_leaves_a_list_at_its_end_is_not_gone_and_one_in_its_middle_is() {
        let mut listed = Listed::default();
        assert!(
            listed
                .posts("o", &posts(&[("c", 3), ("b", 2), ("a", 1)]))
                .is_empty()
        );
        assert!(listed.comments("b", names(&["b1", "b2"])).is_empty());
        assert!(
            listed
                .posts("o", &posts(&[("d", 4), ("c", 3), ("b", 2)]))
                .is_empty()
        );
        assert!(listed.posts("other", &posts(&[("x", 9)])).is_empty());
        let without = posts(&[("d", 4), ("c", 3), ("a", 1)]);
        assert!(listed.posts("o", &without).is_empty(), "one list proves nothing");
        let mut gone = listed.posts("o", &without);
        gone.sort();
        assert_eq!(gone, ["b", "b1", "b2"]);
        assert!(listed.posts("o", &[]).is_empty(), "an empty list says nothing");
    }

    #[test]
    fn a_comment_is_gone_when_two_lists_do_not_have_it() {
        let mut listed = Listed::default();
        listed.posts("o", &posts(&[("a", 1)]));
        let (all, one) = (names(&["1", "2"]), names(&["2"]));
        assert!(listed.comments("a", all.clone()).is_empty());
        assert!(listed.comments("a", one.clone()).is_empty());
        assert!(
            listed.comments("a", all.clone()).is_empty(),
            "it was an old cache"
        );
        assert!(listed.comments("a", one.clone()).is_empty());
        assert_eq!(listed.comments("a", one.clone()), ["1"]);
        assert!(listed.comments("a", one).is_empty(), "it is gone once");
        assert!(listed.comments("another", all).is_empty());
    }
}
