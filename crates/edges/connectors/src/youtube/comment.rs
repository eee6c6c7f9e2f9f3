//! From a comment of YouTube to a post.

use limbic_domain::Utc;
use serde_json::{Value, json};

use crate::text::visible;
use crate::watch::Thing;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A comment at a place. Without an author, it is left out.
pub(super) fn thing(comment: &Value, place: &str, video: Option<&str>) -> Result<Thing, &'static str> {
    let (name, snippet) = (text(comment, "id"), &comment["snippet"]);
    if name.is_empty() || name.len() > 120 {
        return Err("a comment without an id");
    }
    let author = text(&snippet["authorChannelId"], "value");
    if author.is_empty() {
        return Err("without an author");
    }
    let time = |name: &str| text(snippet, name).parse::<Utc>().ok();
    let written = time("publishedAt").ok_or("a comment without a time")?;
    let changed = time("updatedAt").unwrap_or(written);
    let revision = if changed > written {
        changed.as_millis().unsigned_abs()
    } else {
        0
    };
    // `textOriginal` is shown to the author alone.
    let said = visible(text(snippet, "textDisplay"));
    let video = video.or_else(|| snippet["videoId"].as_str());
    let post = (!said.trim().is_empty()).then(|| {
        let mut post = json!({"text": said});
        if let Some(video) = video {
            post["url"] = format!("https://www.youtube.com/watch?v={video}&lc={name}").into();
            post["meta"] = json!({"video": video});
        }
        if let Some(parent) = snippet["parentId"].as_str() {
            post["reply_to"] = parent.into();
        }
        post
    });
    Ok(Thing {
        name: name.to_owned(),
        place: place.to_owned(),
        author: author.to_owned(),
        written,
        version: revision,
        revision: Some(revision),
        post,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_names_its_comment_and_an_edit_has_its_time() {
        let reply = json!({"id": "UgzA.9b", "snippet": {
            "authorChannelId": {"value": "UCann"}, "textDisplay": "What a\u{200b} goal!", "parentId": "UgzA", "videoId": "dQw",
            "publishedAt": "2026-11-20T10:00:00Z", "updatedAt": "2026-11-20T10:05:00Z"}});
        let thing = thing(&reply, "UCchannel", None).unwrap();
        assert_eq!(thing.revision, Some(1_795_169_100_000));
        assert_eq!(
            thing.post.unwrap(),
            json!({"text": "What a goal!", "url": "https://www.youtube.com/watch?v=dQw&lc=UgzA.9b", "reply_to": "UgzA",
                "meta": {"video": "dQw"}})
        );
    }

    #[test]
    fn what_is_not_a_comment_is_named() {
        let snippet = json!({"authorChannelId": {"value": "UCann"}, "textDisplay": " ", "publishedAt": "2026-11-20T10:00:00Z"});
        let found = thing(&json!({"id": "a", "snippet": snippet}), "v", None).unwrap();
        assert!(found.post.is_none() && found.revision == Some(0));
        for (wrong, said) in [
            (json!({"snippet": snippet}), "a comment without an id"),
            (
                json!({"id": "a", "snippet": {"publishedAt": "2026-11-20T10:00:00Z"}}),
                "without an author",
            ),
            (
                json!({"id": "a", "snippet": {"authorChannelId": {"value": "x"}}}),
                "a comment without a time",
            ),
        ] {
            assert_eq!(thing(&wrong, "v", None).unwrap_err(), said);
        }
    }
}
