//! Facebook and Instagram: comments and posts on the operator's own pages and accounts, by the webhooks of Meta.
//!
//! What Meta sends is written from its documentation (developers.facebook.com, "Webhooks: Getting Started", "Page Webhooks Reference:
//! feed" and "Instagram Webhooks", from memory; the pages could not be opened):
//!
//! * Before it sends, Meta asks with `hub.mode=subscribe`, `hub.verify_token` and `hub.challenge`, and wants the challenge back.
//! * `X-Hub-Signature-256` is `sha256=` and the HMAC-SHA-256 of the raw body with the app's secret, in hexadecimal digits.
//! * A body has an `object` (`page` or `instagram`) and entries with changes. Of pages, the field `feed` says what (`item`) and how
//!   (`verb`: `add`, `edited`, `remove`). Of Instagram, the field `comments` has new comments only.
//! * Deliveries are repeated until they are answered with 200, and their order is not that of the events.
//!
//! Because of the order, an edit has the time of its delivery as its revision, and a deletion that arrives before its post is followed by
//! the post: the view then has the post, until Meta repeats the deletion. Nothing in a delivery tells that.

mod component;

use limbic_domain::{Secret, Utc};
use limbic_http::is_signed_in_hex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Item;
use crate::meta_id::post_id;
use crate::receiver::{Hook, HookError, Received, Receiver, header};
use crate::text::visible;
use crate::webhook::challenge;

pub use component::MetaSettings;

/// Receives what Meta sends.
pub struct Meta {
    app_secret: Secret,
    verify_token: Secret,
}

#[derive(Deserialize)]
struct Body {
    object: String,
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// The page or the account.
    #[serde(default)]
    id: Value,
    #[serde(default)]
    time: Value,
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    field: String,
    #[serde(default)]
    value: Value,
}

/// A text or a number as a text.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A time in seconds or milliseconds.
fn time(value: &Value) -> Option<Utc> {
    let count = value.as_i64().filter(|count| *count > 0)?;
    Some(Utc::from_millis(if count < 100_000_000_000 {
        count * 1_000
    } else {
        count
    }))
}

impl Meta {
    fn page(entry: &Entry, value: &Value, now: Utc, received: &mut Received) {
        let what = value["item"].as_str().unwrap_or_default();
        let own = match what {
            "comment" => id(&value["comment_id"]),
            "post" | "status" | "photo" | "video" | "share" => id(&value["post_id"]),
            _ => return drop_one(received, "another kind of event"),
        };
        let author = id(&value["from"]["id"]);
        let (Some(own), Some(author)) = (own, author) else {
            return drop_one(received, "without an id or an author");
        };
        // What the page itself writes is the operator's own.
        if Some(&author) == id(&entry.id).as_ref() {
            return drop_one(received, "of the page itself");
        }
        let at = time(&value["created_time"])
            .or_else(|| time(&entry.time))
            .unwrap_or(now)
            .min(now);
        let stated_at = time(&entry.time).unwrap_or(now).min(now);
        let mut post = json!({
            "network": "facebook", "id": post_id("facebook", &own), "author": author, "created_at": at.to_string(),
        });
        match value["verb"].as_str() {
            Some("remove" | "hide") => {
                let deletion = json!({
                    "network": "facebook", "id": post["id"], "author": author, "deleted_at": stated_at.to_string(),
                });
                return received.items.push(Item::Deletion(deletion));
            }
            Some("edited" | "edit") => post["revision"] = stated_at.as_millis().max(1).into(),
            Some("add") => {}
            _ => return drop_one(received, "another kind of event"),
        }
        let parent = id(&value["parent_id"]).filter(|parent| what == "comment" && *parent != own);
        if let Some(parent) = parent {
            post["reply_to"] = post_id("facebook", &parent).into();
        }
        push(post, value["message"].as_str(), received);
    }

    fn instagram(entry: &Entry, value: &Value, now: Utc, received: &mut Received) {
        let (Some(own), Some(author)) = (id(&value["id"]), id(&value["from"]["id"])) else {
            return drop_one(received, "without an id or an author");
        };
        if Some(&author) == id(&entry.id).as_ref() {
            return drop_one(received, "of the page itself");
        }
        let at = time(&entry.time).unwrap_or(now).min(now);
        let mut post = json!({
            "network": "instagram", "id": post_id("instagram", &own), "author": author, "created_at": at.to_string(),
        });
        if let Some(parent) = id(&value["parent_id"]).or_else(|| id(&value["media"]["id"])) {
            post["reply_to"] = post_id("instagram", &parent).into();
        }
        push(post, value["text"].as_str(), received);
    }
}

fn push(mut post: Value, text: Option<&str>, received: &mut Received) {
    let text = visible(text.unwrap_or_default());
    if text.trim().is_empty() {
        return drop_one(received, "no text");
    }
    post["text"] = text.into_owned().into();
    received.items.push(Item::Post(post));
}

fn drop_one(received: &mut Received, reason: &'static str) {
    *received.dropped.entry(reason).or_default() += 1;
}

impl Receiver for Meta {
    fn receive(&self, hook: &Hook<'_>, now: Utc) -> Result<Received, HookError> {
        if !hook.is_post {
            return challenge(Some(&self.verify_token), hook.query);
        }
        let signature = header(hook.headers, "x-hub-signature-256");
        let signature = signature.ok_or(HookError::NotProven("the header x-hub-signature-256 is missing"))?;
        if !is_signed_in_hex(&self.app_secret, signature, hook.body) {
            return Err(HookError::NotProven(
                "the signature does not fit: set app_secret to the secret of the app",
            ));
        }
        let body: Body = serde_json::from_slice(hook.body)
            .map_err(|_| HookError::NotUnderstood("the body is not a notification of Meta"))?;
        let mut received = Received {
            answer: "EVENT_RECEIVED".to_owned(),
            ..Received::default()
        };
        for entry in &body.entry {
            for change in &entry.changes {
                match (&*body.object, &*change.field) {
                    ("page", "feed") => Self::page(entry, &change.value, now, &mut received),
                    ("instagram", "comments" | "live_comments") => {
                        Self::instagram(entry, &change.value, now, &mut received);
                    }
                    _ => drop_one(&mut received, "another kind of event"),
                }
            }
        }
        Ok(received)
    }
}
