//! What social networks and other programs send.

use std::sync::{Arc, LazyLock};

use hmac::{Hmac, KeyInit, Mac};
use limbic_component::{Component, Resources};
use limbic_connectors::{Hook, Item, JsonMapping, JsonMappingSettings, Meta, MetaSettings, Receiver};
use limbic_domain::{Secret, Utc};
use sha2::Sha256;

#[allow(dead_code, unreachable_pub)]
mod plain_text {
    include!(concat!(env!("OUT_DIR"), "/html.rs"));
}

#[allow(dead_code, unreachable_pub)]
mod server_sent {
    include!(concat!(env!("OUT_DIR"), "/sse.rs"));
}

/// The text of HTML has no white space around it and a limited length, and its links begin with `http`.
pub fn html(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let plain = plain_text::plain(text);
    assert!(plain.text.len() <= 8 * text.len() + 8);
    assert!(!plain.text.starts_with([' ', '\n']) && !plain.text.ends_with([' ', '\n']));
    assert!(plain.links.iter().all(|link| link.starts_with("http")));
}

/// The first byte is the size of pieces. The events are the same for pieces and for the whole.
pub fn events(bytes: &[u8]) {
    let Some((&size, text)) = bytes.split_first() else { return };
    let read = |size: usize| {
        let (mut events, mut found) = (server_sent::Events::default(), Vec::new());
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
