//! From a status of Mastodon to a post.

use limbic_domain::{Utc, event_id};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::NETWORK;
use crate::html::plain;
use crate::text::{is_language, visible};

/// A status. Fields in another form count as absent, except those that every post needs.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    uri: String,
    account: Account,
    #[serde(default)]
    content: Value,
    #[serde(default)]
    spoiler_text: Value,
    #[serde(default)]
    created_at: Value,
    #[serde(default)]
    edited_at: Value,
    #[serde(default)]
    visibility: Value,
    #[serde(default)]
    language: Value,
    #[serde(default)]
    in_reply_to_id: Value,
    #[serde(default)]
    url: Value,
    #[serde(default)]
    reblog: Value,
    #[serde(default)]
    quote: Value,
    #[serde(default)]
    media_attachments: Value,
    #[serde(default)]
    tags: Value,
}

#[derive(Debug, Deserialize)]
struct Account {
    acct: String,
    #[serde(default)]
    url: Value,
    #[serde(default)]
    bot: Value,
    #[serde(default)]
    noindex: Value,
}

/// Why there is no post.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is not a post for this engine. The reason is counted.
    LeftOut(&'static str),
    /// It is not a status.
    Malformed(String),
}

/// The id of the post that a URI names. It does not reveal the author, whom the URI contains.
fn id_of(uri: &str) -> String {
    event_id("post of mastodon", &[uri])
}

impl Status {
    pub(super) fn post_id(&self) -> String {
        id_of(&self.uri)
    }

    /// The author, in the same form on every instance: `name@host`.
    pub(super) fn author(&self) -> String {
        let acct = self.account.acct.to_lowercase();
        if acct.contains('@') {
            return acct;
        }
        let address = self.account.url.as_str().unwrap_or(&self.uri);
        let host = address.parse::<reqwest::Url>().ok();
        let host = host.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
        format!("{acct}@{host}")
    }

    /// When it was edited last.
    pub(super) fn edited_at(&self) -> Option<Utc> {
        self.edited_at.as_str()?.parse().ok()
    }

    /// The id on the instance of the post that it replies to.
    pub(super) fn in_reply_to(&self) -> Option<u64> {
        self.in_reply_to_id.as_str()?.parse().ok()
    }

    /// The post. `parent` is the id, behind the edge, of the post that it replies to.
    pub(super) fn post(&self, parent: Option<&str>, is_edit: bool) -> Result<Value, Problem> {
        // Posts for followers and direct messages do not come in public streams; if one comes nevertheless, it is not read.
        if !matches!(self.visibility.as_str(), None | Some("public" | "unlisted")) {
            return Err(Problem::LeftOut("not public"));
        }
        if self.account.noindex == true {
            return Err(Problem::LeftOut("its author asks not to be indexed"));
        }
        if self.reblog.is_object() {
            return Err(Problem::LeftOut("repost"));
        }
        if self.uri.is_empty() || self.account.acct.is_empty() {
            return Err(Problem::Malformed(
                "a status without a URI or an author".to_owned(),
            ));
        }
        let content = plain(self.content.as_str().unwrap_or_default());
        let warning = self.spoiler_text.as_str().unwrap_or_default().trim();
        let text = match (warning, &*content.text) {
            ("", text) => text.to_owned(),
            (warning, "") => warning.to_owned(),
            (warning, text) => format!("{warning}\n\n{text}"),
        };
        let text = visible(&text);
        if text.trim().is_empty() {
            return Err(Problem::LeftOut("no text"));
        }
        let written = self.created_at.as_str().and_then(|at| at.parse::<Utc>().ok());
        let written =
            written.ok_or_else(|| Problem::Malformed("the time of a status cannot be read".to_owned()))?;
        let mut post = Map::new();
        let mut put = |name: &str, value: Value| post.insert(name.to_owned(), value);
        put("network", NETWORK.into());
        put("id", self.post_id().into());
        put("author", self.author().into());
        // Other instances may state a time in the future.
        put("created_at", written.min(Utc::now()).to_string().into());
        put("text", text.into_owned().into());
        if let Some(language) = self.language.as_str().filter(|tag| is_language(tag)) {
            put("lang", language.into());
        }
        if let Some(parent) = parent {
            put("reply_to", parent.into());
        }
        if let Some(url) = self.url.as_str().filter(|url| url.starts_with("http")) {
            put("url", url.into());
        }
        if is_edit {
            let edited = self.edited_at().unwrap_or_else(Utc::now);
            put("revision", edited.as_millis().max(1).into());
        }
        let meta = self.meta(content.links);
        if !meta.is_empty() {
            put("meta", meta.into());
        }
        Ok(post.into())
    }

