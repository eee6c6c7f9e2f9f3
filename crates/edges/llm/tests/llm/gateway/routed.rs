//! Routes, failover, retries, breakers, hedging.

use std::time::Duration;

use limbic_domain::{HumanDuration, Micros};
use limbic_llm::gateway::{Gateway, GatewayError, Source};
use limbic_stream::outbox::Answer;

use super::kit::{REPLY, Scene, ask, highest_cost, tenant, until_paused, watched};
use crate::server::{Act, End, Fault, schema};

/// Attempts that run at the first provider.
fn in_flight(gateway: &Gateway) -> u64 {
    gateway.providers()[0].attempts.as_ref().unwrap().in_flight
}

/// Attempts at the first provider that gave no text.
fn failed(gateway: &Gateway) -> u64 {
    gateway.providers()[0].attempts.as_ref().unwrap().failed
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn each_provider_gets_its_own_name_of_the_model_and_the_next_one_is_asked_after_a_failure() {
    for act in [
        Act::Error(Fault::Server),
        Act::Error(Fault::Throttled),
        Act::Error(Fault::Exhausted),
        Act::Error(Fault::NoModel),
        Act::Error(Fault::Invalid),
        Act::Raw("data: {\"cho\n\n"),
    ] {
        let scene = Scene::new();
        let gateway = scene.open();
        scene.a.will(act);
        let outcome = scene.text(&gateway, ask("ads"));
        assert_eq!(outcome.answered.provider.as_str(), "b");
        assert_eq!(outcome.source, Source::Provider);
        assert_eq!(scene.a.requests()[0].1["model"], "model-a");
        assert_eq!(scene.b.requests()[0].1["model"], "model-b");
        assert_eq!(scene.a.requests().len(), 1, "no provider is asked again unasked");
    }
}

#[test]
fn a_text_that_breaks_off_begins_again_at_the_next_provider_and_its_cost_counts() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Break(vec!["Cold ", "br"]));
    let (result, shown) = scene.ask(&gateway, ask("ads"));
    let outcome = result.unwrap();
    assert_eq!(shown, "Cold br<Warm bread.");
    assert_eq!(outcome.answered.generated.text, "Warm bread.");
    // It is not known what the first provider counts.
    let unknown = i64::try_from(highest_cost()).unwrap();
    assert_eq!(outcome.cost(), Micros(unknown + REPLY));
    let (spending, _) = gateway.spending(&tenant("acme"));
    assert_eq!(
        (spending.settled, spending.unknown),
        (REPLY.unsigned_abs(), highest_cost())
    );
}

#[test]
fn a_provider_is_asked_again_only_if_it_says_so_and_after_the_wait_that_it_names() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Error(Fault::Throttled));
    let asked = scene.runtime.spawn(watched(gateway.clone(), ask("alone")));
    until_paused(&gateway, 0);
    scene.clock.advance(seconds(19));
    // Another request is not sent while the provider wants none.
    let (refused, _) = scene.ask(&gateway, ask("alone"));
    assert!(!asked.is_finished());
    let Err(GatewayError::Failed { detail, wait }) = refused else {
        panic!("{refused:?}");
    };
    assert!(detail.contains("a/model-a: it is paused for 1 s"), "{detail}");
    assert_eq!(wait, Some(seconds(1)));
    assert_eq!(scene.a.requests().len(), 1);
    scene.clock.advance(seconds(1));
    let (result, _) = scene.runtime.block_on(asked).unwrap();
    assert_eq!(result.unwrap().cost(), Micros(REPLY));
    assert_eq!(scene.a.requests().len(), 2);

    scene.a.will(Act::Error(Fault::Server));
    let (failed, _) = scene.ask(&gateway, ask("alone"));
    assert!(
        matches!(&failed, Err(GatewayError::Failed { wait: None, .. })),
        "{failed:?}"
    );
    assert_eq!(
        scene.a.requests().len(),
        3,
        "a server error does not ask for another attempt"
    );
}

#[test]
fn a_wait_beyond_the_deadline_is_told_to_the_caller() {
    let mut scene = Scene::new();
    scene.settings.deadline = HumanDuration::from_secs(10);
    let gateway = scene.open();
    scene.a.will(Act::Error(Fault::Throttled));
    let (failed, _) = scene.ask(&gateway, ask("alone"));
    assert_eq!(failed.unwrap_err().wait(), Some(seconds(20)));
}

