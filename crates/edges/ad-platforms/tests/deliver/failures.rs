//! Failing platforms, lost answers and kills.

use std::collections::BTreeSet;

use limbic_ad_platforms::testing::{Behaviour, Chaos};
use limbic_ad_platforms::{Conflict, FileSettings};
use limbic_domain::{HumanDuration, OutcomeKind, Secret, topics};

use crate::kit::{Member, Scene, decision};

#[test]
fn after_a_kill_before_the_commit_the_same_key_is_sent_again_and_has_one_effect() {
    for conflict in [false, true] {
        let scene = Scene::new(|setup| {
            setup.server.conflict = conflict;
            setup.webhook.conflict = Conflict::Delivered;
        });
        let (mut stage, mut member) = scene.with_one();
        let lost = member.tick_without_commit(&mut stage, 1_000);
        let outcomes = lost
            .records
            .iter()
            .filter(|(_, record)| &*record.topic == topics::OUTCOMES);
        assert_eq!(outcomes.count(), 1, "it was sent and answered");
        drop((stage, lost));

        let mut successor = scene.stage();
        member.tick(&mut successor, 2_000);
        let keys: Vec<_> = scene
            .server
            .received()
            .into_iter()
            .map(|received| received.key)
            .collect();
        assert_eq!(keys, [decision(1, "webhook").id, decision(1, "webhook").id]);
        assert_eq!(scene.server.effects().len(), 1);
        assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
        assert_eq!(member.pending(), 0);
    }
}

