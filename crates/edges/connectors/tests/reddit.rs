//! Reddit against a local server.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod servers;
mod suite;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{Connector, ConnectorError, Cursor, Failure, Item, Reddit, RedditSettings};
use limbic_domain::{ConnectionUrl, Secret, Utc};
use serde_json::{Value, json};

use servers::reddit::RedditServer;
use suite::{Change, Driver, Fault, Memory, Network, key};

struct LocalReddit {
    server: RedditServer,
    edits: AtomicU64,
}

impl LocalReddit {
    fn start() -> Self {
        Self {
            server: RedditServer::start(),
            edits: AtomicU64::default(),
        }
    }

    fn settings(&self) -> RedditSettings {
        RedditSettings {
            subreddits: vec!["football".to_owned(), "tennis".to_owned()],
            client_id: "app".to_owned(),
            client_secret: Secret::new("secret"),
            user_agent: "linux:limbic:test (by /u/ann)".to_owned(),
            url: ConnectionUrl::new(self.server.url()),
            token_url: ConnectionUrl::new(format!("{}/api/v1/access_token", self.server.url())),
            ..RedditSettings::default()
        }
    }

    fn write(&self, number: u64, thing: Value) {
        self.server.shared.things.lock().insert(number, thing);
    }

    fn post(&self, number: u64, text: &str) {
        self.write(
            number,
            thing("t3_", number, &json!({"title": "Match", "selftext": text})),
        );
    }
}

