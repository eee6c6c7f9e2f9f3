//! Mastodon against a local instance.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod servers;
mod suite;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{
    Connector, ConnectorError, Cursor, Item, Mastodon, MastodonSettings, MastodonTransport, Next, Phase,
};
use limbic_domain::{ConnectionUrl, Secret, Utc, event_id};
use parking_lot::Mutex;
use serde_json::{Value, json};

use servers::mastodon::Instance;
use suite::{Change, Driver, Fault, Memory, Network, key};

struct LocalMastodon {
    server: Instance,
    transport: MastodonTransport,
    clock: AtomicU64,
    /// The ids on the instance.
    ids: Mutex<BTreeMap<u32, u64>>,
}

impl LocalMastodon {
    fn start(transport: MastodonTransport) -> Self {
        Self {
            server: Instance::start(),
            transport,
            clock: AtomicU64::new((Utc::now().as_millis() as u64) << 16),
            ids: Mutex::default(),
        }
    }

    /// The present on this instance's clock, at which nothing else has happened.
    fn tick(&self) -> u64 {
        let now = (Utc::now().as_millis() as u64) << 16;
        let before = self.clock.fetch_max(now, Ordering::SeqCst);
        self.clock.fetch_add(1 << 16, Ordering::SeqCst);
        (before + (1 << 16)).max(now + (1 << 16))
    }

    fn post(&self, n: u32, text: &str) -> u64 {
        let id = self.tick();
        self.ids.lock().insert(n, id);
        self.server.write(id, status(id, text), "update");
        id
    }

    fn settings(&self) -> MastodonSettings {
        MastodonSettings {
            url: ConnectionUrl::new(self.server.url()),
            transport: self.transport,
            ..MastodonSettings::default()
        }
    }
}

fn uri(id: u64) -> String {
    format!("https://one.example/users/Ann/statuses/{id}")
}

/// A status, with the fields of the documentation that matter here.
fn status(id: u64, text: &str) -> Value {
    json!({
        "id": id.to_string(), "uri": uri(id), "url": format!("https://one.example/@Ann/{id}"),
        "created_at": Utc::from_millis((id >> 16) as i64), "edited_at": null, "visibility": "public", "language": "en",
        "in_reply_to_id": null, "spoiler_text": "", "reblog": null, "content": format!("<p>{text}</p>"),
        "account": {"id": "7", "acct": "Ann", "url": "https://one.example/@Ann", "bot": false, "noindex": false},
        "media_attachments": [], "mentions": [], "tags": [], "card": null, "poll": null,
    })
}

fn id_of(id: u64) -> String {
    event_id("post of mastodon", &[&uri(id)])
}

fn build(settings: &MastodonSettings) -> Box<dyn Connector> {
    Mastodon::build(settings, &Resources::new("test"))
        .unwrap()
        .connector
}

impl Network for LocalMastodon {
    fn connector(&self) -> Box<dyn Connector> {
        // Few steps of the suite's clock, and few pages of the timeline.
        build(&MastodonSettings {
            stall_after: "5s".parse().unwrap(),
            rewind: "10s".parse().unwrap(),
            ..self.settings()
        })
    }

    fn publish(&self, change: Change) -> String {
        let known = |n: u32| self.ids.lock()[&n];
        match change {
            // Long texts, so that buffers fill.
            Change::Post(n) => format!("mastodon {} v0", id_of(self.post(n, &"goal ".repeat(400)))),
            Change::Edit(n) => {
                let (id, at) = (known(n), self.tick() >> 16);
                let mut status = self.server.status(id);
                status["edited_at"] = json!(Utc::from_millis(at as i64));
                self.server.write(id, status, "status.update");
                format!("mastodon {} v{at}", id_of(id))
            }
            Change::Delete(n) => {
                self.server.delete(known(n));
                format!("mastodon {} deleted", id_of(known(n)))
            }
        }
    }

    fn plan(&self, fault: Fault) {
        self.server.plan(fault);
    }

