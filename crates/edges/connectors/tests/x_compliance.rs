//! The compliance streams of X against a local server.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "of the suite")]

mod servers;
#[expect(dead_code, reason = "the promises of all connectors are checked elsewhere")]
mod suite;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use limbic_component::{Component, Resources};
use limbic_connectors::{ComplianceStream, Connector, Cursor, Item, X, XSettings};
use limbic_domain::random::Random;
use limbic_domain::{ConnectionUrl, Secret, Utc};
use serde_json::{Value, json};

use servers::x::{TOKEN, XServer, id_of};
use servers::x_compliance::{Compliance, of_account, of_edit, of_post};
use suite::{Driver, Fault, Memory, faults, key};

struct Local {
    server: XServer,
    connector: Box<dyn Connector>,
    cursor: Option<Cursor>,
    now: Instant,
    settings: XSettings,
    dropped: BTreeSet<&'static str>,
    last: u64,
}

impl Local {
    fn start(change: fn(&mut XSettings)) -> Self {
        let server = XServer::start();
        server.shared.compliance.is_agreed.store(true, Ordering::SeqCst);
        let mut settings = XSettings {
            token: Secret::new(TOKEN),
            rules: vec!["goal".to_owned()],
            compliance_stream: ComplianceStream::Known,
            url: ConnectionUrl::new(server.url()),
            ..XSettings::default()
        };
        change(&mut settings);
        let mut local = Self {
            connector: build(&settings),
            server,
            cursor: None,
            now: Instant::now(),
            settings,
            dropped: BTreeSet::new(),
            last: 0,
        };
        // The stream, and one partition with each pull.
        for _ in 0..10 {
            local.pull();
        }
        local
    }

    fn compliance(&self) -> &Compliance {
        &self.server.shared.compliance
    }

    /// A post of the present. Returns its id.
    fn post(&mut self, author: &str) -> String {
        self.last = id_of(Utc::now()).max(self.last + 1);
        let id = self.last.to_string();
        let post = json!({"id": id, "author_id": author, "text": "what a goal", "edit_history_tweet_ids": [id], "lang": "en",
            "created_at": Utc::now()});
        self.server.write(self.last, post, "limbic");
        id
    }

    fn pull(&mut self) -> Vec<Item> {
        self.connector.set_time(self.now);
        let page = self.connector.pull(self.cursor.as_ref(), 1_000).unwrap();
        self.cursor = page.next;
        self.dropped.extend(page.dropped.into_keys());
        page.items
    }

    /// The keys of the items of pulls until there are so many.
    fn until(&mut self, most: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < most {
            found.extend(self.pull().iter().map(key));
        }
        found.sort();
        found
    }

    /// Pulls until something is left out for this reason. Nothing else may arrive.
    fn until_dropped(&mut self, reason: &'static str) {
        while !self.dropped.contains(reason) {
            let items = self.pull();
            assert!(items.is_empty(), "{items:?}");
        }
    }
}

fn build(settings: &XSettings) -> Box<dyn Connector> {
    X::build(settings, &Resources::new("test")).unwrap().connector
}

fn withheld(mut fields: Value, countries: &[&str]) -> Value {
    fields["withheld_in_countries"] = json!(countries);
    fields
}

#[test]
fn what_is_deleted_dropped_or_withheld_there_is_deleted_here() {
    let mut local = Local::start(|_| {});
    let ids: Vec<String> = (0..4).map(|_| local.post("77")).collect();
    local.until(4);
    local.compliance().publish("delete", &of_post(&ids[0], "77"));
    local.compliance().publish("drop", &of_post(&ids[1], "77"));
    local
        .compliance()
        .publish("withheld", &withheld(of_post(&ids[2], "77"), &["DE"]));
    let mut expected: Vec<String> = ids[..3].iter().map(|id| format!("x {id} deleted")).collect();
    expected.sort();
    assert_eq!(local.until(3), expected);
    // What has no effect is counted.
    for (event, fields, reason) in [
        ("delete", of_post("5", "77"), "deletion of an unknown post"),
        ("user_suspend", of_account("5"), "deletion of an unknown account"),
        (
            "undrop",
            of_post(&ids[1], "77"),
            "shown again: what was deleted stays deleted",
        ),
        (
            "tweet_edit",
            of_edit("5", &["5", "6"]),
            "an edit of an unknown post",
        ),
        ("tweet_edit", of_post(&ids[3], "77"), "an edit without an id"),
        ("tweet_edit", of_edit(&ids[3], &[&ids[3]]), "known"),
        (
            "scrub_geo",
            of_account("77"),
            "a removed place that no known post has",
        ),
        (
            "user_profile_modification",
            of_account("77"),
            "a changed profile, which was never stored",
        ),
        (
            "tweet_of_the_future",
            of_post(&ids[3], "77"),
            "another kind of event",
        ),
    ] {
        local.compliance().publish(event, &fields);
        local.until_dropped(reason);
    }
}

