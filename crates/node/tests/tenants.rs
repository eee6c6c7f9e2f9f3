//! Event time belongs to a tenant: no tenant can make the posts of another one late, on both logs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::{
    Affect, ConsentState, Envelope, PostRef, Pseudonym, Reading, Slug, TenantId, Utc, topics,
};
use limbic_metrics::{Embedded, MetricsSettings, SeriesReader};
use limbic_node::settings::Overrides;
use limbic_node::{Node, Options, Settings};
use limbic_stream::runtime::count_stages;
use limbic_stream::{Headers, NewRecord, TopicPartition};

/// How long a test waits before it gives up.
const PATIENCE: Duration = Duration::from_mins(2);
/// Posts of the tenant whose results are compared: enough for a change of its audience to be found.
const POSTS: i64 = 600;
/// Milliseconds from one of its posts to the next.
const EVERY: i64 = 5_000;

const SETTINGS: &str = "partitions = 2
[affect]
engine = 'lexicon'
[tenants.old]
pseudonym_secret = '9f1c3b7a5d2e8f604c1b9a7d3e5f2c80'
[tenants.live]
pseudonym_secret = '27d4e9b1c05f8a6370e2d9c4b8f1a563'
[profile.person]
# More than a batch of the test spans: which partition is read first must not matter.
disorder = '10min'
[profile.change]
alpha = 0.00001
false_moments = 10000
audiences = 1
window = '1s'
least_posts = 30
cooldown = '1min'
";

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// A reading as the stage `affect` writes it. The mood changes every hundred posts.
fn reading(of: &TenantId, number: i64, at: Utc) -> NewRecord {
    let network = Slug::new("test").unwrap();
    let author = Pseudonym::of(&[7; 32], &network, &format!("person {}", number % 200));
    let valence = if (number / 100) % 2 == 0 { 0.8 } else { -0.8 };
    let reading = Reading {
        post: PostRef {
            network,
            id: format!("p{number}"),
        },
        author: author.clone(),
        affect: Affect {
            valence,
            arousal: 0.5,
            language: "en".into(),
            model: "test".into(),
            ..Affect::default()
        },
        subjects: vec![Slug::new("tea").unwrap()],
        consent: ConsentState::Given,
        minor: false,
        revision: 0,
    };
    let envelope = Envelope::new(of.clone(), format!("{of} {number}"), at, reading);
    NewRecord {
        topic: topics::READINGS.into(),
        partition: None,
        key: format!("{of}/{author}").into(),
        value: envelope.encode().into(),
        headers: Headers::new(),
        timestamp: at,
    }
}

fn open(folder: &Path, settings: &str) -> Node {
    let file = folder.join("limbic.toml");
    std::fs::write(&file, settings).unwrap();
    let overrides = Overrides {
        config: Some(file),
        data: Some(folder.join("data")),
        ..Overrides::default()
    };
    let settings = Settings::load(&overrides, &[]).unwrap();
    let stages = ["ingest", "affect", "profile", "moments", "metrics"];
    let options = Options {
        stages: stages.map(str::to_owned).to_vec(),
        listen: None,
    };
    Node::open(&settings, &options).unwrap()
}

/// Waits until `look` is true.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    let start = Instant::now();
    while !look() {
        assert!(start.elapsed() < PATIENCE, "still waiting until {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

fn wait_until_read(node: &Node) {
    until("all stages have read all records", || {
        let running = ["ingest", "affect", "profile", "moments", "metrics"];
        let specs = node.specs.iter().filter(|spec| running.contains(&&*spec.name));
        specs
            .into_iter()
            .all(|spec| count_stages(&*node.log, spec).unwrap().lag == 0)
    });
}

/// The moments of a tenant, by id.
fn moments(node: &Node, of: &TenantId) -> BTreeSet<String> {
    let topic = node.log.topic(&topics::MOMENTS.into()).unwrap();
    let mut ids = BTreeSet::new();
    for (partition, (from, _)) in (0..).zip(&topic.offsets) {
        let partition = TopicPartition {
            topic: Arc::clone(&topic.name),
            partition,
        };
        for record in node.log.read(&partition, *from, 10_000).unwrap() {
            let moment = Envelope::<limbic_domain::Moment>::decode(&record.value);
            ids.extend(
                moment
                    .ok()
                    .filter(|moment| moment.tenant == *of)
                    .map(|moment| moment.id),
            );
        }
    }
    ids
}

/// How many posts of a tenant the series has.
fn counted(folder: &Path, of: &TenantId, from: Utc, to: Utc) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Arc::new(Embedded::open(&folder.join("data")).await.unwrap());
        let reader = SeriesReader::new(store, &MetricsSettings::default());
        let values = reader
            .query(of, "emotion_all", &BTreeMap::new(), "count", from, to, 60)
            .await
            .unwrap();
        values.items.iter().map(|value| value.value).sum()
    })
}

