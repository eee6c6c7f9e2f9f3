//! Bluesky against a local Jetstream.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod servers;
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{Bluesky, BlueskySettings, Connector, Item};
use limbic_domain::{ConnectionUrl, Utc, event_id};
use serde_json::{Value, json};

use servers::jetstream::Jetstream;
use suite::{Change, Driver, Fault, Memory, Network, key};

struct LocalBluesky {
    server: Jetstream,
    clock: AtomicI64,
}

impl LocalBluesky {
    fn start() -> Self {
        Self {
            server: Jetstream::start(),
            clock: AtomicI64::new(Utc::now().as_millis() * 1_000),
        }
    }

    fn publish_event(&self, mut event: Value) -> i64 {
        let time = self.clock.fetch_add(250_000, Ordering::SeqCst);
        event["time_us"] = time.into();
        self.server.publish(time, event.to_string());
        time
    }
}

fn settings(url: String) -> BlueskySettings {
    BlueskySettings {
        urls: vec![ConnectionUrl::new(url)],
        ..BlueskySettings::default()
    }
}

fn build(settings: &BlueskySettings) -> Box<dyn Connector> {
    Bluesky::build(settings, &Resources::new("test"))
        .unwrap()
        .connector
}

/// An event of a commit to the posts of `did`.
fn commit(did: &str, operation: &str, rkey: &str, text: &str) -> Value {
    let mut commit = json!({"rev": "3mmoojp7vgo2g", "operation": operation, "collection": "app.bsky.feed.post", "rkey": rkey});
    if operation != "delete" {
        commit["record"] =
            json!({"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-05-25T14:23:28Z"});
    }
    json!({"did": did, "kind": "commit", "commit": commit})
}

/// The number `value` as 13 digits of base 32, as a TID has it.
fn tid(micros: u64) -> String {
    let digits = b"234567abcdefghijklmnopqrstuvwxyz";
    let value = micros << 10;
    (0..13)
        .rev()
        .map(|place| char::from(digits[(value >> (5 * place)) as usize & 31]))
        .collect()
}

impl Network for LocalBluesky {
    fn connector(&self) -> Box<dyn Connector> {
        // Few steps of the suite's clock.
        build(&BlueskySettings {
            stall_after: "5s".parse().unwrap(),
            ..settings(self.server.url())
        })
    }

    fn publish(&self, change: Change) -> String {
        // Long texts, so that buffers fill.
        let text = "goal ".repeat(400);
        let did = "did:plc:ada";
        let id = |n: u32| event_id("post of bluesky", &[did, &n.to_string()]);
        match change {
            Change::Post(n) => {
                self.publish_event(commit(did, "create", &n.to_string(), &text));
                format!("bluesky {} v0", id(n))
            }
            Change::Edit(n) => {
                let mut event = commit(did, "update", &n.to_string(), &text);
                let revision = self.clock.load(Ordering::SeqCst).unsigned_abs();
                event["commit"]["rev"] = tid(revision).into();
                self.publish_event(event);
                format!("bluesky {} v{revision}", id(n))
            }
            Change::Delete(n) => {
                self.publish_event(commit(did, "delete", &n.to_string(), ""));
                format!("bluesky {} deleted", id(n))
            }
        }
    }

    fn plan(&self, fault: Fault) {
        self.server.plan(fault);
    }

    fn connections(&self) -> usize {
        self.server.queries().len()
    }

    fn terms(&self) -> &'static str {
        Bluesky::TERMS
    }
}

#[test]
fn bluesky_keeps_the_contract_of_connectors() {
    suite::check(&|| Box::new(LocalBluesky::start()));
}

/// Everything that the connector returns for the events from the beginning to the one at `last`.
fn drain(connector: &mut dyn Connector, last: i64) -> (Vec<Item>, BTreeMap<&'static str, u64>) {
    let (mut items, mut dropped) = (Vec::new(), BTreeMap::new());
    let mut cursor = None;
    while cursor
        .as_ref()
        .and_then(|cursor: &limbic_connectors::Cursor| cursor.0.parse().ok())
        < Some(last)
    {
        let page = connector.pull(cursor.as_ref(), 100).unwrap();
        items.extend(page.items);
        for (reason, events) in page.dropped {
            *dropped.entry(reason).or_default() += events;
        }
        cursor = page.next;
    }
    (items, dropped)
}

/// Settings that begin before every event.
fn from_the_beginning(url: String) -> BlueskySettings {
    BlueskySettings {
        catch_up: "3650d".parse().unwrap(),
        ..settings(url)
    }
}