    fn connections(&self) -> usize {
        self.server.queries().len()
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn terms(&self) -> &'static str {
        Mastodon::TERMS
    }
}

#[test]
fn mastodon_keeps_the_contract_of_connectors_over_web_sockets() {
    suite::check(&|| Box::new(LocalMastodon::start(MastodonTransport::Websocket)));
}

#[test]
fn mastodon_keeps_the_contract_of_connectors_over_server_sent_events() {
    suite::check(&|| Box::new(LocalMastodon::start(MastodonTransport::ServerSentEvents)));
}

/// The keys of the items of pages from a cursor on, until there are `most`.
fn pull(connector: &mut dyn Connector, cursor: &mut Option<Cursor>, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < most {
        let page = connector.pull(cursor.as_ref(), 100).unwrap();
        found.extend(page.items.iter().map(key));
        *cursor = page.next;
    }
    found
}

#[test]
fn a_post_that_two_instances_have_is_one_post() {
    let (first, second) = [(); 2]
        .map(|()| LocalMastodon::start(MastodonTransport::Websocket))
        .into();
    let id = first.tick();
    let mut elsewhere = status(id, "What a goal!");
    first.server.write(id, elsewhere.clone(), "update");
    elsewhere["id"] = json!((id + 77).to_string());
    elsewhere["account"]["acct"] = json!("Ann@one.example");
    second.server.write(id + 77, elsewhere, "update");
    let found = [&first, &second].map(|local| {
        let mut connector = build(&MastodonSettings {
            catch_up: "1h".parse().unwrap(),
            ..local.settings()
        });
        let mut posts = Vec::new();
        let mut cursor = None;
        while posts.is_empty() {
            let page = connector.pull(cursor.as_ref(), 100).unwrap();
            posts.extend(page.items);
            cursor = page.next;
        }
        posts
    });
    assert_eq!(found[0], found[1]);
}

#[test]
fn posts_before_the_connection_come_page_by_page_and_an_edited_one_has_its_revision_only_if_it_was_read_before()
 {
    let local = LocalMastodon::start(MastodonTransport::Websocket);
    let ids: Vec<u64> = (0..100).map(|n| local.post(n, "a goal")).collect();
    local.publish(Change::Edit(50));
    let mut connector = build(&MastodonSettings {
        catch_up: "1h".parse().unwrap(),
        ..local.settings()
    });
    let mut cursor = None;
    let found = pull(&mut *connector, &mut cursor, 100);
    let expected: Vec<String> = ids
        .iter()
        .map(|id| format!("mastodon {} v0", id_of(*id)))
        .collect();
    assert_eq!(found, expected);
    let pages = local.server.shared.timelines.lock().clone();
    assert!(
        pages.iter().all(|query| query.contains("local=true")),
        "{pages:?}"
    );
    assert!(pages[2].contains(&format!("min_id={}", ids[39])), "{pages:?}");
    // Edited while nobody was connected: the connector reads it again, because it goes back in time.
    drop(connector);
    let edited = local.publish(Change::Edit(99));
    let mut connector = build(&local.settings());
    let found = pull(&mut *connector, &mut cursor, 100);
    assert!(found.contains(&edited), "{found:?}");
}

