//! Feeds against a local server.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod servers;
mod suite;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{Connector, ConnectorError, Cursor, Feed, FeedSettings, Item};
use limbic_domain::{ConnectionUrl, Utc, event_id};

use servers::news::News;
use suite::{Change, Fault, Network, key};

struct LocalFeed {
    server: News,
    /// Seconds since 1970 of the newest entry.
    clock: AtomicU64,
    edits: AtomicU64,
}

impl LocalFeed {
    fn start() -> Self {
        let hour_ago = Utc::now().plus_millis(-3_600_000).as_millis() / 1_000;
        Self {
            server: News::start(),
            clock: AtomicU64::new(hour_ago as u64),
            edits: AtomicU64::default(),
        }
    }

    fn settings(&self) -> FeedSettings {
        FeedSettings {
            url: ConnectionUrl::new(self.server.url("/feed")),
            ..FeedSettings::default()
        }
    }

    fn id(&self, guid: &str) -> String {
        event_id("post of a feed", &[&self.server.url("/feed"), guid])
    }

    fn write(&self, guid: &str, text: &str) {
        let at = self.clock.fetch_add(1, Ordering::SeqCst);
        let at = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at));
        let entry = (guid.to_owned(), format!("Title of {guid}"), text.to_owned(), at);
        self.server.change(|entries| entries.push(entry));
    }
}

fn build(settings: &FeedSettings) -> Box<dyn Connector> {
    Feed::build(settings, &Resources::new("test")).unwrap().connector
}

impl Network for LocalFeed {
    fn connector(&self) -> Box<dyn Connector> {
        build(&self.settings())
    }

    fn publish(&self, change: Change) -> String {
        match change {
            Change::Post(n) => {
                self.write(&format!("guid-{n}"), &"goal ".repeat(400));
                format!("feed {} v0", self.id(&format!("guid-{n}")))
            }
            Change::Edit(n) => {
                let guid = format!("guid-{n}");
                let edit = self.edits.fetch_add(1, Ordering::SeqCst);
                self.server.change(|entries| {
                    let entry = entries.iter_mut().find(|entry| entry.0 == guid).unwrap();
                    entry.2 = format!("edit {edit}");
                });
                format!("feed {} edited", self.id(&guid))
            }
            Change::Delete(_) => panic!("a feed states no deletions"),
        }
    }

    fn plan(&self, fault: Fault) {
        self.server.plan(fault);
    }

    fn connections(&self) -> usize {
        self.server.shared.requests.lock().len()
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn is_polled(&self) -> bool {
        true
    }

    fn has_deletions(&self) -> bool {
        false
    }

    /// More is not in a feed.
    fn burst(&self) -> u32 {
        300
    }

    fn terms(&self) -> &'static str {
        Feed::TERMS
    }
}

#[test]
fn a_feed_keeps_the_contract_of_connectors() {
    suite::check(&|| Box::new(LocalFeed::start()));
}

#[test]
fn nothing_new_costs_an_answer_without_a_body_and_each_wait_one_request() {
    let local = LocalFeed::start();
    local.write("1", "a goal");
    let (mut connector, mut cursor) = (local.connector(), None);
    assert_eq!(suite::poll(&mut *connector, &mut cursor).len(), 1);
    assert_eq!(*local.server.shared.statuses.lock(), [200]);
    assert!(suite::poll(&mut *connector, &mut cursor).is_empty());
    assert_eq!(*local.server.shared.statuses.lock(), [200, 304]);
    let wait = connector.wait_when_idle();
    assert!((810..=990).contains(&wait.as_secs()), "{wait:?}");
    // Another process knows what was read.
    local.write("2", "another goal");
    let found = suite::poll(&mut *local.connector(), &mut cursor);
    assert_eq!(
        found.iter().map(key).collect::<Vec<_>>(),
        [format!("feed {} v0", local.id("2"))]
    );
    assert!(suite::poll(&mut *local.connector(), &mut cursor).is_empty());
    assert_eq!(*local.server.shared.statuses.lock(), [200, 304, 200, 304]);
    // The feed asks for more time.
    *local.server.shared.headers.lock() = vec![("cache-control", "public, max-age=7200".to_owned())];
    suite::poll(&mut *connector, &mut cursor);
    assert!(connector.wait_when_idle() > Duration::from_mins(100));
}

