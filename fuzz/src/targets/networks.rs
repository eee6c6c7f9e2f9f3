//! What social networks and other programs send.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use hmac::{Hmac, KeyInit, Mac};
use limbic_component::{Component, Resources};
use limbic_ingest::{Settings, incoming};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use limbic_connectors::{
    Hook, HookError, Item, JsonMapping, JsonMappingSettings, Meta, MetaSettings, Receiver, SignatureForm,
    SignedWebhook, SignedWebhookSettings, YouTube, YouTubePushSettings, YouTubeSettings,
};
use limbic_domain::{ConnectionUrl, Secret, Utc};
use limbic_http::sign_in_hex;
use sha2::Sha256;

use crate::copies::{feed, html, sse, x};

/// The text of HTML has no white space around it and a limited length, and its links begin with `http`.
pub fn plain_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let plain = html::plain(text);
    assert!(plain.text.len() <= 8 * text.len() + 8);
    assert!(!plain.text.starts_with([' ', '\n']) && !plain.text.ends_with([' ', '\n']));
    assert!(plain.links.iter().all(|link| link.starts_with("http")));
}

/// The first byte is the size of pieces. The events are the same for pieces and for the whole.
pub fn events(bytes: &[u8]) {
    let Some((&size, text)) = bytes.split_first() else { return };
    let read = |size: usize| {
        let (mut events, mut found) = (sse::Events::default(), Vec::new());
        for piece in text.chunks(size) {
            events.push(piece).expect("it is short");
            while let Some(event) = events.next() {
                found.push((event.name, event.data));
            }
        }
        found
    };
    assert_eq!(read(usize::from(size) + 1), read(text.len().max(1)));
}

fn is_object(item: &Item) -> bool {
    match item {
        Item::Post(post) | Item::Deletion(post) => post.is_object() && post["network"].is_string(),
        Item::Unreadable(problem) => !problem.is_empty(),
    }
}

/// A message of another program: each item is an object, or says why not.
pub fn mapping(bytes: &[u8]) {
    static MAPPINGS: LazyLock<[JsonMapping; 2]> = LazyLock::new(|| {
        let fields = |fields: &[(&str, &str)]| {
            fields.iter().map(|(field, path)| ((*field).to_owned(), (*path).to_owned())).collect()
        };
        let plain = JsonMappingSettings {
            fields: fields(&[("id", "id"), ("author", "author"), ("text", "text"), ("created_at", "at")]),
            ..JsonMappingSettings::default()
        };
        let nested = JsonMappingSettings {
            items: "data[] || posts[]".to_owned(),
            deleted: "gone".to_owned(),
            html: true,
            fields: fields(&[
                ("id", "join('/', [site, to_string(id)])"),
                ("author", "user.id || user.name"),
                ("text", "body"),
                ("created_at", "at"),
                ("meta", "{tags: tags}"),
                ("revision", "version"),
            ]),
            ..JsonMappingSettings::default()
        };
        [plain, nested].map(|settings| JsonMapping::new(&settings).expect("a mapping"))
    });
    for mapping in &*MAPPINGS {
        assert!(mapping.items(bytes).iter().all(is_object));
    }
}

