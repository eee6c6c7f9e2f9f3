//! X against a local server.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod servers;
mod suite;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{Connector, ConnectorError, Cursor, Failure, Item, Page, Phase, X, XMode, XSettings};
use limbic_domain::{ConnectionUrl, Secret, Utc};
use parking_lot::Mutex;
use serde_json::{Value, json};

use servers::x::{TOKEN, XServer, id_of};
use suite::{Change, Driver, Fault, Memory, Network, key};

struct LocalX {
    server: XServer,
    mode: XMode,
    clock: AtomicU64,
    /// The ids of all versions.
    versions: Mutex<BTreeMap<u32, Vec<u64>>>,
}

impl LocalX {
    fn start(mode: XMode) -> Self {
        Self {
            server: XServer::start(),
            mode,
            clock: AtomicU64::default(),
            versions: Mutex::default(),
        }
    }

    /// The present as an id, at which nothing else has happened.
    fn tick(&self) -> u64 {
        let now = id_of(Utc::now());
        let before = self.clock.fetch_max(now, Ordering::SeqCst);
        self.clock.fetch_add(1, Ordering::SeqCst);
        before.max(now) + 1
    }

    fn settings(&self) -> XSettings {
        XSettings {
            token: Secret::new(TOKEN),
            rules: vec!["goal lang:en".to_owned()],
            mode: self.mode,
            url: ConnectionUrl::new(self.server.url()),
            ..XSettings::default()
        }
    }

    /// A post of the present.
    fn post(&self, n: u32, text: &str) -> u64 {
        let id = self.tick();
        self.versions.lock().insert(n, vec![id]);
        self.server.write(id, post(&[id], text), "limbic");
        id
    }
}

/// The newest of these versions, with the fields that are asked for.
fn post(history: &[u64], text: &str) -> Value {
    let ids: Vec<String> = history.iter().map(u64::to_string).collect();
    json!({"id": ids.last(), "author_id": "77", "text": text, "edit_history_tweet_ids": ids, "lang": "en", "created_at": Utc::now()})
}

fn build(settings: &XSettings) -> Box<dyn Connector> {
    X::build(settings, &Resources::new("test")).unwrap().connector
}

impl Network for LocalX {
    fn connector(&self) -> Box<dyn Connector> {
        // Few steps of the suite's clock.
        build(&XSettings {
            backfill_minutes: 5,
            stall_after: "60s".parse().unwrap(),
            interval: "2s".parse().unwrap(),
            compliance_interval: "10s".parse().unwrap(),
            // A thousand faults repeat many posts.
            budget_per_day: 1_000_000.0,
            ..self.settings()
        })
    }

    fn publish(&self, change: Change) -> String {
        match change {
            // Long texts, so that buffers fill.
            Change::Post(n) => format!("x {} v0", self.post(n, &"goal ".repeat(400))),
            Change::Edit(n) => {
                let id = self.tick();
                let mut versions = self.versions.lock();
                let history = versions.get_mut(&n).unwrap();
                history.push(id);
                self.server.write(id, post(history, "another goal"), "limbic");
                format!("x {} v{}", history[0], history.len() - 1)
            }
            Change::Delete(n) => {
                let first = self.versions.lock()[&n][0];
                self.server
                    .shared
                    .gone
                    .lock()
                    .insert(first.to_string(), "deleted");
                format!("x {first} deleted")
            }
        }
    }

    fn plan(&self, fault: Fault) {
        self.server.shared.feed.plan(fault);
    }

    fn connections(&self) -> usize {
        match self.mode {
            XMode::Stream => self.server.shared.feed.queries().len(),
            XMode::Search => self.server.shared.searches.lock().len(),
        }
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn is_polled(&self) -> bool {
        self.mode == XMode::Search
    }

    fn asks_for_deletions(&self) -> bool {
        true
    }

    fn burst(&self) -> u32 {
        if self.is_polled() { 900 } else { 4_000 }
    }

    fn terms(&self) -> &'static str {
        X::TERMS
    }
}

#[test]
fn x_keeps_the_contract_of_connectors_by_its_stream() {
    suite::check(&|| Box::new(LocalX::start(XMode::Stream)));
}

#[test]
fn x_keeps_the_contract_of_connectors_by_its_search() {
    suite::check(&|| Box::new(LocalX::start(XMode::Search)));
}

