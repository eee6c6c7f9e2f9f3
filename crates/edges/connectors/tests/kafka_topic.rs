//! A topic of a real Kafka. Runs if `LIMBIC_TEST_KAFKA` names a bootstrap server (`scripts/services up` starts one).
//!
//! The faults of brokers come from the simulated cluster that librdkafka has for tests: it speaks the real protocol.
//! `LIMBIC_CONNECTOR_FAULTS` is their number, 40 by default.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[expect(dead_code, reason = "the promises of networks are checked elsewhere")]
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use limbic_component::{Component, Resources};
use limbic_connectors::{
    Connector, ConnectorError, Cursor, Item, JsonMappingSettings, KafkaTopic, KafkaTopicSettings,
};
use limbic_domain::random::Random;
use limbic_domain::{Secret, Utc};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;

use suite::{Driver, Memory, faults};

fn settings(brokers: &str, topic: &str) -> KafkaTopicSettings {
    let fields = [
        ("id", "id"),
        ("author", "user.name"),
        ("text", "body"),
        ("created_at", "at"),
    ];
    KafkaTopicSettings {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        map: JsonMappingSettings {
            deleted: "gone".to_owned(),
            fields: fields
                .map(|(field, path)| (field.to_owned(), path.to_owned()))
                .into(),
            ..JsonMappingSettings::default()
        },
        ..KafkaTopicSettings::default()
    }
}

fn build(settings: &KafkaTopicSettings) -> Box<dyn Connector> {
    KafkaTopic::build(settings, &Resources::new("test"))
        .unwrap()
        .connector
}

struct Cluster {
    admin: AdminClient<rdkafka::client::DefaultClientContext>,
    producer: BaseProducer,
    runtime: tokio::runtime::Runtime,
    topic: String,
}

