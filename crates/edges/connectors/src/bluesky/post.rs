//! From a record of the collection `app.bsky.feed.post` to a post.

use std::borrow::Cow;

use limbic_domain::{Utc, event_id};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::NETWORK;
use super::event::{Commit, Operation};
use crate::text::{is_language, visible};

/// A record. Fields that a client has written in another form count as absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Option<Cow<'a, str>>,
    #[serde(default)]
    langs: Value,
    #[serde(default)]
    reply: Value,
    #[serde(default)]
    embed: Value,
    #[serde(default)]
    facets: Value,
}

/// Why there is no post.
#[derive(Debug)]
pub(super) enum Problem {
    /// It has no text that a person sees.
    NoText,
    /// It is not a record of a post.
    Malformed(String),
}

/// The id of the post `rkey` of the account `did`: 32 hexadecimal digits. It does not reveal the account.
pub(super) fn id(did: &str, rkey: &str) -> String {
    event_id("post of bluesky", &[did, rkey])
}

/// The id of the post that a URI names: `at://DID/app.bsky.feed.post/RKEY`.
fn id_of_uri(uri: &str) -> Option<String> {
    let mut parts = uri.strip_prefix("at://")?.split('/');
    let (did, _collection, rkey) = (parts.next()?, parts.next()?, parts.next()?);
    Some(id(did, rkey))
}

/// The post of a commit at `time`, in microseconds.
pub(super) fn of(did: &str, commit: &Commit<'_>, time: i64) -> Result<Value, Problem> {
    let record = commit
        .record
        .as_ref()
        .ok_or_else(|| Problem::Malformed("the post has no record".to_owned()))?;
    let record: Record<'_> = sonic_rs::from_str(record.as_raw_str())
        .map_err(|error| Problem::Malformed(format!("not a post: {error}")))?;
    let text = visible(&record.text);
    if text.trim().is_empty() {
        return Err(Problem::NoText);
    }
    let mut post = Map::new();
    post.insert("network".to_owned(), NETWORK.into());
    post.insert("id".to_owned(), id(did, &commit.rkey).into());
    post.insert("author".to_owned(), did.into());
    post.insert(
        "created_at".to_owned(),
        created_at(&record, time).to_string().into(),
    );
    if let Some(lang) = lang(&record.langs) {
        post.insert("lang".to_owned(), lang.into());
    }
    if let Some(parent) = record.reply["parent"]["uri"].as_str().and_then(id_of_uri) {
        post.insert("reply_to".to_owned(), parent.into());
    }
    let rkey = &commit.rkey;
    let url = format!("https://bsky.app/profile/{did}/post/{rkey}");
    post.insert("url".to_owned(), url.into());
    if commit.operation == Operation::Update {
        let revision = micros_of_tid(&commit.rev).unwrap_or(time.unsigned_abs());
        post.insert("revision".to_owned(), revision.into());
    }
    let meta = meta(&record);
    if !meta.is_empty() {
        post.insert("meta".to_owned(), meta.into());
    }
    post.insert("text".to_owned(), text.into_owned().into());
    Ok(Value::Object(post))
}

/// When the post was written: what the author's client says, but not after the server has seen it.
fn created_at(record: &Record<'_>, time: i64) -> Utc {
    let seen = Utc::from_millis(time / 1_000);
    let said: Option<Utc> = record.created_at.as_ref().and_then(|text| text.parse().ok());
    said.map_or(seen, |said| said.min(seen))
}

/// The first language, if it is a tag.
fn lang(langs: &Value) -> Option<&str> {
    langs[0].as_str().filter(|tag| is_language(tag))
}

/// What the post refers to: links, tags, the quoted post, and the kinds of its media. The settings say what of it is kept.
fn meta(record: &Record<'_>) -> Map<String, Value> {
    let mut meta = Map::new();
    let (mut links, mut tags) = (Vec::new(), Vec::new());
    for facet in record.facets.as_array().into_iter().flatten() {
        // Ranges count bytes of UTF-8. One that does not cut whole characters belongs to another text.
        let bound = |name: &str| {
            facet["index"][name]
                .as_u64()
                .and_then(|at| usize::try_from(at).ok())
        };
        let range = bound("byteStart").zip(bound("byteEnd"));
        if range
            .and_then(|(start, end)| record.text.get(start..end))
            .is_none_or(str::is_empty)
        {
            continue;
        }
        for feature in facet["features"].as_array().into_iter().flatten() {
            match feature["$type"].as_str() {
                Some("app.bsky.richtext.facet#link") => links.push(feature["uri"].clone()),
                Some("app.bsky.richtext.facet#tag") => tags.push(feature["tag"].clone()),
                // A mention names a person.
                _ => {}
            }
        }
    }
    let embed = &record.embed;
    let kind_of = |embed: &Value| embed["$type"].as_str().unwrap_or_default().to_owned();
    let (mut kind, mut media) = (kind_of(embed), embed);
    let quoted = match kind.as_str() {
        "app.bsky.embed.record" => embed["record"]["uri"].as_str(),
        "app.bsky.embed.recordWithMedia" => {
            media = &embed["media"];
            kind = kind_of(media);
            embed["record"]["record"]["uri"].as_str()
        }
        _ => None,
    };
    if let Some(quoted) = quoted.and_then(id_of_uri) {
        meta.insert("quote_of".to_owned(), quoted.into());
    }
    match kind.as_str() {
        "app.bsky.embed.images" => {
            let images = media["images"].as_array().map_or(0, Vec::len);
            meta.insert("media".to_owned(), json!({"images": images}));
        }
        "app.bsky.embed.video" => {
            meta.insert("media".to_owned(), json!({"videos": 1}));
        }
        "app.bsky.embed.external" => links.push(media["external"]["uri"].clone()),
        _ => {}
    }
    for (name, mut values) in [("links", links), ("tags", tags)] {
        values.retain(Value::is_string);
        values.dedup();
        if !values.is_empty() {
            meta.insert(name.to_owned(), values.into());
        }
    }
    meta
}