/// A request to an address for sources that send. Without a right signature it brings nothing.
pub fn hooks(bytes: &[u8]) {
    let Some((&choice, body)) = bytes.split_first() else { return };
    const SECRET: &str = "0123456789abcdef";
    static RECEIVER: LazyLock<Arc<dyn Receiver>> = LazyLock::new(|| {
        let settings = MetaSettings {
            app_secret: Secret::new(SECRET),
            verify_token: Secret::new(SECRET),
            ..MetaSettings::default()
        };
        let source = Meta::build(&settings, &Resources::new("fuzz")).expect("valid settings");
        source.receiver.expect("Meta sends by itself")
    });
    let (query, is_post) = (String::from_utf8_lossy(body), choice % 2 == 0);
    let mut headers = reqwest::header::HeaderMap::new();
    if choice % 4 == 0 {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
        mac.update(body);
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        headers.insert("x-hub-signature-256", digits.parse().expect("digits"));
    }
    let hook = Hook { is_post, query: if is_post { "" } else { &query }, headers: &headers, body };
    match RECEIVER.receive(&hook, Utc::from_millis(1_795_000_000_000)) {
        Ok(received) => {
            assert!(choice % 4 != 2, "it is not signed");
            assert!(received.items.iter().all(is_object));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The first line is the signature of a request in every form, and the rest its body. Nobody can sign without the secret, so no address
/// accepts it.
pub fn signatures(bytes: &[u8]) {
    static RECEIVERS: LazyLock<Vec<Arc<dyn Receiver>>> = LazyLock::new(|| {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let fields = ["id", "author", "text", "created_at"];
        let webhook = |signature| SignedWebhookSettings {
            secret: secret.clone(),
            signature,
            map: JsonMappingSettings {
                fields: fields.map(|field| (field.to_owned(), field.to_owned())).into(),
                ..JsonMappingSettings::default()
            },
            ..SignedWebhookSettings::default()
        };
        let build = |settings| SignedWebhook::build(&settings, &Resources::new("fuzz")).expect("valid settings");
        let meta = MetaSettings { app_secret: secret.clone(), verify_token: secret.clone(), ..MetaSettings::default() };
        let sources = [
            build(webhook(SignatureForm::StandardWebhooks)),
            build(webhook(SignatureForm::Hex)),
            Meta::build(&meta, &Resources::new("fuzz")).expect("valid settings"),
        ];
        sources.into_iter().map(|source| source.receiver.expect("it sends by itself")).chain([Arc::clone(&PUSHES)]).collect()
    });
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    let mut headers = HeaderMap::new();
    // The fields of a line are the headers of Standard Webhooks.
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        if let Ok(value) = HeaderValue::from_bytes(parts.next().unwrap_or_default()) {
            headers.insert(name, value);
        }
    }
    for name in ["x-hub-signature-256", "x-hub-signature"] {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let query = push_query("");
    let hook = Hook { is_post: true, query: &query, headers: &headers, body };
    for receiver in &*RECEIVERS {
        let refused = receiver.receive(&hook, Utc::from_millis(1_795_000_000_000)).expect_err("it is not signed");
        assert!(matches!(refused, HookError::NotProven(_)), "{refused:?}");
    }
}

const CHANNEL: &str = "UCabcdefghijklmnopqrstuv";
const PUSH_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What a hub of YouTube reaches.
static PUSHES: LazyLock<Arc<dyn Receiver>> = LazyLock::new(|| {
    let settings = YouTubeSettings {
        key: Secret::new("key"),
        channels: vec![CHANNEL.to_owned()],
        push: Some(YouTubePushSettings {
            callback: ConnectionUrl::new("https://limbic.example/v1/hooks/youtube"),
            secret: Secret::new(PUSH_SECRET),
            ..YouTubePushSettings::default()
        }),
        ..YouTubeSettings::default()
    };
    let source = YouTube::build(&settings, &Resources::new("fuzz")).expect("valid settings");
    source.receiver.expect("a hub sends")
});

/// The query of the callback of the channel, with more behind it.
fn push_query(more: &str) -> String {
    let token = sign_in_hex(&Secret::new(PUSH_SECRET), format!("callback {CHANNEL}").as_bytes());
    format!("channel={CHANNEL}&token={token}&{more}")
}

/// The first byte says whether it is a question of the hub, with this query, or a push with this body, signed rightly. A question about
/// something that nobody asked for gets no answer, and a push is a feed or refused.
pub fn pushes(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let now = Utc::from_millis(1_795_000_000_000);
    let mut headers = HeaderMap::new();
    if choice % 2 == 0 {
        let more = String::from_utf8_lossy(rest);
        let topic = "hub.topic=https://www.youtube.com/xml/feeds/videos.xml?channel_id%3D";
        let query = if choice % 4 == 0 { format!("{topic}{CHANNEL}&{more}") } else { more.into_owned() };
        let query = push_query(&query);
        let hook = Hook { is_post: false, query: &query, headers: &headers, body: b"" };
        if let Ok(received) = PUSHES.receive(&hook, now) {
            // The hub says that it denies something.
            assert!(received.answer.is_empty() && received.items.is_empty() && received.wakes);
        }
        return;
    }
    let key = sign_in_hex(&Secret::new(PUSH_SECRET), format!("signature {CHANNEL}").as_bytes());
    let signature = format!("sha256={}", sign_in_hex(&Secret::new(&key), rest));
    headers.insert("x-hub-signature", signature.parse().expect("digits"));
    let query = push_query("");
    let hook = Hook { is_post: true, query: &query, headers: &headers, body: rest };
    match PUSHES.receive(&hook, now) {
        Ok(received) => assert!(received.items.is_empty() && received.answer.is_empty()),
        Err(error) => assert!(matches!(error, HookError::NotUnderstood(_)), "{error:?}"),
    }
}

/// The bytes of a feed. What is read twice is the same, and every post is within the limits of the edge.
pub fn feeds(bytes: &[u8]) {
    let url = "https://news.example/feed".parse().expect("an address");
    let Ok(found) = feed::read(bytes, &url) else { return };
    let again = feed::read(bytes, &url).expect("it was read before");
    assert!(found.iter().map(|entry| &entry.key).eq(again.iter().map(|entry| &entry.key)));
    for post in found.into_iter().filter_map(|entry| entry.post) {
        assert!(!post["text"].as_str().expect("a text").trim().is_empty());
        // The edge can only refuse its time, which a feed states as it likes.
        let refused = incoming::post(post, &Settings::default(), Utc::now()).err();
        assert!(refused.as_ref().is_none_or(|problem| problem.field == "created_at"), "{refused:?}");
    }
}

/// The first byte is the size of pieces, the second says whether all events are wanted, the rest is a compliance stream of X. Its lines
/// are the same for pieces and for the whole, and nothing is deleted twice.
pub fn compliance(bytes: &[u8]) {
    let Some((&[size, wanted], stream)) = bytes.split_first_chunk() else { return };
    let lines = x::lines(stream, usize::from(size) + 1);
    assert_eq!(lines, x::lines(stream, stream.len().max(1)));
    let wants_every = wanted % 2 == 1;
    let known = [("1", "77"), ("2", "77"), ("3", "78")];
    let mut deleted = BTreeSet::new();
    let of: BTreeMap<&str, &str> = known.into();
    let (items, edits) = x::events(&lines, wants_every, &known);
    assert!(edits.iter().all(|id| id.len() <= 19 && id.bytes().all(|byte| byte.is_ascii_digit())));
    assert_eq!(edits.iter().collect::<BTreeSet<_>>().len(), edits.len(), "an edit is read once");
    for item in items {
        let Item::Deletion(deletion) = item else { panic!("{item:?} is not a deletion") };
        let author = deletion["author"].as_str().expect("an author");
        assert!(!author.is_empty());
        if let Some(id) = deletion["id"].as_str() {
            assert!(deleted.insert(id.to_owned()), "{id} is deleted twice");
            assert!(of.get(id).map_or(wants_every, |of| *of == author), "{deletion}");
        }
        // The edge refuses what is too long only.
        let refused = incoming::deletion(deletion, &Settings::default(), Utc::now()).err();
        assert!(refused.as_ref().is_none_or(|problem| matches!(problem.field, "id" | "author" | "deleted_at")), "{refused:?}");
    }
}