#[test]
fn a_delivery_whose_answer_is_lost_is_sent_again() {
    let scene = Scene::new(|_| {});
    scene.server.script([Behaviour::LoseAnswer, Behaviour::Reset]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    assert_eq!(
        (
            member.pending(),
            member.outcomes.len(),
            scene.server.effects().len()
        ),
        (1, 0, 1)
    );
    member.tick(&mut stage, 499);
    assert_eq!(scene.server.received().len(), 1, "not before its back-off");
    member.tick(&mut stage, 1_000);
    assert_eq!(
        (scene.server.received().len(), member.pending()),
        (2, 1),
        "reset this time"
    );
    member.tick(&mut stage, 1_000 + 2_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
    assert_eq!(scene.server.effects().len(), 1);
}

#[test]
fn a_delivery_without_an_answer_in_time_is_sent_again() {
    let scene = Scene::new(|setup| setup.webhook.timeout = HumanDuration::from_millis(200));
    scene.server.script([Behaviour::Hang]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    assert_eq!((member.pending(), member.outcomes.len()), (1, 0));
    member.tick(&mut stage, 1_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
    assert_eq!(scene.server.effects().len(), 1);
}

#[test]
fn a_rejection_is_final_and_keeps_the_platforms_message() {
    let scene = Scene::new(|_| {});
    scene
        .server
        .script([Behaviour::refuse("headline not allowed here")]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    let outcome = &member.outcomes()[0].data;
    assert_eq!(
        (outcome.kind, outcome.detail.as_deref()),
        (OutcomeKind::Refused, Some("422: headline not allowed here"))
    );
    assert_eq!(member.pending(), 0);
}

#[test]
fn a_wrong_secret_is_refused_and_never_shown() {
    let scene = Scene::new(|setup| {
        setup.webhook.secret = Some(Secret::new(format!("whsec_{}", "QUJD".repeat(8))));
        setup.webhook.headers = [("authorization".to_owned(), Secret::new("Bearer hidden"))].into();
    });
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    // The account is wrong, not the ad: it waits until somebody corrects the secret, or until it is too old.
    assert_eq!((member.pending(), member.outcomes.len()), (1, 0));
    // A longer step would be taken for a clock that jumps.
    for minutes in (0..=25 * 60).step_by(4) {
        member.tick(&mut stage, minutes * 60_000);
    }
    let detail = member.outcomes()[0].data.detail.clone().unwrap();
    assert!(detail.ends_with("401: no valid signature"), "{detail}");
    assert_eq!(
        scene.server.received()[0].headers["authorization"],
        "Bearer hidden"
    );
    let shown = format!(
        "{:?} {}",
        scene.webhook,
        serde_json::to_string(&scene.webhook).unwrap()
    );
    assert!(!shown.contains("QUJD") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn a_throttle_pauses_the_whole_platform_as_long_as_it_asks_and_counts_as_an_attempt() {
    let scene = Scene::new(|setup| setup.deliver.attempts = 3);
    scene.server.script([
        Behaviour::throttle("30"),
        Behaviour::throttle("Thu, 01 Jan 1970 00:01:10 GMT"),
    ]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 1_000);
    member.process(&mut stage, vec![decision(2, "webhook").encode()]);
    member.tick(&mut stage, 30_999);
    assert_eq!(scene.server.received().len(), 1, "the other waits too");
    member.tick(&mut stage, 31_000);
    assert!(member.outcomes.len() <= 1 && scene.server.received().len() <= 3);
    member.tick(&mut stage, 69_999);
    assert!(scene.server.received().len() <= 3, "until the date it named");
    member.tick(&mut stage, 70_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered, OutcomeKind::Delivered]);
}

#[test]
fn a_delivery_to_a_failing_platform_ends_with_a_reason() {
    let scene = Scene::new(|setup| {
        setup.deliver.attempts = 3;
        setup.deliver.circuit_failures = 100;
    });
    scene.server.script([
        Behaviour::status(500),
        Behaviour::status(503),
        Behaviour::status(408),
    ]);
    let (mut stage, mut member) = scene.with_one();
    for now in [0, 10_000, 20_000, 30_000] {
        member.tick(&mut stage, now);
    }
    assert_eq!(scene.server.received().len(), 3);
    let outcome = &member.outcomes()[0].data;
    assert_eq!(outcome.kind, OutcomeKind::Refused);
    assert_eq!(
        outcome.detail.as_deref(),
        Some("gave_up: 3 attempts failed within 20 s; last: 408")
    );
    assert_eq!(member.pending(), 0);
}

#[test]
fn endless_throttling_ends_after_the_time_limit() {
    let scene = Scene::new(|setup| setup.deliver.give_up_after = HumanDuration::from_secs(100));
    scene
        .server
        .script([Behaviour::throttle("60"), Behaviour::throttle("60")]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    member.tick(&mut stage, 60_000);
    let detail = member.outcomes()[0].data.detail.clone().unwrap();
    assert!(
        detail.starts_with("gave_up: 2 attempts failed within 60 s; last: 429"),
        "{detail}"
    );
}

#[test]
fn a_circuit_breaker_opens_probes_and_closes_without_delaying_other_platforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    let scene = Scene::new(|setup| {
        setup.deliver.circuit_failures = 3;
        setup.deliver.circuit_rest = HumanDuration::from_secs(50);
        setup.webhook.concurrency = 1;
        setup.file = Some(FileSettings {
            path: path.clone(),
            ..FileSettings::default()
        });
    });
    scene.server.script(vec![Behaviour::status(500); 4]);
    let (mut stage, mut member) = (scene.stage(), Member::default());
    let values = (0..10).map(|n| decision(n, if n == 9 { "file" } else { "webhook" }).encode());
    member.process(&mut stage, values.collect());
    member.tick(&mut stage, 0);
    assert_eq!(scene.server.received().len(), 3, "then the circuit opened");
    assert_eq!(
        member.kinds(),
        [OutcomeKind::Delivered],
        "the file platform is not affected"
    );
    member.tick(&mut stage, 49_999);
    assert_eq!(scene.server.received().len(), 3);
    member.tick(&mut stage, 50_000);
    assert_eq!(scene.server.received().len(), 4, "one probe, which failed");
    for _ in 0..10 {
        // A slow machine may need more than one tick.
        member.tick(&mut stage, 100_000);
    }
    assert_eq!(member.kinds(), vec![OutcomeKind::Delivered; 10]);
    assert_eq!(scene.server.effects().len(), 9);
}

#[test]
fn with_random_failures_and_kills_every_decision_has_one_outcome_and_one_effect() {
    const DECISIONS: usize = 60;
    let scene = Scene::new(|setup| {
        setup.server.chaos = Chaos {
            seed: 7,
            refuse: 50,
            throttle: 100,
            fail: 100,
            lose_answer: 150,
            reset: 100,
        };
        setup.deliver.attempts = 1_000;
        setup.deliver.circuit_rest = HumanDuration::from_millis(1);
        setup.deliver.backoff = HumanDuration::from_millis(1);
    });
    let mut member = Member::default();
    let mut stage = scene.stage();
    member.process(
        &mut stage,
        (0..DECISIONS).map(|n| decision(n, "webhook").encode()).collect(),
    );
    for round in 0..2_000_i64 {
        if member.pending() == 0 {
            break;
        }
        let now = round * 1_000_000;
        if round % 3 == 1 {
            let _lost = member.tick_without_commit(&mut stage, now);
            stage = scene.stage();
        } else {
            member.tick(&mut stage, now);
        }
    }
    assert_eq!(member.pending(), 0);
    let outcomes = member.outcomes();
    let ids: BTreeSet<_> = outcomes
        .iter()
        .map(|outcome| outcome.data.decision.clone())
        .collect();
    assert_eq!(
        (ids.len(), outcomes.len()),
        (DECISIONS, DECISIONS),
        "one outcome each"
    );
    let delivered: BTreeSet<_> = outcomes
        .iter()
        .filter(|outcome| outcome.data.kind == OutcomeKind::Delivered)
        .map(|outcome| outcome.data.decision.clone())
        .collect();
    let effects = scene.server.effects();
    assert_eq!(
        effects
            .iter()
            .map(|(key, _)| key.clone())
            .collect::<BTreeSet<_>>(),
        delivered
    );
    assert_eq!(effects.len(), delivered.len(), "one effect each");
    assert!(
        scene.server.received().len() > DECISIONS && delivered.len() < DECISIONS,
        "some attempts failed"
    );
}
