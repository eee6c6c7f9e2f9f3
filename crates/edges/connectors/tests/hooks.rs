//! Sources that send: a signed webhook, and Meta.
#![expect(
    clippy::unwrap_used,
    clippy::similar_names,
    clippy::format_collect,
    reason = "tests"
)]

use std::sync::Arc;

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{
    Hook, HookError, Item, JsonMappingSettings, Meta, MetaSettings, Received, Receiver, SignatureForm,
    SignedWebhook, SignedWebhookSettings, Terms,
};
use limbic_domain::{Secret, Utc};
use limbic_http::SigningKey;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const APP_SECRET: &str = "an app secret of Meta";

fn settings() -> SignedWebhookSettings {
    let fields = [
        ("id", "id"),
        ("author", "by"),
        ("text", "body"),
        ("created_at", "at"),
    ];
    SignedWebhookSettings {
        secret: Secret::new(SECRET),
        map: JsonMappingSettings {
            fields: fields
                .map(|(field, path)| (field.to_owned(), path.to_owned()))
                .into(),
            ..JsonMappingSettings::default()
        },
        ..SignedWebhookSettings::default()
    }
}

fn webhook(settings: &SignedWebhookSettings) -> Arc<dyn Receiver> {
    SignedWebhook::build(settings, &Resources::new("test"))
        .unwrap()
        .receiver
        .unwrap()
}

fn meta() -> Arc<dyn Receiver> {
    let settings = MetaSettings {
        app_secret: Secret::new(APP_SECRET),
        verify_token: Secret::new("a token of ours"),
        ..MetaSettings::default()
    };
    Meta::build(&settings, &Resources::new("test"))
        .unwrap()
        .receiver
        .unwrap()
}

fn now() -> Utc {
    "2026-11-30T09:00:00Z".parse().unwrap()
}

