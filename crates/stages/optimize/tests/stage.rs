//! The optimize stage: creatives and outcomes in, decisions out.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod harness;

use limbic_bandit::decide::{Daypart, EngineConfig};
use limbic_bandit::guardrails::frequency_cap::FrequencyCap;
use limbic_bandit::guardrails::hold_out::HoldoutConfig;
use limbic_bandit::guardrails::pacing::PacingConfig;
use limbic_bandit::outcomes::RewardConfig;
use limbic_domain::{Decision, Envelope, Micros, Outcome, OutcomeKind, Slug, TenantId, topics};
use limbic_optimize::OptimizeSettings;

use harness::{House, LARGEST, MINUTE, at, creatives, decided, outcome};

#[test]
fn cleared_creatives_become_a_decision_with_exact_propensities() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 1);
    let decision = &house.decisions[0];
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
fn what_no_gate_has_cleared_is_never_decided() {
    let mut house = House::new(OptimizeSettings::default());
    let mut set = creatives("m", 1);
    set.data.cleared_by.clear();
    let without = String::from_utf8(set.encode()).unwrap();
    let without = without.replace(r#","cleared_by":"""#, "");
    assert!(!without.contains("cleared_by"));
    house.feed(vec![
        (topics::CREATIVES, set.encode()),
        (topics::CREATIVES, without.into_bytes()),
        (topics::CREATIVES, b"{".to_vec()),
    ]);
    assert!(house.decisions.is_empty());
    let reasons: Vec<_> = house.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["not_cleared", "malformed", "malformed"]);
}

#[test]
fn nothing_to_choose_or_nobody_to_reach_is_a_stated_decision() {
    let mut house = House::new(OptimizeSettings::default());
    let mut set = creatives("m", 1);
    set.data.creatives.clear();
    house.feed(vec![(topics::CREATIVES, set.encode())]);
    let mut set = creatives("n", 1);
    set.data.people.clear();
    house.feed(vec![(topics::CREATIVES, set.encode())]);
    let rules: Vec<_> = house
        .decisions
        .iter()
        .map(|decision| decision.data.suppressed().unwrap().rule.clone())
        .collect();
    assert_eq!(rules, ["no_eligible_candidate", "no_person_left"]);
}

#[test]
fn the_same_creatives_twice_are_decided_once() {
    let mut house = House::new(OptimizeSettings::default());
    let set = (topics::CREATIVES, creatives("m", 1).encode());
    house.feed(vec![set.clone(), set.clone()]);
    house.feed(vec![set]);
    assert_eq!(house.decisions.len(), 1);
}

#[test]
fn a_click_moves_the_posterior_and_its_duplicate_changes_nothing() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 1);
    assert_eq!(house.posterior(), None);
    house.feed(vec![outcome(&id, OutcomeKind::Click, "c", 2)]);
    let (posterior, state) = (house.posterior(), house.state.clone());
    assert!(posterior.is_some());
    house.feed(vec![
        outcome(&id, OutcomeKind::Click, "c", 2),
        outcome(&id, OutcomeKind::Click, "c", 2),
    ]);
    assert_eq!(house.state, state);
    decided(&mut house, "n", 3);
    let [first, second] = &house.decisions[..] else {
        panic!("two decisions")
    };
    let liked = &first.data.chosen().unwrap().creative.id;
    let of = |decision: &Envelope<Decision>| {
        let mut candidates = decision.data.chosen().unwrap().candidates.iter();
        candidates
            .find(|candidate| candidate.creative == *liked)
            .unwrap()
            .propensity
            .get()
    };
    assert!((of(first) - 1.0 / 3.0).abs() < 1e-9);
    // Beta(2, 1) against two Beta(1, 1): the maximum of 4 uniforms, one pair of which is its own, with probability 1/2.
    assert!((of(second) - 0.5).abs() < 1e-9, "{}", of(second));
}