/// One pull, whose cursor is kept.
fn pull(connector: &mut dyn Connector, cursor: &mut Option<Cursor>) -> Page {
    let page = connector.pull(cursor.as_ref(), 1_000).unwrap();
    cursor.clone_from(&page.next);
    page
}

/// The keys of the items of pulls until there are `most`.
fn until(connector: &mut dyn Connector, cursor: &mut Option<Cursor>, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < most {
        found.extend(pull(connector, cursor).items.iter().map(key));
    }
    found
}

#[test]
fn rules_are_kept_in_step_and_those_of_other_programs_stay() {
    let local = LocalX::start(XMode::Stream);
    let rule = |id: &str, value: &str, tag: &str| (id.to_owned(), value.to_owned(), tag.to_owned());
    *local.server.shared.rules.lock() = vec![
        rule("1", "tea", "another program"),
        rule("2", "an old rule", "limbic"),
        rule("3", "goal lang:en", "limbic"),
    ];
    let settings = XSettings {
        rules: vec!["goal lang:en".to_owned(), "tennis".to_owned()],
        ..local.settings()
    };
    let (mut connector, mut cursor) = (build(&settings), None);
    pull(&mut *connector, &mut cursor);
    let values = || -> Vec<(String, String)> {
        let rules = local.server.shared.rules.lock();
        rules
            .iter()
            .map(|(_, value, tag)| (value.clone(), tag.clone()))
            .collect()
    };
    let expected = [
        ("tea", "another program"),
        ("goal lang:en", "limbic"),
        ("tennis", "limbic"),
    ];
    assert_eq!(
        values(),
        expected.map(|(value, tag)| (value.to_owned(), tag.to_owned()))
    );
    let changes = local.server.shared.changes.load(Ordering::SeqCst);
    connector.reset();
    pull(&mut *connector, &mut cursor);
    assert_eq!(
        local.server.shared.changes.load(Ordering::SeqCst),
        changes,
        "nothing is to be changed"
    );
    // Posts of the other program's rule are paid for, and left out.
    let id = local.tick();
    local.server.write(id, post(&[id], "tea"), "another program");
    let own = local.post(1, "goal");
    let mut dropped = 0;
    let mut found = Vec::new();
    while found.is_empty() {
        let page = pull(&mut *connector, &mut cursor);
        dropped += page
            .dropped
            .get("of a rule of another program")
            .copied()
            .unwrap_or(0);
        found.extend(page.items.iter().map(key));
    }
    assert_eq!((found, dropped), (vec![format!("x {own} v0")], 1));

    let settings = XSettings {
        rules: vec!["(goal".to_owned()],
        ..local.settings()
    };
    let error = build(&settings).pull(None, 10).unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("closing parenthesis"), "{error}");
}

#[test]
fn a_stream_without_a_sign_of_life_for_20_seconds_is_opened_again_and_backfill_repeats_what_was_missed() {
    let local = LocalX::start(XMode::Stream);
    let settings = XSettings {
        backfill_minutes: 3,
        ..local.settings()
    };
    let (mut connector, mut cursor) = (build(&settings), None);
    let mut now = Instant::now();
    connector.set_time(now);
    pull(&mut *connector, &mut cursor);
    let first = local.post(1, "goal");
    assert_eq!(until(&mut *connector, &mut cursor, 1), [format!("x {first} v0")]);
    // Signs of life alone are enough.
    for _ in 0..5 {
        now += Duration::from_secs(19);
        connector.set_time(now);
        pull(&mut *connector, &mut cursor);
    }
    local.server.shared.is_mute.store(true, Ordering::SeqCst);
    // The rest that is under way.
    while connector.pull(cursor.as_ref(), 10).is_ok() {
        now += Duration::from_secs(7);
        connector.set_time(now);
    }
    let queries = local.server.shared.feed.queries();
    assert_eq!(queries.len(), 1);
    connector.reset();
    local.server.shared.is_mute.store(false, Ordering::SeqCst);
    let second = local.post(2, "goal");
    assert_eq!(until(&mut *connector, &mut cursor, 1), [format!("x {second} v0")]);
    let queries = local.server.shared.feed.queries();
    assert!(
        !queries[0].contains("backfill") && queries[1].contains("backfill_minutes="),
        "{queries:?}"
    );
    assert!(
        local.server.shared.searches.lock().is_empty(),
        "backfill was enough"
    );
}

