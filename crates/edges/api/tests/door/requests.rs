//! Requests that are not what they should be.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use limbic_api::Settings;
use limbic_domain::ByteSize;
use serde_json::{Value, json};

use crate::kit::{Answer, Api, OPERATOR, key_of, post};

const JSON: &str = "application/json";

async fn open() -> Api {
    Api::open(Settings::default(), &[]).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn post_encoded(api: &Api, encoding: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST /v1/posts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-encoding: {encoding}\r\n"
    );
    api.send(&head, body).await
}

#[tokio::test]
async fn one_item_that_cannot_be_read_does_not_refuse_the_others() {
    let api = open().await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let items = [
        post("1").to_string(),
        r#"{"text": "cut \ud83d"}"#.to_owned(),
        r#"{"value": 1e400}"#.to_owned(),
        format!("{{\"meta\": {deep}}}"),
        r#"{"consent": "denied", "consent": "given"}"#.to_owned(),
        post("2").to_string(),
    ];
    for (kind, body) in [
        (JSON, format!("[{}]", items.join(" , "))),
        ("application/x-ndjson", items.join("\n")),
    ] {
        let answer = api.post("/v1/posts", kind, body.as_bytes()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let receipt = answer.json();
        let passed = receipt["accepted"].as_u64().unwrap() + receipt["duplicates"].as_u64().unwrap();
        assert_eq!(passed, 2, "{receipt}");
        let rejected: Vec<&Value> = receipt["rejected"].as_array().unwrap().iter().collect();
        let indices: Vec<u64> = rejected
            .iter()
            .map(|one| one["index"].as_u64().unwrap())
            .collect();
        assert_eq!(indices, [1, 2, 3, 4], "{receipt}");
        assert!(
            rejected[3]["problem"].as_str().unwrap().contains("twice"),
            "{receipt}"
        );
    }
}

#[tokio::test]
async fn a_key_that_occurs_twice_does_not_decide_about_a_person() {
    let api = open().await;
    let body = post("1").to_string().replace(
        "{\"author\"",
        "{\"consent\": \"denied\", \"consent\": \"given\", \"author\"",
    );
    let problem = api.post("/v1/posts", JSON, body.as_bytes()).await.problem(400);
    assert!(
        problem["detail"].as_str().unwrap().contains("`consent` twice"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_wrong_parameter_is_named_and_described_without_words_of_the_parser() {
    let api = open().await;
    for (path, field, part) in [
        ("/v1/readings?limit=abc", "limit", "not a whole number"),
        ("/v1/readings?limit=99999999999", "limit", "too large"),
        ("/v1/moments?ordr=newest", "ordr", "the parameters are `"),
        ("/v1/posts/1?netwrk=x", "netwrk", "the parameters are `network`"),
        ("/v1/audiences?limt=1", "limt", "no parameter"),
    ] {
        let problem = api.get(path).await.problem(400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{path}: {problem}");
        assert!(
            !detail.contains("deserialize") && !detail.contains("digit"),
            "{problem}"
        );
        assert_eq!(problem["field"], field, "{path}");
    }
}

#[tokio::test]
async fn too_many_items_are_refused_before_they_are_read() {
    let api = open().await;
    let body = format!("[{}]", vec![r#"{"":{"":0}}"#; 10_001].join(","));
    api.post("/v1/posts", JSON, body.as_bytes()).await.problem(413);
    let lines = "{\n".repeat(10_001);
    api.post("/v1/posts", "application/x-ndjson", lines.as_bytes())
        .await
        .problem(413);
}

#[tokio::test]
async fn compressed_bodies_are_accepted_and_bombs_are_refused() {
    let settings = Settings {
        max_body: ByteSize::from_mebibytes(1),
        bodies: ByteSize::from_mebibytes(32),
        ..Settings::default()
    };
    let api = Api::open(settings, &[]).await;
    let body = json!([post("1"), post("2")]).to_string();
    let marked = format!("\u{feff}{body}");
    let accepted = post_encoded(&api, "gzip", &gzip(marked.as_bytes())).await;
    assert_eq!((accepted.status, &accepted.json()["accepted"]), (202, &json!(2)));
    let accepted = post_encoded(&api, "ZSTD", &zstd::encode_all(body.as_bytes(), 3).unwrap()).await;
    assert_eq!(
        (accepted.status, &accepted.json()["duplicates"]),
        (202, &json!(2))
    );

    let bomb = vec![b' '; 64 << 20];
    post_encoded(&api, "gzip", &gzip(&bomb)).await.problem(413);
    post_encoded(&api, "zstd", &zstd::encode_all(&*bomb, 19).unwrap())
        .await
        .problem(413);
    post_encoded(&api, "gzip", body.as_bytes()).await.problem(400);
    post_encoded(&api, "zstd", b"(\xb5/\xfd").await.problem(400);
    for encoding in ["br", "gzip, gzip", "deflate"] {
        let refused = post_encoded(&api, encoding, b"?").await;
        refused.problem(415);
        assert_eq!(refused.header("accept-encoding"), "gzip, zstd");
    }
}

#[tokio::test]
async fn what_a_web_page_can_send_to_any_address_is_refused() {
    let api = open().await;
    let body = post("1").to_string();
    for kind in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "",
    ] {
        for path in ["/v1/posts", "/v1/outcomes", "/v1/watermark"] {
            api.post(path, kind, body.as_bytes()).await.problem(415);
        }
    }
    let untyped = "POST /v1/posts HTTP/1.1\r\nhost: localhost\r\n";
    api.send(untyped, body.as_bytes()).await.problem(415);
    let head = |host: &str, more: &str| {
        format!("POST /v1/posts HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{more}")
    };
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
    ] {
        api.send(&head(host, ""), body.as_bytes()).await.problem(421);
    }
    for more in [
        "origin: http://evil.example\r\n",
        "origin: null\r\n",
        "origin: http://localhost:9\r\n",
        "sec-fetch-site: cross-site\r\n",
    ] {
        api.send(&head("localhost", more), body.as_bytes())
            .await
            .problem(403);
    }
    for (host, more) in [
        ("localhost", ""),
        ("127.0.0.1:8080", "origin: http://127.0.0.1:8080\r\n"),
        ("[::1]:8080", ""),
        ("node.localhost", ""),
    ] {
        let accepted = api.send(&head(host, more), body.as_bytes()).await;
        assert_eq!(accepted.status, 202, "{host}: {accepted:?}");
    }
}

#[tokio::test]
async fn names_of_the_node_are_served_and_with_keys_any_name_is() {
    let named = Settings {
        hosts: vec!["limbic.example.com".into()],
        ..Settings::default()
    };
    let ask = |host: &str| format!("GET /v1/counts HTTP/1.1\r\nhost: {host}\r\n");
    let api = Api::open(named.clone(), &[]).await;
    assert_eq!(api.send(&ask("Limbic.Example.Com:8080"), b"").await.status, 200);
    api.send(&ask("evil.example"), b"").await.problem(421);
    let with_keys = Api::open(Settings::default(), &["acme"]).await;
    with_keys.send(&ask("any.example"), b"").await.problem(401);
    let with_both = Api::open(named, &["acme"]).await;
    with_both.send(&ask("any.example"), b"").await.problem(421);
}

#[tokio::test]
async fn every_refusal_is_a_problem_and_every_answer_has_the_headers_for_browsers() {
    let api = open().await;
    let long = "x".repeat(100);
    let cases = [
        ("GET", "/nothing", 404),
        ("PUT", "/v1/posts", 405),
        ("GET", "/v1/posts/%FF", 400),
        ("GET", "/v1/posts/a%00b", 400),
        ("GET", "/v1/readings?after=%00", 400),
        ("GET", "/v1/readings?limit=%FF", 400),
        ("GET", "/v1/readings?limit=-1", 400),
        ("GET", "/v1/readings?limit=1&limit=2", 400),
        ("GET", "/v1/readings?nothing=1", 400),
        ("GET", "/v1/posts/x?nothing=1", 400),
        ("GET", "/v1/readings", 404),
        ("GET", "/v1/series?measurement=emotion&field=valence", 404),
        ("DELETE", "/v1/holds/No%20Slug", 400),
        ("DELETE", "/v1/holds/football?nothing=1", 400),
        ("DELETE", "/v1/holds/football", 404),
    ];
    for (method, path, status) in cases {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n");
        let answer = api.send(&head, b"").await;
        answer.problem(status);
        for_browsers(&answer);
    }
    for path in [
        "/",
        "/healthz",
        "/openapi.json",
        "/v1/counts",
        "/v1/holds",
        "/metrics",
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        for_browsers(&answer);
    }
}

fn for_browsers(answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    let policy = answer.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn totals_of_all_tenants_are_for_operators() {
    let api = Api::open(Settings::default(), &["acme", "globex"]).await;
    let ask = |path: &str, key: &str| {
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("authorization: {key}\r\n")
        };
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{key}")
    };
    let of_tenant = format!("bearer {}", key_of("acme"));
    let of_operator = format!("BEARER {OPERATOR}");
    for path in ["/metrics", "/v1/counts"] {
        api.send(&ask(path, ""), b"").await.problem(401);
        api.send(&ask(path, "Basic YTpi"), b"").await.problem(401);
        api.send(&ask(path, "Bearer unknown-unknown-unknown"), b"")
            .await
            .problem(401);
        api.send(&ask(path, &of_tenant), b"").await.problem(403);
        assert_eq!(
            api.send(&ask(path, &of_operator), b"").await.status,
            200,
            "{path}"
        );
    }
    for path in ["/v1/readings", "/v1/holds", "/v1/components"] {
        api.send(&ask(path, ""), b"").await.problem(401);
        api.send(&ask(path, &of_operator), b"").await.problem(403);
    }
    assert_eq!(api.send(&ask("/v1/holds", &of_tenant), b"").await.status, 200);
    assert_eq!(
        api.send(&ask("/readyz", &of_tenant), b"").await.json(),
        json!({"ready": true})
    );
    let details = api.send(&ask("/readyz", &of_operator), b"").await.json();
    assert!(details["stages"].is_object(), "{details}");

    let alone = Api::open(Settings::default(), &["acme"]).await;
    assert_eq!(
        alone.send(&ask("/v1/counts", &of_tenant), b"").await.status,
        200,
        "they are its own"
    );
}
