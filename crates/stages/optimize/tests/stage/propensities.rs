//! How likely each decision was, and replays.

use crate::harness::{Harness, at, creatives, decided, outcome};
use limbic_bandit::decide::EngineConfig;
use limbic_domain::{Decision, Micros, OutcomeKind, Slug, topics};
use limbic_optimize::OptimizeSettings;

#[test]
fn cleared_creatives_become_a_decision_with_exact_propensities() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let id = decided(&mut harness, "m", 1);
    let decision = &harness.decisions[0];
    assert_eq!(id, Decision::id_of(&Slug::new("spring").unwrap(), "m"));
    assert_eq!(decision.at, at(1));
    let choice = decision.data.chosen().unwrap();
    let total: f64 = choice
        .candidates
        .iter()
        .map(|candidate| candidate.propensity.get())
        .sum();
    assert!((total - 1.0).abs() < 1e-9);
    assert_eq!(choice.candidates[choice.position].creative, choice.creative.id);
    assert_eq!(choice.candidates[choice.position].propensity, choice.propensity);
    assert_eq!(choice.price, Micros(5));
    assert!(decision.data.context.contains_key("direction=up"));
}

#[test]
fn a_decision_with_seeded_draws_also_logs_the_probability_over_many_seeds() {
    for (name, is_seeded) in [("linear-ts", true), ("softmax", false)] {
        let policy = serde_json::json!({ "name": name });
        let mut harness = Harness::new(OptimizeSettings {
            engine: EngineConfig {
                policy: serde_json::from_value(policy).unwrap(),
                ..EngineConfig::default()
            },
            ..OptimizeSettings::default()
        });
        decided(&mut harness, "m", 0);
        let candidates = &harness.decisions[0].data.chosen().unwrap().candidates;
        let total: f64 = candidates
            .iter()
            .filter_map(|candidate| candidate.marginal_propensity)
            .map(limbic_domain::Probability::get)
            .sum();
        assert!(
            (total - f64::from(u8::from(is_seeded))).abs() < 1e-9,
            "{name} {total}"
        );
        for candidate in candidates {
            let weighed = candidate.evaluation_propensity().get();
            assert!(is_seeded || weighed.to_bits() == candidate.propensity.get().to_bits());
            // No feedback yet: three alike arms. The draws of one seed are farther from a third.
            assert!((weighed - 1.0 / 3.0).abs() < 0.06, "{name} {weighed}");
        }
    }
}

#[test]
fn replay_gives_the_same_bits_however_the_records_are_batched() {
    let script = |harness: &mut Harness, together: bool| {
        let id = |moment: i64| Decision::id_of(&Slug::new("spring").unwrap(), &format!("m{moment}"));
        let mut records = Vec::new();
        for moment in 0..60 {
            records.push((
                topics::CREATIVES,
                creatives(&format!("m{moment}"), moment).encode(),
            ));
            records.push(outcome(
                &id(moment),
                OutcomeKind::Impression,
                &format!("i{moment}"),
                moment,
            ));
            if moment % 3 == 0 {
                records.push(outcome(
                    &id(moment),
                    OutcomeKind::Click,
                    &format!("c{moment}"),
                    moment + 1,
                ));
            }
        }
        if together {
            harness.feed(records);
        } else {
            for record in records {
                harness.feed(vec![record]);
            }
        }
    };
    let (mut one, mut two) = (
        Harness::new(OptimizeSettings::default()),
        Harness::new(OptimizeSettings::default()),
    );
    script(&mut one, true);
    script(&mut two, false);
    assert_eq!(one.decisions, two.decisions);
    assert_eq!(one.posteriors, two.posteriors);
    assert_eq!(one.state, two.state);
    assert!(one.posterior().is_some());
}
