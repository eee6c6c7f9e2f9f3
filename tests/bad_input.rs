//! What is wrong gets a clear answer, and the stream goes on.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod node;

use limbic_stream::{Headers, Log as _, NewRecord};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use node::TestNode;
use serde_json::{Value, json};

fn post(id: &str) -> Value {
    json!({"network": "test", "id": id, "author": "ada", "text": "What a goal!", "created_at": "2026-03-01T10:00:00Z"})
}

fn with(field: &str, value: Value) -> Value {
    let mut post = post("x");
    post[field] = value;
    post
}

#[test]
fn a_wrong_post_is_refused_by_the_name_of_its_field_and_the_next_one_is_taken() {
    let mut house = TestNode::open(&[]);
    let mut missing = post("x");
    missing.as_object_mut().unwrap().remove("author");
    let cases = [
        ("text", with("text", json!("x".repeat(1_000_000)))),
        ("text", with("text", json!("  \u{200b}\u{202e} "))),
        ("text", with("text", json!(["a"]))),
        ("author", missing),
        ("created_at", with("created_at", json!("2999-01-01T00:00:00Z"))),
        ("created_at", with("created_at", json!("1000-01-01T00:00:00Z"))),
        ("created_at", with("created_at", json!("yesterday"))),
        ("consent", with("consent", json!("perhaps"))),
        ("id", with("id", json!(7))),
        ("network", with("network", json!("No Slug"))),
    ];
    for (field, body) in cases {
        let problem = house.post("/v1/posts", &body).problem(422);
        assert_eq!(problem["field"], field, "{problem}");
    }
    house
        .request("POST", "/v1/posts", "application/json", b"{\"network\": ")
        .problem(400);
    house
        .request("POST", "/v1/posts", "application/json", b"3")
        .problem(400);
    house
        .request("POST", "/v1/posts", "application/xml", b"<post/>")
        .problem(415);
    house
        .request("POST", "/v1/posts", "application/json", &vec![b' '; 17 << 20])
        .problem(413);

    let problem = house
        .post("/v1/watermark", &json!({"at": "2999-01-01T00:00:00Z"}))
        .problem(422);
    assert_eq!(problem["field"], "at", "{problem}");

    let lines = [
        serde_json::to_vec(&post("1")).unwrap(),
        b"{\"network\": \"test\", \"id\":".to_vec(),
        b"{\"text\": \"\xff\xfe\"}".to_vec(),
        serde_json::to_vec(&with("text", json!("😂😂😂"))).unwrap(),
        serde_json::to_vec(&with("id", json!("rtl"))).unwrap(),
        serde_json::to_vec(&post("1")).unwrap(),
    ];
    let answer = house.request("POST", "/v1/posts", "application/x-ndjson", &lines.join(&b'\n'));
    let receipt = answer.json();
    assert_eq!(
        (&receipt["accepted"], &receipt["duplicates"]),
        (&json!(3), &json!(1)),
        "{receipt}"
    );
    let wrong: Vec<u64> = receipt["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["index"].as_u64().unwrap())
        .collect();
    assert_eq!(wrong, [1, 2]);

    let counts = house.settle();
    assert_eq!(counts["topics"]["posts"]["records"], 3, "{counts}");
    assert_eq!(counts["topics"]["readings"]["records"], 3, "{counts}");
}

#[test]
fn garbage_in_a_topic_goes_to_the_dead_letters_with_its_reason_and_can_be_sent_again() {
    let mut house = TestNode::open(&["--set", "partitions=1"]);
    house.insist("/v1/posts", &json!([post("1")]));
    house.settle();
    let (status, _) = house.terminate();
    assert!(status.success());
    let log = EmbeddedLog::open(house.data().join("log"), EmbeddedOptions::default()).unwrap();
    let garbage = |topic: &str, value: &[u8]| NewRecord {
        topic: topic.into(),
        partition: Some(0),
        key: b"default/x".to_vec().into(),
        value: value.to_vec().into(),
        headers: Headers::new(),
        timestamp: limbic_domain::Utc::from_millis(1_772_359_200_000),
    };
    log.publish(vec![
        garbage("intake", b"?"),
        garbage("posts", b"\xff\x00"),
        garbage("readings", b"{}"),
    ])
    .unwrap();
    log.close().unwrap();
    drop(log);

    house.start();
    house.wait_ready();
    house.insist("/v1/posts", &json!([post("2")]));
    let counts = house.until("what came after the garbage is read", |house| {
        let counts = house.get("/v1/counts").json();
        let done = counts["topics"]["readings"]["records"] == 2
            && ["intake", "posts", "readings"]
                .iter()
                .all(|topic| counts["topics"][topic]["dead"] != json!({}));
        done.then_some(counts)
    });
    assert_eq!(
        counts["topics"]["intake"]["dead"],
        json!({"unroutable": 1}),
        "{counts}"
    );
    assert_eq!(counts["topics"]["readings"]["records"], 2, "{counts}");
    let (status, _) = house.terminate();
    assert!(status.success());

    let listed = house.run(&["dead", "list", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let letters: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |topic: &str| {
        letters
            .iter()
            .find(|letter| letter["letter"].as_str().unwrap().starts_with(topic))
            .unwrap()
    };
    assert_eq!(
        (&of("intake")["stage"], &of("intake")["reason"]),
        (&json!("ingest"), &json!("unroutable"))
    );
    let shown = house.run(&["dead", "show", of("intake")["letter"].as_str().unwrap()]);
    assert!(
        String::from_utf8(shown.stdout)
            .unwrap()
            .contains("limbic-dead-stage")
    );
    let replayed = house.run(&["dead", "replay", "intake", "--reason", "unroutable"]);
    assert!(
        String::from_utf8(replayed.stdout)
            .unwrap()
            .contains("1 dead letters sent to intake")
    );
}