fn headers(given: &[(&'static str, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.insert(*name, value.parse().unwrap());
    }
    headers
}

fn post(receiver: &dyn Receiver, headers: &HeaderMap, body: &[u8]) -> Result<Received, HookError> {
    let hook = Hook {
        is_post: true,
        query: "",
        headers,
        body,
    };
    receiver.receive(&hook, now())
}

fn standard(body: &[u8], at: i64) -> HeaderMap {
    let key = SigningKey::new(&Secret::new(SECRET)).unwrap();
    headers(&[
        ("webhook-id", "msg_1".to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", key.sign("msg_1", at, body)),
    ])
}

/// `sha256=` and the HMAC of a body, by the other implementation at hand.
fn hub(secret: &str, body: &[u8]) -> HeaderMap {
    use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
    let key = PKey::hmac(secret.as_bytes()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let digits: String = signer
        .sign_oneshot_to_vec(body)
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    headers(&[("x-hub-signature-256", format!("sha256={digits}"))])
}

#[test]
fn a_webhook_that_is_signed_brings_its_posts_and_another_one_brings_nothing() {
    let receiver = webhook(&settings());
    let body = json!([{"id": 1, "by": "ann", "body": "a goal", "at": "2026-11-30T08:00:00Z"}, {"id": 2}])
        .to_string();
    let body = body.as_bytes();
    let at = now().as_millis() / 1_000;
    let received = post(&*receiver, &standard(body, at), body).unwrap();
    assert!(
        matches!(&received.items[0], Item::Post(post) if post["id"] == "1"),
        "{received:?}"
    );
    assert_eq!(received.items.len(), 2, "what the edge will refuse is passed on");
    let refused = |headers: &HeaderMap, body: &[u8]| post(&*receiver, headers, body).unwrap_err();
    assert!(
        matches!(refused(&standard(body, at), b"[]"), HookError::NotProven(_)),
        "another body"
    );
    assert!(
        matches!(refused(&HeaderMap::new(), body), HookError::NotProven(_)),
        "without a signature"
    );
    assert!(
        matches!(refused(&standard(body, at - 301), body), HookError::NotProven(_)),
        "recorded earlier"
    );
    assert!(
        matches!(refused(&standard(body, at + 301), body), HookError::NotProven(_)),
        "from the future"
    );
    assert!(matches!(
        refused(&standard(b"{", at), b"{"),
        HookError::NotUnderstood(_)
    ));
    // JSON of another shape is an item that cannot be read.
    let named = b"\"a message is not JSON\"";
    let received = post(&*receiver, &standard(named, at), named).unwrap();
    assert!(
        matches!(&received.items[..], [Item::Unreadable(_)]),
        "{received:?}"
    );
    let hex = SignedWebhookSettings {
        signature: SignatureForm::Hex,
        secret: Secret::new("0123456789abcdef"),
        ..settings()
    };
    let receiver = webhook(&hex);
    assert!(post(&*receiver, &hub("0123456789abcdef", body), body).is_ok());
    assert!(post(&*receiver, &hub("0123456789abcdeF", body), body).is_err());
}

#[test]
fn a_challenge_is_answered_only_with_the_token_of_the_settings() {
    let receiver = meta();
    let ask = |query: &str| {
        let hook = Hook {
            is_post: false,
            query,
            headers: &HeaderMap::new(),
            body: b"",
        };
        receiver.receive(&hook, now()).map(|received| received.answer)
    };
    let right = "hub.mode=subscribe&hub.verify_token=a+token%20of+ours&hub.challenge=1158201444";
    assert_eq!(ask(right), Ok("1158201444".to_owned()));
    for wrong in [
        "",
        "hub.mode=subscribe&hub.verify_token=another&hub.challenge=1",
        "hub.mode=unsubscribe&hub.verify_token=a+token+of+ours&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=a+token+of+ours",
        "hub.mode=subscribe&hub.verify_token=a+token+of+ours&hub.challenge=%3Cscript%3E%20x",
    ] {
        assert!(ask(wrong).is_err(), "{wrong}");
    }
    let hook = Hook {
        is_post: false,
        query: right,
        headers: &HeaderMap::new(),
        body: b"",
    };
    assert!(
        webhook(&settings()).receive(&hook, now()).is_err(),
        "without a token in the settings"
    );
}

fn of_page(item: &str, verb: &str, change: &Value) -> Value {
    let mut value = json!({
        "item": item, "verb": verb, "comment_id": "44_77", "post_id": "9_44", "parent_id": "9_44", "message": "What a goal!",
        "from": {"id": "5", "name": "Ann of the Network"}, "created_time": 1_795_000_000,
    });
    for (name, field) in change.as_object().unwrap() {
        value[name] = field.clone();
    }
    json!({"object": "page", "entry": [{"id": "9", "time": 1_795_000_100, "changes": [{"field": "feed", "value": value}]}]})
}

fn received(body: &Value) -> Received {
    let body = body.to_string();
    post(&*meta(), &hub(APP_SECRET, body.as_bytes()), body.as_bytes()).unwrap()
}

#[test]
fn comments_edits_and_deletions_of_a_page_are_read_and_the_page_itself_is_left_out() {
    let added = received(&of_page("comment", "add", &json!({})));
    let Item::Post(comment) = &added.items[0] else {
        panic!("{added:?}")
    };
    assert_eq!(comment["text"], "What a goal!");
    assert_eq!(comment["created_at"], "2026-11-18T11:06:40.000Z");
    assert!(comment["reply_to"].is_string() && comment.get("revision").is_none());
    assert!(!comment.to_string().contains("Ann of the Network"), "{comment}");
    assert_eq!(
        added,
        received(&of_page("comment", "add", &json!({}))),
        "a repeated delivery is the same"
    );
    let edited = received(&of_page("comment", "edited", &json!({"message": "What a save!"})));
    let Item::Post(edit) = &edited.items[0] else {
        panic!("{edited:?}")
    };
    assert_eq!(
        (&edit["id"], &edit["revision"]),
        (&comment["id"], &json!(1_795_000_100_000_i64))
    );
    let removed = received(&of_page("comment", "remove", &json!({"message": null})));
    let Item::Deletion(deletion) = &removed.items[0] else {
        panic!("{removed:?}")
    };
    assert_eq!(
        (&deletion["id"], &deletion["author"]),
        (&comment["id"], &comment["author"])
    );
    for (body, reason) in [
        (
            of_page("comment", "add", &json!({"from": {"id": "9"}})),
            "of the page itself",
        ),
        (of_page("reaction", "add", &json!({})), "another kind of event"),
        (of_page("comment", "add", &json!({"message": " "})), "no text"),
        (
            of_page("comment", "add", &json!({"from": null})),
            "without an id or an author",
        ),
    ] {
        let left_out = received(&body);
        assert!(
            left_out.items.is_empty() && left_out.dropped[reason] == 1,
            "{left_out:?}"
        );
    }
}

#[test]
fn comments_of_instagram_are_read() {
    let body = json!({"object": "instagram", "entry": [{"id": "17", "time": 1_795_000_000, "changes": [
        {"field": "comments", "value": {"id": "18", "from": {"id": "19", "username": "ann"}, "text": "Nice", "media": {"id": "20"}}},
        {"field": "mentions", "value": {}},
    ]}]});
    let found = received(&body);
    let Item::Post(comment) = &found.items[0] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (&comment["network"], &comment["text"]),
        (&json!("instagram"), &json!("Nice"))
    );
    assert!(comment["reply_to"].is_string());
    assert_eq!(found.dropped["another kind of event"], 1);
}

#[test]
fn a_delivery_of_meta_that_is_changed_on_its_way_is_refused() {
    let receiver = meta();
    let body = of_page("comment", "add", &json!({})).to_string();
    let signed = hub(APP_SECRET, body.as_bytes());
    let changed = body.replace("goal", "fool");
    for (headers, body) in [
        (&signed, &*changed),
        (&HeaderMap::new(), &*body),
        (&hub("another secret", body.as_bytes()), &*body),
    ] {
        assert!(matches!(
            post(&*receiver, headers, body.as_bytes()),
            Err(HookError::NotProven(_))
        ));
    }
    let odd = "{\"object\": 7}";
    assert!(matches!(
        post(&*receiver, &hub(APP_SECRET, odd.as_bytes()), odd.as_bytes()),
        Err(HookError::NotUnderstood(_))
    ));
}

#[test]
fn settings_that_cannot_work_are_refused_and_terms_are_complete() {
    let refused = |change: fn(&mut SignedWebhookSettings)| {
        let mut settings = settings();
        change(&mut settings);
        SignedWebhook::check(&settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.secret = Secret::new("short")).contains("whsec_"));
    assert!(refused(|s| s.tolerance = "2h".parse().unwrap()).contains("from 1s to 1h"));
    assert!(
        refused(|s| (s.signature, s.secret) = (SignatureForm::Hex, Secret::new("x")))
            .contains("16 characters")
    );
    assert!(refused(|s| s.verify_token = Some(Secret::new("seven77"))).contains("8 characters"));
    assert!(refused(|s| drop(s.map.fields.remove("text"))).contains("map.fields"));
    assert!(
        Meta::check(&MetaSettings::default())
            .unwrap_err()
            .to_string()
            .contains("app_secret")
    );
    for terms in [SignedWebhook::TERMS, Meta::TERMS] {
        Terms::parse(terms).unwrap();
    }
}