/// The time in a TID, in microseconds: 13 digits of base 32 in the order of their values; the last 10 bits number the clock.
fn micros_of_tid(tid: &str) -> Option<u64> {
    const DIGITS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
    if tid.len() != 13 {
        return None;
    }
    let mut value: u64 = 0;
    for digit in tid.bytes() {
        let digit = DIGITS.iter().position(|known| *known == digit)?;
        // The highest bit of a TID is 0, so 13 digits fit.
        value = value.checked_mul(32)?.checked_add(digit as u64)?;
    }
    Some(value >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tid_is_a_time() {
        // 2026-05-25T14:23:29Z: the revision of a recorded event.
        let micros = micros_of_tid("3mmoojp7vgo2g").unwrap();
        assert_eq!(micros / 1_000_000, 1_779_719_008);
        for wrong in ["", "3mmoojp7vgo2", "3mmoojp7vgo21", "zzzzzzzzzzzzz"] {
            assert_eq!(micros_of_tid(wrong), None, "{wrong}");
        }
    }

    fn post(record: &Value) -> Result<Value, Problem> {
        let event = json!({"rev": "3mmoojp7vgo2g", "operation": "create", "collection": "app.bsky.feed.post",
            "rkey": "3k", "record": record})
        .to_string();
        let commit: Commit<'_> = sonic_rs::from_str(&event).unwrap();
        of("did:plc:ada", &commit, 1_779_719_009_000_000)
    }

    #[test]
    fn what_a_post_refers_to_is_found_by_bytes_of_utf8() {
        // "é" has two bytes: the link is 3..7, and the tag 8..13.
        let record = json!({
            "text": "é link #goal", "createdAt": "2026-05-25T14:23:28Z", "langs": ["pt-BR"],
            "reply": {"parent": {"uri": "at://did:plc:bob/app.bsky.feed.post/3j"}},
            "facets": [
                {"index": {"byteStart": 3, "byteEnd": 7},
                 "features": [{"$type": "app.bsky.richtext.facet#link", "uri": "https://example.com/"}]},
                {"index": {"byteStart": 8, "byteEnd": 13},
                 "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "goal"}]},
                {"index": {"byteStart": 1, "byteEnd": 7},
                 "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "cuts a character"}]},
                {"index": {"byteStart": 3, "byteEnd": 99},
                 "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "ends behind the text"}]},
                {"features": 7},
            ],
            "embed": {"$type": "app.bsky.embed.recordWithMedia",
                "record": {"record": {"uri": "at://did:plc:eve/app.bsky.feed.post/3i"}},
                "media": {"$type": "app.bsky.embed.images", "images": [{}, {}]}},
        });
        let post = post(&record).unwrap();
        assert_eq!(post["lang"], "pt-BR");
        assert_eq!(post["reply_to"], id("did:plc:bob", "3j"));
        assert_eq!(
            post["meta"],
            json!({"quote_of": id("did:plc:eve", "3i"), "media": {"images": 2}, "links": ["https://example.com/"],
                "tags": ["goal"]})
        );
        assert_eq!(post["id"], id("did:plc:ada", "3k"));
        assert!(!post["id"].as_str().unwrap().contains("ada"));
    }

    #[test]
    fn fields_in_another_form_count_as_absent() {
        let post = post(&json!({
            "text": "\u{202e}hi", "createdAt": "2999-01-01T00:00:00Z", "langs": "en", "reply": 1, "facets": {}, "embed": [],
        }))
        .unwrap();
        assert_eq!(post["text"], "hi");
        assert_eq!(
            post["created_at"], "2026-05-25T14:23:29.000Z",
            "not after it was seen"
        );
        for absent in ["lang", "reply_to", "meta", "revision"] {
            assert!(post.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn a_post_without_text_is_no_post() {
        assert!(matches!(
            post(&json!({"text": " \u{200b}"})),
            Err(Problem::NoText)
        ));
        assert!(matches!(post(&json!([])), Err(Problem::Malformed(_))));
    }
}
