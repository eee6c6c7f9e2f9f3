//! Meta's Graph API against a local server.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod servers;
mod suite;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{Connector, ConnectorError, Failure, Item, MetaGraph, MetaGraphSettings};
use limbic_domain::{ConnectionUrl, Secret, Utc, event_id};
use serde_json::{Value, json};

use servers::graph::{ACCOUNT, GraphServer, PAGE, TOKEN};
use suite::{Change, Driver, Fault, Memory, Network, key};

struct LocalGraph {
    server: GraphServer,
    clock: AtomicI64,
    edits: AtomicU64,
}

impl LocalGraph {
    fn start() -> Self {
        let local = Self {
            server: GraphServer::start(),
            clock: AtomicI64::default(),
            edits: AtomicU64::default(),
        };
        // The page's own post is left out, and its comments are read.
        let post =
            json!({"id": post(), "created_time": local.tick(), "message": "Our ad", "from": {"id": PAGE}});
        local.server.write(&format!("{PAGE}/feed"), 1, post);
        local
    }

    fn settings(&self) -> MetaGraphSettings {
        MetaGraphSettings {
            token: Secret::new(TOKEN),
            pages: vec![PAGE.to_owned()],
            requests_per_day: 1_000_000,
            url: ConnectionUrl::new(self.server.url()),
            ..MetaGraphSettings::default()
        }
    }

    /// The present, at which nothing else has happened. Meta states whole seconds; parts of them keep the order of this test.
    fn tick(&self) -> Utc {
        let now = Utc::now().as_millis();
        let before = self.clock.fetch_max(now, Ordering::SeqCst);
        self.clock.fetch_add(1, Ordering::SeqCst);
        Utc::from_millis(before.max(now) + 1)
    }

    fn comment(&self, n: u32, text: &str) {
        let comment = json!({"id": comment_id(n), "created_time": self.tick(), "message": text, "from": {"id": "77", "name": "Ann"}});
        self.server
            .write(&format!("{}/comments", post()), number(n), comment);
    }

    fn change(&self, n: u32, change: impl FnOnce(&mut Value)) {
        let mut things = self.server.shared.things.lock();
        let comments = things.get_mut(&format!("{}/comments", post())).unwrap();
        change(comments.get_mut(&number(n)).unwrap());
    }
}

fn number(n: u32) -> u64 {
    1_000 + u64::from(n)
}

fn post() -> String {
    format!("{PAGE}_5")
}

fn comment_id(n: u32) -> String {
    format!("5_{}", number(n))
}

fn id_of(network: &str, id: &str) -> String {
    event_id("post of meta", &[network, id])
}

fn named(n: u32) -> String {
    format!("facebook {}", id_of("facebook", &comment_id(n)))
}

fn build(settings: &MetaGraphSettings) -> Box<dyn Connector> {
    MetaGraph::build(settings, &Resources::new("test"))
        .unwrap()
        .connector
}

impl Network for LocalGraph {
    fn connector(&self) -> Box<dyn Connector> {
        build(&self.settings())
    }

    fn publish(&self, change: Change) -> String {
        match change {
            Change::Post(n) => {
                self.comment(n, &"goal ".repeat(400));
                format!("{} v0", named(n))
            }
            Change::Edit(n) => {
                let edit = self.edits.fetch_add(1, Ordering::SeqCst);
                self.change(n, |comment| comment["message"] = format!("goal {edit}").into());
                format!("{} edited", named(n))
            }
            Change::Delete(n) => {
                let mut things = self.server.shared.things.lock();
                things
                    .get_mut(&format!("{}/comments", post()))
                    .unwrap()
                    .remove(&number(n));
                format!("{} deleted", named(n))
            }
        }
    }

    fn plan(&self, fault: Fault) {
        self.server.shared.feed.plan(fault);
    }

    fn connections(&self) -> usize {
        self.server.shared.listings.load(Ordering::SeqCst)
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn is_polled(&self) -> bool {
        true
    }

    fn burst(&self) -> u32 {
        900
    }

    fn terms(&self) -> &'static str {
        MetaGraph::TERMS
    }
}

#[test]
fn the_graph_api_keeps_the_contract_of_connectors() {
    suite::check(&|| Box::new(LocalGraph::start()));
}

