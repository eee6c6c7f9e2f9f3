//! A request with an idempotency key is paid once.

use std::time::Duration;

use limbic_domain::{HumanDuration, Micros, Utc};
use limbic_llm::Generate;
use limbic_llm::gateway::{GatewaySender, Ledger, Source};
use limbic_stream::outbox::{Answer, Call, Conclusion, Enqueue, Limits, Outbox, Sender as _};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Batch, Outputs, Stage, StageError};

use super::kit::{REPLY, Scene, ask, highest_cost, keyed, tenant, until_paused, watched};
use crate::server::{Act, End, Fault};

/// What the ledger says that a request has cost.
fn cost(scene: &Scene, key: &str) -> (i64, u64) {
    let now = Utc::from_millis(0);
    let (ledger, _) = scene
        .runtime
        .block_on(Ledger::open(scene.folder.path(), i64::MAX, now))
        .unwrap();
    let used = scene.runtime.block_on(ledger.cost(&tenant("acme"), key)).unwrap();
    (i64::try_from(used.settled).unwrap(), used.unknown)
}

#[test]
fn the_same_key_gives_the_same_result_also_after_a_restart_and_never_that_of_another_tenant() {
    let scene = Scene::new();
    let gateway = scene.open();
    let first = scene.text(&gateway, keyed("ads", "draft-1"));
    assert_eq!((first.source, first.cost()), (Source::Provider, Micros(REPLY)));
    scene.a.will(Act::Text(vec!["Another."], End::Complete));
    let again = scene.text(&gateway, keyed("ads", "draft-1"));
    assert_eq!((again.source, again.cost()), (Source::Repeated, Micros(0)));
    assert_eq!(again.answered.generated, first.answered.generated);
    drop(gateway);
    let gateway = scene.open();
    let restarted = scene.text(&gateway, keyed("ads", "draft-1"));
    assert_eq!(restarted.source, Source::Repeated);
    assert_eq!(restarted.answered, again.answered);
    assert_eq!(scene.a.requests().len(), 1);
    let mut other = keyed("ads", "draft-1");
    other.tenant = tenant("best");
    assert_eq!(scene.text(&gateway, other).answered.generated.text, "Another.");
    assert_eq!(cost(&scene, "draft-1"), (REPLY, 0));
}

#[test]
fn a_second_request_with_the_key_of_a_running_one_waits_for_it() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Error(Fault::Throttled));
    let first = scene
        .runtime
        .spawn(watched(gateway.clone(), keyed("alone", "draft-1")));
    until_paused(&gateway, 0);
    let second = scene
        .runtime
        .spawn(watched(gateway.clone(), keyed("alone", "draft-1")));
    scene.clock.advance(Duration::from_secs(20));
    for one in [first, second] {
        let (result, shown) = scene.runtime.block_on(one).unwrap();
        assert_eq!(shown, "Warm bread.");
        result.unwrap();
    }
    assert_eq!(scene.a.requests().len(), 2, "one that was throttled, and one");
    assert_eq!(cost(&scene, "draft-1"), (REPLY, 0));
}

#[test]
fn a_request_whose_caller_goes_away_is_finished_and_its_result_kept() {
    let scene = Scene::new();
    let gateway = scene.open();
    let gone = scene
        .runtime
        .spawn(watched(gateway.clone(), keyed("ads", "draft-1")));
    scene.runtime.block_on(scene.a.has_received(1));
    gone.abort();
    let outcome = scene.text(&gateway, keyed("ads", "draft-1"));
    assert_eq!(outcome.answered.generated.text, "Warm bread.");
    assert_eq!(scene.a.requests().len(), 1);
}