#[test]
fn a_quota_that_is_spent_is_waited_for_and_a_refusal_names_the_cause() {
    let local = LocalMastodon::start(MastodonTransport::Websocket);
    let resets_at = Utc::now().plus_millis(600_000);
    *local.server.shared.quota.lock() = Some((1, resets_at));
    let mut driver = Driver::new(local.connector(), Memory::default());
    // The first request spends the quota; the second is not sent.
    let Next::After(wait) = driver.step() else {
        panic!("it does not wait");
    };
    assert!(wait > Duration::from_mins(9), "{wait:?}");
    assert!(driver.runner.status().problem.as_ref().unwrap().contains("quota"));
    assert_eq!(local.server.shared.violations.load(Ordering::SeqCst), 0);

    let local = LocalMastodon::start(MastodonTransport::Websocket);
    let wait = vec![("retry-after", "77".to_owned())];
    local.server.shared.refusals.lock().push_back((429, wait));
    let error = local.connector().pull(None, 10).unwrap_err();
    assert!(
        matches!(&error, ConnectorError::Unavailable { retry_after: Some(wait), .. } if wait.as_secs() == 77),
        "{error}"
    );
    *local.server.shared.token.lock() = Some("right".to_owned());
    let settings = MastodonSettings {
        token: Some(Secret::new("wrong")),
        ..local.settings()
    };
    let mut driver = Driver::new(build(&settings), Memory::default());
    driver.step();
    let status = driver.runner.status();
    let problem = status.problem.clone().unwrap();
    assert!(
        status.phase == Phase::Refused && problem.contains("access token is invalid"),
        "{problem}"
    );
    assert!(!problem.contains("wrong"), "{problem}");
    let settings = MastodonSettings {
        token: Some(Secret::new("right")),
        ..local.settings()
    };
    assert!(build(&settings).pull(None, 10).is_ok());
}

#[test]
fn a_post_between_the_timeline_and_a_stream_that_begins_late_is_not_lost() {
    let local = LocalMastodon::start(MastodonTransport::Websocket);
    local.server.shared.late.store(1, Ordering::SeqCst);
    let mut connector = local.connector();
    let mut cursor = connector.pull(None, 100).unwrap().next;
    while local.server.shared.timelines.lock().len() < 2 {
        cursor = connector.pull(cursor.as_ref(), 100).unwrap().next;
    }
    let id = local.post(1, "a goal");
    // The stream brings nothing. Six seconds later, the timeline is read again.
    let page = connector.pull(cursor.as_ref(), 100).unwrap();
    assert!(page.items.is_empty(), "{page:?}");
    connector.set_time(Instant::now() + Duration::from_secs(6));
    let found = pull(&mut *connector, &mut page.next.clone(), 1);
    assert_eq!(found, [format!("mastodon {} v0", id_of(id))]);
    assert_eq!(local.server.queries().len(), 1, "over the first connection");
}

#[test]
fn a_page_of_the_timeline_that_was_refused_is_asked_for_again_and_not_those_before_it() {
    let local = LocalMastodon::start(MastodonTransport::Websocket);
    let ids: Vec<u64> = (0..100).map(|n| local.post(n, "a goal")).collect();
    let mut connector = build(&MastodonSettings {
        catch_up: "1h".parse().unwrap(),
        ..local.settings()
    });
    let mut cursor = None;
    let mut found = pull(&mut *connector, &mut cursor, 80);
    for _ in 0..2 {
        local.server.shared.refusals.lock().push_back((429, Vec::new()));
        let error = connector.pull(cursor.as_ref(), 100).unwrap_err();
        assert!(error.to_string().contains("429"), "{error}");
        connector.reset();
    }
    found.extend(pull(&mut *connector, &mut cursor, 20));
    let expected: Vec<String> = ids
        .iter()
        .map(|id| format!("mastodon {} v0", id_of(*id)))
        .collect();
    assert_eq!(found, expected);
    let pages = local.server.shared.timelines.lock().clone();
    let again = format!("min_id={}", ids[79]);
    assert!(
        pages[3..6].iter().all(|query| query.contains(&again)),
        "{pages:?}"
    );
    // At another cursor, the timeline is read from before it.
    local.server.shared.refusals.lock().push_back((429, Vec::new()));
    connector.reset();
    connector.pull(cursor.as_ref(), 100).unwrap_err();
    let other = Some(Cursor(ids[49].to_string()));
    let found = connector.pull(other.as_ref(), 100).unwrap();
    assert_eq!(found.items.len(), 40);
    assert_eq!(key(&found.items[0]), expected[0]);
}