#[test]
fn without_backfill_a_gap_is_searched_and_a_kill_in_between_loses_nothing() {
    let local = LocalX::start(XMode::Stream);
    let settings = XSettings {
        budget_per_day: 100.0,
        ..local.settings()
    };
    let (mut connector, mut cursor) = (build(&settings), None);
    let mut now = Instant::now();
    connector.set_time(now);
    pull(&mut *connector, &mut cursor);
    drop(connector);
    // While nobody is connected.
    let missed: Vec<String> = (0..1_050)
        .map(|n| format!("x {} v0", local.post(n, "goal")))
        .collect();
    let mut connector = build(&settings);
    connector.set_time(now);
    pull(&mut *connector, &mut cursor);
    let live = local.post(5_000, "goal");
    assert_eq!(
        until(&mut *connector, &mut cursor, 1),
        [format!("x {live} v0")],
        "the stream first"
    );
    assert!(local.server.shared.searches.lock().is_empty());
    // Killed before the gap was searched: the cursor knows it.
    let mut connector = build(&settings);
    connector.set_time(now);
    pull(&mut *connector, &mut cursor);
    now += Duration::from_secs(41);
    connector.set_time(now);
    let mut found = until(&mut *connector, &mut cursor, 1_000);
    assert_eq!(found.len(), 1_000, "ten pages at once");
    found.extend(until(&mut *connector, &mut cursor, 51));
    found.sort();
    let mut expected = missed;
    expected.push(format!("x {live} v0"));
    expected.sort();
    assert_eq!(found, expected);
    let searches = local.server.shared.searches.lock().len();
    pull(&mut *connector, &mut cursor);
    assert_eq!(
        local.server.shared.searches.lock().len(),
        searches,
        "the gap is closed"
    );
}

#[test]
fn a_search_that_fails_does_not_end_the_stream_and_is_done_later() {
    let local = LocalX::start(XMode::Stream);
    let (mut connector, mut cursor) = (build(&local.settings()), None);
    let mut now = Instant::now();
    connector.set_time(now);
    pull(&mut *connector, &mut cursor);
    connector.reset();
    let missed = format!("x {} v0", local.post(1, "goal"));
    pull(&mut *connector, &mut cursor);
    let reset = Utc::now().as_millis() / 1_000 + 600;
    local.server.shared.quotas.lock().insert("search", (0, reset));
    now += Duration::from_secs(41);
    connector.set_time(now);
    let page = pull(&mut *connector, &mut cursor);
    assert_eq!(page.dropped["a search for a gap that failed"], 1);
    let live = format!("x {} v0", local.post(2, "goal"));
    assert_eq!(until(&mut *connector, &mut cursor, 1), [live]);
    assert_eq!(
        local.server.shared.violations.load(Ordering::SeqCst),
        1,
        "it is asked once"
    );
    // Another process finds the gap in the cursor.
    local.server.shared.quotas.lock().clear();
    let mut connector = build(&local.settings());
    connector.set_time(now);
    pull(&mut *connector, &mut cursor);
    connector.set_time(now + Duration::from_secs(41));
    assert!(until(&mut *connector, &mut cursor, 1).contains(&missed));
    assert_eq!(
        local.server.shared.feed.queries().len(),
        3,
        "three connections in all"
    );
}

#[test]
fn a_page_of_a_search_for_other_rules_is_not_asked_for() {
    let local = LocalX::start(XMode::Search);
    let settings = XSettings {
        catch_up: "1h".parse().unwrap(),
        budget_per_day: 100.0,
        ..local.settings()
    };
    for n in 0..1_100 {
        local.post(n, "goal");
    }
    let mut cursor = None;
    assert_eq!(pull(&mut *build(&settings), &mut cursor).items.len(), 1_000);
    let settings = XSettings {
        rules: vec!["another rule".to_owned()],
        ..settings
    };
    let mut connector = build(&settings);
    let found = until(&mut *connector, &mut cursor, 1_100);
    assert_eq!(
        found.len(),
        1_100,
        "from the beginning: what comes twice is removed"
    );
}