#[test]
fn an_empty_account_is_left_alone_until_it_has_cooled_down_and_then_tested_once() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Error(Fault::Exhausted));
    scene.text(&gateway, ask("ads"));
    let report = &gateway.providers()[0];
    assert_eq!((report.name.as_str(), report.state.state), ("a", "paused"));
    assert_eq!(report.state.paused_seconds, Some(300));
    assert!(
        report
            .attempts
            .as_ref()
            .unwrap()
            .problem
            .as_ref()
            .unwrap()
            .contains("quota"),
        "{report:?}"
    );
    scene.clock.advance(seconds(299));
    scene.text(&gateway, ask("ads"));
    assert_eq!((scene.a.requests().len(), scene.b.requests().len()), (1, 2));
    scene.clock.advance(seconds(1));
    let outcome = scene.text(&gateway, ask("ads"));
    assert_eq!(outcome.answered.provider.as_str(), "a");
    assert_eq!(gateway.providers()[0].state.state, "open");
}

#[test]
fn a_provider_that_keeps_failing_is_not_asked_for_a_while() {
    let scene = Scene::new();
    let gateway = scene.open();
    for _ in 0..5 {
        scene.a.will(Act::Error(Fault::Server));
        scene.text(&gateway, ask("ads"));
    }
    scene.text(&gateway, ask("ads"));
    assert_eq!((scene.a.requests().len(), scene.b.requests().len()), (5, 6));
    scene.clock.advance(seconds(15));
    scene.text(&gateway, ask("ads"));
    assert_eq!(scene.a.requests().len(), 6);
}

#[test]
fn what_one_provider_refuses_no_other_one_is_asked_to_write() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Text(vec!["I"], End::Refused));
    let (refused, _) = scene.ask(&gateway, ask("ads"));
    assert!(
        matches!(refused, Err(GatewayError::Refused { .. })),
        "{refused:?}"
    );
    assert!(scene.b.requests().is_empty());
    let (spending, _) = gateway.spending(&tenant("acme"));
    assert_eq!(spending.settled, REPLY.unsigned_abs(), "it was paid");
}

#[test]
fn a_request_that_every_provider_rejects_is_not_worth_another_attempt() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Error(Fault::Invalid));
    scene.b.will(Act::Error(Fault::Invalid));
    let (rejected, _) = scene.ask(&gateway, ask("ads"));
    let rejected = rejected.unwrap_err();
    assert!(
        matches!(&rejected, GatewayError::Rejected { detail } if detail.contains("b/model-b: 400")),
        "{rejected:?}"
    );
    assert!(matches!(rejected.into_answer(), Answer::Rejected { .. }));

    // A provider that fails can still give a text later.
    scene.a.will(Act::Error(Fault::Invalid));
    scene.b.will(Act::Error(Fault::Server));
    let (failed, _) = scene.ask(&gateway, ask("ads"));
    assert!(matches!(failed, Err(GatewayError::Failed { .. })), "{failed:?}");

    // So can one that is paused.
    scene.a.will(Act::Error(Fault::Invalid));
    scene.b.will(Act::Error(Fault::Exhausted));
    scene.ask(&gateway, ask("ads")).0.unwrap_err();
    scene.a.will(Act::Error(Fault::Invalid));
    let (failed, _) = scene.ask(&gateway, ask("ads"));
    assert_eq!(failed.unwrap_err().wait(), Some(seconds(300)));
}

#[test]
fn a_slow_provider_is_hedged_and_the_first_text_counts() {
    let mut scene = Scene::new();
    scene.settings.hedge_after = HumanDuration::from_secs(2);
    let gateway = scene.open();
    scene.a.will(Act::Hang);
    let asked = scene.runtime.spawn(watched(gateway.clone(), ask("ads")));
    scene.runtime.block_on(scene.a.has_received(1));
    assert!(scene.b.requests().is_empty());
    scene.clock.advance(seconds(2));
    let (result, shown) = scene.runtime.block_on(asked).unwrap();
    assert_eq!(result.unwrap().answered.provider.as_str(), "b");
    assert_eq!(shown, "Warm bread.", "nothing was shown twice");
    assert_eq!(in_flight(&gateway), 0, "the slow attempt has ended");
    let (spending, _) = gateway.spending(&tenant("acme"));
    assert_eq!((spending.unknown, spending.held), (highest_cost(), 0));
}

