//! LinkedIn against a local server.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod servers;
mod suite;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use limbic_component::{Component, ConnectorComponent, Resources};
use limbic_connectors::{Connector, ConnectorError, Failure, Item, LinkedIn, LinkedInSettings};
use limbic_domain::{ConnectionUrl, Secret, Utc};
use serde_json::{Value, json};

use servers::linkedin::{LinkedInServer, ORGANIZATION, TOKEN};
use suite::{Change, Driver, Fault, Memory, Network, key};

/// The post whose comments are read.
const POST: &str = "urn:li:share:1";

struct LocalLinkedIn {
    server: LinkedInServer,
    clock: AtomicI64,
}

impl LocalLinkedIn {
    fn start() -> Self {
        let local = Self {
            server: LinkedInServer::start(),
            clock: AtomicI64::default(),
        };
        local.write(POST, "Our new \\(best\\) ad", 1);
        local
    }

    fn settings(&self) -> LinkedInSettings {
        LinkedInSettings {
            token: Secret::new(TOKEN),
            organizations: vec![ORGANIZATION.to_owned()],
            posts: false,
            requests_per_day: 1_000_000,
            url: ConnectionUrl::new(self.server.url()),
            ..LinkedInSettings::default()
        }
    }

    /// The present, at which nothing else has happened.
    fn tick(&self) -> i64 {
        let now = Utc::now().as_millis();
        let before = self.clock.fetch_max(now, Ordering::SeqCst);
        self.clock.fetch_add(1, Ordering::SeqCst);
        before.max(now) + 1
    }

    fn write(&self, name: &str, text: &str, minutes: i64) {
        let at = Utc::now().as_millis() - 3_600_000 + minutes * 60_000;
        self.server.shared.posts.lock().push(json!({
            "id": name, "author": format!("urn:li:organization:{ORGANIZATION}"), "commentary": text, "visibility": "PUBLIC",
            "lifecycleState": "PUBLISHED", "lifecycleStateInfo": {"isEditedByAuthor": false},
            "createdAt": at, "publishedAt": at, "lastModifiedAt": at + 500}));
    }

    fn comment(&self, under: &str, n: u32, text: &str) {
        let at = self.tick();
        let comment = json!({
            "id": number(n).to_string(), "object": "urn:li:activity:9", "actor": "urn:li:person:ann", "message": {"text": text, "attributes": []},
            "created": {"time": at}, "lastModified": {"time": at}});
        let mut comments = self.server.shared.comments.lock();
        comments
            .entry(under.to_owned())
            .or_default()
            .insert(number(n), comment);
    }

    fn change(&self, n: u32, change: impl FnOnce(&mut Value)) {
        let mut comments = self.server.shared.comments.lock();
        change(comments.get_mut(POST).unwrap().get_mut(&number(n)).unwrap());
    }
}

fn number(n: u32) -> u64 {
    7_000_000_000 + u64::from(n)
}

fn name(n: u32) -> String {
    format!("urn:li:comment:(urn:li:activity:9,{})", number(n))
}

fn build(settings: &LinkedInSettings) -> Box<dyn Connector> {
    LinkedIn::build(settings, &Resources::new("test"))
        .unwrap()
        .connector
}

impl Network for LocalLinkedIn {
    fn connector(&self) -> Box<dyn Connector> {
        build(&self.settings())
    }