#[test]
fn accounts_that_are_gone_take_their_posts_with_them_and_other_events_are_counted() {
    let local = LocalBluesky::start();
    let account = |active: bool, status: &str| json!({"did": "did:plc:bob", "kind": "account", "account": {"active": active, "status": status}});
    local.publish_event(commit("did:plc:bob", "create", "1", "hello"));
    local.publish_event(
        json!({"did": "did:plc:bob", "kind": "identity", "identity": {"handle": "bob.example"}}),
    );
    local.publish_event(account(true, ""));
    local.publish_event(account(false, "throttled"));
    local.publish_event(account(false, "deleted"));
    local.publish_event(commit("did:plc:bob", "create", "2", " "));
    local.publish_event(json!({"did": "did:plc:bob", "kind": "something new"}));
    let last = local.publish_event(commit("did:plc:bob", "delete", "1", ""));
    let mut connector = build(&from_the_beginning(local.server.url()));
    let (items, dropped) = drain(&mut *connector, last);
    let id = event_id("post of bluesky", &["did:plc:bob", "1"]);
    assert_eq!(
        items.iter().map(key).collect::<Vec<_>>(),
        [
            format!("bluesky {id} v0"),
            "bluesky everything deleted".to_owned(),
            format!("bluesky {id} deleted")
        ]
    );
    let expected = [
        ("account", 2),
        ("another kind of event", 1),
        ("identity", 1),
        ("no text", 1),
    ];
    assert_eq!(dropped, BTreeMap::from(expected));
}

#[test]
fn an_event_that_cannot_be_read_is_an_item_and_stops_nothing() {
    let local = LocalBluesky::start();
    let time = local.publish_event(commit("did:plc:bob", "create", "1", "hello"));
    local.server.publish(
        time + 1,
        r#"{"did": "did:plc:bob", "time_us": "soon"}"#.to_owned(),
    );
    let last = local.publish_event(commit("did:plc:bob", "create", "2", "goodbye"));
    let mut connector = build(&from_the_beginning(local.server.url()));
    let (items, _) = drain(&mut *connector, last);
    assert_eq!(items.len(), 3);
    assert!(matches!(&items[1], Item::Unreadable(problem) if problem.contains("Jetstream")));
}

#[test]
fn wanted_words_authors_and_a_dictionary_are_asked_for() {
    let local = LocalBluesky::start();
    for (did, text) in [
        ("did:plc:ada", "A GÓAL!"),
        ("did:plc:ada", "tea"),
        ("did:plc:eve", "goal"),
    ] {
        local.publish_event(commit(did, "create", text, text));
    }
    let did = "did:plc:ada";
    // The earlier text is not the author's any more, and nobody wants the new one.
    local.publish_event(commit(did, "update", "A GÓAL!", "tea"));
    let last = local.publish_event(commit(did, "delete", "x", ""));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zstd_dictionary");
    let dictionary = commit(did, "create", "A GÓAL!", "tea")
        .to_string()
        .repeat(8)
        .into_bytes();
    std::fs::write(&file, &dictionary).unwrap();
    local.server.compress_with(dictionary);
    let settings = BlueskySettings {
        authors: vec![did.to_owned()],
        want: vec!["goal".to_owned()],
        dictionary: Some(file),
        ..from_the_beginning(local.server.url())
    };
    let (items, dropped) = drain(&mut *build(&settings), last);
    let id = |rkey: &str| event_id("post of bluesky", &[did, rkey]);
    assert_eq!(
        items.iter().map(key).collect::<Vec<_>>(),
        [
            format!("bluesky {} v0", id("A GÓAL!")),
            format!("bluesky {} deleted", id("A GÓAL!")),
            format!("bluesky {} deleted", id("x"))
        ]
    );
    assert_eq!(dropped, BTreeMap::from([("not wanted", 1)]));
    let query = &local.server.queries()[0];
    assert!(
        query.contains("compress=true") && query.contains("requireHello=true"),
        "{query}"
    );
}

