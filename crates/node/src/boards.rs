//! The dashboard and the alerts use only existing metrics.
use std::collections::BTreeSet;
use std::path::Path;

use limbic_affect_stage::AffectMeters;
use limbic_api::ApiMeters;
use limbic_connectors::ConnectorMeters;
use limbic_deliver::DeliverMeters;
use limbic_ingest::IngestMeters;
use limbic_metrics::SeriesMeters;
use limbic_optimize::OptimizeMeters;
use limbic_profile::MomentMeters;
use limbic_stream::outbox::OutboxMeters;
use limbic_stream::runtime::StageMeters;
use limbic_views::ViewMeters;
use prometheus::{Gauge, Registry};

/// Every `limbic_…` word of `text`, reduced to the name of its metric family.
fn families(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("limbic_"))
        .map(|word| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .unwrap_or(word)
        })
        .collect()
}

/// A registry refuses a second metric with the same name.
fn is_taken(registry: &Registry, name: &str) -> bool {
    let probe = Gauge::new(name, "probe").unwrap();
    registry.register(Box::new(probe)).is_err()
}

#[test]
fn the_dashboard_and_the_alerts_use_only_existing_metrics() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    for file in ["grafana/dashboards/limbic.json", "prometheus/alerts.yml"] {
        let text = std::fs::read_to_string(config.join(file)).unwrap();
        let registry = Registry::new();
        StageMeters::register(&registry).unwrap();
        OutboxMeters::register(&registry).unwrap();
        SeriesMeters::register(&registry).unwrap();
        AffectMeters::register(&registry).unwrap();
        ApiMeters::register(&registry).unwrap();
        ConnectorMeters::register(&registry).unwrap();
        DeliverMeters::register(&registry).unwrap();
        IngestMeters::register(&registry).unwrap();
        MomentMeters::register(&registry).unwrap();
        OptimizeMeters::register(&registry).unwrap();
        ViewMeters::register(&registry).unwrap();
        crate::state_sizes::register(&registry).unwrap();
        let asked = families(&text);
        assert!(asked.len() >= 5, "{file} uses only {asked:?}");
        let unknown: Vec<&str> = asked
            .into_iter()
            .filter(|name| !is_taken(&registry, name))
            .collect();
        assert!(
            unknown.is_empty(),
            "{file} uses metrics that do not exist: {unknown:?}"
        );
    }
}

#[test]
fn a_metric_that_does_not_exist_is_detected() {
    let registry = Registry::new();
    StageMeters::register(&registry).unwrap();
    assert!(is_taken(&registry, "limbic_lag_records"));
    assert!(!is_taken(&registry, "limbic_lag_seconds"));
}

#[test]
fn the_dashboard_is_json_whose_panels_do_not_overlap() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/grafana/dashboards/limbic.json");
    let board: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut taken = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in side("x")..side("x") + side("w") {
            assert!(x < 24, "{} is wider than the board", panel["title"]);
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
            }
        }
        assert!(
            !panel["targets"].as_array().unwrap().is_empty(),
            "{}",
            panel["title"]
        );
    }
}
