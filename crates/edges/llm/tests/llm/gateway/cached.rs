//! The cache.

use std::time::Duration;

use limbic_domain::{HumanDuration, Micros};
use limbic_llm::gateway::{Ask, CacheUse, Source};

use super::kit::{Scene, ask, tenant, until_paused, watched};
use crate::server::{Act, End, Fault};

fn cached() -> Ask {
    Ask {
        cache: CacheUse::Use,
        ..ask("ads")
    }
}

#[test]
fn an_equal_request_of_the_same_tenant_is_not_paid_again_and_any_other_one_is() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.text(&gateway, cached());
    let again = scene.text(&gateway, cached());
    assert_eq!((again.source, again.cost()), (Source::Cache, Micros(0)));
    assert_eq!(scene.a.requests().len(), 1);
    let mut others = vec![cached(), cached(), cached(), cached()];
    others[0].tenant = tenant("best");
    others[1].request.temperature = Some(0.25);
    others[2].request.seed = None;
    others[3].cache = CacheUse::Refresh;
    for other in others {
        assert_eq!(scene.text(&gateway, other).source, Source::Provider);
    }
    assert_eq!(scene.a.requests().len(), 5);
    assert_eq!(gateway.clear_cache(&tenant("acme")).entries, 3);
    assert_eq!(
        gateway.cached(&tenant("best")).entries,
        1,
        "a tenant clears its own"
    );
    assert_eq!(scene.text(&gateway, cached()).source, Source::Provider);
}

#[test]
fn equal_requests_at_the_same_time_are_one() {
    let scene = Scene::new();
    let gateway = scene.open();
    scene.a.will(Act::Error(Fault::Throttled));
    scene.b.will(Act::Error(Fault::Throttled));
    let first = scene.runtime.spawn(watched(gateway.clone(), cached()));
    // It waits, as both providers have asked for.
    until_paused(&gateway, 0);
    until_paused(&gateway, 1);
    let others: Vec<_> = (0..20)
        .map(|_| scene.runtime.spawn(watched(gateway.clone(), cached())))
        .collect();
    scene.clock.advance(Duration::from_secs(20));
    let mut sources = Vec::new();
    for one in others.into_iter().chain([first]) {
        let (result, shown) = scene.runtime.block_on(one).unwrap();
        assert_eq!(shown, "Warm bread.");
        sources.push(result.unwrap().source);
    }
    assert_eq!(scene.a.requests().len() + scene.b.requests().len(), 3);
    let paid = sources.iter().filter(|source| **source == Source::Provider);
    assert_eq!(paid.count(), 1, "{sources:?}");
}

#[test]
fn a_stale_reply_is_used_while_one_new_one_is_asked_for() {
    let mut scene = Scene::new();
    scene.settings.cache.fresh = HumanDuration::from_secs(10);
    let gateway = scene.open();
    scene.text(&gateway, cached());
    scene.clock.advance(Duration::from_secs(10));
    scene.a.will(Act::Text(vec!["New bread."], End::Complete));
    let stale = scene.text(&gateway, cached());
    assert_eq!(
        (stale.source, stale.answered.generated.text.as_str()),
        (Source::Stale, "Warm bread.")
    );
    scene.runtime.block_on(scene.a.has_received(2));
    // The new reply replaces the old one when it is there.
    let renewed = loop {
        let outcome = scene.text(&gateway, cached());
        if outcome.source == Source::Cache {
            break outcome;
        }
        assert_eq!(outcome.source, Source::Stale);
    };
    assert_eq!(renewed.answered.generated.text, "New bread.");
    assert_eq!(scene.a.requests().len(), 2);
}

#[test]
fn a_failure_is_not_cached() {
    let scene = Scene::new();
    let gateway = scene.open();
    let request = || Ask {
        cache: CacheUse::Use,
        ..ask("alone")
    };
    scene.a.will(Act::Error(Fault::Server));
    scene.ask(&gateway, request()).0.unwrap_err();
    assert_eq!(scene.text(&gateway, request()).source, Source::Provider);
    let report = gateway.cache();
    assert_eq!(
        (report.status, report.fill.entries, report.counts.misses),
        ("ok", 1, 2)
    );
}
