//! Ads that wait for a person, over HTTP.

use limbic_api::Settings;
use limbic_domain::{Envelope, ReviewRequest, Slug, TenantId, Utc, topics};
use limbic_stream::{Headers, NewRecord};
use serde_json::json;

use crate::kit::{Answer, Api, key_of};

const ACME: &str = "acme";
const BEST: &str = "best";

/// A request of a tenant for a review of the ad `id`.
fn waiting(tenant: &str, id: &str) -> NewRecord {
    let tenant = TenantId::new(tenant).unwrap();
    let campaign = Slug::new("spring").unwrap();
    let request: ReviewRequest = serde_json::from_value(json!({
        "campaign": "spring", "moment": "m", "creative": {"id": id, "generator": "template/plain-1", "tone": "plain",
            "rendering": {"platform": "file", "headline": "Boots", "body": "Try a pair.", "link": "https://example.com"}}
    }))
    .unwrap();
    let at = Utc::from_millis(1);
    NewRecord {
        topic: topics::REVIEWS.into(),
        partition: None,
        key: ReviewRequest::key(&tenant, &campaign, id).into(),
        value: Envelope::new(tenant, format!("r-{id}"), at, request)
            .encode()
            .into(),
        headers: Headers::new(),
        timestamp: at,
    }
}

async fn send(api: &Api, key: &str, request: &str, body: &str) -> Answer {
    let head = format!("{request} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n");
    api.send(&head, body.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_and_decides_about_its_own_ads() {
    let api = Api::open(Settings::default(), &[ACME, BEST]).await;
    api.log
        .publish(vec![waiting(ACME, "a"), waiting(BEST, "b")])
        .unwrap();
    let (acme, best) = (key_of(ACME), key_of(BEST));
    let list = send(&api, &acme, "GET /v1/reviews?state=waiting", "")
        .await
        .json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["id"], "a");
    assert_eq!(list["items"][0]["creative"]["rendering"]["headline"], "Boots");
    for request in ["GET /v1/reviews/b", "DELETE /v1/reviews/b"] {
        send(&api, &acme, request, "").await.problem(404);
    }
    let approve = r#"{"verdict": "approve"}"#;
    send(&api, &acme, "POST /v1/reviews/b", approve)
        .await
        .problem(404);
    let decided = send(&api, &acme, "POST /v1/reviews/a", approve).await;
    assert_eq!(decided.status, 200);
    let decided = decided.json();
    assert_eq!(decided["state"], "approved");
    let by = decided["decision"]["by"].as_str().unwrap();
    assert!(by.starts_with("key:") && !by.contains(&acme), "{by}");
    let conflict = send(
        &api,
        &acme,
        "POST /v1/reviews/a",
        r#"{"verdict": "reject", "reason": "loud"}"#,
    )
    .await
    .problem(409);
    assert_eq!(conflict["field"], "replaces");
    let of_best = send(&api, &best, "GET /v1/reviews/b", "").await.json();
    assert_eq!(of_best["state"], "waiting");
    send(&api, &acme, "DELETE /v1/reviews/a", "").await;
    send(&api, &acme, "GET /v1/reviews/a", "").await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_verdict_names_its_field() {
    let api = Api::open(Settings::default(), &[ACME]).await;
    api.log.publish(vec![waiting(ACME, "a")]).unwrap();
    let key = key_of(ACME);
    for (body, status, field) in [
        ("", 422, None),
        (r#"{"verdict": "maybe"}"#, 422, Some("verdict")),
        (r#"{"verdict": "reject"}"#, 422, None),
        (r#"{"verdict": "reject", "reason": ""}"#, 422, Some("reason")),
        (r#"{"verdict": "approve", "why": "x"}"#, 422, None),
        (
            r#"{"verdict": "approve", "replaces": "x"}"#,
            409,
            Some("replaces"),
        ),
    ] {
        let problem = send(&api, &key, "POST /v1/reviews/a", body).await.problem(status);
        if let Some(field) = field {
            assert_eq!(problem["field"], field, "{body}");
        }
    }
    send(&api, &key, "GET /v1/reviews?limit=0", "").await.problem(400);
    send(&api, &key, "GET /v1/reviews?state=lost", "")
        .await
        .problem(400);
    send(&api, "a-key-of-nobody", "GET /v1/reviews", "")
        .await
        .problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn if_a_tenant_has_reviewers_no_other_key_decides() {
    let reviewer = key_of("acme-reviewer");
    let api = Api::with_reviewer(Settings::default(), ACME, &reviewer).await;
    api.log.publish(vec![waiting(ACME, "a")]).unwrap();
    let approve = r#"{"verdict": "approve"}"#;
    let other = key_of(ACME);
    send(&api, &other, "POST /v1/reviews/a", approve)
        .await
        .problem(403);
    send(&api, &other, "DELETE /v1/reviews/a", "").await.problem(403);
    let seen = send(&api, &other, "GET /v1/reviews/a", "").await.json();
    assert_eq!(seen["state"], "waiting");
    let decided = send(&api, &reviewer, "POST /v1/reviews/a", approve).await.json();
    assert_eq!(decided["state"], "approved");
}
