//! From a thing of Reddit to a post.

use limbic_domain::Utc;
use serde_json::{Value, json};

use super::NETWORK;
use crate::text::visible;

/// The kinds of things that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Post,
    Comment,
}

impl Kind {
    /// The listing of the newest things of this kind.
    pub(super) const fn listing(self) -> &'static str {
        match self {
            Self::Post => "new",
            Self::Comment => "comments",
        }
    }
}

/// A post or a comment.
#[derive(Debug)]
pub(super) struct Thing {
    /// The number that its id is in base 36.
    pub(super) id: u64,
    /// Its name in the whole network: `t3_` or `t1_`, and the id. It does not reveal the author.
    pub(super) name: String,
    pub(super) author: String,
    pub(super) written: Utc,
    /// When it was edited, in milliseconds; 0 = never.
    pub(super) revision: u64,
    /// Deleted by its author, or removed by a moderator.
    pub(super) is_gone: bool,
    text: String,
    parent: Option<String>,
    address: Option<String>,
    community: Option<String>,
}

fn is_gone(text: &str) -> bool {
    matches!(text, "[deleted]" | "[removed]" | "[deleted by user]")
}

impl Thing {
    pub(super) fn of(child: &Value) -> Result<Self, String> {
        let data = &child["data"];
        let text = |name: &str| data[name].as_str().unwrap_or_default();
        let name = text("name").to_owned();
        let id = name
            .split_once('_')
            .and_then(|(_, id)| u64::from_str_radix(id, 36).ok());
        let Some(id) = id.filter(|_| name.len() <= 24) else {
            return Err("a thing of Reddit without a name".to_owned());
        };
        let seconds = data["created_utc"]
            .as_f64()
            .filter(|seconds| (0.0..1e11).contains(seconds));
        let seconds = seconds.ok_or_else(|| format!("{name}: its time cannot be read"))?;
        // `false`, or when it was edited last.
        let edited = data["edited"]
            .as_f64()
            .filter(|edited| (0.0..1e11).contains(edited))
            .unwrap_or(0.0);
        let (title, body) = if name.starts_with("t3_") {
            (text("title"), text("selftext"))
        } else {
            ("", text("body"))
        };
        let both = match (title.trim(), body.trim()) {
            (title, "") => title.to_owned(),
            ("", body) => body.to_owned(),
            (title, body) => format!("{title}\n\n{body}"),
        };
        let author = text("author").to_owned();
        let community = text("subreddit");
        Ok(Self {
            id,
            is_gone: author.is_empty() || is_gone(&author) || is_gone(body) || is_gone(title),
            author,
            written: Utc::from_millis((seconds * 1e3) as i64),
            revision: (edited * 1e3) as u64,
            text: visible(&both).into_owned(),
            parent: data["parent_id"].as_str().map(str::to_owned),
            address: data["permalink"]
                .as_str()
                .filter(|path| path.starts_with('/'))
                .map(str::to_owned),
            community: Some(community.to_owned()).filter(|community| !community.is_empty()),
            name,
        })
    }

    /// `None` if it has no text.
    pub(super) fn post(&self, revision: u64) -> Option<Value> {
        if self.text.trim().is_empty() {
            return None;
        }
        let mut post = json!({
            "network": NETWORK, "id": self.name, "author": self.author, "text": self.text,
            "created_at": self.written.min(Utc::now()).to_string(),
        });
        if revision > 0 {
            post["revision"] = revision.into();
        }
        if let Some(parent) = &self.parent {
            post["reply_to"] = parent.as_str().into();
        }
        if let Some(address) = &self.address {
            post["url"] = format!("https://www.reddit.com{address}").into();
        }
        if let Some(community) = &self.community {
            post["meta"] = json!({"community": community});
        }
        Some(post)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_and_a_comment_are_read() {
        let post = json!({"kind": "t3", "data": {"name": "t3_1a2b", "title": "Final", "selftext": "What a goal!", "author": "ann",
            "created_utc": 1_780_000_000.0, "edited": false, "subreddit": "football", "permalink": "/r/football/comments/1a2b/final/"}});
        let thing = Thing::of(&post).unwrap();
        assert_eq!(thing.id, 59_699);
        assert_eq!(
            thing.post(0).unwrap(),
            json!({"network": "reddit", "id": "t3_1a2b", "author": "ann", "text": "Final\n\nWhat a goal!",
                "created_at": "2026-05-28T20:26:40.000Z", "url": "https://www.reddit.com/r/football/comments/1a2b/final/",
                "meta": {"community": "football"}})
        );
        let comment = json!({"kind": "t1", "data": {"name": "t1_zz", "body": "Yes", "author": "bob", "created_utc": 1_780_000_000,
            "edited": 1_780_000_060.0, "parent_id": "t3_1a2b"}});
        let thing = Thing::of(&comment).unwrap();
        let post = thing.post(thing.revision).unwrap();
        assert_eq!(
            (&post["reply_to"], &post["revision"]),
            (&json!("t3_1a2b"), &json!(1_780_000_060_000_u64))
        );
    }

    #[test]
    fn what_was_deleted_is_recognised_and_what_is_no_thing_is_refused() {
        let gone = |change: &Value| {
            let mut data = json!({"name": "t1_a", "body": "Yes", "author": "bob", "created_utc": 1});
            for (name, value) in change.as_object().unwrap() {
                data[name] = value.clone();
            }
            Thing::of(&json!({"data": data})).unwrap().is_gone
        };
        assert!(!gone(&json!({})));
        assert!(
            gone(&json!({"author": "[deleted]"}))
                && gone(&json!({"body": "[removed]"}))
                && gone(&json!({"author": null}))
        );
        for wrong in [
            json!({}),
            json!({"data": {"name": "t3_"}}),
            json!({"data": {"name": "t3_a", "created_utc": "soon"}}),
        ] {
            assert!(Thing::of(&wrong).is_err(), "{wrong}");
        }
    }
}
