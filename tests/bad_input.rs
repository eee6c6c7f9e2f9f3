//! Wrong input gets a clear answer, and the stream continues.

use limbic_stream::{Headers, Log as _, NewRecord};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use serde_json::{Value, json};

use crate::kit::{TestNode, at, count, items};

fn post(id: &str) -> Value {
    json!({"network": "test", "id": id, "author": "ada", "text": "What a goal!", "created_at": "2026-03-01T10:00:00Z"})
}

fn with(field: &str, value: Value) -> Value {
    let mut post = post("x");
    post[field] = value;
    post
}

#[test]
fn a_wrong_post_is_refused_by_the_name_of_its_field_and_the_next_one_is_accepted() {
    let mut node = TestNode::open(&[]);
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
        let problem = node.post("/v1/posts", &body).problem(422);
        assert_eq!(*at(&problem, "/field"), field, "{problem}");
    }
    node.request("POST", "/v1/posts", "application/json", b"{\"network\": ")
        .problem(400);
    node.request("POST", "/v1/posts", "application/json", b"3")
        .problem(400);
    node.request("POST", "/v1/posts", "application/xml", b"<post/>")
        .problem(415);
    node.request("POST", "/v1/posts", "application/json", &vec![b' '; 17 << 20])
        .problem(413);

    let problem = node
        .post("/v1/watermark", &json!({"at": "2999-01-01T00:00:00Z"}))
        .problem(422);
    assert_eq!(*at(&problem, "/field"), "at", "{problem}");

    let lines = [
        serde_json::to_vec(&post("1")).unwrap(),
        b"{\"network\": \"test\", \"id\":".to_vec(),
        b"{\"text\": \"\xff\xfe\"}".to_vec(),
        serde_json::to_vec(&with("text", json!("😂😂😂"))).unwrap(),
        serde_json::to_vec(&with("id", json!("rtl"))).unwrap(),
        serde_json::to_vec(&post("1")).unwrap(),
    ];
    let answer = node.request("POST", "/v1/posts", "application/x-ndjson", &lines.join(&b'\n'));
    let receipt = answer.json();
    assert_eq!(count(&receipt, "/accepted"), 3, "{receipt}");
    assert_eq!(count(&receipt, "/duplicates"), 1, "{receipt}");
    let wrong: Vec<u64> = items(&receipt, "/rejected")
        .iter()
        .map(|rejected| count(rejected, "/index"))
        .collect();
    assert_eq!(wrong, [1, 2]);

    let counts = node.settle();
    assert_eq!(count(&counts, "/topics/posts/records"), 3, "{counts}");
    assert_eq!(count(&counts, "/topics/readings/records"), 3, "{counts}");
}

#[test]
fn a_post_with_features_of_a_voice_or_a_face_is_refused_with_what_to_do_and_counted() {
    let mut node = TestNode::open(&[]);
    let problem = node
        .post("/v1/posts", &with("meta", json!({"voice": {"pitch_hz": 120.5}})))
        .problem(422);
    assert_eq!(*at(&problem, "/field"), "meta", "{problem}");
    let detail = at(&problem, "/detail").as_str().unwrap();
    assert!(
        detail.contains("`voice.pitch_hz`") && detail.contains("leave the field out"),
        "{detail}"
    );
    node.post("/v1/posts", &with("face_embedding", json!([0.25])))
        .problem(422);
    let mut about = with("meta", json!({"image": "https://media.example/face.png"}));
    about["text"] = json!("Her voice! And the face_landmarks of that statue.");
    assert_eq!(count(&node.insist("/v1/posts", &json!([about])), "/accepted"), 1);
    let sources = node.get("/v1/sources").json();
    assert_eq!(count(&sources, "/items/0/biometric/voice"), 1, "{sources}");
    assert_eq!(count(&sources, "/items/0/biometric/face"), 1, "{sources}");
    assert_eq!(count(&sources, "/items/0/rejected"), 2, "{sources}");
}

#[test]
fn garbage_in_a_topic_goes_to_the_dead_letters_with_its_reason_and_can_be_sent_again() {
    let mut node = TestNode::open(&["--set", "partitions=1"]);
    node.insist("/v1/posts", &json!([post("1")]));
    node.settle();
    let (status, _) = node.terminate();
    assert!(status.success());
    let log = EmbeddedLog::open(node.data().join("log"), EmbeddedOptions::default()).unwrap();
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

    node.start();
    node.wait_ready();
    node.insist("/v1/posts", &json!([post("2")]));
    let counts = node.until("the post after the garbage is read", |node| {
        let counts = node.get("/v1/counts").json();
        let done = count(&counts, "/topics/readings/records") == 2
            && ["intake", "posts", "readings"]
                .iter()
                .all(|topic| *at(&counts, &format!("/topics/{topic}/dead")) != json!({}));
        done.then_some(counts)
    });
    assert_eq!(
        *at(&counts, "/topics/intake/dead"),
        json!({"unroutable": 1}),
        "{counts}"
    );
    assert_eq!(count(&counts, "/topics/readings/records"), 2, "{counts}");
    let (status, _) = node.terminate();
    assert!(status.success());

    let listed = node.run(&["dead", "list", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let letters: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let text = |letter: &Value, field: &str| at(letter, field).as_str().unwrap().to_owned();
    let of = |topic: &str| {
        let mut letters = letters.iter();
        let letter = letters.find(|letter| text(letter, "/letter").starts_with(topic));
        letter.unwrap_or_else(|| panic!("no dead letter of {topic}: {listed}"))
    };
    let letter = of("intake");
    assert_eq!(text(letter, "/stage"), "ingest");
    assert_eq!(text(letter, "/reason"), "unroutable");
    let shown = node.run(&["dead", "show", &text(letter, "/letter")]);
    assert!(
        String::from_utf8(shown.stdout)
            .unwrap()
            .contains("limbic-dead-stage")
    );
    let replayed = node.run(&["dead", "replay", "intake", "--reason", "unroutable"]);
    assert!(
        String::from_utf8(replayed.stdout)
            .unwrap()
            .contains("1 dead letters sent to intake")
    );
    // What was sent is marked, and is not sent a second time.
    let printed = |arguments: &[&str]| {
        let output = node.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let again = printed(&["dead", "replay", "intake", "--reason", "unroutable"]);
    assert!(
        again.contains("0 dead letters sent") && again.contains("1 were sent before"),
        "{again}"
    );
    let listed = printed(&["dead", "list", "intake", "--json"]);
    let letter: Value = serde_json::from_str(listed.trim()).unwrap();
    assert_eq!(letter["sent"], true, "{listed}");
}
