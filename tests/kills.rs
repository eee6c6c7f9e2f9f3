//! If a node is killed at any time, nothing is lost, nothing is doubled, and the results are the same.

use std::thread::JoinHandle;
use std::time::Duration;

use limbic_domain::random::Random;
use limbic_ingest::replay::{Mapping, ReadOptions, Rows, Times};
use serde_json::{Value, json};

use crate::kit::{END, Made, TestNode, assert_same, at, count, kafka, on_kafka, posts};

/// Sends `posts` to a node that is killed `kills` times in the meantime, and waits until it has finished. Checks the
/// counts and returns the results.
fn run_through(flags: &[&str], posts: &[Value], batch: usize, kills: u32, seed: u64) -> Made {
    let mut node = TestNode::new(flags);
    node.start();
    let mut random = Random::new(seed);
    let batches: Vec<&[Value]> = posts.chunks(batch).collect();
    // Four of five kills happen while posts arrive, the others while the node processes them.
    let mut due: Vec<usize> = (0..kills).map(|_| random.below(batches.len() * 5 / 4)).collect();
    due.sort_unstable();
    let mut killer: Option<JoinHandle<()>> = None;
    for (number, batch) in batches.iter().enumerate() {
        while due.first().is_some_and(|&first| first <= number) {
            due.remove(0);
            // Each kill ends a different process.
            killer.take().map_or(Ok(()), JoinHandle::join).unwrap();
            node.revive();
            killer = Some(node.kill_after(Duration::from_micros(random.below(400_000) as u64)));
        }
        let receipt = node.insist("/v1/posts", &json!(batch));
        let taken = count(&receipt, "/accepted") + count(&receipt, "/duplicates");
        assert_eq!(taken, batch.len() as u64, "{receipt}");
        assert_eq!(*at(&receipt, "/rejected"), json!([]));
    }
    node.insist("/v1/watermark", &json!({"at": END}));
    killer.take().map_or(Ok(()), JoinHandle::join).unwrap();
    for _ in due {
        node.revive();
        let killer = node.kill_after(Duration::from_micros(random.below(1_500_000) as u64));
        killer.join().unwrap();
    }
    node.revive();
    node.wait_ready();
    let counts = node.settle();
    assert_eq!(node.starts, kills + 1, "every kill ended a process");
    let n = posts.len() as u64;
    assert_eq!(count(&counts, "/topics/posts/records"), n, "{counts}");
    assert_eq!(count(&counts, "/topics/readings/records"), n, "{counts}");
    for (topic, of_topic) in at(&counts, "/topics").as_object().unwrap() {
        assert_eq!(*at(of_topic, "/dead"), json!({}), "{topic}: {counts}");
    }
    let made = node.made();
    assert_eq!(made["readings"].len(), posts.len());
    made
}

/// The flags of a real night, whose mood changes less than that of the tests' posts. Holds are rare, because they follow the order in
/// which posts arrive, which partitions change.
fn of_a_night<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let changes = ["--set", "profile.change.alpha=0.001"];
    let holds = ["--set", "profile.sensitive_events.alpha=0.000001"];
    [&changes[..], &holds[..], flags].concat()
}

#[test]
fn kills_and_the_number_of_partitions_do_not_change_the_results() {
    let posts = posts(1_200);
    let calm = run_through(&["--set", "partitions=1"], &posts, 40, 0, 0);
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
    let three = run_through(&["--set", "partitions=3"], &posts, 40, 0, 0);
    assert_same(&calm, &three, "one partition and three");
    let killed = run_through(&["--set", "partitions=3"], &posts, 40, 8, 7);
    assert_same(&calm, &killed, "never killed and killed, three partitions");
    let killed = run_through(&["--set", "partitions=1"], &posts, 40, 6, 11);
    assert_same(&calm, &killed, "never killed and killed, one partition");
}

#[test]
fn a_real_night_has_the_same_results_whatever_is_killed() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let file = data.join("replay_mayweather_mcgregor/tweets.csv");
    let options = ReadOptions {
        mapping: Mapping::parse("author=screen_name,network:=twitter").unwrap(),
        times: Times::new(Some("UTC"), None).unwrap(),
        ..ReadOptions::default()
    };
    let rows = Rows::open(&file, &options).unwrap();
    let night: Vec<Value> = rows.map(|row| row.unwrap().post.unwrap()).collect();
    assert_eq!(night.len(), 12_118);
    let calm = run_through(&of_a_night(&["--set", "partitions=1"]), &night, 200, 0, 0);
    assert!(!calm["moments"].is_empty() && !calm["decisions"].is_empty());
    let three = run_through(&of_a_night(&["--set", "partitions=3"]), &night, 200, 0, 0);
    assert_same(&calm, &three, "one partition and three");
    let killed = run_through(&of_a_night(&["--set", "partitions=3"]), &night, 200, 12, 3);
    assert_same(&calm, &killed, "never killed and killed, three partitions");
    let killed = run_through(&of_a_night(&["--set", "partitions=1"]), &night, 200, 8, 5);
    assert_same(&calm, &killed, "never killed and killed, one partition");

    let Some(broker) = kafka() else {
        return;
    };
    for (partitions, kills) in [(1, 0), (3, 0), (1, 4), (3, 6)] {
        let name = format!("night-{partitions}-{kills}");
        let flags = on_kafka(&broker, &name, partitions);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let made = run_through(&of_a_night(&flags), &night, 200, kills, 17);
        let what = format!("embedded, and Kafka with {partitions} partitions and {kills} kills");
        assert_same(&calm, &made, &what);
    }
}

#[test]
fn on_kafka_the_results_are_the_same_killed_or_not() {
    let Some(broker) = kafka() else {
        return;
    };
    let posts = posts(400);
    let calm = run_through(&["--set", "partitions=1"], &posts, 40, 0, 0);
    let flags = on_kafka(&broker, "kills", 3);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let killed = run_through(&flags, &posts, 40, 3, 13);
    assert_same(&calm, &killed, "embedded and never killed, Kafka and killed");
}

/// `scripts/torture` sets the number of kills and the backend.
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
    let calm = run_through(&["--set", "partitions=1"], &posts, 30, 0, 0);
    let flags = match std::env::var("LIMBIC_TORTURE_KAFKA") {
        Ok(broker) => on_kafka(&broker, "torture", 3),
        Err(_) => ["--set", "partitions=3"].map(str::to_owned).to_vec(),
    };
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let killed = run_through(&flags, &posts, 30, kills, seed);
    assert_same(&calm, &killed, "never killed and tortured");
    eprintln!(
        "{kills} kills, {} posts: 0 lost, 0 doubled, nothing different",
        posts.len()
    );
}