/// The results of the tenant `old`, whose posts are two hours old: its moments, and how many posts its series has. `beside` is
/// called before each batch of its posts.
fn results(log: &str, mut beside: impl FnMut(&Node, i64)) -> (BTreeSet<String>, f64) {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path(), &format!("{log}{SETTINGS}"));
    let old = tenant("old");
    let now = Utc::now().as_millis();
    // On whole minutes, so that two runs have the same windows and the same ids.
    let start = now - now.rem_euclid(60_000) - 7_200_000;
    let at = |number: i64| Utc::from_millis(start + number * EVERY);
    for batch in 0..6 {
        beside(&node, batch);
        let numbers = batch * POSTS / 6..(batch + 1) * POSTS / 6;
        let records = numbers.map(|number| reading(&old, number, at(number)));
        node.log.publish(records.collect()).unwrap();
        wait_until_read(&node);
    }
    // The source ends: nothing waits any more.
    node.edge.heartbeat(&old, at(POSTS).plus_millis(60_000)).unwrap();
    let end = at(POSTS).plus_millis(600_000);
    let all = POSTS as f64;
    until("all posts are in the series", || {
        counted(folder.path(), &old, at(0), end) >= all
    });
    until("a moment was found", || !moments(&node, &old).is_empty());
    wait_until_read(&node);
    let found = moments(&node, &old);
    assert!(node.close().unwrap());
    (found, counted(folder.path(), &old, at(0), end))
}

fn a_tenant_does_not_make_the_posts_of_another_late(log: impl Fn() -> String) {
    let alone = results(&log(), |_, _| {});
    let live = tenant("live");
    let beside = results(&log(), |node, batch| {
        // Posts of now, and the promise that nothing from before comes: everything of `old` is from before.
        let now = Utc::now();
        let records = (0..50).map(|number| reading(&live, batch * 50 + number, now));
        node.log.publish(records.collect()).unwrap();
        node.edge.heartbeat(&live, now).unwrap();
        wait_until_read(node);
    });
    assert!(
        (beside.1 - POSTS as f64).abs() < 0.5,
        "all posts are in the series"
    );
    assert_eq!(beside, alone);
}

#[test]
fn a_tenant_does_not_make_the_posts_of_another_late_on_the_embedded_log() {
    a_tenant_does_not_make_the_posts_of_another_late(String::new);
}

#[test]
fn a_tenant_does_not_make_the_posts_of_another_late_on_kafka() {
    let Ok(servers) = std::env::var("LIMBIC_TEST_KAFKA") else {
        eprintln!(
            "\n*** SKIPPED: no Kafka (scripts/services up kafka; eval \"$(scripts/services env)\") ***\n"
        );
        return;
    };
    let run = std::cell::Cell::new(0);
    a_tenant_does_not_make_the_posts_of_another_late(|| {
        run.set(run.get() + 1);
        let prefix = format!(
            "tenants-{}-{}-{}",
            std::process::id(),
            Utc::now().as_millis(),
            run.get()
        );
        // The tables of these settings come before those of the test.
        format!("log = 'kafka://{servers}'\nstream.single_node = true\nkafka.prefix = '{prefix}'\n")
    });
}
