//! From the bytes of a feed to posts.

use std::time::Duration;

use feed_rs::model::{self, FeedType};
use feed_rs::parser::Builder;
use limbic_domain::{Utc, event_id, random};
use reqwest::Url;
use serde_json::{Map, Value, json};

use crate::html::{Plain, plain};
use crate::text::{is_language, one_line, visible};

/// The most bytes of the text of a post. An article can be longer; its beginning is read.
const LONGEST_TEXT: usize = 32 << 10;
/// The most characters of an author's name.
const LONGEST_NAME: usize = 200;

/// A feed.
pub(super) struct Read {
    /// The oldest first.
    pub(super) entries: Vec<Entry>,
    /// How long the feed wants to be used (`ttl`).
    pub(super) wait: Duration,
}

/// An entry of a feed.
pub(super) struct Entry {
    id: String,
    author: String,
    text: String,
    written: Option<Utc>,
    updated: Option<Utc>,
    lang: Option<String>,
    url: Option<String>,
    meta: Map<String, Value>,
}

/// Why there is no post.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    NoText,
}

/// Reads a feed of the settings' address `url` that came from the address `from`.
pub(super) fn read(body: &[u8], url: &Url, from: &Url) -> Result<Read, String> {
    let parser = Builder::new()
        .base_uri(Some(from.as_str()))
        .id_generator(|links, title, _| {
            let link = links
                .iter()
                .find(|link| link.target.is_none())
                .map(|link| link.href.clone());
            link.unwrap_or_else(|| {
                title
                    .as_ref()
                    .map_or(String::new(), |title| title.content.clone())
            })
        })
        .build();
    let feed = parser
        .parse(body)
        .map_err(|error| format!("what it answers is not a feed: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let mut entries: Vec<Entry> = feed
        .entries
        .iter()
        .filter_map(|entry| Entry::of(entry, &feed, url, host))
        .collect();
    // Feeds begin with their newest entry.
    entries.reverse();
    entries.sort_by_key(|entry| entry.written);
    let minutes = u64::from(feed.ttl.unwrap_or(0));
    Ok(Read {
        entries,
        wait: Duration::from_secs(minutes.saturating_mul(60)),
    })
}

impl Entry {
    /// `None` if nothing identifies it.
    fn of(entry: &model::Entry, feed: &model::Feed, url: &Url, host: &str) -> Option<Self> {
        let guid = entry.id.trim();
        if guid.is_empty() {
            return None;
        }
        // A URL is unique in the world, another id is unique in its feed.
        let is_url = guid.starts_with("https://") || guid.starts_with("http://");
        let id = if is_url {
            event_id("post of a feed", &[guid])
        } else {
            event_id("post of a feed", &[url.as_str(), guid])
        };
        let (text, links) = text_of(entry, &feed.feed_type);
        let name = entry
            .authors
            .iter()
            .chain(&feed.authors)
            .find_map(|author| author.name.as_deref());
        let name: String = one_line(name.unwrap_or_default())
            .chars()
            .take(LONGEST_NAME)
            .collect();
        let millis = |at: Option<i64>| at.map(Utc::from_millis);
        let written = entry.published.or(entry.updated).map(|at| at.timestamp_millis());
        let updated = entry.updated.map(|at| at.timestamp_millis());
        let lang = entry.language.as_ref().or(feed.language.as_ref());
        let web = entry
            .links
            .iter()
            .find(|link| link.target.is_none() && link.rel.as_deref().is_none_or(|rel| rel == "alternate"));
        Some(Self {
            id,
            author: if name.is_empty() {
                host.to_owned()
            } else {
                format!("{name}@{host}")
            },
            text,
            written: millis(written),
            updated: millis(updated),
            lang: lang
                .map(|lang| lang.replace('_', "-"))
                .filter(|lang| is_language(lang)),
            url: web
                .map(|link| link.href.clone())
                .filter(|href| href.starts_with("http")),
            meta: meta(entry, &links),
        })
    }

    /// What identifies the entry in a cursor.
    pub(super) fn key(&self) -> String {
        self.id[..16].to_owned()
    }

    /// What changes with the text.
    pub(super) fn hash(&self) -> u64 {
        random::hash(self.text.as_bytes())
    }

    /// When it was changed, in milliseconds, not in the future.
    pub(super) fn changed_at(&self) -> u64 {
        let now = Utc::now();
        let at = self.updated.map_or(now, |updated| updated.min(now));
        u64::try_from(at.as_millis()).unwrap_or(0)
    }

    pub(super) fn post(&self, network: &str, revision: u64) -> Result<Value, Problem> {
        if self.text.trim().is_empty() {
            return Err(Problem::NoText);
        }
        let now = Utc::now();
        let written = self.written.map_or(now, |written| written.min(now));
        let mut post = json!({
            "network": network, "id": self.id, "author": self.author, "text": self.text,
            "created_at": written.to_string(),
        });
        if let Some(lang) = &self.lang {
            post["lang"] = lang.as_str().into();
        }
        if let Some(url) = &self.url {
            post["url"] = url.as_str().into();
        }
        if revision > 0 {
            post["revision"] = revision.into();
        }
        if !self.meta.is_empty() {
            post["meta"] = self.meta.clone().into();
        }
        Ok(post)
    }

    pub(super) fn deletion(&self, network: &str) -> Value {
        json!({"network": network, "id": self.id, "author": self.author, "deleted_at": Utc::now()})
    }
}

/// Title and content, or title and summary.
fn text_of(entry: &model::Entry, kind: &FeedType) -> (String, Vec<String>) {
    // Atom says what is HTML. In RSS everything may be, whatever it says.
    let is_html = |media: &str| !matches!(kind, FeedType::Atom | FeedType::JSON) || media.contains("html");
    let read = |text: &str, media: &str| {
        if is_html(media) {
            plain(text)
        } else {
            Plain {
                text: text.trim().to_owned(),
                links: Vec::new(),
            }
        }
    };
    let of_text = |text: &model::Text| read(&text.content, text.content_type.as_str());
    let title = entry.title.as_ref().map(of_text).unwrap_or_default();
    let content = entry.content.as_ref().and_then(|content| {
        let body = content.body.as_deref()?;
        Some(read(body, content.content_type.as_str()))
    });
    let content = content
        .filter(|content| !content.text.is_empty())
        .or_else(|| entry.summary.as_ref().map(of_text))
        .unwrap_or_default();
    let both = match (title.text.trim(), content.text.trim()) {
        (title, "") => title.to_owned(),
        ("", content) => content.to_owned(),
        // Feeds of short posts repeat the text as the title.
        (title, content) if content.starts_with(title.trim_end_matches(['…', '.'])) => content.to_owned(),
        (title, content) => format!("{title}\n\n{content}"),
    };
    let text = visible(&both);
    let end = text.floor_char_boundary(LONGEST_TEXT);
    (text[..end].to_owned(), content.links)
}

/// What the entry refers to. The settings say what of it is kept.
fn meta(entry: &model::Entry, links: &[String]) -> Map<String, Value> {
    let mut meta = Map::new();
    let tags: Vec<&str> = entry
        .categories
        .iter()
        .map(|category| category.term.trim())
        .collect();
    for (name, values) in [("links", json!(links)), ("tags", json!(tags))] {
        if values.as_array().is_some_and(|values| !values.is_empty()) {
            meta.insert(name.to_owned(), values);
        }
    }
    if !entry.media.is_empty() {
        meta.insert("media".to_owned(), json!({"others": entry.media.len()}));
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posts(body: &str) -> Vec<Value> {
        let url: Url = "https://news.example/feed".parse().unwrap();
        let read = read(body.as_bytes(), &url, &url).unwrap();
        let posts = read.entries.iter().map(|entry| entry.post("news", 0).unwrap());
        posts.collect()
    }

    #[test]
    fn rss_is_read_with_html_and_without_a_guid_by_its_link() {
        let posts = posts(
            r#"<?xml version="1.0"?><rss version="2.0"><channel><title>News</title><link>https://news.example/</link>
            <description>d</description><language>en-us</language><ttl>60</ttl>
            <item><title>Second &amp;amp; last</title><link>https://news.example/2</link>
              <description>&lt;p&gt;Two &lt;a href="https://x.example/"&gt;links&lt;/a&gt;&lt;/p&gt;</description>
              <pubDate>Fri, 20 Nov 2026 11:00:00 GMT</pubDate><category>cup</category></item>
            <item><title>First</title><guid isPermaLink="false">n-1</guid><author>ann@news.example (Ann)</author>
              <description>One</description><pubDate>Fri, 20 Nov 2026 10:00:00 GMT</pubDate></item>
            </channel></rss>"#,
        );
        assert_eq!(posts.len(), 2);
        assert_eq!(
            (&posts[0]["text"], &posts[1]["text"]),
            (&json!("First\n\nOne"), &json!("Second & last\n\nTwo links"))
        );
        assert_eq!(
            posts[1]["id"],
            event_id("post of a feed", &["https://news.example/2"])
        );
        assert_eq!(
            posts[0]["id"],
            event_id("post of a feed", &["https://news.example/feed", "n-1"])
        );
        assert_eq!(posts[1]["author"], "news.example");
        assert_eq!(posts[1]["created_at"], "2026-11-20T11:00:00.000Z");
        assert_eq!(posts[1]["lang"], "en-us");
        assert_eq!(
            posts[1]["meta"],
            json!({"links": ["https://x.example/"], "tags": ["cup"]})
        );
    }

    #[test]
    fn atom_says_what_is_html() {
        let posts = posts(
            r#"<feed xmlns="http://www.w3.org/2005/Atom"><id>urn:f</id><title>F</title><updated>2026-11-20T10:00:00Z</updated>
            <author><name>
              Ann of
              London</name></author>
            <entry><id>urn:1</id><title>2 &lt; 3</title><updated>2026-11-20T10:00:00Z</updated>
              <content type="html">&lt;b&gt;so&lt;/b&gt; true</content></entry></feed>"#,
        );
        assert_eq!(posts[0]["text"], "2 < 3\n\nso true");
        assert_eq!(posts[0]["author"], "Ann of London@news.example");
    }

    #[test]
    fn a_title_that_repeats_the_text_is_not_doubled_and_a_long_text_is_cut() {
        let long = "é".repeat(LONGEST_TEXT);
        let posts = posts(&format!(
            r#"{{"version": "https://jsonfeed.org/version/1.1", "title": "F", "items": [
                {{"id": "2", "title": "Goal", "content_text": "Goal for us", "date_published": "2026-11-20T10:00:00Z"}},
                {{"id": "1", "content_text": "{long}", "date_published": "2026-11-20T09:00:00Z"}}]}}"#
        ));
        assert_eq!(posts[1]["text"], "Goal for us");
        assert_eq!(posts[0]["text"].as_str().unwrap().len(), LONGEST_TEXT);
    }

    #[test]
    fn what_is_not_a_feed_is_an_error_that_says_so() {
        let url: Url = "https://news.example/feed".parse().unwrap();
        for body in [
            "",
            "<html><body>Maintenance</body></html>",
            "{\"a\": 1}",
            "<rss version=\"2.0\"><channel>",
        ] {
            let problem = read(body.as_bytes(), &url, &url).err();
            if let Some(problem) = problem {
                assert!(problem.contains("not a feed"), "{problem}");
            } else {
                assert!(body.contains("channel"), "{body}");
            }
        }
    }
}
