//! Whatever is killed, whenever: nothing is lost, nothing is doubled, and nothing comes out differently.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may")]

mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::thread::JoinHandle;
use std::time::Duration;

use limbic_ingest::replay::{Mapping, Rows};
use node::{Dice, TestNode, assert_same, posts};
use serde_json::{Value, json};

type Made = BTreeMap<&'static str, BTreeSet<String>>;

/// Sends `posts` and lets the house finish, killed `kills` times on the way; checks the counts; gives what was made of it.
fn live_through(flags: &[&str], posts: &[Value], batch: usize, kills: u32, seed: u64) -> Made {
    let mut house = TestNode::new(flags);
    house.start();
    let mut dice = Dice(seed);
    let batches: Vec<&[Value]> = posts.chunks(batch).collect();
    // Four kills of five while posts come in, the rest while what came in is worked off.
    let mut due: Vec<u64> = (0..kills)
        .map(|_| dice.roll(batches.len() as u64 * 5 / 4))
        .collect();
    due.sort_unstable();
    let mut killer: Option<JoinHandle<()>> = None;
    for (at, batch) in batches.iter().enumerate() {
        while due.first().is_some_and(|&first| first <= at as u64) {
            due.remove(0);
            // Each kill has a life of its own to end.
            killer.take().map_or(Ok(()), JoinHandle::join).unwrap();
            house.revive();
            killer = Some(house.kill_after(Duration::from_micros(dice.roll(400_000))));
        }
        let receipt = house.insist("/v1/posts", &json!(batch));
        let taken = receipt["accepted"].as_u64().unwrap() + receipt["duplicates"].as_u64().unwrap();
        assert_eq!(taken, batch.len() as u64, "{receipt}");
        assert_eq!(receipt["rejected"], json!([]));
    }
    house.insist("/v1/watermark", &json!({"at": "2026-03-02T00:00:00Z"}));
    killer.take().map_or(Ok(()), JoinHandle::join).unwrap();
    for _ in due {
        house.revive();
        let killer = house.kill_after(Duration::from_micros(dice.roll(1_500_000)));
        killer.join().unwrap();
    }
    house.revive();
    house.wait_ready();
    let counts = house.settle();
    assert_eq!(house.starts, kills + 1, "every kill ended a life");
    let n = posts.len() as u64;
    assert_eq!(counts["topics"]["posts"]["records"], n, "{counts}");
    assert_eq!(counts["topics"]["readings"]["records"], n, "{counts}");
    for (topic, count) in counts["topics"].as_object().unwrap() {
        assert_eq!(count["dead"], json!({}), "{topic}: {counts}");
    }
    let made = house.made();
    assert_eq!(made["readings"].len(), posts.len());
    made
}

#[test]
fn kills_and_partitions_change_nothing_of_what_is_made() {
    let posts = posts(1_200);
    let calm = live_through(&["--set", "partitions=1"], &posts, 40, 0, 0);
    assert!(
        calm["moments"].len() > 1,
        "the evening has moments: {}",
        calm["moments"].len()
    );
    assert!(
        calm["decisions"].len() > 10,
        "and decisions: {}",
        calm["decisions"].len()
    );
    let three = live_through(&["--set", "partitions=3"], &posts, 40, 0, 0);
    assert_same(&calm, &three, "one partition and three");
    let killed = live_through(&["--set", "partitions=3"], &posts, 40, 8, 7);
    assert_same(&calm, &killed, "never killed and killed, three partitions");
    let killed = live_through(&["--set", "partitions=1"], &posts, 40, 6, 11);
    assert_same(&calm, &killed, "never killed and killed, one partition");
}

#[test]
fn a_real_night_comes_out_the_same_whatever_is_killed() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let file = data.join("replay_mayweather_mcgregor/tweets.csv");
    let mapping = Mapping::parse("author=screen_name,network:=twitter").unwrap();
    let rows = Rows::open(&file, None, mapping).unwrap();
    let night: Vec<Value> = rows.map(|row| row.unwrap().post.unwrap()).collect();
    assert_eq!(night.len(), 12_118);
    let calm = live_through(&["--set", "partitions=1"], &night, 200, 0, 0);
    assert!(!calm["moments"].is_empty() && !calm["decisions"].is_empty());
    let three = live_through(&["--set", "partitions=3"], &night, 200, 0, 0);
    assert_same(&calm, &three, "one partition and three");
    let killed = live_through(&["--set", "partitions=3"], &night, 200, 12, 3);
    assert_same(&calm, &killed, "never killed and killed, three partitions");
    let killed = live_through(&["--set", "partitions=1"], &night, 200, 8, 5);
    assert_same(&calm, &killed, "never killed and killed, one partition");

    let Some(broker) = kafka() else {
        return;
    };
    for (partitions, kills) in [(1, 0), (3, 0), (1, 4), (3, 6)] {
        let name = format!("night-{partitions}-{kills}");
        let flags = on_kafka(&broker, &name, partitions);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let made = live_through(&flags, &night, 200, kills, 17);
        let what = format!("embedded, and Kafka with {partitions} partitions and {kills} kills");
        assert_same(&calm, &made, &what);
    }
}

/// The real broker, if there is one.
fn kafka() -> Option<String> {
    let broker = std::env::var("LIMBIC_TEST_KAFKA").ok();
    if broker.is_none() {
        eprintln!("\n*** SKIPPED over Kafka: LIMBIC_TEST_KAFKA is not set (scripts/services up) ***\n");
    }
    broker
}

/// Settings of a house on Kafka that shares nothing with any other.
fn on_kafka(broker: &str, name: &str, partitions: u32) -> Vec<String> {
    let prefix = format!("kafka.prefix={name}-{}", std::process::id());
    let log = format!("kafka://{broker}");
    let partitions = format!("partitions={partitions}");
    let alone = "stream.single_node=true";
    [
        "--log",
        &log,
        "--set",
        &prefix,
        "--set",
        &partitions,
        "--set",
        alone,
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn on_kafka_the_same_comes_out_killed_or_not() {
    let Some(broker) = kafka() else {
        return;
    };
    let posts = posts(400);
    let calm = live_through(&["--set", "partitions=1"], &posts, 40, 0, 0);
    let flags = on_kafka(&broker, "kills", 3);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let killed = live_through(&flags, &posts, 40, 3, 13);
    assert_same(&calm, &killed, "embedded and never killed, Kafka and killed");
}

/// `scripts/torture`: as many kills as it is told, on the backend that it is told.
#[test]
fn torture() {
    let Some(kills) = std::env::var("LIMBIC_TORTURE_KILLS")
        .ok()
        .and_then(|text| text.parse::<u32>().ok())
    else {
        eprintln!("\n*** SKIPPED: the long torture is `scripts/torture --kills N` ***\n");
        return;
    };
    let seed = std::env::var("LIMBIC_TORTURE_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let posts = posts(kills as usize * 30);
    let calm = live_through(&["--set", "partitions=1"], &posts, 30, 0, 0);
    let flags = match std::env::var("LIMBIC_TORTURE_KAFKA") {
        Ok(broker) => on_kafka(&broker, "torture", 3),
        Err(_) => ["--set", "partitions=3"].map(str::to_owned).to_vec(),
    };
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let killed = live_through(&flags, &posts, 30, kills, seed);
    assert_same(&calm, &killed, "never killed and tortured");
    eprintln!(
        "{kills} kills, {} posts: 0 lost, 0 doubled, nothing different",
        posts.len()
    );
}
