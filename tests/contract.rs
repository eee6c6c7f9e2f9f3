//! The contract of the API, which scripts of users depend on.

use serde_json::{Value, json};

use crate::kit::{END, TestNode, at, count, is_chosen, items, posts};

/// A name that is in no text, so that it cannot be found by chance.
const AUTHOR: &str = "ann-of-the-contract";

fn post(id: &str, text: &str) -> Value {
    json!({"network": "test", "id": id, "author": AUTHOR, "text": text, "created_at": "2026-03-01T10:00:00Z"})
}

#[test]
fn posts_are_accepted_one_by_one_in_arrays_and_in_lines() {
    let mut node = TestNode::open(&[]);
    let one = node.post("/v1/posts", &post("1", "what a wonderful day"));
    assert_eq!(one.status, 202);
    assert_eq!(one.content_type, "application/json");
    assert_eq!(
        one.json(),
        json!({"accepted": 1, "duplicates": 0, "rejected": []})
    );

    let mut wrong = post("3", "no date");
    wrong.as_object_mut().unwrap().remove("created_at");
    let many = json!([post("1", "what a wonderful day"), post("2", "sad"), wrong]);
    let many = node.post("/v1/posts", &many);
    assert_eq!(many.status, 202, "valid posts are accepted, the others are named");
    let problem = "is missing: give the time of writing in RFC 3339, for instance \"2026-11-29T12:00:00Z\"";
    let rejected = json!({"index": 2, "field": "created_at", "problem": problem});
    assert_eq!(
        many.json(),
        json!({"accepted": 1, "duplicates": 1, "rejected": [rejected]})
    );

    let mut nameless = post("6", "no author");
    nameless.as_object_mut().unwrap().remove("author");
    let problem = node.post("/v1/posts", &nameless).problem(422);
    assert_eq!(*at(&problem, "/field"), json!("author"));
    let detail = at(&problem, "/detail").as_str().unwrap();
    assert!(
        detail.starts_with("is missing: give ") && detail.contains("for instance"),
        "{detail}"
    );

    let lines = format!("{}\n\n{}\n", post("4", "a fight"), post("5", "a song"));
    let lines = node.request("POST", "/v1/posts", "application/x-ndjson", lines.as_bytes());
    assert_eq!(lines.status, 202);
    assert_eq!(count(&lines.json(), "/accepted"), 2);

    let counts = node.settle();
    assert_eq!(count(&counts, "/topics/posts/records"), 4, "{counts}");
    assert_eq!(count(&counts, "/topics/readings/records"), 4, "{counts}");
    let stages = at(&counts, "/stages").as_object().unwrap();
    assert_eq!(stages.len(), 11, "{counts}");
    for (name, stage) in stages {
        assert_eq!(count(stage, "/lag"), 0, "{name}");
        count(stage, "/consumed");
    }
    assert_eq!(count(&counts, "/stages/affect/consumed"), 4, "{counts}");
}

#[test]
fn the_components_are_listed_with_what_runs_here() {
    let node = TestNode::open(&[]);
    let components = node.get("/v1/components").json();
    let running = |kind: &str| -> Vec<&str> {
        let of_kind = items(&components, "/items")
            .iter()
            .filter(|one| one["kind"] == kind && one["runs_here"] == true);
        of_kind.map(|one| one["name"].as_str().unwrap()).collect()
    };
    assert_eq!(running("stage").len(), 11, "{components}");
    for (kind, name) in [
        ("log", "embedded"),
        ("view store", "sqlite"),
        ("series store", "sqlite"),
        ("id store", "memory"),
        ("ad platform", "file"),
    ] {
        assert_eq!(running(kind), [name], "{components}");
    }
    let file = items(&components, "/items")
        .iter()
        .find(|one| one["name"] == "file");
    assert_eq!(file.unwrap()["entries"], json!(["file"]));
}

