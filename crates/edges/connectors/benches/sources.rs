//! Posts per second of processor time for the sources that are no network of their own: signed webhooks, Meta's webhooks, a watched
//! folder, and a topic of Kafka.
//!
//! ```text
//! cargo bench --workspace --bench sources
//! ```
//!
//! Posts have about 200 characters. A request of a webhook has 100 posts, one of Meta 10. What is counted is the thread that reads:
//! signatures, parsing, mapping, and posts as JSON, without the edge. The threads of librdkafka are not counted, and its cluster is the
//! simulated one that it has for tests.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod processor;

use std::fmt::Write as _;
use std::time::Duration;

use limbic_component::{Component, Resources};
use limbic_connectors::{
    Connector, Cursor, Folder, FolderSettings, Hook, JsonMappingSettings, KafkaTopic, KafkaTopicSettings,
    Meta, MetaSettings, Receiver, SignedWebhook, SignedWebhookSettings,
};
use limbic_domain::{Secret, Utc};
use limbic_http::SigningKey;
use processor::processor_seconds;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// How many measurements there are. The median is printed.
const RUNS: usize = 5;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn text(n: usize) -> String {
    format!(
        "{n} what a match, ça va 最高, the keeper was hurt and 😀 lovely, see you at the next one {}",
        "goal ".repeat(20)
    )
}

/// Prints the median rate of `read`, which returns how many posts it has read.
fn rate(name: &str, mut read: impl FnMut() -> usize) {
    let mut rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let before = processor_seconds();
            let posts = read();
            posts as f64 / (processor_seconds() - before)
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "{name:<12} {:>9.0} posts/s of processor time (median of {RUNS}; {:.0} to {:.0})",
        rates[RUNS / 2],
        rates[0],
        rates[RUNS - 1]
    );
}

fn map() -> JsonMappingSettings {
    let fields = [
        ("id", "id"),
        ("author", "by"),
        ("text", "body"),
        ("created_at", "at"),
    ];
    JsonMappingSettings {
        fields: fields
            .map(|(field, path)| (field.to_owned(), path.to_owned()))
            .into(),
        ..JsonMappingSettings::default()
    }
}

fn post(n: usize) -> Value {
    json!({"id": n, "by": "ann", "body": text(n), "at": "2026-11-30T08:00:00Z"})
}

/// Receives each request so many times, and returns the number of items.
fn receive(receiver: &dyn Receiver, headers: &HeaderMap, body: &[u8], times: usize, now: Utc) -> usize {
    (0..times)
        .map(|_| {
            let hook = Hook {
                is_post: true,
                query: "",
                headers,
                body,
            };
            receiver.receive(&hook, now).unwrap().items.len()
        })
        .sum()
}

fn webhook() {
    let settings = SignedWebhookSettings {
        secret: Secret::new(SECRET),
        map: map(),
        ..SignedWebhookSettings::default()
    };
    let source = SignedWebhook::build(&settings, &Resources::new("bench")).unwrap();
    let receiver = source.receiver.unwrap();
    let body = Value::Array((0..100).map(post).collect()).to_string();
    let now: Utc = "2026-11-30T09:00:00Z".parse().unwrap();
    let at = now.as_millis() / 1_000;
    let key = SigningKey::new(&Secret::new(SECRET)).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", "msg_1".parse().unwrap());
    headers.insert("webhook-timestamp", at.to_string().parse().unwrap());
    headers.insert(
        "webhook-signature",
        key.sign("msg_1", at, body.as_bytes()).parse().unwrap(),
    );
    rate("webhook", || {
        receive(&*receiver, &headers, body.as_bytes(), 200, now)
    });
}

fn meta() {
    let secret = "an app secret of Meta";
    let settings = MetaSettings {
        app_secret: Secret::new(secret),
        verify_token: Secret::new("a token of ours"),
        ..MetaSettings::default()
    };
    let source = Meta::build(&settings, &Resources::new("bench")).unwrap();
    let receiver = source.receiver.unwrap();
    let changes: Vec<Value> = (0..10)
        .map(|n| {
            json!({"field": "feed", "value": {
                "item": "comment", "verb": "add", "post_id": "9_7", "parent_id": "9_7", "comment_id": format!("7_{n}"), "message": text(n),
                "from": {"id": "5", "name": "Ann of the Network"}, "created_time": 1_795_000_000}})
        })
        .collect();
    let body = json!({"object": "page", "entry": [{"id": "9", "time": 1_795_000_100, "changes": changes}]});
    let body = body.to_string();
    let key = openssl::pkey::PKey::hmac(secret.as_bytes()).unwrap();
    let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
    let mut digits = String::new();
    for byte in signer.sign_oneshot_to_vec(body.as_bytes()).unwrap() {
        let _ = write!(digits, "{byte:02x}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-hub-signature-256", format!("sha256={digits}").parse().unwrap());
    let now: Utc = "2026-11-30T09:00:00Z".parse().unwrap();
    rate("meta", || {
        receive(&*receiver, &headers, body.as_bytes(), 2_000, now)
    });
}

/// Pulls until so many items have come.
fn pull(connector: &mut dyn Connector, items: usize) -> usize {
    let (mut cursor, mut found): (Option<Cursor>, usize) = (None, 0);
    while found < items {
        let page = connector.pull(cursor.as_ref(), 1_000).unwrap();
        found += page.items.len();
        cursor = page.next;
    }
    found
}

fn folder() {
    const ROWS: usize = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let mut rows = String::from("id,user,body,date\n");
    for n in 0..ROWS {
        let _ = writeln!(rows, "{n},ann,\"{}\",2026-11-20 10:00:00", text(n));
    }
    std::fs::write(folder.path().join("posts.csv"), rows).unwrap();
    let settings = FolderSettings {
        path: folder.path().to_owned(),
        map: "network:=forum,id=id,author=user,text=body,created_at=date".to_owned(),
        timezone: "UTC".to_owned(),
        ..FolderSettings::default()
    };
    rate("folder, CSV", || {
        let source = Folder::build(&settings, &Resources::new("bench")).unwrap();
        let mut connector = source.connector;
        pull(&mut *connector, ROWS)
    });
}

fn kafka() {
    // A partition of the simulated cluster keeps 5 MB.
    const MESSAGES: usize = 10_000;
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("posts", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .create()
        .unwrap();
    for n in 0..MESSAGES {
        let payload = post(n).to_string();
        let record = BaseRecord::<(), str>::to("posts").partition(0).payload(&payload);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        if n.is_multiple_of(1_000) {
            producer.flush(Duration::from_secs(20)).unwrap();
        }
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    let settings = KafkaTopicSettings {
        brokers,
        topic: "posts".to_owned(),
        map: map(),
        ..KafkaTopicSettings::default()
    };
    rate("kafka topic", || {
        let source = KafkaTopic::build(&settings, &Resources::new("bench")).unwrap();
        let mut connector = source.connector;
        pull(&mut *connector, MESSAGES)
    });
}

fn main() {
    webhook();
    meta();
    folder();
    kafka();
}