#[test]
fn silence_is_believed_when_event_time_has_passed_the_window() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 0);
    house.feed(vec![outcome(&id, OutcomeKind::Impression, "i", 1)]);
    house.watermark(at(31));
    assert_eq!(house.posterior(), None, "the window is still open");
    house.watermark(at(32));
    let text = house
        .posterior()
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    assert!(text.unwrap().contains("failures"));
}

#[test]
fn what_cannot_be_joined_goes_to_the_dead_letters() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 10);
    house.feed(vec![
        outcome(
            "spring.0123456789abcdef0123456789abcdef",
            OutcomeKind::Click,
            "a",
            11,
        ),
        outcome(&id, OutcomeKind::Click, "b", 9),
    ]);
    let reasons: Vec<_> = house.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["unknown_decision", "outcome_before_decision"]);
}

/// A sale that was worth `value`.
fn sale(decision: &str, value: f64, minutes: i64) -> (&'static str, Vec<u8>) {
    let sale = Outcome {
        decision: decision.into(),
        kind: OutcomeKind::Conversion,
        value: Some(value),
        key: "sale".into(),
        detail: None,
    };
    let envelope = Envelope::new(TenantId::default(), "sale".into(), at(minutes), sale);
    (topics::OUTCOMES, envelope.encode())
}

#[test]
fn a_platform_may_restate_for_28_days_and_the_posterior_is_as_if_it_had_known() {
    const DAY: i64 = 24 * 60;
    let settings = OptimizeSettings {
        rewards: RewardConfig {
            conversion: 0.0,
            // A power of two: sums of such rewards are exact.
            conversion_value: 0.125,
            ..RewardConfig::default()
        },
        ..OptimizeSettings::default()
    };
    let mut house = House::new(settings.clone());
    let id = decided(&mut house, "m", 0);
    house.feed(vec![sale(&id, 4.0, 1)]);
    for (day, value) in [(3, 2.0), (14, 7.0), (27, 3.0)] {
        house.feed(vec![sale(&id, value, day * DAY)]);
        let mut knew = House::new(settings.clone());
        let same = decided(&mut knew, "m", 0);
        knew.feed(vec![sale(&same, value, 1)]);
        assert_eq!(house.posterior(), knew.posterior(), "day {day}");
    }
    // Whatever else is said keeps the account; the sale's 28 days have passed all the same.
    house.feed(vec![outcome(&id, OutcomeKind::Delivered, "d", 28 * DAY)]);
    let last = house.posterior();
    house.feed(vec![sale(&id, 1.0, 29 * DAY)]);
    assert_eq!(house.posterior(), last);
    assert!(house.dead.is_empty());
}

#[test]
fn a_value_that_cannot_be_is_a_dead_letter_and_teaches_nothing() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 0);
    house.feed(vec![sale(&id, -1.0, 1)]);
    // JSON has no NaN: what a stranger writes instead is no outcome at all.
    let (topic, negative) = sale(&id, -1.0, 1);
    let text = String::from_utf8(negative).unwrap();
    house.feed(vec![(topic, text.replace("-1.0", "NaN").into_bytes())]);
    let reasons: Vec<_> = house.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["bad_value", "malformed"]);
    assert_eq!(house.posterior(), None);
}

