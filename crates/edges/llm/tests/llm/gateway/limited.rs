//! Limits, budgets and prices.

use limbic_domain::Micros;
use limbic_llm::gateway::{GatewayError, Limit, OverLimit, Price, TenantLimits};

use super::kit::{REPLY, Scene, TOKEN, ask, highest_cost, keyed, tenant};
use crate::server::{Act, Fault};

#[test]
fn the_money_that_is_counted_is_the_money_that_is_spent_to_the_micro_unit_also_after_a_restart() {
    let scene = Scene::new();
    let gateway = scene.open();
    let spent: i64 = (0..20).map(|_| scene.text(&gateway, ask("ads")).cost().0).sum();
    assert_eq!(spent, 20 * REPLY);
    let (before, _) = gateway.spending(&tenant("acme"));
    assert_eq!(
        (before.settled, before.unknown, before.held),
        (spent.unsigned_abs(), 0, 0)
    );
    drop(gateway);
    let (after, _) = scene.open().spending(&tenant("acme"));
    assert_eq!(after, before);
}

#[test]
fn no_attempt_begins_without_room_for_its_highest_cost() {
    let mut scene = Scene::new();
    scene.settings.tenants.insert(
        tenant("acme"),
        TenantLimits {
            budget_per_day: highest_cost() + REPLY.unsigned_abs(),
            ..TenantLimits::default()
        },
    );
    let gateway = scene.open();
    scene.text(&gateway, ask("ads"));
    scene.text(&gateway, ask("ads"));
    let (over, _) = scene.ask(&gateway, ask("ads"));
    let Err(GatewayError::OverLimit(OverLimit { limit, wait })) = over else {
        panic!("{over:?}");
    };
    assert_eq!(
        (limit, wait.unwrap().as_secs()),
        (Limit::Budget, 43_200),
        "until midnight"
    );
    assert_eq!(scene.a.requests().len(), 2);
    // Another tenant has its own budget, and a new day a new one.
    let mut other = ask("ads");
    other.tenant = tenant("best");
    scene.text(&gateway, other);
    scene.clock.advance(wait.unwrap());
    assert_eq!(scene.text(&gateway, ask("ads")).cost(), Micros(REPLY));
}

#[test]
fn a_target_that_the_budget_has_no_room_for_is_skipped() {
    let mut scene = Scene::new();
    scene.settings.limits.budget_per_day = highest_cost() + REPLY.unsigned_abs();
    // One attempt is left for the target that can be paid.
    scene.settings.attempts = 1;
    scene.settings.prices[0].output *= 1_000;
    let gateway = scene.open();
    let outcome = scene.text(&gateway, ask("ads"));
    assert_eq!(outcome.answered.provider.as_str(), "b");
    let (over, _) = scene.ask(&gateway, ask("alone"));
    assert!(
        matches!(over, Err(GatewayError::OverLimit(OverLimit { wait: None, .. }))),
        "nobody was asked: {over:?}"
    );
    assert!(scene.a.requests().is_empty());

    drop(gateway);
    scene.settings.attempts = 6;
    scene.settings.routes[0].chain.reverse();
    let gateway = scene.open();
    scene.b.will(Act::Error(Fault::Server));
    let (failed, _) = scene.ask(&gateway, ask("ads"));
    let failed = failed.unwrap_err();
    assert!(
        matches!(failed, GatewayError::Failed { .. }),
        "b was asked: {failed}"
    );
    assert!(
        failed.to_string().contains("llm.limits.budget_per_day"),
        "{failed}"
    );
}

#[test]
fn requests_and_tokens_have_limits_per_minute() {
    for (requests, tokens, limit) in [(1, 0, Limit::Requests), (0, 250, Limit::Tokens)] {
        let mut scene = Scene::new();
        scene.settings.limits = TenantLimits {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            budget_per_day: 0,
        };
        assert!(highest_cost() / TOKEN < 250, "one request fits");
        let gateway = scene.open();
        let mut asked = 0;
        let over = loop {
            match scene.ask(&gateway, ask("ads")).0 {
                Ok(_) => asked += 1,
                Err(error) => break error,
            }
        };
        let GatewayError::OverLimit(found) = over else {
            panic!("{over:?}");
        };
        assert_eq!(found.limit, limit);
        assert_eq!(scene.a.requests().len(), asked);
        scene.clock.advance(found.wait.unwrap());
        scene.text(&gateway, ask("ads"));
    }
}

#[test]
fn a_model_without_a_price_is_refused_unless_the_settings_state_a_default() {
    let mut scene = Scene::new();
    scene.settings.prices.clear();
    let gateway = scene.open();
    let (refused, _) = scene.ask(&gateway, ask("ads"));
    assert!(
        matches!(&refused, Err(GatewayError::NoPrice { .. })),
        "{refused:?}"
    );
    assert!(scene.a.requests().is_empty());
    drop(gateway);
    scene.settings.default_price = Some(Price {
        input: 1_000_000,
        output: 2_000_000,
        picture: 0,
        video_second: 0,
    });
    let gateway = scene.open();
    assert_eq!(
        scene.text(&gateway, keyed("ads", "k")).cost(),
        Micros(19 + 2 * 10)
    );
}
