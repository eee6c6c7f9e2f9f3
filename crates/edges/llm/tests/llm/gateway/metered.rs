//! The metrics of the gateway.

use limbic_llm::gateway::{CacheUse, GatewayMeters};
use prometheus::{Registry, TextEncoder};

use super::kit::{REPLY, Scene, ask, highest_cost, keyed};
use crate::server::{Act, Fault};

/// The values of the counters that are not 0, one a line, without the prefix of their names.
fn counted(registry: &Registry) -> Vec<String> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("limbic_llm_"));
    lines
        .filter(|line| !line.ends_with(" 0") && !line.starts_with("attempt_seconds_bucket"))
        .filter(|line| !line.starts_with("attempt_seconds_sum"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn requests_attempts_tokens_and_costs_are_counted_as_they_are_settled() {
    let registry = Registry::new();
    let scene = Scene::new();
    let gateway = scene.open_metered(GatewayMeters::register(&registry).unwrap());
    scene.a.will(Act::Error(Fault::Server));
    scene.text(&gateway, ask("ads"));
    scene.a.will(Act::Break(vec!["Cold ", "br"]));
    scene.text(&gateway, keyed("ads", "k"));
    scene.text(&gateway, keyed("ads", "k"));
    for _ in 0..2 {
        let mut cached = ask("alone");
        cached.cache = CacheUse::Use;
        scene.text(&gateway, cached);
    }
    assert!(scene.ask(&gateway, ask("no-such-model")).0.is_err());
    let (unknown, reply) = (highest_cost(), REPLY);
    assert_eq!(
        counted(&registry),
        [
            "attempt_seconds_count{provider=\"a\"} 1".to_owned(),
            "attempt_seconds_count{provider=\"b\"} 2".to_owned(),
            "attempts_total{provider=\"a\",result=\"answered\"} 1".to_owned(),
            "attempts_total{provider=\"a\",result=\"unknown\"} 2".to_owned(),
            "attempts_total{provider=\"b\",result=\"answered\"} 2".to_owned(),
            format!("cost_micros_total{{kind=\"settled\",provider=\"a\"}} {reply}"),
            format!(
                "cost_micros_total{{kind=\"settled\",provider=\"b\"}} {}",
                2 * reply
            ),
            format!("cost_micros_total{{kind=\"unknown\",provider=\"a\"}} {unknown}"),
            "requests_total{result=\"cache\"} 1".to_owned(),
            "requests_total{result=\"provider\"} 3".to_owned(),
            "requests_total{result=\"repeated\"} 1".to_owned(),
            "requests_total{result=\"unknown_model\"} 1".to_owned(),
            "tokens_total{kind=\"completion\",provider=\"a\"} 10".to_owned(),
            "tokens_total{kind=\"completion\",provider=\"b\"} 20".to_owned(),
            "tokens_total{kind=\"prompt\",provider=\"a\"} 19".to_owned(),
            "tokens_total{kind=\"prompt\",provider=\"b\"} 38".to_owned(),
        ]
    );
}
