//! What is refused is counted.

use limbic_api::Settings;
use limbic_domain::{ByteSize, HumanDuration};
use serde_json::json;

use crate::kit::{Api, OPERATOR, exchange, key_of, post};

const JSON: &str = "application/json";

#[tokio::test]
async fn every_refusal_is_counted_by_its_reason_for_operators() {
    let settings = Settings {
        max_body: ByteSize::from_mebibytes(1),
        stall_timeout: HumanDuration::from_millis(50),
        ..Settings::default()
    };
    let api = Api::open(settings, &["acme", "globex"]).await;
    let head = |path: &str, key: &str, more: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\nauthorization: Bearer {key}\r\n{more}"
        )
    };
    let key = key_of("acme");
    let of_acme = head("/v1/posts", &key, "");
    let body = post("1").to_string();

    api.send(&head("/v1/posts", "no key of this node", ""), body.as_bytes())
        .await
        .problem(401);
    api.send(&of_acme, &vec![b' '; 2 << 20]).await.problem(413);
    api.send(&of_acme, format!("[{}0]", "0,".repeat(10_000)).as_bytes())
        .await
        .problem(413);
    let foreign = head("/v1/posts", &key, "origin: http://evil.example\r\n");
    api.send(&foreign, body.as_bytes()).await.problem(403);
    let stopped = format!("{of_acme}connection: close\r\ncontent-length: 1000\r\n\r\n{{");
    exchange(api.connect().await, stopped.as_bytes())
        .await
        .problem(408);
    // A request that is wrong does not count as refused, and neither does one that is right.
    api.send(&of_acme, b"{").await.problem(400);
    assert_eq!(api.send(&of_acme, body.as_bytes()).await.status, 202);

    let ask =
        |key: &str| format!("GET /v1/limits HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n");
    api.send(&ask(&key), b"").await.problem(403);
    let limits = api.send(&ask(OPERATOR), b"").await.json();
    let expected = json!({"key": 1, "body_size": 1, "items": 1, "origin": 1, "stalled": 1});
    assert_eq!(limits["requests"], expected, "{limits}");
    assert_eq!(limits["connections"], json!({}), "{limits}");
    assert_eq!(limits["taken"]["connections"]["of"], 1024, "{limits}");
    let metrics = api
        .send(&ask(OPERATOR).replace("/v1/limits", "/metrics"), b"")
        .await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "limbic_api_requests_refused_total{reason=\"stalled\"} 1",
        // A reason that has not occurred is there, so that its first time is an increase.
        "limbic_api_requests_refused_total{reason=\"quota\"} 0",
        "limbic_api_connections_refused_total{reason=\"in_all\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn requests_that_take_too_long_or_are_for_another_host_are_counted() {
    let settings = Settings {
        stall_timeout: HumanDuration::from_secs(60),
        timeout: HumanDuration::from_millis(50),
        ..Settings::default()
    };
    let api = Api::open(settings, &[]).await;
    let head = format!("POST /v1/posts HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\n");
    let slow = format!("{head}connection: close\r\ncontent-length: 1000\r\n\r\n{{");
    exchange(api.connect().await, slow.as_bytes()).await.problem(503);
    api.send("GET /v1/counts HTTP/1.1\r\nhost: evil.example\r\n", b"")
        .await
        .problem(421);
    let limits = api.get("/v1/limits").await.json();
    assert_eq!(limits["requests"], json!({"slow": 1, "host": 1}), "{limits}");
}
