//! YouTube against a local server.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod servers;
mod suite;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{Connector, ConnectorError, Cursor, Failure, YouTube, YouTubeSettings};
use limbic_domain::{ConnectionUrl, Secret, Utc};
use serde_json::{Value, json};

use servers::youtube::{CHANNEL, KEY, QUIET, YouTubeServer};
use suite::{Change, Driver, Fault, Memory, Network, key};

struct LocalYouTube {
    server: YouTubeServer,
    edits: AtomicI64,
}

impl LocalYouTube {
    fn start() -> Self {
        Self {
            server: YouTubeServer::start(),
            edits: AtomicI64::default(),
        }
    }

    fn settings(&self) -> YouTubeSettings {
        YouTubeSettings {
            key: Secret::new(KEY),
            channels: vec![CHANNEL.to_owned()],
            url: ConnectionUrl::new(self.server.url()),
            ..YouTubeSettings::default()
        }
    }

    fn comment(&self, n: u32, text: &str) {
        let mut threads = self.server.shared.threads.lock();
        threads.insert(number(n), (comment(&name(n), text), Vec::new()));
    }

    fn reply(&self, n: u32, number_of: usize) -> String {
        let id = format!("{}.{number_of}", name(n));
        let mut reply = comment(&id, "so true");
        reply["snippet"]["parentId"] = name(n).into();
        let mut threads = self.server.shared.threads.lock();
        threads.get_mut(&number(n)).unwrap().1.push(reply);
        format!("youtube {id} v0")
    }
}

/// Numbers in the order of `n`, the largest last.
fn number(n: u32) -> u64 {
    1_000_000 + u64::from(n)
}

fn name(n: u32) -> String {
    format!("Ug{:010}", number(n))
}

/// A comment of the present. The API states whole seconds; parts of them keep the order of this test.
fn comment(id: &str, text: &str) -> Value {
    let now = Utc::now();
    json!({"id": id, "snippet": {"authorChannelId": {"value": "UCann"}, "textDisplay": text, "publishedAt": now, "updatedAt": now}})
}

fn build(settings: &YouTubeSettings) -> Box<dyn Connector> {
    YouTube::build(settings, &Resources::new("test"))
        .unwrap()
        .connector
}

impl Network for LocalYouTube {
    fn connector(&self) -> Box<dyn Connector> {
        build(&YouTubeSettings {
            units_per_day: 1_000_000,
            ..self.settings()
        })
    }