#[test]
fn both_networks_are_read_page_by_page_with_replies_and_without_following_addresses() {
    let local = LocalGraph::start();
    for n in 0..250 {
        local.comment(n, "goal");
    }
    local.change(7, |comment| comment["parent"] = json!({"id": comment_id(6)}));
    local.change(8, |comment| comment["from"] = json!({"id": PAGE}));
    let visitor = json!({"id": format!("{PAGE}_6"), "created_time": local.tick(), "message": "Hello page", "from": {"id": "78"}});
    local.server.write(&format!("{PAGE}/feed"), 2, visitor);
    local.server.write(
        &format!("{ACCOUNT}/media"),
        1,
        json!({"id": "179", "timestamp": "2026-11-20T10:00:00+0000"}),
    );
    let reply = json!({"id": "182", "text": "so true", "timestamp": "2026-11-20T10:02:00+0000", "from": {"id": "8"}, "parent_id": "181"});
    let comment = json!({"id": "181", "text": "What a goal!", "timestamp": "2026-11-20T10:01:00+0000", "from": {"id": "9"},
        "replies": {"data": [reply]}});
    local.server.write("179/comments", 1, comment);
    let settings = MetaGraphSettings {
        accounts: vec![ACCOUNT.to_owned()],
        ..local.settings()
    };
    let (mut connector, mut cursor) = (build(&settings), None);
    let page = connector.pull(None, 100).unwrap();
    assert_eq!(page.dropped["of the page itself"], 1);
    cursor.clone_from(&page.next);
    let posts: Vec<&Value> = page
        .items
        .iter()
        .map(|item| match item {
            Item::Post(post) => post,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(posts.len(), 249 + 1 + 2);
    let find = |network: &str, id: &str| {
        *posts
            .iter()
            .find(|post| post["id"] == id_of(network, id))
            .unwrap()
    };
    assert_eq!(
        find("facebook", &comment_id(7))["reply_to"],
        id_of("facebook", &comment_id(6))
    );
    assert_eq!(
        find("facebook", &comment_id(6))["reply_to"],
        id_of("facebook", &post())
    );
    assert_eq!(find("facebook", &format!("{PAGE}_6"))["text"], "Hello page");
    let reply = find("instagram", "182");
    assert_eq!(
        (&reply["network"], &reply["reply_to"]),
        (&json!("instagram"), &json!(id_of("instagram", "181")))
    );
    let requests = local.server.shared.requests.lock();
    assert!(requests.iter().all(|request| !request.path.contains("followed")));
}

#[test]
fn requests_slow_down_before_the_limits_and_stop_before_they_are_reached() {
    let local = LocalGraph::start();
    local.comment(1, "goal");
    let usage = |percent: u32| {
        (
            "X-App-Usage",
            format!(r#"{{"call_count":{percent},"total_time":3,"total_cputime":2}}"#),
        )
    };
    *local.server.shared.headers.lock() = vec![usage(80)];
    let mut driver = Driver::new(local.connector(), Memory::default());
    for _ in 0..4 {
        driver.step();
    }
    let longest = driver.waits.iter().max().copied().unwrap();
    assert!(
        longest >= Duration::from_mins(6),
        "{longest:?}: five minutes are the usual rhythm"
    );

    *local.server.shared.headers.lock() = vec![usage(93)];
    let mut connector = local.connector();
    let now = Instant::now();
    connector.set_time(now);
    let before = local.server.shared.requests.lock().len();
    let error = connector.pull(None, 100).unwrap_err();
    let ConnectorError::Unavailable {
        failure: Failure::RateLimit,
        retry_after: Some(wait),
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(wait, Duration::from_mins(30));
    assert_eq!(
        local.server.shared.requests.lock().len(),
        before + 1,
        "the second request is not sent"
    );
    // When the time has passed, a request finds out.
    *local.server.shared.headers.lock() = vec![usage(4)];
    connector.reset();
    connector.set_time(now + Duration::from_mins(31));
    assert_eq!(connector.pull(None, 100).unwrap().items.len(), 1);

    let blocked = r#"{"104952":[{"type":"pages","call_count":100,"total_cputime":25,"total_time":25,"estimated_time_to_regain_access":19}]}"#;
    *local.server.shared.headers.lock() = vec![("X-Business-Use-Case-Usage", blocked.to_owned())];
    *local.server.shared.error.lock() = Some(80_001);
    let error = local.connector().pull(None, 100).unwrap_err();
    assert!(
        matches!(error, ConnectorError::Unavailable { failure: Failure::RateLimit, retry_after: Some(wait), .. } if wait == Duration::from_mins(19)),
        "{error}"
    );
}

#[test]
fn errors_are_what_their_codes_say() {
    let local = LocalGraph::start();
    for (code, expected) in [
        (1, Failure::Server),
        (2, Failure::Server),
        (4, Failure::RateLimit),
        (613, Failure::RateLimit),
    ] {
        *local.server.shared.error.lock() = Some(code);
        let error = local.connector().pull(None, 100).unwrap_err();
        assert!(
            matches!(error, ConnectorError::Unavailable { failure, .. } if failure == expected),
            "{code}: {error}"
        );
    }
    let settings = MetaGraphSettings {
        token: Secret::new("not-the-right-one"),
        ..local.settings()
    };
    let error = build(&settings).pull(None, 10).unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("token has ended") && !error.to_string().contains("not-the-right"),
        "{error}"
    );
}

#[test]
fn the_webhooks_and_the_api_name_a_comment_alike() {
    let local = LocalGraph::start();
    local.comment(1, "goal");
    let (mut connector, mut cursor) = (local.connector(), None);
    let found: Vec<String> = suite::poll(&mut *connector, &mut cursor)
        .iter()
        .map(key)
        .collect();
    assert_eq!(found, [format!("{} v0", named(1))]);
}

/// Makes valid settings wrong.
type Mistake<'a> = &'a dyn Fn(&mut MetaGraphSettings);

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let local = LocalGraph::start();
    let check = |change: Mistake<'_>| {
        let mut settings = local.settings();
        change(&mut settings);
        MetaGraph::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let refused: [(Mistake<'_>, &str); 8] = [
        (&|s| s.token = Secret::new(""), "developers.facebook.com"),
        (&|s| s.pages.clear(), "give 1 to 20 numbers"),
        (&|s| s.accounts = vec!["limbic".to_owned()], "is not a number"),
        (&|s| s.version = "24".to_owned(), "v24.0"),
        (&|s| s.watch_posts = 101, "from 1 to 100"),
        (&|s| s.interval = "1s".parse().unwrap(), "from 15s to 24h"),
        (&|s| s.requests_per_day = 10, "costs at least 11"),
        (&|s| s.url = "http://facebook.example".into(), "is not encrypted"),
    ];
    for (change, said) in refused {
        let problem = check(change).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
}