#[test]
fn a_reading_carries_what_was_promised() {
    let mut node = TestNode::open(&[]);
    node.post("/v1/posts", &post("happy/1", "what a wonderful day, I love it"));
    node.settle();
    let page = node.get("/v1/readings?network=test&id=happy/1").json();
    assert_eq!(*at(&page, "/next"), Value::Null);
    let [reading] = items(&page, "/items") else {
        panic!("one reading: {page}")
    };
    let number = |pointer: &str| at(reading, pointer).as_f64().unwrap();
    assert_eq!(*at(reading, "/post"), json!({"network": "test", "id": "happy/1"}));
    assert_eq!(*at(reading, "/sentiment/label"), "positive");
    assert!(number("/sentiment/compound") > 0.5, "{reading}");
    let scores = at(reading, "/sentiment/scores").as_object().unwrap();
    let sum: f64 = scores.values().map(|score| score.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 0.01, "{reading}");
    assert!(!at(reading, "/emotions").as_object().unwrap().is_empty());
    assert!(number("/valence") > 0.0);
    assert!((0.0..=1.0).contains(&number("/arousal")));
    assert!(!at(reading, "/model").as_str().unwrap().is_empty());
    assert_eq!(at(reading, "/author").as_str().unwrap().len(), 32, "a pseudonym");
    assert!(
        !page.to_string().contains(AUTHOR),
        "no author's name passes the edge: {page}"
    );
    for path in ["/v1/posts/test/happy%2F1", "/v1/posts/happy%2F1?network=test"] {
        let found = node.get(path);
        assert_eq!(found.status, 200, "{path}");
        let found = found.json();
        assert!(!found.to_string().contains(AUTHOR), "{found}");
        assert_eq!(*at(&found, "/text"), "what a wonderful day, I love it");
    }
    node.get("/v1/posts/test/nobody").problem(404);
}

#[test]
fn pages_hold_everything_once_in_one_order() {
    let mut node = TestNode::open(&[]);
    let evening = posts(95);
    let receipt = node.post("/v1/posts", &json!(evening)).json();
    assert_eq!(count(&receipt, "/accepted"), 95);
    node.settle();
    let whole = node.all("readings", 1_000);
    assert_eq!(whole.len(), 95);
    for limit in [1, 7, 95] {
        assert_eq!(node.all("readings", limit), whole, "pages of {limit}");
    }
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=many",
        "after=nonsense",
        "colour=red",
        "network=test",
    ] {
        node.get(&format!("/v1/readings?{wrong}")).problem(400);
    }
}

#[test]
fn a_list_is_polled_from_the_position_of_any_page_and_a_time_selects_its_events() {
    let mut node = TestNode::open(&[]);
    let page = |node: &TestNode, query: &str| node.get(&format!("/v1/readings?{query}")).json();
    let position = |page: &Value| at(page, "/position").as_str().unwrap().to_owned();
    let begin = position(&page(&node, "limit=1"));
    let mut evening = posts(30);
    node.insist("/v1/posts", &json!(evening[..20]));
    node.settle();
    let first = page(&node, &format!("after={begin}"));
    assert_eq!(
        (items(&first, "/items").len(), at(&first, "/next")),
        (20, &Value::Null)
    );
    let second = page(&node, &format!("after={}", position(&first)));
    assert!(items(&second, "/items").is_empty(), "{second}");
    let newest = page(&node, "order=desc&limit=3");
    assert_eq!(items(&newest, "/items")[0], items(&first, "/items")[19]);
    assert_eq!(newest, page(&node, "order=newest&limit=3"));
    node.insist("/v1/posts", &json!(evening.split_off(20)));
    node.settle();
    for known in [&first, &second, &newest] {
        let later = page(&node, &format!("after={}", position(known)));
        assert_eq!(items(&later, "/items").len(), 10, "{later}");
    }
    let all = node.all("readings", 1_000);
    let time_of = |reading: &Value| at(reading, "/at").as_str().unwrap().to_owned();
    let mut times: Vec<String> = all.iter().map(time_of).collect();
    times.sort();
    let (from, to) = (&times[5], &times[25]);
    let within: Vec<Value> = all
        .iter()
        .filter(|reading| (from..to).contains(&&time_of(reading)))
        .cloned()
        .collect();
    let found = page(&node, &format!("from={from}&to={to}"));
    assert_eq!(items(&found, "/items"), within);
    assert!(!within.is_empty() && within.len() < 30, "{}", within.len());
    let problem = node.get("/v1/readings?from=yesterday").problem(400);
    assert_eq!(*at(&problem, "/field"), json!("from"));
}