    fn publish(&self, change: Change) -> String {
        match change {
            Change::Post(n) => {
                self.comment(n, &"goal ".repeat(400));
                format!("youtube {} v0", name(n))
            }
            Change::Edit(n) => {
                let at = Utc::now().plus_millis(60_000 + self.edits.fetch_add(1, Ordering::SeqCst));
                let mut threads = self.server.shared.threads.lock();
                threads.get_mut(&number(n)).unwrap().0["snippet"]["updatedAt"] = json!(at);
                format!("youtube {} v{}", name(n), at.as_millis())
            }
            Change::Delete(n) => {
                self.server.shared.threads.lock().remove(&number(n));
                format!("youtube {} deleted", name(n))
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
        YouTube::TERMS
    }
}

#[test]
fn youtube_keeps_the_contract_of_connectors() {
    suite::check(&|| Box::new(LocalYouTube::start()));
}

/// The keys of the items of pulls until one asks nothing.
fn poll(connector: &mut dyn Connector, cursor: &mut Option<Cursor>) -> Vec<String> {
    suite::poll(connector, cursor).iter().map(key).collect()
}

#[test]
fn replies_come_with_their_thread_and_later_ones_of_an_old_thread_when_its_turn_comes() {
    let local = LocalYouTube::start();
    local.comment(0, "a goal");
    let replies: Vec<String> = (0..8).map(|n| local.reply(0, n)).collect();
    let (mut connector, mut cursor) = (build(&local.settings()), None);
    let mut found = poll(&mut *connector, &mut cursor);
    let mut expected = [vec![format!("youtube {} v0", name(0))], replies].concat();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "more replies than a thread contains");
    // More threads than a page, so that the old one is not listed any more.
    for n in 1..150 {
        local.comment(n, "a goal");
    }
    assert_eq!(poll(&mut *connector, &mut cursor).len(), 149, "over two pages");
    let late = local.reply(0, 8);
    let gone = local.publish(Change::Delete(5));
    let found: Vec<String> = (0..8).flat_map(|_| poll(&mut *connector, &mut cursor)).collect();
    assert!(found.contains(&late) && found.contains(&gone), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn an_answer_without_any_comment_is_doubted_before_it_deletes() {
    let local = LocalYouTube::start();
    for n in 0..20 {
        local.comment(n, "a goal");
    }
    let (mut connector, mut cursor) = (build(&local.settings()), None);
    assert_eq!(poll(&mut *connector, &mut cursor).len(), 20);
    local.server.shared.is_forgetful.store(true, Ordering::SeqCst);
    let page = connector.pull(cursor.as_ref(), 100).unwrap();
    assert!(page.items.is_empty(), "{page:?}");
    assert_eq!(
        page.dropped["a thing that is missing, together with all others"],
        20
    );
    local.server.shared.is_forgetful.store(false, Ordering::SeqCst);
    assert!(poll(&mut *connector, &mut cursor).is_empty());
    // A video that was deleted has no comments any more.
    local.server.shared.threads.lock().clear();
    let found: Vec<String> = (0..3).flat_map(|_| poll(&mut *connector, &mut cursor)).collect();
    assert_eq!(found.len(), 20, "{found:?}");
}

#[test]
fn a_place_without_comments_does_not_stop_the_others() {
    let local = LocalYouTube::start();
    local.comment(1, "a goal");
    let settings = YouTubeSettings {
        videos: vec![QUIET.to_owned()],
        ..local.settings()
    };
    let page = build(&settings).pull(None, 100).unwrap();
    assert_eq!(
        (
            page.items.len(),
            page.dropped["a place whose comments are disabled"]
        ),
        (1, 1)
    );
}

#[test]
fn units_are_counted_spread_over_the_day_and_remembered_by_the_cursor() {
    let local = LocalYouTube::start();
    local.comment(1, "a goal");
    let settings = YouTubeSettings {
        units_per_day: 60,
        interval: "15s".parse().unwrap(),
        ..local.settings()
    };
    let mut driver = Driver::new(build(&settings), Memory::default());
    driver.until("no post", |disk, _| disk.log.len() == 1);
    // A turn costs two units: thirty turns a day.
    for _ in 0..6 {
        driver.step();
    }
    let longest = driver.waits.iter().max().copied().unwrap();
    assert!(longest > Duration::from_mins(1), "{longest:?}");
    let (mut connector, mut cursor) = (build(&settings), None);
    for _ in 0..200 {
        match connector.pull(cursor.as_ref(), 100) {
            Ok(page) => cursor = page.next,
            Err(_) => break,
        }
    }
    let spent = local.server.shared.requests.lock().len();
    let error = connector.pull(cursor.as_ref(), 100).unwrap_err();
    assert!(error.to_string().contains("budget of 60 a day"), "{error}");
    assert!(
        matches!(
            error,
            ConnectorError::Unavailable {
                failure: Failure::RateLimit,
                retry_after: Some(_),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        local.server.shared.requests.lock().len(),
        spent,
        "nothing is asked"
    );
    // A restart forgets at most the last few.
    let mut connector = build(&settings);
    let after_restart = (0..60)
        .take_while(|_| match connector.pull(cursor.as_ref(), 100) {
            Ok(page) => {
                cursor = page.next;
                true
            }
            Err(_) => false,
        })
        .count();
    assert!(after_restart <= 21, "{after_restart}");
}

#[test]
fn a_spent_quota_waits_for_the_next_day_and_a_wrong_key_is_refused_and_never_printed() {
    let local = LocalYouTube::start();
    *local.server.shared.units.lock() = Some(0);
    let error = build(&local.settings()).pull(None, 10).unwrap_err();
    assert!(
        matches!(
            error,
            ConnectorError::Unavailable {
                failure: Failure::RateLimit,
                retry_after: Some(_),
                ..
            }
        ),
        "{error}"
    );
    let settings = YouTubeSettings {
        key: Secret::new("not-the-right-one"),
        ..local.settings()
    };
    let error = build(&settings).pull(None, 10).unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("not-the-right-one"), "{error}");
}

#[test]
fn what_is_not_wanted_is_left_out_and_an_edit_can_take_a_comment_away() {
    let local = LocalYouTube::start();
    local.comment(1, "a GÓAL");
    local.comment(2, "tea");
    let settings = YouTubeSettings {
        want: vec!["goal".to_owned()],
        ..local.settings()
    };
    let (mut connector, mut cursor) = (build(&settings), None);
    let page = connector.pull(None, 100).unwrap();
    assert_eq!((page.items.len(), page.dropped["not wanted"]), (1, 1));
    cursor.clone_from(&page.next);
    local.publish(Change::Edit(1));
    local.server.shared.threads.lock().get_mut(&number(1)).unwrap().0["snippet"]["textDisplay"] =
        json!("tea");
    connector.reset();
    let found = poll(&mut *connector, &mut cursor);
    assert_eq!(found, [format!("youtube {} deleted", name(1))]);
}

/// Makes valid settings wrong.
type Mistake<'a> = &'a dyn Fn(&mut YouTubeSettings);

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let local = LocalYouTube::start();
    let check = |change: Mistake<'_>| {
        let mut settings = local.settings();
        change(&mut settings);
        YouTube::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let refused: [(Mistake<'_>, &str); 8] = [
        (&|s| s.key = Secret::new(""), "console.cloud.google.com"),
        (&|s| s.channels.clear(), "give 1 to 100 ids"),
        (
            &|s| s.channels = vec!["@ann-of-football".to_owned()],
            "begins with UC",
        ),
        (&|s| s.videos = vec!["a/b/c/d".to_owned()], "what follows v="),
        (&|s| s.interval = "1s".parse().unwrap(), "from 15s to 24h"),
        (&|s| s.units_per_day = 2, "at least 3"),
        (&|s| s.remember = 1_000_000, "within 30 days"),
        (&|s| s.url = "http://youtube.example".into(), "is not encrypted"),
    ];
    for (change, said) in refused {
        let problem = check(change).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
}
