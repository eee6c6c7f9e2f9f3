//! The contract at the edge, as the scripts of others rely on it.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod node;

use node::{TestNode, posts};
use serde_json::{Value, json};

fn post(id: &str, text: &str) -> Value {
    json!({"network": "town", "id": id, "author": "ann", "text": text, "created_at": "2026-03-01T10:00:00Z"})
}

#[test]
fn posts_are_taken_one_by_one_in_arrays_and_in_lines() {
    let mut house = TestNode::open(&[]);
    let one = house.post("/v1/posts", &post("1", "what a wonderful day"));
    assert_eq!(one.status, 202);
    assert_eq!(one.content_type, "application/json");
    assert_eq!(
        one.json(),
        json!({"accepted": 1, "duplicates": 0, "rejected": []})
    );

    let mut wrong = post("3", "no date");
    wrong.as_object_mut().unwrap().remove("created_at");
    let many = json!([post("1", "what a wonderful day"), post("2", "sad"), wrong]);
    let many = house.post("/v1/posts", &many);
    assert_eq!(many.status, 202, "what is right is taken, what is wrong is named");
    let many = many.json();
    assert_eq!((&many["accepted"], &many["duplicates"]), (&json!(1), &json!(1)));
    assert_eq!(many["rejected"][0]["index"], 2);
    assert_eq!(many["rejected"][0]["field"], "created_at");
    assert_eq!(many["rejected"][0]["problem"], "is missing");

    let lines = format!("{}\n\n{}\n", post("4", "a fight"), post("5", "a song"));
    let lines = house.request("POST", "/v1/posts", "application/x-ndjson", lines.as_bytes());
    assert_eq!(lines.status, 202);
    assert_eq!(lines.json()["accepted"], 2);

    let counts = house.settle();
    assert_eq!(counts["topics"]["posts"]["records"], 4, "{counts}");
    assert_eq!(counts["topics"]["readings"]["records"], 4, "{counts}");
    for (name, stage) in counts["stages"].as_object().unwrap() {
        assert_eq!(stage["lag"], 0, "{name}");
        assert!(stage["consumed"].is_u64(), "{name}");
    }
    assert_eq!(counts["stages"]["affect"]["consumed"], 4, "{counts}");
}

#[test]
fn a_reading_carries_what_was_promised() {
    let mut house = TestNode::open(&[]);
    house.post("/v1/posts", &post("happy/1", "what a wonderful day, I love it"));
    house.settle();
    let page = house.get("/v1/readings?network=town&id=happy/1").json();
    assert_eq!(page["next"], Value::Null);
    let [reading] = page["items"].as_array().unwrap().as_slice() else {
        panic!("one reading: {page}")
    };
    assert_eq!(reading["post"], json!({"network": "town", "id": "happy/1"}));
    assert_eq!(reading["sentiment"]["label"], "positive");
    assert!(
        reading["sentiment"]["compound"].as_f64().unwrap() > 0.5,
        "{reading}"
    );
    let scores = reading["sentiment"]["scores"].as_object().unwrap();
    let sum: f64 = scores.values().map(|score| score.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 0.01, "{reading}");
    assert!(!reading["emotions"].as_object().unwrap().is_empty());
    assert!(reading["valence"].as_f64().unwrap() > 0.0);
    assert!((0.0..=1.0).contains(&reading["arousal"].as_f64().unwrap()));
    assert!(!reading["model"].as_str().unwrap().is_empty());
    assert!(
        !page.to_string().contains("ann\""),
        "no author's name passes the edge: {page}"
    );
    for path in ["/v1/posts/town/happy%2F1", "/v1/posts/happy%2F1?network=town"] {
        let found = house.get(path);
        assert_eq!(found.status, 200, "{path}");
        assert_eq!(found.json()["text"], "what a wonderful day, I love it");
    }
    house.get("/v1/posts/town/nobody").problem(404);
}

#[test]
fn pages_hold_everything_once_in_one_order() {
    let mut house = TestNode::open(&[]);
    let town = posts(95);
    assert_eq!(house.post("/v1/posts", &json!(town)).json()["accepted"], 95);
    house.settle();
    let whole = house.all("readings", 1_000);
    assert_eq!(whole.len(), 95);
    for limit in [1, 7, 95] {
        assert_eq!(house.all("readings", limit), whole, "pages of {limit}");
    }
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=many",
        "after=nonsense",
        "colour=red",
        "network=town",
    ] {
        house.get(&format!("/v1/readings?{wrong}")).problem(400);
    }
}