#[test]
fn an_outcome_counts_once() {
    let mut node = TestNode::open(&[]);
    node.insist("/v1/posts", &json!(posts(600)));
    node.insist("/v1/watermark", &json!({"at": END}));
    node.settle();
    let decisions = node.all("decisions", 100);
    let chosen = decisions.iter().find(|decision| is_chosen(decision));
    let chosen = chosen.unwrap_or_else(|| panic!("no decision chose an ad: {decisions:#?}"));
    let id = at(chosen, "/id").as_str().unwrap();
    assert_eq!(node.get(&format!("/v1/decisions/{id}")).json(), *chosen);
    for list in ["moments", "creatives"] {
        assert!(!node.all(list, 100).is_empty(), "{list}");
    }

    let click = json!({"decision": id, "kind": "click", "at": "2026-03-01T11:00:00Z", "id": "click-1"});
    for (accepted, duplicates) in [(1, 0), (0, 1)] {
        let receipt = node.post("/v1/outcomes", &click).json();
        assert_eq!(count(&receipt, "/accepted"), accepted, "{receipt}");
        assert_eq!(count(&receipt, "/duplicates"), duplicates, "{receipt}");
    }
    node.settle();
    let path = format!("/v1/outcomes?decision={id}&limit=100");
    let of_kind = |outcomes: &Value, kind: &str| {
        let outcomes = items(outcomes, "/items").iter();
        outcomes.filter(|outcome| *at(outcome, "/kind") == kind).count()
    };
    let outcomes = node.until("the ad is delivered", |node| {
        let outcomes = node.get(&path).json();
        (of_kind(&outcomes, "delivered") > 0).then_some(outcomes)
    });
    assert_eq!(of_kind(&outcomes, "delivered"), 1, "{outcomes}");
    assert_eq!(of_kind(&outcomes, "click"), 1, "{outcomes}");

    let unknown_kind = json!({"decision": id, "kind": "glance", "at": "2026-03-01T11:00:00Z", "id": "x"});
    let problem = node.post("/v1/outcomes", &unknown_kind).problem(422);
    assert_eq!(*at(&problem, "/field"), "kind");
    let unknown_decision =
        json!({"decision": "abc", "kind": "click", "at": "2026-03-01T11:00:00Z", "id": "x"});
    let problem = node.post("/v1/outcomes", &unknown_decision).problem(422);
    assert_eq!(*at(&problem, "/field"), "decision");
}

#[test]
fn health_metrics_page_and_description_are_served() {
    let mut node = TestNode::open(&[]);
    assert_eq!(node.get("/healthz").text, "ok\n");
    node.insist("/v1/posts", &post("1", "a fight"));
    node.settle();
    let ready = node.get("/readyz").json();
    assert_eq!(*at(&ready, "/ready"), true);
    assert_eq!(at(&ready, "/stages").as_object().unwrap().len(), 11, "{ready}");
    let metrics = node.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.content_type.starts_with("text/plain"),
        "{}",
        metrics.content_type
    );
    assert!(metrics.text.contains("# TYPE"), "{}", metrics.text);
    let page = node.get("/");
    assert_eq!((page.status.as_u16(), page.text.contains("<html")), (200, true));

    let document = node.get("/openapi.json").json();
    assert!(at(&document, "/openapi").as_str().unwrap().starts_with("3.1"));
    let paths = at(&document, "/paths").as_object().unwrap();
    assert!(paths.len() > 10, "only {} paths are described", paths.len());
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let real = path.replace("{network}", "test").replace("{id}", "none");
            let kind = if method == "post" { "application/json" } else { "" };
            let answer = node.request(&method.to_uppercase(), &real, kind, b"");
            assert_ne!(answer.status, 405, "{method} {path} is documented");
            if answer.status == 404 {
                let problem = answer.problem(404);
                let detail = at(&problem, "/detail").as_str().unwrap();
                assert!(!detail.contains("openapi.json"), "{method} {path} is documented");
            }
        }
    }
}

#[test]
fn a_path_or_id_that_does_not_exist_is_a_problem_that_names_it() {
    let node = TestNode::open(&[]);
    let lost = node.get("/v2/everything").problem(404);
    assert!(
        at(&lost, "/detail").as_str().unwrap().contains("/v2/everything"),
        "{lost}"
    );
    node.request("DELETE", "/v1/posts", "", b"").problem(405);
    node.get("/v1/decisions/none").problem(404);
    let problem = node.get("/v1/series?field=mean").problem(400);
    assert_eq!(*at(&problem, "/field"), "measurement");
}

#[test]
fn a_node_drains_on_sigterm_and_knows_everything_at_its_next_start() {
    let mut node = TestNode::open(&[]);
    let evening = posts(300);
    let receipt = node.post("/v1/posts", &json!(evening)).json();
    assert_eq!(count(&receipt, "/accepted"), 300, "{receipt}");
    let (status, log) = node.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    node.start();
    let receipt = node.post("/v1/posts", &json!(evening)).json();
    assert_eq!(count(&receipt, "/duplicates"), 300, "{receipt}");
    let counts = node.settle();
    assert_eq!(count(&counts, "/topics/posts/records"), 300, "{counts}");
    assert_eq!(node.all("readings", 1_000).len(), 300);
}