#[test]
fn repeated_and_late_posts_are_read_once_and_stop_nothing() {
    let local = LocalX::start(XMode::Stream);
    let (mut connector, mut cursor) = (build(&local.settings()), None);
    pull(&mut *connector, &mut cursor);
    let (first, second) = (local.tick(), local.tick());
    for id in [second, first, second] {
        local.server.write(id, post(&[id], "goal"), "limbic");
    }
    local.server.shared.feed.publish(0, "{\"data\": ".to_owned());
    local.server.shared.feed.publish(
        0,
        json!({"data": {"id": "x", "author_id": "1", "text": "t"}}).to_string(),
    );
    let last = local.post(1, "2 &lt; 3\ngoal");
    let name = last.to_string();
    let (mut items, mut known) = (Vec::new(), 0);
    while items
        .last()
        .is_none_or(|item| !matches!(item, Item::Post(post) if post["id"].as_str() == Some(&name)))
    {
        let page = pull(&mut *connector, &mut cursor);
        items.extend(page.items);
        known += page.dropped.get("known").copied().unwrap_or(0);
    }
    let unreadable = items
        .iter()
        .filter(|item| matches!(item, Item::Unreadable(_)))
        .count();
    assert_eq!(unreadable, 2, "{items:?}");
    // In one page the repeated post is not known yet: the edge removes it.
    let posts = items.iter().filter(|item| matches!(item, Item::Post(_))).count() as u64;
    assert_eq!(posts + known, 4, "{items:?}");
    assert!(matches!(items.last(), Some(Item::Post(post)) if post["text"] == "2 < 3\ngoal"));
}

#[test]
fn the_waits_are_those_of_the_documentation() {
    let connector = build(&LocalX::start(XMode::Stream).settings());
    let wait = |failure: Failure, failures: u32| {
        let longest = (0..200)
            .map(|seed| connector.schedule(failure).with_seed(seed).wait(failures))
            .max();
        longest.unwrap().as_millis()
    };
    assert_eq!(wait(Failure::Connection, 0), 0, "at once");
    for (failure, failures, full) in [
        (Failure::Connection, 1, 250),
        (Failure::Connection, 4, 1_000),
        (Failure::Connection, 1_000, 16_000),
        (Failure::Server, 0, 5_000),
        (Failure::Server, 3, 40_000),
        (Failure::Server, 50, 320_000),
        (Failure::RateLimit, 0, 60_000),
        (Failure::RateLimit, 2, 240_000),
    ] {
        let found = wait(failure, failures);
        assert!(
            found <= full && found > full * 95 / 100,
            "{failure:?} {failures}: {found} ms of {full} ms"
        );
    }
}