#[test]
fn an_account_that_is_gone_takes_its_posts_with_it_and_the_person_is_forgotten() {
    for event in ["user_delete", "user_protect", "user_suspend"] {
        let mut local = Local::start(|_| {});
        let ids: Vec<String> = (0..3).map(|_| local.post("77")).collect();
        local.post("78");
        local.until(4);
        local.compliance().publish(event, &of_account("77"));
        let mut expected: Vec<String> = ids.iter().map(|id| format!("x {id} deleted")).collect();
        expected.push("x everything deleted".to_owned());
        expected.sort();
        assert_eq!(local.until(4), expected, "{event}");
        // Nothing of this account is there any more.
        local.compliance().publish(event, &of_account("77"));
        local.until_dropped("deletion of an unknown account");
    }
}

#[test]
fn only_what_is_withheld_in_a_country_of_the_settings_is_deleted() {
    let mut local = Local::start(|settings| settings.withheld_in = vec!["fr".to_owned()]);
    let (first, second) = (local.post("77"), local.post("77"));
    local.until(2);
    local
        .compliance()
        .publish("withheld", &withheld(of_post(&first, "77"), &["DE", "AT"]));
    local.until_dropped("withheld in other countries");
    local
        .compliance()
        .publish("withheld", &withheld(of_post(&first, "77"), &["DE", "FR"]));
    assert_eq!(local.until(1), [format!("x {first} deleted")]);
    local
        .compliance()
        .publish("user_withheld", &withheld(of_account("77"), &["XX"]));
    assert_eq!(
        local.until(2),
        [format!("x {second} deleted"), "x everything deleted".to_owned()]
    );
}

#[test]
fn a_deletion_that_comes_with_its_post_is_not_lost() {
    let mut local = Local::start(|_| {});
    let id = local.post("77");
    local.compliance().publish("delete", &of_post(&id, "77"));
    let mut found = local.until(1);
    // If the event was first, it is about an unknown post, and X tells of it again when it is asked (batch compliance).
    if !local.dropped.contains("deletion of an unknown post") && found.len() == 1 {
        found.extend(local.until(1));
    }
    assert!(found.contains(&format!("x {id} v0")), "{found:?}");
}

/// A later version of a post, that no rule matches any more.
fn edited(local: &mut Local, first: &str, author: &str, text: &str) -> String {
    local.last = id_of(Utc::now()).max(local.last + 1);
    let id = local.last.to_string();
    let post = json!({"id": id, "author_id": author, "text": text, "edit_history_tweet_ids": [first, id], "lang": "en",
        "created_at": Utc::now()});
    local.server.shared.write_silently(local.last, post);
    id
}

#[test]
fn an_edit_that_matches_no_rule_any_more_is_read_by_its_id() {
    let mut local = Local::start(|_| {});
    let first = local.post("77");
    local.until(1);
    let id = edited(&mut local, &first, "77", "what a game");
    local
        .compliance()
        .publish("tweet_edit", &of_edit(&first, &[&first, &id]));
    let mut found = Vec::new();
    while found.is_empty() {
        found = local.pull();
    }
    let [Item::Post(post)] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (&post["id"], &post["revision"], &post["text"]),
        (&json!(first), &json!(1), &json!("what a game"))
    );
    assert_eq!(local.server.shared.lookups.lock()[..], *std::slice::from_ref(&id));
    // The event comes again, as after a new connection: nothing is asked.
    local
        .compliance()
        .publish("tweet_edit", &of_edit(&first, &[&first, &id]));
    local.until_dropped("known");
    assert_eq!(local.server.shared.lookups.lock().len(), 1);
    // A version that is gone when it is asked for.
    local
        .compliance()
        .publish("tweet_edit", &of_edit(&first, &[&first, &id, "9"]));
    local.until_dropped("an edit that X does not show");
}