    /// What the post refers to. The settings say what of it is kept.
    fn meta(&self, links: Vec<String>) -> Map<String, Value> {
        let mut meta = Map::new();
        if !links.is_empty() {
            meta.insert("links".to_owned(), links.into());
        }
        let tags: Vec<&str> = listed(&self.tags)
            .filter_map(|tag| tag["name"].as_str())
            .collect();
        if !tags.is_empty() {
            meta.insert("tags".to_owned(), tags.into());
        }
        if let Some(uri) = self.quote["quoted_status"]["uri"].as_str() {
            meta.insert("quote_of".to_owned(), id_of(uri).into());
        }
        let of_kind = |kinds: &[&str]| {
            let kind = |media: &&Value| media["type"].as_str().is_some_and(|kind| kinds.contains(&kind));
            listed(&self.media_attachments).filter(kind).count()
        };
        let (images, videos) = (of_kind(&["image"]), of_kind(&["video", "gifv"]));
        let mut media = Map::new();
        for (name, count) in [("images", images), ("videos", videos)] {
            if count > 0 {
                media.insert(name.to_owned(), count.into());
            }
        }
        if !media.is_empty() {
            meta.insert("media".to_owned(), media.into());
        }
        if self.account.bot == true {
            meta.insert("bot".to_owned(), json!(true));
        }
        meta
    }
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(change: &Value) -> Status {
        let mut status = json!({
            "id": "109", "uri": "https://one.example/users/Ann/statuses/109", "created_at": "2026-11-20T10:00:00.000Z",
            "account": {"acct": "Ann", "url": "https://one.example/@Ann"}, "visibility": "public",
            "content": "<p>What a <a href=\"https://example.com/\">goal</a>!</p>",
        });
        for (name, value) in change.as_object().unwrap() {
            status[name] = value.clone();
        }
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_status_is_a_post_with_what_it_refers_to() {
        let status = status(&json!({
            "spoiler_text": "Football", "language": "pt-BR", "url": "https://one.example/@Ann/109", "edited_at": "2026-11-20T10:05:00.000Z",
            "tags": [{"name": "cup"}, {"name": 7}], "media_attachments": [{"type": "image"}, {"type": "gifv"}, {"type": "unknown"}],
            "quote": {"state": "accepted", "quoted_status": {"uri": "https://two.example/1"}},
        }));
        let post = status.post(Some("parent"), true).unwrap();
        assert_eq!(post["text"], "Football\n\nWhat a goal!");
        assert_eq!(post["author"], "ann@one.example");
        assert_eq!(post["revision"], 1_795_169_100_000_i64);
        assert_eq!(
            (&post["lang"], &post["reply_to"]),
            (&json!("pt-BR"), &json!("parent"))
        );
        assert_eq!(
            post["meta"],
            json!({"links": ["https://example.com/"], "tags": ["cup"], "media": {"images": 1, "videos": 1},
                "quote_of": id_of("https://two.example/1")})
        );
        assert!(!post["id"].as_str().unwrap().contains("Ann"));
    }

    #[test]
    fn an_author_has_one_name_on_all_instances() {
        let at_home = status(&json!({}));
        let elsewhere =
            status(&json!({"account": {"acct": "Ann@one.example", "url": "https://one.example/@Ann"}}));
        assert_eq!(at_home.author(), elsewhere.author());
        assert_eq!(at_home.post_id(), elsewhere.post_id());
    }

    #[test]
    fn what_is_not_for_everyone_is_left_out() {
        for (change, reason) in [
            (json!({"visibility": "private"}), "not public"),
            (
                json!({"account": {"acct": "ann", "noindex": true}}),
                "its author asks not to be indexed",
            ),
            (json!({"reblog": {"id": "1"}}), "repost"),
            (json!({"content": "<p> &#x200b; </p>"}), "no text"),
        ] {
            assert_eq!(
                status(&change).post(None, false),
                Err(Problem::LeftOut(reason)),
                "{change}"
            );
        }
        let malformed = status(&json!({"created_at": "yesterday"})).post(None, false);
        assert!(matches!(malformed, Err(Problem::Malformed(_))));
    }

    #[test]
    fn a_time_in_the_future_is_now() {
        let post = status(&json!({"created_at": "2999-01-01T00:00:00Z"}))
            .post(None, false)
            .unwrap();
        assert!(post["created_at"].as_str().unwrap() < "2999");
    }
}
