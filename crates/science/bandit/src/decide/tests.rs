//! The tests of [`decide`](super).

use super::*;

fn offers(count: i64) -> Vec<Offer> {
    (0..count)
        .map(|index| Offer {
            arm: Arm::new(format!("arm-{index}"), "f", Features::new()),
            price: Micros(index * 100),
        })
        .collect()
}

fn engine(config: EngineConfig) -> DecisionEngine {
    DecisionEngine::new(config).unwrap()
}

#[test]
fn nothing_to_choose_from_is_a_stated_decision() {
    let at = Utc::from_millis(0);
    let engine = engine(EngineConfig {
        floor_price: Micros(1000),
        ..EngineConfig::default()
    });
    assert_eq!(
        engine.decide("d", at, &Features::new(), &[]),
        Selection::Suppressed(ExclusionRule::NothingOffered)
    );
    assert_eq!(
        engine.decide("d", at, &Features::new(), &offers(3)),
        Selection::Suppressed(ExclusionRule::FloorPrice)
    );
}

#[test]
fn a_candidate_below_the_floor_price_is_never_chosen() {
    let engine = engine(EngineConfig {
        floor_price: Micros(100),
        ..EngineConfig::default()
    });
    let offers = offers(4);
    for decision in 0..200 {
        let answer = engine.decide(
            &format!("d{decision}"),
            Utc::from_millis(0),
            &Features::new(),
            &offers,
        );
        let Selection::Chosen(draft) = answer else {
            panic!("some are eligible")
        };
        assert_eq!(draft.eligible, [1, 2, 3]);
        assert_eq!(draft.excluded, [(0, ExclusionRule::FloorPrice)]);
        assert_eq!(
            draft.propensity.to_bits(),
            draft.probabilities[draft.choice].to_bits()
        );
    }
}

#[test]
fn the_choice_is_a_function_of_the_decisions_id() {
    let engine = engine(EngineConfig::default());
    let decide = |id: &str| engine.decide(id, Utc::from_millis(0), &Features::new(), &offers(9));
    assert_eq!(decide("x"), decide("x"));
    let different = (0..50).filter(|n| decide(&n.to_string()) != decide("x")).count();
    assert!(different > 30, "{different}");
}

#[test]
fn logged_propensities_are_the_frequencies_of_choices() {
    let mut engine = engine(EngineConfig {
        minimum_propensity: 0.02,
        ..EngineConfig::default()
    });
    let offers = offers(3);
    let context = Features::new();
    for (arm, reward) in [(0, 1.0), (0, 0.0), (1, 0.0), (1, 0.0), (2, 1.0), (2, 1.0)] {
        let feedback = Feedback {
            context: &context,
            arm: &offers[arm].arm,
            reward,
            previous_reward: None,
            propensity: 0.3,
        };
        engine.learn(&feedback).unwrap();
    }
    let mut counts = [0.0; 3];
    let mut logged = Vec::new();
    for decision in 0..4_000 {
        match engine.decide(&decision.to_string(), Utc::from_millis(0), &context, &offers) {
            Selection::Chosen(draft) => {
                counts[draft.choice] += 1.0 / 4_000.0;
                logged = draft.probabilities;
            }
            Selection::Suppressed(rule) => panic!("{rule:?}"),
        }
    }
    for (count, probability) in counts.iter().zip(&logged) {
        // At most four standard deviations.
        assert!((count - probability).abs() < 0.032, "{counts:?} {logged:?}");
    }
}

#[test]
fn bounds_hold_and_probabilities_still_sum_to_one() {
    let mut probabilities = [0.5, 0.3, 0.2, 0.0];
    bound(&mut probabilities, 0.1, 0.01);
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(probabilities.iter().all(|&probability| probability >= 0.01));
    assert!(probabilities[0] >= 0.86);
    let mut equal = [0.25; 4];
    bound(&mut equal, 1.0, 0.9);
    assert!(equal.iter().all(|probability| (probability - 0.25).abs() < 1e-15));
}

#[test]
fn a_daypart_may_run_past_midnight() {
    let part = Daypart {
        days: vec![4],
        from: 22,
        until: 2,
        utc_offset: UtcOffset::from_minutes(60),
    };
    let at = |text: &str| text.parse::<Utc>().unwrap();
    // Friday 2026-11-20. The clock of the audience is an hour ahead of UTC.
    assert!(part.contains(at("2026-11-20T21:00:00Z")));
    assert!(
        part.contains(at("2026-11-21T00:59:00Z")),
        "Saturday 01:59 still belongs to Friday night"
    );
    assert!(!part.contains(at("2026-11-21T01:00:00Z")));
    assert!(
        !part.contains(at("2026-11-20T00:30:00Z")),
        "Friday 01:30 belongs to Thursday night"
    );
}

#[test]
fn settings_outside_their_range_are_refused() {
    for (text, name) in [
        (r#"{"minimum_propensity": 1.5}"#, "minimum_propensity"),
        (
            r#"{"policy": {"name": "bernoulli-ts", "discount": 0}}"#,
            "discount",
        ),
    ] {
        let config: EngineConfig = serde_json::from_str(text).unwrap();
        let error = DecisionEngine::new(config).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    assert!(serde_json::from_str::<EngineConfig>(r#"{"minimum_propensty": 0.1}"#).is_err());
    assert!(
        serde_json::from_str::<EngineConfig>(r#"{"policy": {"name": "bernoulli-ts", "discuont": 1}}"#)
            .is_err()
    );
}
