//! Several nodes on one Kafka, with the view in PostgreSQL and the series in InfluxDB.

use std::time::{Duration, Instant};

use limbic_domain::random::Random;
use serde_json::{Value, json};

use crate::kit::{
    END, PATIENCE, SharedServers, TestNode, assert_same, at, count, is_chosen, items, pause, posts,
};

/// Posts per second while nodes are killed.
const POSTS_PER_SECOND: usize = 60;
/// Posts per request.
const BATCH: usize = 20;
/// The time from one kill or start to the next.
const EVENT_EVERY: Duration = Duration::from_secs(3);

/// Nodes that share their servers and one data folder. Some of them are stopped.
struct Cluster {
    nodes: Vec<TestNode>,
    /// The index of the node that receives the next request.
    next: usize,
    random: Random,
    kills: u32,
    starts: u32,
}

impl Cluster {
    fn start(nodes: usize, flags: &[String], seed: u64) -> Self {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let first = TestNode::open(&flags);
        let others: Vec<TestNode> = (1..nodes).map(|_| first.neighbour()).collect();
        let mut nodes = vec![first];
        nodes.extend(others);
        for node in &mut nodes[1..] {
            node.start();
        }
        Self {
            starts: nodes.len() as u32,
            nodes,
            next: 0,
            random: Random::new(seed),
            kills: 0,
        }
    }

    /// Sends POST to one node after another until one accepts.
    fn send(&mut self, path: &str, body: &Value) -> Value {
        let bytes = body.to_string().into_bytes();
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.next = (self.next + 1) % self.nodes.len();
            let node = &self.nodes[self.next];
            match node.try_request("POST", path, "application/json", &bytes) {
                Some(answer) if answer.status == 202 => return answer.json(),
                Some(answer) => assert!(answer.status.is_server_error(), "{answer:?}"),
                None => {}
            }
            assert!(Instant::now() < deadline, "no node accepts {path}");
            pause();
        }
    }

    /// Kills a running node, or starts one that was killed. At least one node keeps running.
    fn disturb(&mut self) {
        let chosen = self.random.below(self.nodes.len());
        let alive = self.nodes.iter().filter(|node| node.is_alive()).count();
        if self.nodes[chosen].is_alive() && alive > 1 {
            let after = Duration::from_micros(self.random.below(300_000) as u64);
            self.nodes[chosen].kill_after(after).join().unwrap();
            self.kills += 1;
        } else {
            for node in &mut self.nodes {
                self.starts += u32::from(node.revive());
            }
        }
    }

    /// Kills the first node permanently and adds a new one.
    fn replace_the_first(&mut self) {
        let mut new = self.nodes[0].neighbour();
        new.start();
        self.starts += 1;
        let old = self.nodes.remove(0);
        self.kills += u32::from(old.is_alive());
        // Dropping a node kills its process.
        drop(old);
        self.nodes.push(new);
    }

    /// The number of records that were read so far, according to one node. `None` if that node has just been killed.
    fn readings(&mut self) -> Option<u64> {
        let alive = self.nodes.iter().find(|node| node.is_alive())?;
        let answer = alive.try_request("GET", "/v1/counts", "", b"")?;
        (answer.status == 200).then(|| count(&answer.json(), "/topics/readings/records"))
    }
}

/// The number of readings in the series for each hour, according to this node.
fn counted_by_series(node: &TestNode) -> Value {
    let path =
        format!("/v1/series?measurement=emotion_all&field=count&from=2026-03-01T00:00:00Z&to={END}&step=1h");
    node.get(&path).json()
}

fn sum(series: &Value) -> u64 {
    let values = items(series, "/items").iter();
    values
        .map(|item| at(item, "/value").as_f64().unwrap() as u64)
        .sum()
}

/// `scripts/torture --backend nodes` sets the length.
fn seconds() -> usize {
    std::env::var("LIMBIC_TORTURE_SECONDS").map_or(30, |text| text.parse().unwrap())
}

