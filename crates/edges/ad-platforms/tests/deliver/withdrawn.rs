//! Ads that are withdrawn or paused after the decision.

use limbic_ad_platforms::FilePlatform;
use limbic_ad_platforms::testing::Behaviour;
use limbic_deliver::{Answer, Pause};
use limbic_domain::{
    Envelope, HoldCause, HumanDuration, OutcomeKind, Pseudonym, Release, TenantId, Utc, Withdrawal, topics,
};
use serde_json::json;

use limbic_deliver::AdPlatform as _;

use crate::kit::{Member, Scene, decision, delivery, progress, references, slug};

#[test]
fn an_ad_to_somebody_who_took_a_post_back_after_the_decision_is_withdrawn() {
    let withdrawal = |person: &str| {
        let tenant = TenantId::new("mine").unwrap();
        let person: Pseudonym = person.parse().unwrap();
        let deleted_at = Utc::from_millis(2_000);
        let key = Withdrawal::key(&tenant, &person);
        let data = Withdrawal { person, deleted_at };
        let envelope = Envelope::new(tenant, "w".into(), deleted_at, data);
        references([]).with(topics::WITHDRAWALS, [(key, envelope.encode())])
    };
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.references = withdrawal(&"a".repeat(32));
    member.tick(&mut stage, 60_000);
    assert_eq!((scene.server.received().len(), member.pending()), (0, 0));
    let outcome = &member.outcomes()[0].data;
    assert_eq!(outcome.kind, OutcomeKind::Withdrawn);
    let detail = outcome.detail.as_deref().unwrap();
    assert!(detail.contains("deleted a post"), "{detail}");

    let (mut stage, mut member) = scene.with_one();
    member.references = withdrawal(&"b".repeat(32));
    member.tick(&mut stage, 60_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered], "it was somebody else");
}

#[test]
fn an_ad_whose_subject_is_put_on_hold_after_the_decision_is_withdrawn() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.hold();
    member.tick(&mut stage, 60_000);
    assert_eq!(
        (scene.server.received().len(), member.pending()),
        (0, 0),
        "it was never sent"
    );
    let outcome = &member.outcomes()[0];
    assert_eq!(
        (outcome.data.kind, outcome.data.key.as_str()),
        (OutcomeKind::Withdrawn, "deliver/webhook")
    );
    assert!(
        outcome
            .data
            .detail
            .as_ref()
            .unwrap()
            .contains("5 were read as reports of a death"),
        "{outcome:?}"
    );
    // What is decided later for the same subject is not sent either, until the hold is over.
    let mut after = decision(2, "webhook");
    after.at = Utc::from_millis(86_401_000);
    member.process(&mut stage, vec![decision(3, "webhook").encode(), after.encode()]);
    member.tick(&mut stage, 61_000);
    assert_eq!(
        member.kinds(),
        [
            OutcomeKind::Withdrawn,
            OutcomeKind::Withdrawn,
            OutcomeKind::Delivered
        ]
    );
}

#[test]
fn a_delivered_ad_is_paused_once_when_its_subject_is_put_on_hold() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 60_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
    member.tick(&mut stage, 61_000);
    member.hold();
    // The first tick finds the hold; a process that is killed there asks again.
    let lost = member.tick_without_commit(&mut stage, 62_000);
    drop((stage, lost));
    let mut stage = scene.stage();
    for now in [62_000, 62_100, 62_200] {
        member.tick(&mut stage, now);
    }
    assert_eq!(member.kinds(), [OutcomeKind::Delivered, OutcomeKind::Paused]);
    let id = decision(1, "webhook").id;
    let paused = &member.outcomes()[1];
    assert_eq!(
        (paused.data.decision.as_str(), paused.data.key.as_str()),
        (id.as_str(), "pause/webhook")
    );
    let received = scene.server.received();
    let [_, pause] = &received[..] else {
        panic!("one delivery and one pause: {}", received.len());
    };
    assert_eq!(pause.headers["idempotency-key"], format!("{id}.pause"));
    let body: serde_json::Value = serde_json::from_slice(&pause.body).unwrap();
    assert_eq!(
        (&body["type"], &body["decision"]),
        (&json!("ad.paused"), &json!(id))
    );
    assert!(body.get("people").is_none(), "a pause names no person");
}

#[test]
fn a_suspicion_withdraws_an_ad_that_waits_and_leaves_those_that_run() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 60_000);
    member.hold_because(HoldCause::Suspected, "football", None);
    member.process(&mut stage, vec![decision(2, "webhook").encode()]);
    for now in [61_000, 61_100, 61_200] {
        member.tick(&mut stage, now);
    }
    assert_eq!(member.kinds(), [OutcomeKind::Delivered, OutcomeKind::Withdrawn]);
}