#[test]
fn a_new_connection_begins_before_the_last_event_and_on_the_next_server() {
    let (first, second) = (LocalBluesky::start(), LocalBluesky::start());
    let event = commit("did:plc:ada", "create", "1", "hello");
    let time = 1_779_719_009_000_000;
    for local in [&first, &second] {
        let mut event = event.clone();
        event["time_us"] = time.into();
        local.server.publish(time, event.to_string());
    }
    first.server.plan(Fault::CloseAfter(1));
    let settings = BlueskySettings {
        urls: [&first, &second]
            .map(|local| ConnectionUrl::new(local.server.url()))
            .into(),
        ..from_the_beginning(String::new())
    };
    let mut driver = Driver::new(build(&settings), Memory::default());
    driver.until("not the second server", |_, _| {
        !second.server.queries().is_empty()
    });
    driver.until("no duplicate", |_, status| status.duplicates == 1);
    assert_eq!(driver.memory.0.lock().log.len(), 1);
    assert!(second.server.queries()[0].contains(&format!("cursor={}", time - 5_000_000)));
}

/// Makes valid settings wrong.
type Mistake<'a> = &'a dyn Fn(&mut BlueskySettings);

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let check = |change: &dyn Fn(&mut BlueskySettings)| {
        let mut settings = BlueskySettings::default();
        change(&mut settings);
        Bluesky::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let refused: [(Mistake<'_>, &str); 6] = [
        (&|s| s.urls.clear(), "name a server"),
        (
            &|s| s.urls = vec!["https://example.com".into()],
            "begin with wss://",
        ),
        (
            &|s| s.authors = vec!["ada.bsky.social".to_owned()],
            "give for instance did:plc:",
        ),
        (&|s| s.want = vec!["two words".to_owned()], "give single words"),
        (&|s| s.rewind = "0s".parse().unwrap(), "from 1s to 1h"),
        (&|s| s.stall_after = "1s".parse().unwrap(), "at least 5s"),
    ];
    for (change, said) in refused {
        let problem = check(change).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
}

/// The recorded events of the public data, if they are there.
fn recorded() -> Option<Vec<String>> {
    let data = std::env::var_os("LIMBIC_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data"),
        PathBuf::from,
    );
    let folder = data.join("specs/jetstream");
    let mut events = Vec::new();
    for file in ["golden_v1.jsonl", "expected_v1.jsonl"] {
        let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
            println!(
                "SKIPPED: {} is not there (set LIMBIC_DATA)",
                folder.join(file).display()
            );
            return None;
        };
        events.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
    }
    Some(events)
}

#[test]
fn every_recorded_post_edit_and_deletion_is_accounted_for() {
    let Some(mut events) = recorded() else {
        return;
    };
    let time = |event: &String| {
        serde_json::from_str::<Value>(event).unwrap()["time_us"]
            .as_i64()
            .unwrap()
    };
    events.sort_by_key(time);
    let server = Jetstream::start();
    for event in &events {
        server.publish(time(event), event.clone());
    }
    let (mut expected, mut others) = (BTreeSet::new(), 0);
    for event in &events {
        let event: Value = serde_json::from_str(event).unwrap();
        let commit = &event["commit"];
        let id = event_id(
            "post of bluesky",
            &[
                event["did"].as_str().unwrap(),
                commit["rkey"].as_str().unwrap_or_default(),
            ],
        );
        let text = commit["record"]["text"].as_str().unwrap_or_default();
        match (commit["collection"].as_str(), commit["operation"].as_str()) {
            (Some("app.bsky.feed.post"), Some("delete")) => {
                expected.insert(format!("bluesky {id} deleted"));
            }
            (Some("app.bsky.feed.post"), Some("create")) if !text.trim().is_empty() => {
                expected.insert(format!("bluesky {id} v0"));
            }
            (Some("app.bsky.feed.post"), Some("update")) => {
                panic!("the record has an edit: compare its revision")
            }
            _ => others += 1,
        }
    }
    assert!(expected.len() > 15, "{} posts", expected.len());
    let last = time(events.last().unwrap());
    // Of every collection, and of posts alone.
    let everything = BlueskySettings {
        collections: Vec::new(),
        ..from_the_beginning(server.url())
    };
    let (items, dropped) = drain(&mut *build(&everything), last);
    assert_eq!(items.iter().map(key).collect::<BTreeSet<_>>(), expected);
    assert_eq!(items.len(), expected.len());
    assert_eq!(dropped.values().sum::<u64>(), others);
    let posts = from_the_beginning(server.url());
    let last_post = events.iter().rfind(|event| {
        event.contains("\"collection\":\"app.bsky.feed.post\"") || !event.contains("\"kind\":\"commit\"")
    });
    let (items, _) = drain(&mut *build(&posts), time(last_post.unwrap()));
    assert_eq!(items.iter().map(key).collect::<BTreeSet<_>>(), expected);
}