#[test]
fn no_request_is_sent_when_its_quota_is_spent_and_a_refusal_waits_for_the_reset() {
    let local = LocalX::start(XMode::Search);
    let reset = Utc::now().as_millis() / 1_000 + 600;
    local.server.shared.quotas.lock().insert("search", (2, reset));
    let mut driver = Driver::new(local.connector(), Memory::default());
    for _ in 0..6 {
        driver.step();
    }
    assert_eq!(local.server.shared.violations.load(Ordering::SeqCst), 0);
    assert!(
        driver.waits.iter().any(|wait| *wait > Duration::from_mins(9)),
        "{:?}",
        driver.waits
    );

    // Another program has spent it.
    let local = LocalX::start(XMode::Stream);
    local.server.shared.quotas.lock().insert("stream", (0, reset));
    let error = local.connector().pull(None, 10).unwrap_err();
    let ConnectorError::Unavailable {
        failure: Failure::RateLimit,
        retry_after: Some(wait),
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(wait > Duration::from_mins(9), "{wait:?}");
}

#[test]
fn a_day_has_a_budget_and_its_count_survives_a_restart() {
    for mode in [XMode::Stream, XMode::Search] {
        let local = LocalX::start(mode);
        let settings = XSettings {
            price_per_post: 0.005,
            budget_per_day: 0.1,
            catch_up: "1s".parse().unwrap(),
            ..local.settings()
        };
        let (mut connector, mut cursor) = (build(&settings), None);
        if mode == XMode::Stream {
            pull(&mut *connector, &mut cursor);
        }
        for n in 0..30 {
            local.post(n, "goal");
        }
        let mut read = 0;
        let mut connector = if mode == XMode::Stream {
            connector
        } else {
            build(&settings)
        };
        let error = loop {
            match connector.pull(cursor.as_ref(), 1_000) {
                Ok(page) => {
                    read += page.items.len();
                    cursor = page.next;
                    assert_eq!(page.quota_left, Some(20 - read as u64));
                }
                Err(error) => break error,
            }
        };
        assert_eq!(read, 20, "{mode:?}: 10 cents for half a cent each");
        assert!(error.to_string().contains("budget of the day"), "{error}");
        assert!(
            matches!(
                error,
                ConnectorError::Unavailable {
                    retry_after: Some(_),
                    ..
                }
            ),
            "{error}"
        );
        let error = build(&settings).pull(cursor.as_ref(), 10).unwrap_err();
        assert!(
            error.to_string().contains("budget of the day"),
            "after a restart: {error}"
        );
    }
}

#[test]
fn deletions_are_asked_for_and_a_place_that_was_removed_is_not_a_deletion() {
    let local = LocalX::start(XMode::Search);
    let settings = XSettings {
        interval: "2s".parse().unwrap(),
        compliance_interval: "10s".parse().unwrap(),
        catch_up: "1h".parse().unwrap(),
        ..local.settings()
    };
    for n in 0..3 {
        local.post(n, "goal");
    }
    let ids: Vec<String> = local
        .versions
        .lock()
        .values()
        .map(|ids| ids[0].to_string())
        .collect();
    let mut gone = local.server.shared.gone.lock();
    gone.insert(ids[1].clone(), "scrub_geo");
    drop(gone);
    let mut driver = Driver::new(build(&settings), Memory::default());
    driver.until("no posts", |disk, _| disk.log.len() == 2);
    local
        .server
        .shared
        .gone
        .lock()
        .insert(ids[0].clone(), "suspended");
    driver.until("no deletion", |disk, _| disk.log.len() == 3);
    assert_eq!(driver.memory.0.lock().log[2], format!("x {} deleted", ids[0]));
    // What is gone is not asked about again.
    let jobs = local.server.shared.jobs.lock().len();
    driver.until("no further job", |_, _| {
        local.server.shared.jobs.lock().len() > jobs + 1
    });
    let last = local
        .server
        .shared
        .jobs
        .lock()
        .last()
        .map(|job| job.ids.clone())
        .unwrap();
    assert!(!last.contains(&ids[0]), "{last:?}");
    assert_eq!(driver.runner.status().phase, Phase::Running);
}

#[test]
fn an_address_for_the_upload_that_must_not_be_followed_stops_no_posts() {
    let local = LocalX::start(XMode::Search);
    *local.server.shared.upload.lock() = Some("ftp:no-host".to_owned());
    let mut driver = Driver::new(local.connector(), Memory::default());
    driver.step();
    local.post(1, "goal");
    driver.until("no failure", |_, status| {
        status
            .dropped
            .contains_key("a question about deletions that failed")
    });
    local.post(2, "goal");
    driver.until("no post", |disk, _| disk.log.len() == 2);
}

#[test]
fn a_wrong_token_is_refused_and_never_printed() {
    let local = LocalX::start(XMode::Stream);
    let settings = XSettings {
        token: Secret::new("not-the-right-one"),
        ..local.settings()
    };
    let mut driver = Driver::new(build(&settings), Memory::default());
    driver.step();
    let status = driver.runner.status();
    let problem = status.problem.clone().unwrap();
    assert_eq!(status.phase, Phase::Refused);
    assert!(
        problem.contains("401") && !problem.contains("not-the-right-one"),
        "{problem}"
    );
    assert!(!format!("{settings:?}").contains("not-the-right-one"));
}

/// Makes valid settings wrong.
type Mistake<'a> = &'a dyn Fn(&mut XSettings);

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let local = LocalX::start(XMode::Stream);
    let check = |change: Mistake<'_>| {
        let mut settings = local.settings();
        change(&mut settings);
        X::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let refused: [(Mistake<'_>, &str); 12] = [
        (&|s| s.token = Secret::new(""), "developer console"),
        (&|s| s.rules.clear(), "give 1 to 1,000 rules"),
        (&|s| s.rules = vec![" ".to_owned()], "is empty"),
        (&|s| s.tag.clear(), "give a word"),
        (&|s| s.backfill_minutes = 6, "from 0 to 5"),
        (&|s| s.rewind = "9s".parse().unwrap(), "from 10s to 5m"),
        (&|s| s.catch_up = "8d".parse().unwrap(), "at most 7 days"),
        (&|s| s.heartbeat_within = "5s".parse().unwrap(), "from 20s to 5m"),
        (&|s| s.budget_per_day = 0.001, "must pay for a post"),
        (&|s| s.price_per_post = f64::NAN, "US dollars"),
        (&|s| s.remember = 1_000_000, "it takes 120 h"),
        (&|s| s.url = "http://api.x.example".into(), "is not encrypted"),
    ];
    for (change, said) in refused {
        let problem = check(change).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
}