#[test]
fn a_process_that_ends_during_an_attempt_has_its_highest_cost_counted_as_unknown_and_settles_the_repeated_one_once()
 {
    let mut scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Stall(vec!["Warm "]));
    drop(
        scene
            .runtime
            .spawn(watched(gateway.clone(), keyed("alone", "draft-1"))),
    );
    scene.runtime.block_on(scene.a.has_received(1));
    // The process ends: no task runs any more.
    drop(gateway);
    let ended = std::mem::replace(&mut scene.runtime, tokio::runtime::Runtime::new().unwrap());
    ended.shutdown_timeout(Duration::from_secs(10));

    let gateway = scene.open();
    let (spending, _) = gateway.spending(&tenant("acme"));
    assert_eq!(
        (spending.settled, spending.unknown, spending.held),
        (0, highest_cost(), 0)
    );
    let outcome = scene.text(&gateway, keyed("alone", "draft-1"));
    assert_eq!(outcome.cost(), Micros(REPLY));
    let (spending, _) = gateway.spending(&tenant("acme"));
    assert_eq!(
        (spending.settled, spending.unknown),
        (REPLY.unsigned_abs(), highest_cost())
    );
    assert_eq!(cost(&scene, "draft-1"), (REPLY, highest_cost()));
    // Both attempts had the same key, so that a provider that honours it counts once.
    let keys: Vec<_> = scene
        .a
        .requests()
        .iter()
        .map(|(headers, _)| headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn the_result_of_a_request_that_succeeds_late_is_kept_as_long_as_others() {
    let mut scene = Scene::new();
    scene.settings.keep_results = HumanDuration::from_hours(3);
    let gateway = scene.open();
    let hours = |hours| scene.clock.advance(Duration::from_hours(hours));
    scene.a.will(Act::Error(Fault::Server));
    scene.ask(&gateway, keyed("alone", "draft-1")).0.unwrap_err();
    hours(2);
    scene.text(&gateway, keyed("alone", "draft-1"));
    hours(2);
    // Deletes what is older than three hours.
    scene.text(&gateway, keyed("alone", "draft-2"));
    assert_eq!(
        scene.text(&gateway, keyed("alone", "draft-1")).source,
        Source::Repeated
    );
    hours(2);
    scene.text(&gateway, keyed("alone", "draft-3"));
    assert_eq!(
        scene.text(&gateway, keyed("alone", "draft-1")).source,
        Source::Provider
    );
}

#[test]
fn tenants_with_the_same_key_do_not_share_a_key_at_a_provider() {
    let scene = Scene::new();
    let gateway = scene.open();
    let mut other = keyed("ads", "1");
    other.tenant = tenant("best");
    scene.text(&gateway, keyed("ads", "1"));
    assert_eq!(scene.text(&gateway, other).source, Source::Provider);
    let requests = scene.a.requests();
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].0["idempotency-key"], requests[1].0["idempotency-key"]);
}

/// Every record becomes a request; the text is the result.
struct Writing(Outbox<Generate>);

impl Stage for Writing {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            let new = Enqueue {
                destination: "gateway",
                key: "draft-1",
                order: None,
                at: record.timestamp,
            };
            self.0.enqueue(out, &record.cause(), &new, &ask("ads").request)?;
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        self.0.drive(partitions, now, out, |out, finished| {
            if let Conclusion::Applied(generated) = &finished.conclusion {
                let text = generated.text.clone();
                out.emit_bytes(&finished.cause, "drafts", finished.key, finished.at, text);
            }
        })
    }
}

#[test]
fn a_crash_between_the_reply_and_the_commit_of_the_stage_does_not_pay_twice() {
    let scene = Scene::new();
    let gateway = scene.open();
    let handle = scene.runtime.handle().clone();
    // The attempt whose answer was lost: the process ended before the stage committed it.
    let lost = GatewaySender::new(gateway.clone(), tenant("acme"), handle.clone());
    let call = Call {
        key: "draft-1".into(),
        request: ask("ads").request.into(),
        attempt: 1,
        now: Utc::from_millis(0),
        deadline: Duration::from_mins(1),
    };
    assert!(matches!(lost.send(&[call])[..], [Answer::Applied(_)]));
    drop((lost, gateway));
    // The next process sends the request that the state of the stage still has.
    let gateway = scene.open();
    let build = move || {
        let sender = GatewaySender::new(gateway.clone(), tenant("acme"), handle.clone());
        let limits = Limits {
            deadline: Duration::from_mins(1),
            ..Limits::default()
        };
        let outbox = Outbox::new("llm").destination("gateway", limits, sender);
        Writing(outbox.answer_wait(Duration::from_mins(1)))
    };
    let mut stage = Harness::new(build).once();
    stage.process([record("moments")]);
    stage.tick(Utc::from_millis(0));
    assert_eq!(&stage.outputs()[0].1.value[..], b"Warm bread.");
    assert_eq!(scene.a.requests().len(), 1);
    assert_eq!(cost(&scene, "draft-1"), (REPLY, 0));
}