#[test]
fn a_request_ends_at_its_deadline() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Stall(vec!["Warm "]));
    let asked = scene.runtime.spawn(watched(gateway.clone(), ask("ads")));
    scene.runtime.block_on(scene.a.has_received(1));
    scene.clock.advance(seconds(60));
    let (late, _) = scene.runtime.block_on(asked).unwrap();
    let message = late.unwrap_err().to_string();
    assert!(message.contains("no text within llm.deadline"), "{message}");
    assert_eq!(in_flight(&gateway), 0);
    assert_eq!(failed(&gateway), 1, "the provider did not finish");
    let (spending, _) = gateway.spending(&tenant("acme"));
    assert_eq!((spending.unknown, spending.held), (highest_cost(), 0));
}

#[test]
fn a_provider_that_hangs_fails_and_the_next_one_is_asked_before_the_deadline() {
    let mut scene = Scene::new();
    scene.settings.breaker.failures = 1;
    let gateway = scene.open();
    scene.a.will(Act::Hang);
    let asked = scene.runtime.spawn(watched(gateway.clone(), ask("ads")));
    scene.runtime.block_on(scene.a.has_received(1));
    assert!(scene.b.requests().is_empty());
    scene.clock.advance(seconds(10));
    let (result, shown) = scene.runtime.block_on(asked).unwrap();
    let outcome = result.unwrap();
    assert_eq!(
        (outcome.answered.provider.as_str(), shown.as_str()),
        ("b", "Warm bread.")
    );
    let unknown = i64::try_from(highest_cost()).unwrap();
    assert_eq!(outcome.cost(), Micros(unknown + REPLY));
    let report = &gateway.providers()[0];
    assert_eq!(
        (report.state.state, failed(&gateway), in_flight(&gateway)),
        ("paused", 1, 0)
    );
    assert_eq!(
        report.attempts.as_ref().unwrap().problem.as_deref(),
        Some("no text within llm.first_text_within")
    );
}

#[test]
fn a_reply_that_should_be_json_and_is_not_is_asked_for_elsewhere() {
    let scene = Scene::new();
    let gateway = scene.open();
    let mut wanted = ask("ads");
    wanted.request.schema = Some(schema());
    scene
        .a
        .will(Act::Text(vec!["Here is", " your JSON"], End::Complete));
    scene
        .b
        .will(Act::Text(vec!["{\"line\": ", "\"Warm\"}"], End::Complete));
    let (result, shown) = scene.ask(&gateway, wanted);
    let outcome = result.unwrap();
    assert_eq!(outcome.answered.generated.text, "{\"line\": \"Warm\"}");
    assert_eq!(shown, "Here is your JSON<{\"line\": \"Warm\"}");
    assert_eq!(outcome.cost(), Micros(2 * REPLY), "both were paid");
}

#[test]
fn unknown_models_and_invalid_requests_are_refused_with_a_correction() {
    let scene = Scene::new();
    let gateway = scene.open();
    let wrong = |change: &dyn Fn(&mut limbic_llm::gateway::Ask)| {
        let mut wrong = ask("ads");
        change(&mut wrong);
        scene.ask(&gateway, wrong).0.unwrap_err().to_string()
    };
    let message = wrong(&|ask| ask.request.model = "nothing".to_owned());
    assert!(
        message.contains("the models are ads, alone, a/MODEL, b/MODEL"),
        "{message}"
    );
    for (message, field) in [
        (wrong(&|ask| ask.request.prompt = " ".to_owned()), "prompt: "),
        (wrong(&|ask| ask.request.max_tokens = 0), "max_tokens: "),
        (
            wrong(&|ask| ask.request.temperature = Some(f64::NAN)),
            "temperature: ",
        ),
        (
            wrong(&|ask| ask.key = Some("two words".to_owned())),
            "idempotency-key: ",
        ),
    ] {
        assert!(message.starts_with(field), "{message}");
    }
    assert!(scene.a.requests().is_empty());
}