#[test]
fn a_model_too_large_for_one_record_is_kept_in_pieces_and_comes_back_to_the_bit() {
    let settings = OptimizeSettings {
        engine: EngineConfig {
            policy: serde_json::from_str(r#"{"name": "linear-ts", "model": {"bits": 16}}"#).unwrap(),
            ..EngineConfig::default()
        },
        ..OptimizeSettings::default()
    };
    let (mut one, mut two) = (House::new(settings.clone()), House::new(settings.clone()));
    for moment in 0..12 {
        for house in [&mut one, &mut two] {
            let name = format!("m{moment}");
            let mut set = creatives(&name, moment);
            // Feelings that no moment had before.
            for feeling in 0..1000 {
                let name = format!("feeling-{moment}-{feeling}");
                set.data.mood.emotions.insert(name, 0.5);
            }
            house.feed(vec![(topics::CREATIVES, set.encode())]);
            let id = house.decisions.last().unwrap().id.clone();
            house.feed(vec![outcome(&id, OutcomeKind::Click, &name, moment)]);
        }
        two.restart(settings.clone());
    }
    assert_eq!(one.decisions, two.decisions);
    assert_eq!(one.state, two.state);
    let pieces = one.state.entries();
    let size: usize = pieces
        .filter(|(_, key, _)| key.starts_with(b"policy/"))
        .map(|(_, _, piece)| piece.len())
        .sum();
    assert!(size > 2 * LARGEST, "{size}");
}

#[test]
fn an_account_is_closed_when_nothing_can_change_it_any_more() {
    let mut house = House::new(OptimizeSettings::default());
    let id = decided(&mut house, "m", 0);
    house.feed(vec![outcome(&id, OutcomeKind::Click, "c", 1)]);
    house.watermark(at(40 * 24 * 60));
    assert!(
        house
            .state
            .keys()
            .all(|key| !key.starts_with(b"open/") && !key.starts_with(b"due/"))
    );
    house.feed(vec![outcome(&id, OutcomeKind::Click, "d", 2)]);
    assert_eq!(house.dead[0].reason, "unknown_decision");
}

#[test]
fn open_decisions_are_bounded() {
    let mut house = House::new(OptimizeSettings {
        most_open: 10,
        ..OptimizeSettings::default()
    });
    for moment in 0..50 {
        decided(&mut house, &format!("m{moment}"), moment);
    }
    let open = house.state.keys().filter(|key| key.starts_with(b"open/")).count();
    let due = house.state.keys().filter(|key| key.starts_with(b"due/")).count();
    assert_eq!((open, due), (10, 10));
}

#[test]
fn a_person_is_reached_no_oftener_than_the_cap_allows() {
    let mut house = House::new(OptimizeSettings {
        caps: vec![FrequencyCap {
            times: 2,
            window: limbic_domain::HumanDuration::from_mins(60),
        }],
        ..OptimizeSettings::default()
    });
    for (moment, minutes) in [("a", 0), ("b", 10), ("c", 20), ("d", 61)] {
        decided(&mut house, moment, minutes);
    }
    let suppressed: Vec<_> = house
        .decisions
        .iter()
        .map(|decision| decision.data.suppressed().is_some())
        .collect();
    assert_eq!(suppressed, [false, false, true, false]);
    let capped = &house.decisions[2].data;
    assert_eq!(capped.suppressed().unwrap().rule, "frequency_cap");
    assert!(capped.removals[0].removed[0].starts_with("person/"));
    house.watermark(at(200));
    assert!(
        house.state.keys().all(|key| !key.starts_with(b"reached/")),
        "forgotten in time"
    );
}

#[test]
fn a_budget_is_reserved_before_it_is_spent_and_free_again_after_a_refusal() {
    let budget = PacingConfig::daily(Micros(10));
    let mut house = House::new(OptimizeSettings {
        budgets: [("spring".to_owned(), budget)].into(),
        ..OptimizeSettings::default()
    });
    let first = decided(&mut house, "a", 0);
    decided(&mut house, "b", 0);
    decided(&mut house, "c", 0);
    let rule = house.decisions[2].data.suppressed().unwrap().rule.clone();
    assert_eq!(rule, "budget_exhausted");
    house.feed(vec![outcome(&first, OutcomeKind::Refused, "r", 0)]);
    decided(&mut house, "d", 0);
    assert!(house.decisions[3].data.chosen().is_some());
}

#[test]
fn any_number_of_open_reservations_leaves_a_budgets_state_as_small_as_it_was() {
    let mut house = House::new(OptimizeSettings {
        budgets: [("spring".to_owned(), PacingConfig::daily(Micros(i64::MAX / 2)))].into(),
        ..OptimizeSettings::default()
    });
    let budget = |house: &House| house.saved("budget/default/spring").unwrap();
    let first = decided(&mut house, "m", 0);
    let small = budget(&house).len();
    for moment in 0..3_000 {
        decided(&mut house, &format!("m{moment}"), 0);
    }
    let text = String::from_utf8(budget(&house).to_vec()).unwrap();
    assert!(text.contains(&format!("\"reserved\":{}", 5 * 3_001)), "{text}");
    assert!(text.len() < small + 10);
    for kind in [OutcomeKind::Delivered, OutcomeKind::Impression] {
        house.feed(vec![outcome(&first, kind, "d", 1)]);
    }
    let text = String::from_utf8(budget(&house).to_vec()).unwrap();
    assert!(text.contains("\"spent\":5,"), "settled once: {text}");
}

#[test]
fn a_campaign_does_not_run_outside_its_dayparts_nor_below_its_floor_price() {
    // Thursday 1970-01-01.
    let morning = Daypart {
        days: vec![3],
        from: 6,
        until: 12,
        utc_offset: limbic_domain::UtcOffset::from_minutes(60),
    };
    let mut house = House::new(OptimizeSettings {
        engine: EngineConfig {
            dayparts: vec![morning],
            floor_price: Micros(5),
            ..EngineConfig::default()
        },
        ..OptimizeSettings::default()
    });
    for (moment, hour) in [("a", 4), ("b", 5), ("c", 10), ("d", 11), ("e", 29)] {
        decided(&mut house, moment, hour * 60);
    }
    let mut cheap = creatives("f", 6 * 60);
    cheap.data.bid = Micros(4);
    house.feed(vec![(topics::CREATIVES, cheap.encode())]);
    let rules: Vec<_> = house
        .decisions
        .iter()
        .map(|decision| decision.data.suppressed().map(|one| one.rule.clone()))
        .collect();
    let rules: Vec<_> = rules.iter().map(Option::as_deref).collect();
    let (day, floor) = (Some("daypart"), Some("floor_price"));
    assert_eq!(rules, [day, None, None, day, day, floor]);
}

#[test]
fn the_exploration_budget_and_the_least_propensity_bound_every_decision() {
    let mut house = House::new(OptimizeSettings {
        engine: EngineConfig {
            policy: serde_json::from_str(r#"{"name": "uniform"}"#).unwrap(),
            exploration_budget: 0.1,
            minimum_propensity: 0.02,
            ..EngineConfig::default()
        },
        ..OptimizeSettings::default()
    });
    decided(&mut house, "m", 0);
    let mut propensities: Vec<f64> = house.decisions[0]
        .data
        .chosen()
        .unwrap()
        .candidates
        .iter()
        .map(|candidate| candidate.propensity.get())
        .collect();
    propensities.sort_by(f64::total_cmp);
    // 0.05 and 0.9 of what three times 0.02 leave, and 0.02 on top.
    for (found, expected) in propensities.iter().zip([0.067, 0.067, 0.866]) {
        assert!((found - expected).abs() < 1e-12, "{propensities:?}");
    }
}

#[test]
fn who_is_held_out_is_never_reached() {
    let mut house = House::new(OptimizeSettings {
        holdout: HoldoutConfig {
            share: 1.0,
            ..HoldoutConfig::default()
        },
        ..OptimizeSettings::default()
    });
    decided(&mut house, "a", 0);
    assert_eq!(house.decisions[0].data.suppressed().unwrap().rule, "hold_out");
}

#[test]
fn replay_gives_the_same_bits_however_the_records_are_batched() {
    let script = |house: &mut House, together: bool| {
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
            house.feed(records);
        } else {
            for record in records {
                house.feed(vec![record]);
            }
        }
    };
    let (mut one, mut two) = (
        House::new(OptimizeSettings::default()),
        House::new(OptimizeSettings::default()),
    );
    script(&mut one, true);
    script(&mut two, false);
    assert_eq!(one.decisions, two.decisions);
    assert_eq!(one.state, two.state);
    assert!(one.posterior().is_some());
}
