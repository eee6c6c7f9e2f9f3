//! From decisions to outcomes.

use std::collections::BTreeSet;

use limbic_ad_platforms::{WebhookPlatform, WebhookSettings};
use limbic_component::Component as _;
use limbic_domain::{DecisionResult, OutcomeKind, Suppressed, SuppressedBy, Utc, event_id, topics};
use limbic_stream::{Outputs, header};

use limbic_stream::Stage as _;

use crate::kit::{Member, SECRET, Scene, decision};

#[test]
fn a_decision_is_delivered_and_its_outcome_written_in_one_transaction() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    assert_eq!(
        (member.pending(), scene.server.received().len()),
        (1, 0),
        "nothing is sent before it is in the outbox"
    );
    member.tick(&mut stage, 60_000);
    assert_eq!(member.pending(), 0);

    let id = decision(1, "webhook").id;
    let outcome = &member.outcomes()[0];
    assert_eq!(
        (outcome.data.kind, outcome.data.decision.as_str()),
        (OutcomeKind::Delivered, id.as_str())
    );
    assert_eq!(outcome.data.key, "deliver/webhook");
    assert_eq!(outcome.id, event_id("outcome", &[&id, "deliver/webhook"]));
    assert_eq!(
        (outcome.at, outcome.tenant.as_str()),
        (Utc::from_millis(60_000), "mine")
    );
    let written = &member.outcomes[0];
    assert_eq!(
        (&*written.topic, &written.key[..]),
        (topics::OUTCOMES, &b"mine/spring"[..])
    );
    assert_eq!(
        written.headers.text(header::TRACE_PARENT),
        Some("00-1-2-01"),
        "the outcome continues the trace"
    );

    let received = &scene.server.received()[0];
    assert_eq!(received.headers["idempotency-key"], id);
    assert_eq!(received.headers["webhook-timestamp"], "60");
    assert!(!received.headers["webhook-id"].contains('.'));
    let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
    let fields: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let told = [
        "audience",
        "campaign",
        "creative",
        "decision",
        "people",
        "price",
        "tenant",
        "timestamp",
        "type",
    ];
    assert_eq!(fields, told.into(), "no feeling, no score, no propensity");
    member.tick(&mut stage, 61_000);
    assert_eq!(
        (scene.server.received().len(), member.outcomes.len()),
        (1, 1),
        "it is sent only once"
    );
}

#[test]
fn a_decision_that_no_platform_can_deliver_is_a_dead_letter() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = (scene.stage(), Member::default());
    let mut suppressed = decision(1, "webhook");
    suppressed.data.result = DecisionResult::Suppressed(Suppressed {
        rule: "r".into(),
        reason: "R.".into(),
        by: SuppressedBy::SafetyGate("gate-1".into()),
    });
    // Neither chosen nor suppressed, because it claims to be both.
    let contradiction = String::from_utf8(decision(2, "webhook").encode()).unwrap();
    let contradiction = contradiction.replace(
        r#""result":{"#,
        r#""result":{"suppressed":{"rule":"r","reason":"R.","by":{"safety_gate":"gate-1"}},"#,
    );
    let mut nobody = decision(3, "webhook");
    let DecisionResult::Chosen(chosen) = &mut nobody.data.result else {
        panic!("{nobody:?}");
    };
    chosen.people.clear();
    let mut wrong_id = decision(4, "webhook");
    wrong_id.id = "x".into();
    let mut truncated = decision(5, "webhook").encode();
    truncated.truncate(40);
    let values = vec![
        suppressed.encode(),
        contradiction.into_bytes(),
        nobody.encode(),
        wrong_id.encode(),
        truncated,
        decision(6, "elsewhere").encode(),
        b"\xff".to_vec(),
        decision(7, "webhook").encode(),
        decision(7, "webhook").encode(),
    ];
    member.process(&mut stage, values);
    let expected = [
        (1, "malformed"),
        (2, "nobody"),
        (3, "malformed"),
        (4, "malformed"),
        (5, "unknown_platform"),
        (6, "malformed"),
    ];
    assert_eq!(
        member.dead, expected,
        "a suppression is not a dead letter: there is nothing to deliver"
    );
    member.tick(&mut stage, 0);
    assert_eq!(
        scene.server.effects().len(),
        1,
        "only the valid decision is delivered"
    );
}

#[test]
fn an_outbox_entry_of_a_later_version_stops_the_stage_and_is_kept() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    let entries: Vec<_> = member
        .state
        .entries()
        .map(|(partition, key, value)| (partition, key.clone(), value.clone()))
        .collect();
    for (partition, key, value) in entries {
        if key.starts_with(b"outbox/e/") {
            let value = String::from_utf8(value.to_vec()).unwrap();
            member
                .state
                .put(partition, key, value.replace("{\"v\":1", "{\"v\":2"));
        }
    }
    let mut out = Outputs::with_references(&member.state, &member.references);
    let error = stage.tick(&[0, 1, 2], Utc::from_millis(0), &mut out).unwrap_err();
    assert!(error.message.contains("upgrade"), "{error}");
}

#[test]
fn webhook_settings_are_read_from_toml_and_invalid_ones_are_refused() {
    let checks = |text: &str| {
        let webhook = toml::from_str::<WebhookSettings>(text).map_err(|error| error.to_string())?;
        WebhookPlatform::check(&webhook).map_err(|error| error.to_string())
    };
    let good = format!(
        "url = \"https://example.com/ads\"\nsecret = \"{SECRET}\"\nconcurrency = 4\nheaders.authorization = \"Bearer x\"\n"
    );
    assert_eq!(checks(&good), Ok(()));
    let with = |rest: &str| format!("url = \"https://example.com\"\n{rest}");
    for (bad, said) in [
        ("url = \"\"".to_owned(), "url: is empty"),
        ("url = \"nonsense\"".to_owned(), "not a URL"),
        ("url = \"ftp://example.com\"".to_owned(), "use https"),
        ("url = \"https://u:p@example.com\"".to_owned(), "password"),
        (with("secret = \"short\""), "whsec_"),
        (with("headers.webhook-id = \"x\""), "headers.webhook-id"),
        (with("timeout = \"0s\""), "timeout = 0s"),
        (with("path = \"x\""), "unknown field"),
    ] {
        let error = checks(&bad).unwrap_err();
        assert!(error.contains(said), "`{said}` is not in: {error}");
        assert!(!error.contains("short\""), "{error}");
    }
}