#[test]
fn the_same_guid_with_another_text_is_a_higher_revision() {
    let local = LocalFeed::start();
    let (mut connector, mut cursor) = (local.connector(), None);
    local.publish(Change::Post(1));
    suite::poll(&mut *connector, &mut cursor);
    let mut revisions = vec![0];
    for _ in 0..3 {
        local.publish(Change::Edit(1));
        let found = suite::poll(&mut *connector, &mut cursor);
        let [Item::Post(post)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(post["id"], local.id("guid-1"));
        revisions.push(post["revision"].as_u64().unwrap());
    }
    assert!(revisions.is_sorted_by(|one, next| one < next), "{revisions:?}");
    // An edit that nobody wants takes the earlier text away.
    let wanting = FeedSettings {
        want: vec!["goal".to_owned()],
        ..local.settings()
    };
    local.publish(Change::Edit(1));
    let found = suite::poll(&mut *build(&wanting), &mut cursor);
    assert!(matches!(&found[..], [Item::Deletion(_)]), "{found:?}");
}

#[test]
fn redirects_are_followed_by_rule() {
    let local = LocalFeed::start();
    local.write("1", "a goal");
    let settings = FeedSettings {
        url: ConnectionUrl::new(local.server.url("/old")),
        ..FeedSettings::default()
    };
    let redirect = |status: u16, to: &str| {
        local
            .server
            .shared
            .redirects
            .lock()
            .push_back((status, to.to_owned()));
    };
    let paths = || -> Vec<String> {
        let requests = std::mem::take(&mut *local.server.shared.requests.lock());
        requests.into_iter().map(|request| request.path).collect()
    };
    let (mut connector, mut cursor) = (build(&settings), None);
    redirect(302, "/elsewhere");
    assert_eq!(suite::poll(&mut *connector, &mut cursor).len(), 1);
    assert_eq!(paths(), ["/old", "/elsewhere"]);
    redirect(308, "/new");
    suite::poll(&mut *connector, &mut cursor);
    assert_eq!(
        paths(),
        ["/old", "/new"],
        "after a temporary one, the old address is asked"
    );
    suite::poll(&mut *connector, &mut cursor);
    assert_eq!(
        paths(),
        ["/new"],
        "after a permanent one, the new address is asked"
    );
    connector.reset();
    suite::poll(&mut *connector, &mut cursor);
    assert_eq!(
        paths(),
        ["/old"],
        "after a failure, the address of the settings is asked"
    );
    redirect(302, "file:///etc/passwd");
    let error = connector.pull(cursor.as_ref(), 10).unwrap_err();
    assert!(matches!(&error, ConnectorError::Refused { .. }), "{error}");
    for _ in 0..9 {
        redirect(307, "/again");
    }
    let error = build(&settings).pull(None, 10).unwrap_err();
    assert!(error.to_string().contains("more than 5 times"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let check = |url: &str, interval: &str| {
        let settings = FeedSettings {
            url: ConnectionUrl::new(url),
            interval: interval.parse().unwrap(),
            ..FeedSettings::default()
        };
        Feed::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(check("https://www.example.com/feed.xml", "15m"), Ok(()));
    assert!(
        check("", "15m")
            .unwrap_err()
            .contains("give the address of a feed")
    );
    assert!(
        check("gopher://example.com", "15m")
            .unwrap_err()
            .contains("https://")
    );
    assert!(
        check("https://www.example.com/", "5s")
            .unwrap_err()
            .contains("from 1m to 24h")
    );
    let error = build(&FeedSettings {
        url: "http://127.0.0.1:1/".into(),
        ..FeedSettings::default()
    })
    .pull(Some(&Cursor("7".to_owned())), 10)
    .unwrap_err();
    assert!(matches!(error, ConnectorError::UnknownCursor { .. }));
}