impl Cluster {
    fn new(brokers: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        let topic = format!(
            "posts-of-somebody-{}-{}",
            std::process::id(),
            Utc::now().as_millis()
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let admin: AdminClient<_> = config.create().unwrap();
        let new = NewTopic::new(&topic, 2, TopicReplication::Fixed(1));
        let made = runtime
            .block_on(admin.create_topics([&new], &AdminOptions::new()))
            .unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        Self {
            producer: config.create().unwrap(),
            admin,
            runtime,
            topic,
        }
    }

    /// Waits until the producer knows this number of partitions. Brokers tell of new ones when their controller has told them.
    fn knows(&self, partitions: usize) {
        let client = self.producer.client();
        for _ in 0..1_000 {
            let metadata = client
                .fetch_metadata(Some(&self.topic), Duration::from_secs(20))
                .unwrap();
            if metadata.topics()[0].partitions().len() == partitions {
                return;
            }
        }
        panic!(
            "the brokers do not tell of {partitions} partitions of {}",
            self.topic
        );
    }

    fn send(&self, partition: i32, payload: &str) {
        let record = BaseRecord::<(), str>::to(&self.topic)
            .partition(partition)
            .payload(payload);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.flush(Duration::from_secs(20)).unwrap();
    }

    fn post(&self, partition: i32, id: u32) {
        let post = json!({"id": id, "user": {"name": "ann"}, "body": "a goal", "at": 1_780_000_000});
        self.send(partition, &post.to_string());
    }
}

/// Pages until there are `count` items.
fn read(connector: &mut dyn Connector, cursor: &mut Option<Cursor>, count: usize) -> Vec<Item> {
    let mut found = Vec::new();
    for _ in 0..200 {
        if found.len() >= count {
            break;
        }
        let page = connector.pull(cursor.as_ref(), 3).unwrap();
        found.extend(page.items);
        *cursor = page.next;
    }
    found
}

fn ids(items: &[Item]) -> Vec<String> {
    let mut ids: Vec<String> = items
        .iter()
        .map(|item| match item {
            Item::Post(post) => post["id"].as_str().unwrap().to_owned(),
            Item::Deletion(post) => format!("{} deleted", post["id"].as_str().unwrap()),
            Item::Unreadable(problem) => problem.clone(),
        })
        .collect();
    ids.sort();
    ids
}

#[test]
fn every_message_comes_once_over_restarts_and_from_new_partitions_too() {
    let Ok(brokers) = std::env::var("LIMBIC_TEST_KAFKA") else {
        println!("SKIPPED: LIMBIC_TEST_KAFKA names no Kafka");
        return;
    };
    let brokers = brokers.trim_start_matches("kafka://").to_owned();
    let cluster = Cluster::new(&brokers);
    cluster.knows(2);
    for id in 0..8 {
        cluster.post(id as i32 % 2, id);
    }
    cluster.send(0, "not json");
    cluster.send(
        1,
        &json!({"id": 3, "user": {"name": "ann"}, "gone": true}).to_string(),
    );
    let settings = settings(&brokers, &cluster.topic);
    let mut cursor = None;
    let mut found = read(&mut *build(&settings), &mut cursor, 4);
    // Another process continues there.
    found.extend(read(&mut *build(&settings), &mut cursor, 10 - found.len()));
    let ids = ids(&found);
    assert_eq!(ids.len(), 10, "{ids:?}");
    assert_eq!(ids.iter().filter(|id| id.len() == 1).count(), 8, "{ids:?}");
    assert!(ids.contains(&"3 deleted".to_owned()), "{ids:?}");
    assert!(
        ids.iter().any(|id| id.contains("partition 0, offset 4")),
        "{ids:?}"
    );
    let more = NewPartitions::new(&cluster.topic, 3);
    let made = cluster
        .runtime
        .block_on(cluster.admin.create_partitions([&more], &AdminOptions::new()))
        .unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    cluster.knows(3);
    cluster.post(2, 20);
    let found = read(&mut *build(&settings), &mut cursor, 1);
    assert_eq!(self::ids(&found), ["20"]);
    let offsets: BTreeMap<i32, i64> = serde_json::from_str(&cursor.unwrap().0).unwrap();
    assert_eq!(offsets, BTreeMap::from([(0, 5), (1, 5), (2, 1)]));
}

#[test]
fn no_message_is_lost_or_doubled_under_faults() {
    const BROKERS: i32 = 2;
    let cluster = MockCluster::new(BROKERS).unwrap();
    cluster.create_topic("posts", 3, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    // Without this, the client waits up to ten seconds before it connects to a broker again.
    let soon = ("reconnect.backoff.max.ms", "100");
    let mut settings = settings(&brokers, "posts");
    settings.settings.insert(soon.0.to_owned(), Secret::new(soon.1));
    let mut config = ClientConfig::new();
    let producer: BaseProducer = config
        .set("bootstrap.servers", &brokers)
        .set(soon.0, soon.1)
        .create()
        .unwrap();
    let mut random = Random::new(11);
    let memory = Memory::default();
    let mut driver = Driver::new(build(&settings), memory.clone());
    let (mut posts, mut down) = (0, None);
    for _ in 0..faults() {
        for _ in 0..random.below(20) {
            let post = json!({"id": posts, "user": {"name": "ann"}, "body": "a goal", "at": 1_780_000_000})
                .to_string();
            let record = BaseRecord::<(), str>::to("posts")
                .partition(posts % 3)
                .payload(&post);
            producer.send(record).map_err(|(error, _)| error).unwrap();
            posts += 1;
        }
        producer.flush(Duration::from_mins(1)).unwrap();
        match random.below(6) {
            0 => memory.0.lock().refuse(3),
            1 => driver = Driver::new(build(&settings), memory.clone()),
            2 => driver.runner.pause(),
            3 => {
                memory.0.lock().lose_cursor(true);
            }
            4 => {
                let broker = 1 + random.below(BROKERS as usize) as i32;
                cluster.broker_down(broker).unwrap();
                down = Some(broker);
            }
            _ => {
                let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
                cluster.request_errors(RDKafkaApiKey::Fetch, &[error; 3]);
            }
        }
        for _ in 0..random.below(4) {
            driver.step();
        }
        if memory.0.lock().lose_cursor(false) {
            driver = Driver::new(build(&settings), memory.clone());
        }
        if let Some(broker) = down.take() {
            cluster.broker_up(broker).unwrap();
        }
    }
    driver.until("posts are missing", |disk, _| disk.log.len() >= posts as usize);
    let disk = memory.0.lock();
    assert_eq!(disk.log.len(), posts as usize);
    assert_eq!(disk.log.iter().collect::<BTreeSet<_>>().len(), disk.log.len());
    println!(
        "kafka_topic: {} faults, {posts} posts, {} duplicates removed",
        faults(),
        disk.duplicates()
    );
    assert!(disk.duplicates() > 0, "nothing was pulled twice");
}

#[test]
fn settings_that_cannot_work_are_refused_and_a_cluster_that_is_not_there_is_waited_for() {
    let refused = |change: fn(&mut KafkaTopicSettings)| {
        let mut settings = settings("127.0.0.1:1", "posts");
        change(&mut settings);
        KafkaTopic::check(&settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.brokers = "kafka://x".to_owned()).contains("HOST:PORT"));
    assert!(refused(|s| s.topic.clear()).contains("name of a topic"));
    assert!(refused(|s| drop(s.map.fields.remove("id"))).contains("map.fields"));
    for reserved in [
        "group.id",
        "client.id",
        "queued.max.messages.kbytes",
        "enable.partition.eof",
    ] {
        let mut settings = settings("127.0.0.1:1", "posts");
        settings.settings.insert(reserved.to_owned(), Secret::new("x"));
        let problem = KafkaTopic::check(&settings).unwrap_err().to_string();
        assert!(
            problem.contains(reserved) && problem.contains("remove it"),
            "{problem}"
        );
    }
    let mut connector = build(&settings("127.0.0.1:1", "posts"));
    let error = connector.pull(Some(&Cursor("x".to_owned())), 1).unwrap_err();
    assert!(error.to_string().contains("is not a position"), "{error}");
    let error = connector.pull(None, 1).unwrap_err();
    assert!(
        error.to_string().contains("the same page is pulled again later"),
        "{error}"
    );
}

#[test]
fn a_setting_that_is_not_accepted_is_named_without_its_value() {
    for (name, said) in [
        ("sasl.pasword", "has no setting"),
        ("security.protocol", "does not accept the value"),
    ] {
        let mut settings = settings("127.0.0.1:1", "posts");
        settings
            .settings
            .insert(name.to_owned(), Secret::new("correct horse battery"));
        let error = build(&settings).pull(None, 1).unwrap_err();
        assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(said), "{text}");
        assert!(
            !text.contains("horse") && !format!("{error:?}").contains("horse"),
            "{error:?}"
        );
    }
}