#[test]
fn an_outcome_counts_once() {
    let mut house = TestNode::open(&[]);
    house.insist("/v1/posts", &json!(posts(600)));
    house.insist("/v1/watermark", &json!({"at": "2026-03-02T00:00:00Z"}));
    house.settle();
    let decisions = house.all("decisions", 100);
    let shown = decisions.iter().find(|decision| !decision["chosen"].is_null());
    let id = shown.unwrap_or(&decisions[0])["id"].as_str().unwrap().to_owned();
    assert_eq!(
        house.get(&format!("/v1/decisions/{id}")).json()["id"],
        id.as_str()
    );
    for list in ["moments", "creatives"] {
        assert!(!house.all(list, 100).is_empty(), "{list}");
    }

    let click = json!({"decision": id, "kind": "click", "at": "2026-03-01T11:00:00Z", "id": "click-1"});
    assert_eq!(house.post("/v1/outcomes", &click).json()["accepted"], 1);
    assert_eq!(house.post("/v1/outcomes", &click).json()["duplicates"], 1);
    house.settle();
    let clicks = house.get(&format!("/v1/outcomes?decision={id}&limit=100")).json();
    let clicks = clicks["items"].as_array().unwrap().iter();
    assert_eq!(clicks.filter(|outcome| outcome["kind"] == "click").count(), 1);

    let stare = json!({"decision": id, "kind": "stare", "at": "2026-03-01T11:00:00Z", "id": "x"});
    assert_eq!(house.post("/v1/outcomes", &stare).problem(422)["field"], "kind");
    let stranger = json!({"decision": "abc", "kind": "click", "at": "2026-03-01T11:00:00Z", "id": "x"});
    assert_eq!(
        house.post("/v1/outcomes", &stranger).problem(422)["field"],
        "decision"
    );
}

#[test]
fn it_says_how_it_is_and_what_it_can() {
    let mut house = TestNode::open(&[]);
    assert_eq!(house.get("/healthz").text, "ok\n");
    house.insist("/v1/posts", &post("1", "a fight"));
    house.settle();
    let ready = house.get("/readyz").json();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["stages"].as_object().unwrap().len(), 10, "{ready}");
    let metrics = house.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.content_type.starts_with("text/plain"),
        "{}",
        metrics.content_type
    );
    assert!(metrics.text.contains("# TYPE"), "{}", metrics.text);
    let page = house.get("/");
    assert_eq!((page.status.as_u16(), page.text.contains("<html")), (200, true));

    let document = house.get("/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let real = path.replace("{network}", "town").replace("{id}", "none");
            let kind = if method == "post" { "application/json" } else { "" };
            let answer = house.request(&method.to_uppercase(), &real, kind, b"");
            assert_ne!(answer.status, 405, "{method} {path} is documented");
            if answer.status == 404 {
                let detail = answer.problem(404)["detail"].to_string();
                assert!(!detail.contains("openapi.json"), "{method} {path} is documented");
            }
        }
    }
}

#[test]
fn what_is_not_there_is_a_problem_that_says_so() {
    let house = TestNode::open(&[]);
    let lost = house.get("/v2/everything").problem(404);
    assert!(
        lost["detail"].as_str().unwrap().contains("/v2/everything"),
        "{lost}"
    );
    house.request("DELETE", "/v1/posts", "", b"").problem(405);
    house.get("/v1/decisions/none").problem(404);
    assert_eq!(
        house.get("/v1/series?field=mean").problem(400)["field"],
        "measurement"
    );
}

#[test]
fn told_to_stop_it_drains_and_knows_everything_at_the_next_start() {
    let mut house = TestNode::open(&[]);
    let town = posts(300);
    assert_eq!(house.post("/v1/posts", &json!(town)).json()["accepted"], 300);
    let (status, log) = house.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    house.start();
    assert_eq!(house.post("/v1/posts", &json!(town)).json()["duplicates"], 300);
    let counts = house.settle();
    assert_eq!(counts["topics"]["posts"]["records"], 300, "{counts}");
    assert_eq!(house.all("readings", 1_000).len(), 300);
}

#[test]
fn a_second_process_over_the_same_folder_is_refused() {
    let house = TestNode::open(&[]);
    let second = house.run(&["run", "--listen", "127.0.0.1:0"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("another process") || said.contains("lock"),
        "{said}"
    );
    assert_eq!(house.get("/readyz").status, 200, "the first goes on");
}

#[test]
fn a_file_is_replayed_once_however_often_it_is_sent() {
    let mut house = TestNode::open(&[]);
    let file = house.data().join("evening.csv");
    let rows: Vec<String> = posts(50)
        .iter()
        .map(|post| {
            format!(
                "{},{},{},{}",
                post["id"], post["author"], post["created_at"], post["text"]
            )
        })
        .collect();
    std::fs::write(
        &file,
        format!("id,who,created_at,text\n{}\n,,,\n", rows.join("\n")),
    )
    .unwrap();
    let url = house.url();
    let file = file.to_str().unwrap();
    let send = |more: &[&str]| {
        let mut arguments = vec![
            "replay",
            file,
            "--map",
            "author=who,network:=town",
            "--to",
            &url,
            "--json",
        ];
        arguments.extend(more);
        let output = house.run(&arguments);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let totals = send(&[]);
    assert_eq!(
        [
            &totals["rows"],
            &totals["accepted"],
            &totals["duplicates"],
            &totals["rejected"]
        ],
        [51, 50, 0, 1],
        "{totals}"
    );
    let totals = send(&["--restart", "--speed", "max", "--batch", "7"]);
    assert_eq!([&totals["accepted"], &totals["duplicates"]], [0, 50], "{totals}");
    assert_eq!(house.settle()["topics"]["posts"]["records"], 50);
}