#[test]
fn a_second_process_over_the_same_folder_is_refused() {
    let node = TestNode::open(&[]);
    let second = node.run(&["run", "--listen", "127.0.0.1:0"]);
    assert!(!second.status.success());
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        text.contains("another process") || text.contains("lock"),
        "{text}"
    );
    assert_eq!(node.get("/readyz").status, 200, "the first goes on");
}

#[test]
fn a_file_is_replayed_once_however_often_it_is_sent() {
    let mut node = TestNode::open(&[]);
    let file = node.data().join("evening.csv");
    let rows: Vec<String> = posts(50)
        .iter()
        .map(|post| {
            format!(
                "{},{},{},{}",
                at(post, "/id"),
                at(post, "/author"),
                at(post, "/created_at"),
                at(post, "/text")
            )
        })
        .collect();
    std::fs::write(
        &file,
        format!("id,who,created_at,text\n{}\n,,,\n", rows.join("\n")),
    )
    .unwrap();
    let url = node.url();
    let file = file.to_str().unwrap();
    let send = |more: &[&str]| {
        let mut arguments = vec![
            "replay",
            file,
            "--map",
            "author=who,network:=test",
            "--to",
            &url,
            "--json",
        ];
        arguments.extend(more);
        let output = node.run(&arguments);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let totals = send(&[]);
    for (name, expected) in [("rows", 51), ("accepted", 50), ("duplicates", 0), ("rejected", 1)] {
        assert_eq!(count(&totals, &format!("/{name}")), expected, "{name}: {totals}");
    }
    let totals = send(&["--restart", "--speed", "max", "--batch", "7"]);
    for (name, expected) in [("accepted", 0), ("duplicates", 50)] {
        assert_eq!(count(&totals, &format!("/{name}")), expected, "{name}: {totals}");
    }
    assert_eq!(count(&node.settle(), "/topics/posts/records"), 50);
}

/// Posts about football after an event, each by another person.
fn grief(range: std::ops::Range<usize>) -> Vec<Value> {
    let about = [
        "has died in hospital tonight, rest in peace",
        "was killed in the collapse of the stand",
        "is dead, the club confirmed it, we are in mourning",
        "passed away after the accident, my condolences to the family",
    ];
    range
        .map(|i| {
            json!({
                "network": "test", "id": format!("g{i}"), "author": format!("mourner-{i}"), "subjects": ["football"],
                "text": format!("our keeper number {i} {}", about[i % 4]),
                "created_at": format!("2026-03-01T12:{:02}:{:02}Z", i / 60, i % 60), "lang": "en",
            })
        })
        .collect()
}

#[test]
fn a_hold_is_released_by_hand_for_good_and_new_posts_hold_again() {
    let mut node = TestNode::open(&[]);
    node.request("DELETE", "/v1/holds/football", "", b"").problem(404);
    node.insist("/v1/posts", &json!(grief(0..40)));
    node.settle();
    let hold_of = |node: &TestNode, is_released: bool| {
        let holds = node.get("/v1/holds").json();
        let hold = items(&holds, "/items")
            .iter()
            .find(|hold| *at(hold, "/subject") == "football")
            .cloned();
        hold.filter(|hold| hold.pointer("/released").is_some() == is_released)
    };
    node.until("the subject is on hold", |node| hold_of(node, false));
    let released = node.request("DELETE", "/v1/holds/football?reason=a%20rehearsal", "", b"");
    assert_eq!(released.status, 200);
    let released = released.json();
    assert_eq!(*at(&released, "/released/by"), "anonymous");
    assert_eq!(*at(&released, "/released/reason"), "a rehearsal");
    at(&released, "/released/at");
    node.request("DELETE", "/v1/holds/football?because=1", "", b"")
        .problem(400);

    let (status, log) = node.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("a person released a hold"), "{log}");
    node.start();
    assert_eq!(hold_of(&node, true), Some(released));
    node.insist("/v1/posts", &json!(grief(60..120)));
    node.settle();
    let again = node.until("the subject is on hold again", |node| hold_of(node, false));
    assert!(
        at(&again, "/since").as_str() >= Some("2026-03-01T12:01:00.000Z"),
        "only new posts count: {again}"
    );
}