    fn publish(&self, change: Change) -> String {
        match change {
            Change::Post(n) => {
                self.comment(POST, n, &"goal ".repeat(400));
                format!("linkedin {} v0", name(n))
            }
            Change::Edit(n) => {
                let at = self.tick();
                self.change(n, |comment| comment["lastModified"]["time"] = at.into());
                format!("linkedin {} v{at}", name(n))
            }
            Change::Delete(n) => {
                let mut comments = self.server.shared.comments.lock();
                comments.get_mut(POST).unwrap().remove(&number(n));
                format!("linkedin {} deleted", name(n))
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
        LinkedIn::TERMS
    }
}

#[test]
fn linkedin_keeps_the_contract_of_connectors() {
    suite::check(&|| Box::new(LocalLinkedIn::start()));
}

#[test]
fn posts_comments_and_replies_are_read_and_a_deleted_post_takes_its_comments_with_it() {
    let local = LocalLinkedIn::start();
    local.write("urn:li:ugcPost:2", "A second one {hashtag|\\#|cup}", 2);
    local.comment(POST, 1, "What a goal!");
    local.comment(&name(1), 2, "So true");
    local.comment("urn:li:ugcPost:2", 3, "Tea");
    local.change(1, |comment| {
        comment["commentsSummary"] = json!({"aggregatedTotalComments": 1});
    });
    local.server.shared.posts.lock().push(
        json!({"id": "urn:li:share:3", "lifecycleState": "DRAFT", "visibility": "PUBLIC", "createdAt": 1}),
    );
    let settings = LinkedInSettings {
        posts: true,
        ..local.settings()
    };
    let (mut connector, mut cursor) = (build(&settings), None);
    let found = suite::poll(&mut *connector, &mut cursor);
    let posts: Vec<&Value> = found
        .iter()
        .map(|item| match item {
            Item::Post(post) => post,
            other => panic!("{other:?}"),
        })
        .collect();
    let texts: Vec<&str> = posts.iter().map(|post| post["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        [
            "Our new (best) ad",
            "A second one #cup",
            "What a goal!",
            "So true",
            "Tea"
        ]
    );
    assert_eq!(
        (&posts[2]["reply_to"], &posts[3]["reply_to"]),
        (&json!(POST), &json!(name(1)))
    );
    assert_eq!(posts[0]["author"], format!("urn:li:organization:{ORGANIZATION}"));
    local
        .server
        .shared
        .posts
        .lock()
        .retain(|post| post["id"] != "urn:li:ugcPost:2");
    // The first post is older than the one that is gone, so the list reaches beyond it.
    let gone: Vec<Item> = (0..4)
        .flat_map(|_| suite::poll(&mut *connector, &mut cursor))
        .collect();
    let mut gone: Vec<String> = gone.iter().map(key).collect();
    gone.sort();
    assert_eq!(
        gone,
        [
            format!("linkedin {} deleted", name(3)),
            "linkedin urn:li:ugcPost:2 deleted".to_owned()
        ]
    );
}

#[test]
fn requests_are_spread_over_the_day_and_a_limit_that_nobody_states_is_waited_for() {
    let local = LocalLinkedIn::start();
    local.comment(POST, 1, "goal");
    let settings = LinkedInSettings {
        requests_per_day: 48,
        interval: "15s".parse().unwrap(),
        ..local.settings()
    };
    let mut driver = Driver::new(build(&settings), Memory::default());
    driver.until("no comment", |disk, _| disk.log.len() == 1);
    for _ in 0..4 {
        driver.step();
    }
    // A turn costs two requests, so there are at most 24 turns in the rest of the day.
    let rest = (86_400_000 - Utc::now().as_millis().rem_euclid(86_400_000)) as u64;
    let longest = driver.waits.iter().max().copied().unwrap();
    let least = Duration::from_millis(rest / 24).mul_f64(0.85);
    assert!(longest >= least, "{longest:?} of {least:?}");

    *local.server.shared.left.lock() = Some(0);
    let error = build(&local.settings()).pull(None, 10).unwrap_err();
    assert!(
        matches!(
            error,
            ConnectorError::Unavailable {
                failure: Failure::RateLimit,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_limit_in_the_middle_of_a_turn_loses_nothing_and_the_rest_comes_next() {
    let local = LocalLinkedIn::start();
    local.write("urn:li:ugcPost:2", "A second one", 2);
    local.comment(POST, 1, "goal");
    local.comment("urn:li:ugcPost:2", 2, "tea");
    *local.server.shared.left.lock() = Some(2);
    let (mut connector, mut cursor) = (build(&local.settings()), None);
    let page = connector.pull(None, 100).unwrap();
    assert_eq!(page.items.len(), 1);
    cursor.clone_from(&page.next);
    connector.pull(cursor.as_ref(), 100).unwrap_err();
    connector.reset();
    // Enough for the posts and one of them: the one that failed has its turn first.
    *local.server.shared.left.lock() = Some(2);
    let page = connector.pull(cursor.as_ref(), 100).unwrap();
    let found: Vec<String> = page.items.iter().map(key).collect();
    assert_eq!(
        found,
        [format!("linkedin {} v0", name(1))],
        "the newest post was read first"
    );
}

#[test]
fn an_ended_token_and_an_ended_version_are_named() {
    let local = LocalLinkedIn::start();
    let settings = LinkedInSettings {
        token: Secret::new("not-the-right-one"),
        ..local.settings()
    };
    let error = build(&settings).pull(None, 10).unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("has expired") && !error.to_string().contains("not-the-right"),
        "{error}"
    );
    let settings = LinkedInSettings {
        version: "202001".to_owned(),
        ..local.settings()
    };
    let error = build(&settings).pull(None, 10).unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("is not active"), "{error}");
}

/// Makes valid settings wrong.
type Mistake<'a> = &'a dyn Fn(&mut LinkedInSettings);

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let local = LocalLinkedIn::start();
    let check = |change: Mistake<'_>| {
        let mut settings = local.settings();
        change(&mut settings);
        LinkedIn::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let refused: [(Mistake<'_>, &str); 9] = [
        (&|s| s.token = Secret::new(""), "linkedin.com/developers"),
        (&|s| s.version = "2026-11".to_owned(), "six digits"),
        (&|s| s.organizations.clear(), "give 1 to 20 numbers"),
        (
            &|s| s.organizations = vec!["limbic".to_owned()],
            "is not a number",
        ),
        (&|s| (s.posts, s.comments) = (false, false), "set one to true"),
        (&|s| s.watch_posts = 0, "from 1 to 100"),
        (&|s| s.interval = "1s".parse().unwrap(), "from 15s to 24h"),
        (&|s| s.requests_per_day = 10, "costs up to 11"),
        (&|s| s.url = "http://linkedin.example".into(), "is not encrypted"),
    ];
    for (change, said) in refused {
        let problem = check(change).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
}