#[test]
fn a_hold_on_a_brand_of_the_campaign_withdraws_and_pauses_once() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 60_000);
    member.hold_on("acme", None);
    member.process(&mut stage, vec![decision(2, "webhook").encode()]);
    for tick in 1..4 {
        member.tick(&mut stage, 60_000 + tick);
    }
    assert_eq!(
        member.kinds(),
        [
            OutcomeKind::Delivered,
            OutcomeKind::Withdrawn,
            OutcomeKind::Paused
        ]
    );
    // Nothing is left of the ad that a hold on its audience's subject could pause again.
    member.hold();
    member.tick(&mut stage, 61_000);
    member.tick(&mut stage, 61_001);
    assert_eq!(member.kinds().len(), 3);
    let running = member.state.keys().filter(|key| key.starts_with(b"running/"));
    assert_eq!(running.count(), 0);
}

#[test]
fn a_released_hold_stops_nothing() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    let release = Release {
        at: Utc::from_millis(2_000),
        by: "anonymous".into(),
        reason: None,
    };
    member.hold_on("football", Some(release));
    member.tick(&mut stage, 60_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
}

#[test]
fn an_ad_whose_run_has_ended_is_not_paused() {
    let scene = Scene::new(|setup| setup.deliver.runs_for = HumanDuration::from_mins(1));
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    member.tick(&mut stage, 60_000);
    member.hold();
    member.tick(&mut stage, 60_100);
    member.tick(&mut stage, 60_200);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
    assert_eq!(scene.server.received().len(), 1);
}

#[test]
fn an_ad_withdrawn_after_an_attempt_with_a_lost_answer_is_also_paused() {
    let scene = Scene::new(|_| {});
    scene.server.script([Behaviour::LoseAnswer]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    assert_eq!((member.pending(), scene.server.effects().len()), (1, 1));
    member.hold();
    member.tick(&mut stage, 2_000);
    member.tick(&mut stage, 2_100);
    assert_eq!(member.kinds(), [OutcomeKind::Withdrawn, OutcomeKind::Paused]);
    let keys: Vec<_> = scene
        .server
        .received()
        .into_iter()
        .map(|received| received.key)
        .collect();
    let id = decision(1, "webhook").id;
    assert_eq!(keys, [id.clone(), format!("{id}.pause")]);
}

#[test]
fn a_new_delivery_waits_for_the_second_look_and_does_not_block_others() {
    let scene = Scene::new(|setup| {
        setup.deliver.second_look = HumanDuration::from_secs(2);
        setup.deliver.batch = 1;
    });
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 10_000);
    member.tick(&mut stage, 11_000);
    member.process(&mut stage, vec![decision(2, "webhook").encode()]);
    member.tick(&mut stage, 11_900);
    assert_eq!(scene.server.received().len(), 0, "both wait");
    member.tick(&mut stage, 12_000);
    assert_eq!(
        scene.server.received().len(),
        1,
        "the first one waited long enough"
    );
    member.tick(&mut stage, 13_900);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered, OutcomeKind::Delivered]);
}

#[test]
fn an_ad_waits_while_accepted_posts_are_unread_and_is_withdrawn_if_that_lasts() {
    let scene = Scene::new(|setup| {
        setup.deliver.max_unread = HumanDuration::from_secs(10);
        setup.deliver.unread_wait = HumanDuration::from_mins(1);
    });
    let (mut stage, mut member) = scene.with_one();
    member.references = progress(100_000, 80_000);
    for now in [100_000, 110_000, 159_000] {
        member.tick(&mut stage, now);
        assert_eq!((scene.server.received().len(), member.pending()), (0, 1));
    }
    // The posts are read, and none of them stops the ad. A restart changes nothing.
    let mut read = scene.stage();
    let mut others = Member {
        state: member.state.clone(),
        ..Member::default()
    };
    others.references = progress(170_000, 165_000);
    others.tick(&mut read, 160_500);
    assert_eq!(others.kinds(), [OutcomeKind::Delivered]);
    // They are not read in time.
    member.tick(&mut stage, 160_500);
    assert_eq!(member.pending(), 0);
    let outcome = &member.outcomes()[0];
    assert_eq!(outcome.data.kind, OutcomeKind::Withdrawn);
    let detail = outcome.data.detail.as_deref().unwrap();
    assert!(
        detail.contains("partition 1") && detail.contains("60 s"),
        "{detail}"
    );
    assert_eq!(scene.server.received().len(), 1);
}

#[test]
fn a_file_records_each_pause_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    let pause = Pause::new(
        &delivery(1).decision,
        Utc::from_millis(1),
        &TenantId::new("mine").unwrap(),
        &slug("spring"),
        "Why.".to_owned(),
    );
    for _ in 0..2 {
        // Opened again, the file knows what it holds.
        let platform = FilePlatform::open(&path).unwrap();
        platform.deliver(&[&delivery(1)], Utc::from_millis(2));
        assert_eq!(
            platform.pause(&[&pause, &pause], Utc::from_millis(3)),
            vec![Answer::Applied(()); 2]
        );
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let kinds: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].to_string())
        .collect();
    assert_eq!(kinds, ["\"ad.decided\"", "\"ad.paused\""]);
}
