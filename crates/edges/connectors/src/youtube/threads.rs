//! Threads and replies, page by page.

use limbic_domain::Utc;
use serde_json::Value;

use super::{Place, Trouble, YouTube, comment};
use crate::Page;
use crate::watch::{Marks, Thing};

/// The most comments of a page.
const PAGE: &str = "100";
/// The most pages of a place in one turn.
const MOST_PAGES: usize = 20;
/// The most pages of the replies of a thread in one turn.
const MOST_REPLY_PAGES: usize = 5;

impl YouTube {
    /// The threads of a place behind its mark.
    pub(super) fn threads(
        &mut self,
        place: &Place,
        marks: &Marks,
        page: &mut Page,
        things: &mut Vec<Thing>,
    ) -> Result<(), Trouble> {
        let filter = if place.is_channel {
            "allThreadsRelatedToChannelId"
        } else {
            "videoId"
        };
        let mut token: Option<String> = None;
        for number in 0..MOST_PAGES {
            let mut query = vec![
                ("part", "snippet,replies"),
                (filter, &place.id),
                ("order", "time"),
                ("maxResults", PAGE),
            ];
            query.extend(token.as_deref().map(|token| ("pageToken", token)));
            let mut list = self.list("commentThreads", &query)?;
            let mut is_behind = false;
            for thread in items(&mut list) {
                let found = self.thread(&thread, &place.mark, page, things)?;
                is_behind |= found.is_some_and(|written| !marks.wants(&place.mark, written));
            }
            token = list["nextPageToken"].as_str().map(str::to_owned);
            if token.is_none() || is_behind || !marks.has(&place.mark) {
                break;
            }
            if number + 1 == MOST_PAGES {
                page.drop_one("more new comments than are read in one turn");
            }
        }
        Ok(())
    }

    /// A thread with its replies. Returns when it began.
    pub(super) fn thread(
        &mut self,
        thread: &Value,
        place: &str,
        page: &mut Page,
        things: &mut Vec<Thing>,
    ) -> Result<Option<Utc>, Trouble> {
        let snippet = &thread["snippet"];
        let video = snippet["videoId"].as_str();
        let top = add(&snippet["topLevelComment"], place, video, page, things);
        let (id, total) = (
            thread["id"].as_str().unwrap_or_default(),
            snippet["totalReplyCount"].as_u64().unwrap_or(0),
        );
        let inline = thread["replies"]["comments"].as_array();
        for reply in inline.into_iter().flatten() {
            add(reply, place, video, page, things);
        }
        let there = inline.map_or(0, Vec::len) as u64;
        let known = self.replies.get(id).copied().unwrap_or(0);
        if total > there.max(known) {
            self.more_replies(id, place, video, page, things)?;
        }
        if self.replies.len() >= self.most_threads {
            self.replies.clear();
        }
        self.replies.insert(id.to_owned(), total);
        Ok(top)
    }

    fn more_replies(
        &mut self,
        parent: &str,
        place: &str,
        video: Option<&str>,
        page: &mut Page,
        things: &mut Vec<Thing>,
    ) -> Result<(), Trouble> {
        let mut token: Option<String> = None;
        for number in 0..MOST_REPLY_PAGES {
            let mut query = vec![("part", "snippet"), ("parentId", parent), ("maxResults", PAGE)];
            query.extend(token.as_deref().map(|token| ("pageToken", token)));
            let mut list = self.list("comments", &query)?;
            for reply in items(&mut list) {
                add(&reply, place, video, page, things);
            }
            token = list["nextPageToken"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
            if number + 1 == MOST_REPLY_PAGES {
                page.drop_one("more replies than are read in one turn");
            }
        }
        Ok(())
    }
}

pub(super) fn items(list: &mut Value) -> Vec<Value> {
    match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Adds a comment. Returns when it was written.
pub(super) fn add(
    comment: &Value,
    place: &str,
    video: Option<&str>,
    page: &mut Page,
    things: &mut Vec<Thing>,
) -> Option<Utc> {
    match comment::thing(comment, place, video) {
        Ok(thing) => {
            let written = thing.written;
            // A reply can be in its thread and in a list of its own.
            if !things
                .iter()
                .rev()
                .take(600)
                .any(|known| known.name == thing.name)
            {
                things.push(thing);
            }
            Some(written)
        }
        Err(reason) => {
            page.drop_one(reason);
            None
        }
    }
}