#[test]
fn an_edit_is_not_lost_when_x_does_not_answer_or_the_process_ends() {
    let mut local = Local::start(|_| {});
    let first = local.post("77");
    local.until(1);
    let id = edited(&mut local, &first, "77", "what a game");
    local
        .server
        .shared
        .lookup_faults
        .lock()
        .push_back(Fault::Status(503, None));
    local
        .compliance()
        .publish("tweet_edit", &of_edit(&first, &[&first, &id]));
    local.until_dropped("a question about edits that failed");
    let cursor = local.cursor.clone().unwrap();
    assert!(cursor.0.contains(&id), "{}", cursor.0);
    // Another process, which does not know the post: it reads what the cursor names.
    local.connector = build(&local.settings);
    assert_eq!(local.until(1), [format!("x {first} v1")]);
    assert!(!local.cursor.clone().unwrap().0.contains(&id));
}

#[test]
fn an_edit_waits_for_the_budget_of_the_next_day() {
    let mut local = Local::start(|settings| settings.budget_per_day = settings.price_per_post);
    let first = local.post("77");
    assert_eq!(local.until(1).len(), 1);
    let id = edited(&mut local, &first, "77", "what a game");
    local
        .compliance()
        .publish("tweet_edit", &of_edit(&first, &[&first, &id]));
    while !local.cursor.as_ref().unwrap().0.contains(&id) {
        assert!(local.pull().is_empty());
    }
    assert!(local.pull().is_empty() && local.server.shared.lookups.lock().is_empty());
}

#[test]
fn who_removes_the_places_has_the_posts_deleted_that_came_with_one() {
    let mut local = Local::start(|_| {});
    local.server.shared.places.lock().insert(
        "01a9".to_owned(),
        json!({"id": "01a9", "full_name": "Manhattan, NY", "country_code": "US", "place_type": "city"}),
    );
    let plain = local.post("77");
    local.until(1);
    let mut tagged = Vec::new();
    for _ in 0..2 {
        local.last = id_of(Utc::now()).max(local.last + 1);
        let id = local.last.to_string();
        let post = json!({"id": id, "author_id": "77", "text": "a goal", "edit_history_tweet_ids": [id], "created_at": Utc::now(),
            "geo": {"place_id": "01a9"}});
        local.server.write(local.last, post, "limbic");
        tagged.push(id);
    }
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(local.pull());
    }
    for item in &found {
        let Item::Post(post) = item else {
            panic!("{item:?}")
        };
        assert_eq!(post["meta"]["place"]["name"], "Manhattan, NY");
    }
    let mut event = of_account("77");
    event["up_to_tweet_id"] = json!(tagged[0]);
    local.compliance().publish("scrub_geo", &event);
    assert_eq!(
        local.until(1),
        [format!("x {} deleted", tagged[0])],
        "{plain} has no place"
    );
    local.compliance().publish("scrub_geo", &of_account("77"));
    assert_eq!(local.until(1), [format!("x {} deleted", tagged[1])]);
}

#[test]
fn without_an_agreement_posts_are_read_and_x_is_asked_again_rarely() {
    let mut local = Local::start(|_| {});
    local.compliance().is_agreed.store(false, Ordering::SeqCst);
    local.connector = build(&local.settings);
    for _ in 0..12 {
        local.pull();
    }
    assert!(
        local.dropped.contains("a compliance stream that X refused"),
        "{:?}",
        local.dropped
    );
    let id = local.post("77");
    assert_eq!(local.until(1), [format!("x {id} v0")]);
    local.compliance().is_agreed.store(true, Ordering::SeqCst);
    let asked = local.compliance().queries().len();
    local.now += Duration::from_mins(59);
    for _ in 0..3 {
        // The main stream has shown no sign of life by this clock.
        drop(local.connector.pull(local.cursor.as_ref(), 10));
    }
    assert_eq!(local.compliance().queries().len(), asked);
}