#[test]
fn a_page_has_at_most_three_events_of_three_megabytes() {
    for transport in [MastodonTransport::Websocket, MastodonTransport::ServerSentEvents] {
        let local = LocalMastodon::start(transport);
        let mut connector = local.connector();
        let mut cursor = connector.pull(None, 100).unwrap().next;
        let payload = "x".repeat(3 << 20);
        for _ in 0..7 {
            local.server.announce("announcement", &payload);
        }
        let mut events = 0;
        while events < 7 {
            let page = connector.pull(cursor.as_ref(), 100).unwrap();
            let of_page = page.dropped.get("another kind of event").copied().unwrap_or(0);
            assert!(of_page <= 3, "{of_page}");
            events += of_page;
            cursor = page.next;
        }
    }
}

#[test]
fn what_cannot_be_read_stops_nothing_and_what_nobody_wants_is_counted() {
    for transport in [MastodonTransport::Websocket, MastodonTransport::ServerSentEvents] {
        let local = LocalMastodon::start(transport);
        let settings = MastodonSettings {
            want: vec!["goal".to_owned()],
            ..local.settings()
        };
        let mut connector = build(&settings);
        let mut cursor = None;
        while local.server.shared.timelines.lock().len() < 2 {
            cursor = connector.pull(cursor.as_ref(), 100).unwrap().next;
        }
        let wanted = local.post(1, "a <b>GÓAL</b>");
        local.post(2, "tea");
        local.server.announce("update", "{\"id\":");
        local.server.announce("update", "{\"id\": \"1\", \"uri\": 7}");
        local.server.announce(
            "update",
            &json!({"id": "x", "uri": "y", "account": {"acct": "z"}}).to_string(),
        );
        local.server.announce("delete", "123");
        local.server.announce("filters_changed", "undefined");
        // Nobody wants the text any more.
        let mut changed = local.server.status(wanted);
        changed["content"] = json!("<p>tea</p>");
        changed["edited_at"] = json!(Utc::now());
        local.server.write(wanted, changed, "status.update");
        let (mut items, mut dropped) = (Vec::new(), BTreeMap::<&str, u64>::new());
        while items.len() < 5 {
            let page = connector.pull(cursor.as_ref(), 100).unwrap();
            items.extend(page.items);
            for (reason, events) in page.dropped {
                *dropped.entry(reason).or_default() += events;
            }
            cursor = page.next;
        }
        assert!(
            matches!(&items[0], Item::Post(post) if post["text"] == "a GÓAL"),
            "{items:?}"
        );
        assert!(
            items[1..4].iter().all(|item| matches!(item, Item::Unreadable(_))),
            "{items:?}"
        );
        assert!(
            matches!(&items[4], Item::Deletion(post) if post["id"] == id_of(wanted)),
            "{items:?}"
        );
        let expected = [
            ("another kind of event", 1),
            ("deletion of an unknown post", 1),
            ("not wanted", 1),
        ];
        assert_eq!(dropped, BTreeMap::from(expected));
    }
}

/// Makes valid settings wrong.
type Mistake<'a> = &'a dyn Fn(&mut MastodonSettings);

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let check = |change: Mistake<'_>| {
        let mut settings = MastodonSettings {
            url: "https://one.example".into(),
            ..MastodonSettings::default()
        };
        change(&mut settings);
        Mastodon::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let refused: [(Mistake<'_>, &str); 8] = [
        (
            &|s| s.url = ConnectionUrl::new(""),
            "give the address of an instance",
        ),
        (&|s| s.url = "ftp://one.example".into(), "https://"),
        (
            &|s| (s.url, s.token) = ("http://one.example".into(), Some(Secret::new("x"))),
            "is not encrypted",
        ),
        (&|s| s.tag = Some("#cup".to_owned()), "without #"),
        (&|s| s.rewind = "9s".parse().unwrap(), "from 10s to 24h"),
        (&|s| s.stall_after = "1s".parse().unwrap(), "at least 5s"),
        (&|s| s.want = vec!["two words".to_owned()], "give single words"),
        (&|s| s.remember = 100_000_000, "at most"),
    ];
    for (change, said) in refused {
        let problem = check(change).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
}