/// Ids in the order of `n`, the largest number last.
fn number(n: u32) -> u64 {
    1_000_000 + u64::from(n)
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

fn thing(kind: &str, number: u64, fields: &Value) -> Value {
    let mut data = json!({
        "name": format!("{kind}{}", base36(number)), "author": "ann", "subreddit": "football", "edited": false,
        "created_utc": Utc::now().as_millis() / 1_000 - 60,
    });
    for (name, field) in fields.as_object().unwrap() {
        data[name] = field.clone();
    }
    json!({"kind": kind.trim_end_matches('_'), "data": data})
}

fn build(settings: &RedditSettings) -> Box<dyn Connector> {
    Reddit::build(settings, &Resources::new("test"))
        .unwrap()
        .connector
}

impl Network for LocalReddit {
    fn connector(&self) -> Box<dyn Connector> {
        build(&RedditSettings {
            comments: false,
            ..self.settings()
        })
    }

    fn publish(&self, change: Change) -> String {
        let (Change::Post(n) | Change::Edit(n) | Change::Delete(n)) = change;
        let name = format!("reddit t3_{}", base36(number(n)));
        match change {
            Change::Post(_) => {
                self.post(number(n), &"goal ".repeat(400));
                format!("{name} v0")
            }
            Change::Edit(_) => {
                let edit = 1_790_000_000 + self.edits.fetch_add(1, Ordering::SeqCst);
                let mut things = self.server.shared.things.lock();
                things.get_mut(&number(n)).unwrap()["data"]["edited"] = json!(edit as f64);
                format!("{name} v{}", edit * 1_000)
            }
            Change::Delete(_) => {
                let mut things = self.server.shared.things.lock();
                let data = &mut things.get_mut(&number(n)).unwrap()["data"];
                (data["author"], data["selftext"]) = (json!("[deleted]"), json!("[deleted]"));
                format!("{name} deleted")
            }
        }
    }

    fn plan(&self, fault: Fault) {
        self.server.plan(fault);
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

    /// A listing has at most 1,000.
    fn burst(&self) -> u32 {
        900
    }

    fn terms(&self) -> &'static str {
        Reddit::TERMS
    }
}

#[test]
fn reddit_keeps_the_contract_of_connectors() {
    suite::check(&|| Box::new(LocalReddit::start()));
}

/// The keys of the items of pulls until one asks nothing.
fn poll(connector: &mut dyn Connector, cursor: &mut Option<Cursor>) -> Vec<String> {
    suite::poll(connector, cursor).iter().map(key).collect()
}

#[test]
fn posts_and_comments_come_once_and_a_deletion_of_an_old_one_is_found_by_the_sweep() {
    let local = LocalReddit::start();
    for n in 0..250 {
        local.post(number(n), "a goal");
    }
    local.write(7, thing("t1_", 7, &json!({"body": "Yes", "parent_id": "t3_a"})));
    let (mut connector, mut cursor) = (build(&local.settings()), None);
    // It begins with the newest page.
    assert_eq!(poll(&mut *connector, &mut cursor).len(), 101);
    for n in 250..500 {
        local.post(number(n), "a goal");
    }
    assert_eq!(
        poll(&mut *connector, &mut cursor).len(),
        250,
        "over several pages"
    );
    let deleted = local.publish(Change::Delete(160));
    let mut found = Vec::new();
    for _ in 0..6 {
        found.extend(poll(&mut *connector, &mut cursor));
    }
    assert_eq!(found, [deleted]);
    let questions = local.server.shared.questions.lock().clone();
    assert!(
        questions.iter().all(|names| *names <= 100) && questions.iter().sum::<usize>() >= 350,
        "{questions:?}"
    );
    assert_eq!(
        local.server.shared.tokens.load(Ordering::SeqCst),
        1,
        "one token for all requests"
    );
}

#[test]
fn a_page_that_was_not_accepted_is_not_taken_for_read() {
    let local = LocalReddit::start();
    local.post(number(1), "a goal");
    let mut connector = local.connector();
    let first = connector.pull(None, 100).unwrap();
    connector.reset();
    // The page is lost: the caller asks at the same place again.
    let second = connector.pull(None, 100).unwrap();
    assert_eq!(first.items, second.items);
    local.publish(Change::Edit(1));
    let mut cursor = second.next;
    // Things that are known are asked about in turns.
    let edited: Vec<String> = (0..6).flat_map(|_| poll(&mut *connector, &mut cursor)).collect();
    assert_eq!(edited.len(), 1, "{edited:?}");
    assert!(edited[0].ends_with("000"), "{edited:?}");
}

#[test]
fn an_answer_without_things_deletes_nothing_and_new_posts_arrive_nevertheless() {
    let local = LocalReddit::start();
    for n in 0..3 {
        local.post(number(n), "a goal");
    }
    let (mut connector, mut cursor) = (local.connector(), None);
    assert_eq!(poll(&mut *connector, &mut cursor).len(), 3);
    local.server.shared.is_forgetful.store(true, Ordering::SeqCst);
    let error = connector.pull(cursor.as_ref(), 100).unwrap_err();
    let ConnectorError::Unavailable {
        failure, retry_after, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(*failure, Failure::Server);
    assert!(retry_after.unwrap() > Duration::from_secs(13), "{error:?}");
    connector.reset();
    local.post(number(3), "a goal");
    let page = connector.pull(cursor.as_ref(), 100).unwrap();
    assert!(matches!(&page.items[..], [Item::Post(_)]), "{page:?}");
    cursor = page.next;
    let error = connector.pull(cursor.as_ref(), 100).unwrap_err();
    assert!(error.to_string().contains("none of 3 things"), "{error}");
    connector.reset();
    local.server.shared.is_forgetful.store(false, Ordering::SeqCst);
    let deleted = local.publish(Change::Delete(1));
    assert_eq!(poll(&mut *connector, &mut cursor), [deleted]);
}

#[test]
fn a_thing_in_another_form_is_counted_and_not_deleted() {
    let local = LocalReddit::start();
    local.post(number(0), "a goal");
    local.post(number(1), "a goal");
    let (mut connector, mut cursor) = (local.connector(), None);
    poll(&mut *connector, &mut cursor);
    local.server.shared.things.lock().get_mut(&number(0)).unwrap()["data"]["created_utc"] = json!("soon");
    let page = connector.pull(cursor.as_ref(), 100).unwrap();
    assert!(page.items.is_empty() && page.next == cursor, "{page:?}");
    assert_eq!(
        page.dropped["a thing that cannot be read"], 2,
        "in the listing and in the sweep"
    );
}

#[test]
fn a_post_that_a_moderator_removes_without_an_edit_is_a_deletion() {
    let local = LocalReddit::start();
    let (mut connector, mut cursor) = (local.connector(), None);
    for some in [0..100, 100..150] {
        for n in some {
            local.post(number(n), "a goal");
        }
        poll(&mut *connector, &mut cursor);
    }
    // It is still in the listing, and the next question is not about it.
    let removed = thing(
        "t3_",
        number(99),
        &json!({"title": "Match", "selftext": "[removed]"}),
    );
    local.write(number(99), removed);
    assert_eq!(
        poll(&mut *connector, &mut cursor),
        [format!("reddit t3_{} deleted", base36(number(99)))]
    );
}

#[test]
fn a_token_is_renewed_before_it_ends_and_a_wrong_secret_is_named() {
    let local = LocalReddit::start();
    local.server.shared.validity.store(30, Ordering::SeqCst);
    let (mut connector, mut cursor) = (local.connector(), None);
    poll(&mut *connector, &mut cursor);
    poll(&mut *connector, &mut cursor);
    assert!(local.server.shared.tokens.load(Ordering::SeqCst) >= 2);
    // A time that no clock has.
    local.server.shared.validity.store(u64::MAX, Ordering::SeqCst);
    poll(&mut *connector, &mut cursor);
    let settings = RedditSettings {
        client_secret: Secret::new("wrong-one"),
        ..local.settings()
    };
    let error = build(&settings).pull(None, 100).unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("wrong-one"), "{error}");
}

#[test]
fn no_request_is_sent_when_the_quota_is_spent() {
    let local = LocalReddit::start();
    *local.server.shared.quota.lock() = Some(1);
    local.post(number(1), "a goal");
    let mut driver = Driver::new(local.connector(), Memory::default());
    for _ in 0..4 {
        driver.step();
    }
    assert_eq!(local.server.shared.violations.load(Ordering::SeqCst), 0);
    assert!(
        driver.waits.iter().any(|wait| *wait > Duration::from_mins(8)),
        "{:?}",
        driver.waits
    );
}

#[test]
fn what_is_not_wanted_is_left_out_and_an_edit_can_take_a_post_away() {
    let local = LocalReddit::start();
    local.post(number(1), "a GÓAL");
    local.post(number(2), "tea");
    let settings = RedditSettings {
        want: vec!["goal".to_owned()],
        ..local.settings()
    };
    let (mut connector, mut cursor) = (build(&settings), None);
    let page = connector.pull(None, 100).unwrap();
    assert_eq!((page.items.len(), page.dropped["not wanted"]), (1, 1));
    cursor.clone_from(&page.next);
    let mut changed = thing("t3_", number(1), &json!({"title": "Match", "selftext": "tea"}));
    changed["data"]["edited"] = json!(1_790_000_000);
    local.write(number(1), changed);
    connector.reset();
    let page = connector.pull(cursor.as_ref(), 100).unwrap();
    assert!(matches!(&page.items[..], [Item::Deletion(_)]), "{page:?}");
}

/// Makes valid settings wrong.
type Mistake<'a> = &'a dyn Fn(&mut RedditSettings);

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let local = LocalReddit::start();
    let check = |change: Mistake<'_>| {
        let mut settings = local.settings();
        change(&mut settings);
        Reddit::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(check(&|_| {}), Ok(()));
    assert_eq!(check(&|s| s.remember = 1_000_000), Ok(()), "41 hours");
    let refused: [(Mistake<'_>, &str); 8] = [
        (&|s| s.subreddits.clear(), "give 1 to 100 names"),
        (&|s| s.subreddits = vec!["r/football".to_owned()], "without r/"),
        (&|s| s.client_id.clear(), "reddit.com/prefs/apps"),
        (&|s| s.user_agent.clear(), "(by /u/NAME)"),
        (&|s| (s.posts, s.comments) = (false, false), "set one to true"),
        (&|s| s.interval = "1s".parse().unwrap(), "from 3s to 1h"),
        (
            &|s| (s.remember, s.interval) = (5_000, "1h".parse().unwrap()),
            "it takes 50 h",
        ),
        (&|s| s.url = "http://reddit.example".into(), "is not encrypted"),
    ];
    for (change, said) in refused {
        let problem = check(change).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
}