#[test]
fn the_streams_are_off_by_default_and_every_event_is_passed_on_if_that_is_wanted() {
    let local = Local::start(|settings| settings.compliance_stream = ComplianceStream::Off);
    assert!(local.compliance().queries().is_empty());
    assert_eq!(XSettings::default().compliance_stream, ComplianceStream::Off);
    let mut local = Local::start(|settings| settings.compliance_stream = ComplianceStream::Every);
    local.compliance().publish("delete", &of_post("5", "77"));
    local.compliance().publish("user_delete", &of_account("78"));
    assert_eq!(local.until(2), ["x 5 deleted", "x everything deleted"]);
    let mut queries = local.compliance().queries();
    queries.sort();
    let expected: Vec<String> = ["tweets", "users"]
        .iter()
        .flat_map(|kind| (1..=4).map(move |number| format!("{kind} partition={number}")))
        .collect();
    assert_eq!(queries, expected);
}

#[test]
fn deletions_are_followed_when_the_budget_of_the_day_is_spent() {
    let mut local = Local::start(|settings| settings.budget_per_day = settings.price_per_post * 2.0);
    let ids: Vec<String> = (0..3).map(|_| local.post("77")).collect();
    assert_eq!(local.until(2).len(), 2);
    local.compliance().publish("delete", &of_post(&ids[0], "77"));
    assert_eq!(local.until(1), [format!("x {} deleted", ids[0])]);
}

#[test]
fn no_deletion_is_lost_or_doubled_under_faults() {
    let faults = u64::from(faults());
    let mut local = Local::start(|settings| settings.budget_per_day = 10_000.0);
    let memory = Memory::default();
    let mut driver = Driver::new(build(&local.settings), memory.clone());
    let mut random = Random::new(11);
    let mut below = |most: usize| random.below(most);
    let (mut posts, mut deleted) = (0, 0);
    let count = |disk: &suite::Disk, end: &str| disk.log.iter().filter(|key| key.ends_with(end)).count();
    for number in 0..faults {
        let author = number.to_string();
        let mut gone: Vec<String> = (0..=below(4)).map(|_| local.post(&author)).collect();
        posts += gone.len();
        driver.until("posts are missing", |disk, _| count(disk, " v0") == posts);
        let (kind, partition) = (["tweets", "users"][below(2)], below(4) as u8 + 1);
        let feed = local.compliance().feed(kind, partition);
        match below(5) {
            0 => feed.plan(Fault::CloseAfter(below(3))),
            1 => feed.plan(Fault::CutInFrame(below(3))),
            2 => feed.plan(Fault::Silent(below(3))),
            3 => feed.plan(Fault::Status(503, None)),
            // All connections are opened again, and have what was planned for them.
            _ => driver.runner.pause(),
        }
        if below(3) == 0 {
            local.compliance().publish("user_delete", &of_account(&author));
        } else {
            gone.truncate(1 + below(gone.len()));
            for id in &gone {
                local.compliance().publish("delete", &of_post(id, &author));
            }
        }
        deleted += gone.len();
        driver.until("deletions are missing", |disk, _| {
            gone.iter()
                .all(|id| disk.log.contains(&format!("x {id} deleted")))
        });
    }
    let disk = memory.0.lock();
    let everything = usize::from(disk.log.contains(&"x everything deleted".to_owned()));
    assert_eq!(
        (count(&disk, " v0"), count(&disk, " deleted")),
        (posts, deleted + everything)
    );
    let queries = local.compliance().queries();
    assert!(queries.len() as u64 > faults / 4, "{}", queries.len());
    assert!(
        queries.iter().any(|query| query.contains("start_time")),
        "no partition continued where it was"
    );
}

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let refused = |change: fn(&mut XSettings)| {
        let mut settings = XSettings {
            token: Secret::new(TOKEN),
            rules: vec!["goal".to_owned()],
            compliance_stream: ComplianceStream::Known,
            ..XSettings::default()
        };
        assert!(X::check(&settings).is_ok());
        change(&mut settings);
        X::check(&settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.mode = limbic_connectors::XMode::Search).contains("needs mode"));
    assert!(refused(|s| s.remember = 0).contains("no post is watched"));
    assert!(refused(|s| s.withheld_in = vec!["Germany".to_owned()]).contains("two letters"));
}