#[test]
fn nodes_on_kafka_lose_and_double_nothing_while_some_are_killed_and_added() {
    let Some(servers) = SharedServers::create("cluster") else {
        return;
    };
    let all = posts((seconds() * POSTS_PER_SECOND).min(25_000));

    let mut calm = TestNode::open(&["--set", "partitions=1"]);
    for batch in all.chunks(500) {
        calm.insist("/v1/posts", &json!(batch));
    }
    calm.insist("/v1/watermark", &json!({"at": END}));
    calm.settle();
    let expected = calm.made();
    assert!(expected["moments"].len() > 1 && expected["decisions"].len() > 10);
    drop(calm);

    let mut cluster = Cluster::start(3, &servers.flags(3), 23);
    let begun = Instant::now();
    let mut events = 0;
    let mut read_before = 0;
    for (number, batch) in all.chunks(BATCH).enumerate() {
        let due = Duration::from_millis((number * BATCH * 1_000 / POSTS_PER_SECOND) as u64);
        while begun.elapsed() < due {
            pause();
        }
        if due >= EVENT_EVERY * (events + 1) {
            events += 1;
            if events % 5 == 0 {
                cluster.replace_the_first();
            } else {
                cluster.disturb();
            }
            if let Some(read) = cluster.readings() {
                let sent = (number * BATCH) as u64;
                assert!(read <= sent, "{read} readings of {sent} posts");
                assert!(read >= read_before, "{read} readings, and {read_before} before");
                read_before = read;
            }
        }
        let receipt = cluster.send("/v1/posts", &json!(batch));
        let taken = count(&receipt, "/accepted") + count(&receipt, "/duplicates");
        assert_eq!(taken, batch.len() as u64, "{receipt}");
    }
    cluster.send("/v1/watermark", &json!({"at": END}));
    for node in &mut cluster.nodes {
        cluster.starts += u32::from(node.revive());
    }
    assert!(cluster.kills >= events / 3, "only {} kills", cluster.kills);
    eprintln!(
        "{} posts, {} kills, {} starts: waiting for {} nodes",
        all.len(),
        cluster.kills,
        cluster.starts,
        cluster.nodes.len()
    );

    let mut counts = Vec::new();
    for node in &mut cluster.nodes {
        node.wait_ready();
    }
    let node = &mut cluster.nodes[0];
    node.settle();
    let decisions = node.all("decisions", 1_000);
    let chosen = decisions.iter().filter(|decision| is_chosen(decision)).count();
    assert!(chosen > 0, "an ad was chosen");
    node.until("every chosen ad is delivered", |node| {
        let outcomes = node.all("outcomes", 1_000);
        let delivered = outcomes
            .iter()
            .filter(|outcome| *at(outcome, "/kind") == "delivered");
        let delivered = delivered.count();
        assert!(delivered <= chosen, "{delivered} deliveries of {chosen} ads");
        (delivered == chosen).then_some(())
    });
    for node in &mut cluster.nodes {
        counts.push(node.settle());
    }
    for (number, counts) in counts.iter().enumerate() {
        assert_eq!(
            *counts,
            cluster.nodes[0].get("/v1/counts").json(),
            "node {number}"
        );
        for topic in ["posts", "readings"] {
            let records = count(counts, &format!("/topics/{topic}/records"));
            assert_eq!(records, all.len() as u64, "{topic}: {counts}");
        }
        for (topic, of_topic) in at(counts, "/topics").as_object().unwrap() {
            assert_eq!(*at(of_topic, "/dead"), json!({}), "{topic}: {counts}");
        }
    }
    let lists = ["readings", "moments", "creatives", "decisions", "outcomes"];
    let first: Vec<Vec<Value>> = lists.map(|list| cluster.nodes[0].all(list, 1_000)).into();
    // Windows that are open when the posts end are not in the series yet.
    let series = counted_by_series(&cluster.nodes[0]);
    let counted = sum(&series);
    assert!(
        (1..=all.len() as u64).contains(&counted),
        "{counted} readings in the series"
    );
    for (number, node) in cluster.nodes.iter().enumerate() {
        assert_eq!(counted_by_series(node), series, "series of node {number}");
        assert_same(
            &expected,
            &node.made(),
            &format!("one calm node, and node {number} of three"),
        );
        for (list, first) in lists.iter().zip(&first) {
            assert!(
                node.all(list, 1_000) == *first,
                "{list}: node {number} answers otherwise"
            );
        }
        let id = at(&first[3][0], "/id").as_str().unwrap();
        assert_eq!(
            node.get(&format!("/v1/decisions/{id}")).json(),
            first[3][0],
            "node {number}"
        );
    }
    for mut node in cluster.nodes {
        let (status, log) = node.terminate();
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

#[test]
fn all_settings_that_nodes_on_one_log_must_share_are_listed_together() {
    // No broker listens there. The settings are refused before the broker is contacted.
    let node = TestNode::new(&["--log", "kafka://127.0.0.1:1"]);
    let refused = node.run(&["run", "--listen", "127.0.0.1:0"]);
    assert!(!refused.status.success());
    let text = String::from_utf8(refused.stderr).unwrap();
    for part in [
        "LIMBIC_VIEW=postgres://",
        "LIMBIC_SERIES=http://",
        "stream.single_node=true",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("pseudonym_secret"), "that one is set: {text}");

    let checked = node.run(&["check"]);
    assert!(!checked.status.success());
    let text = String::from_utf8(checked.stdout).unwrap();
    for part in [
        "LIMBIC_VIEW=postgres://",
        "LIMBIC_SERIES=http://",
        "FAIL  log kafka://127.0.0.1:1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
