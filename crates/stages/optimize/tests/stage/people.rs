//! Caps, budgets and people who are not reached.

use crate::harness::{Harness, at, clicked, creatives, decided, outcome};
use limbic_bandit::decide::{Daypart, EngineConfig};
use limbic_bandit::guardrails::frequency_cap::FrequencyCap;
use limbic_bandit::guardrails::hold_out::HoldoutConfig;
use limbic_bandit::guardrails::pacing::PacingConfig;
use limbic_domain::{Decision, Micros, OutcomeKind, Slug, TenantId, topics};
use limbic_optimize::{OptimizeSettings, OptimizeStage};

#[test]
fn a_person_is_reached_no_oftener_than_the_cap_allows() {
    let mut harness = Harness::new(OptimizeSettings {
        caps: vec![FrequencyCap {
            times: 2,
            window: limbic_domain::HumanDuration::from_mins(60),
        }],
        ..OptimizeSettings::default()
    });
    for (moment, minutes) in [("a", 0), ("b", 10), ("c", 20), ("d", 61)] {
        decided(&mut harness, moment, minutes);
    }
    let suppressed: Vec<_> = harness
        .decisions
        .iter()
        .map(|decision| decision.data.suppressed().is_some())
        .collect();
    assert_eq!(suppressed, [false, false, true, false]);
    let capped = &harness.decisions[2].data;
    assert_eq!(capped.suppressed().unwrap().rule, "frequency_cap");
    assert!(capped.removals[0].removed[0].starts_with("person/"));
    // The longest cap counts: the one of a day for people in a negative feeling.
    harness.watermark(at(2 * 24 * 60));
    assert!(
        harness.state.keys().all(|key| !key.starts_with(b"reached/")),
        "forgotten in time"
    );
}

#[test]
fn a_person_in_a_negative_feeling_is_reached_once_a_day() {
    const DAY: i64 = 24 * 60;
    let in_negative_feeling = |moment: &str, minutes| {
        let mut set = creatives(moment, minutes);
        set.data.in_negative_feeling.clone_from(&set.data.people);
        vec![(topics::CREATIVES, set.encode())]
    };
    let mut harness = Harness::new(OptimizeSettings::default());
    let mut rule_of = |fed: Vec<(&'static str, Vec<u8>)>| {
        harness.feed(fed);
        let last = &harness.decisions.last().unwrap().data;
        last.suppressed().map(|suppressed| suppressed.rule.clone())
    };
    assert_eq!(rule_of(in_negative_feeling("a", 0)), None);
    assert_eq!(
        rule_of(in_negative_feeling("b", DAY - 1)).as_deref(),
        Some("negative_feeling_cap")
    );
    // In a better mood, no cap holds for the person, and the contact is not counted.
    let better = vec![(topics::CREATIVES, creatives("c", DAY - 1).encode())];
    assert_eq!(rule_of(better), None);
    assert_eq!(rule_of(in_negative_feeling("d", DAY)), None);
    harness.watermark(at(3 * DAY));
    assert!(
        harness.state.keys().all(|key| !key.starts_with(b"reached/")),
        "forgotten in time"
    );
}

#[test]
fn caps_for_people_in_a_negative_feeling_are_only_made_stricter() {
    let hours = |times, hours: u64| FrequencyCap {
        times,
        window: limbic_domain::HumanDuration::from_mins(60 * hours),
    };
    let new = |caps: &[FrequencyCap]| {
        let settings = OptimizeSettings {
            negative_feeling_caps: caps.to_vec(),
            ..OptimizeSettings::default()
        };
        OptimizeStage::new(settings).map(drop)
    };
    for strict in [
        &[hours(1, 24)][..],
        &[hours(0, 48)],
        &[hours(9, 999), hours(1, 72)],
    ] {
        new(strict).unwrap();
    }
    for lenient in [
        &[][..],
        &[hours(2, 24)],
        &[hours(1, 23)],
        &[hours(2, 48), hours(1, 1)],
    ] {
        let said = new(lenient).unwrap_err().to_string();
        assert!(said.contains("never more lenient"), "{said}");
    }
}

#[test]
fn tenants_with_a_campaign_of_the_same_name_share_neither_budget_nor_caps_nor_posterior() {
    let set_of = |tenant: &str, moment: &str, minutes: i64| {
        let mut set = creatives(moment, minutes);
        set.tenant = TenantId::new(tenant).unwrap();
        vec![(topics::CREATIVES, set.encode())]
    };
    let rule = |harness: &Harness| {
        let last = &harness.decisions.last().unwrap().data;
        last.suppressed()
            .map_or("chosen".to_owned(), |suppressed| suppressed.rule.clone())
    };
    let mut budgets = Harness::new(OptimizeSettings {
        budgets: [
            ("spring".to_owned(), PacingConfig::daily(Micros(5))),
            (
                "rich/spring".to_owned(),
                PacingConfig::daily(Micros(i64::MAX / 2)),
            ),
        ]
        .into(),
        ..OptimizeSettings::default()
    });
    for (tenant, moment, expected) in [
        ("acme", "a", "chosen"),
        ("acme", "b", "budget_exhausted"),
        ("beta", "a", "chosen"),
        ("beta", "b", "budget_exhausted"),
        ("rich", "a", "chosen"),
        ("rich", "b", "chosen"),
    ] {
        budgets.feed(set_of(tenant, moment, 0));
        assert_eq!(rule(&budgets), expected, "{tenant} {moment}");
    }

    let once = FrequencyCap {
        times: 1,
        window: limbic_domain::HumanDuration::from_mins(60),
    };
    let mut caps = Harness::new(OptimizeSettings {
        caps: vec![once],
        ..OptimizeSettings::default()
    });
    for (tenant, moment, expected) in [
        ("acme", "a", "chosen"),
        ("acme", "b", "frequency_cap"),
        ("beta", "a", "chosen"),
    ] {
        caps.feed(set_of(tenant, moment, 0));
        assert_eq!(rule(&caps), expected, "{tenant} {moment}");
    }

    let mut posteriors = Harness::new(OptimizeSettings {
        engine: EngineConfig {
            policy: serde_json::from_str(r#"{"name": "bernoulli-ts"}"#).unwrap(),
            minimum_propensity: 0.0,
            ..EngineConfig::default()
        },
        ..OptimizeSettings::default()
    });
    // The same moment's id, so the same decision's id: only the tenant tells them apart.
    posteriors.feed(set_of("default", "m", 1));
    posteriors.feed(set_of("beta", "m", 1));
    let id = posteriors.decisions[0].id.clone();
    assert_eq!(id, posteriors.decisions[1].id);
    posteriors.feed(clicked(&id, "c", 2));
    posteriors.watermark(at(33));
    posteriors.feed(set_of("default", "n", 34));
    posteriors.feed(set_of("beta", "n", 34));
    let liked = &posteriors.decisions[0].data.chosen().unwrap().creative.id;
    let propensity = |decision: usize| {
        let candidates = &posteriors.decisions[decision].data.chosen().unwrap().candidates;
        let of_liked = candidates.iter().find(|candidate| candidate.creative == *liked);
        of_liked.unwrap().propensity.get()
    };
    assert!((propensity(2) - 0.5).abs() < 1e-9, "{}", propensity(2));
    assert!(
        (propensity(3) - 1.0 / 3.0).abs() < 1e-9,
        "beta learned nothing: {}",
        propensity(3)
    );
    let results = |tenant: &str| posteriors.saved(&format!("results/{tenant}/spring")).unwrap();
    assert_ne!(results("default"), results("beta"));
}

#[test]
fn a_budget_is_reserved_before_it_is_spent_and_free_again_after_a_refusal() {
    let budget = PacingConfig::daily(Micros(5));
    let mut harness = Harness::new(OptimizeSettings {
        budgets: [("spring".to_owned(), budget)].into(),
        ..OptimizeSettings::default()
    });
    let first = decided(&mut harness, "a", 0);
    decided(&mut harness, "b", 0);
    let rule = harness.decisions[1].data.suppressed().unwrap().rule.clone();
    assert_eq!(rule, "budget_exhausted");
    harness.feed(vec![outcome(&first, OutcomeKind::Refused, "r", 0)]);
    decided(&mut harness, "c", 20);
    assert!(harness.decisions[2].data.chosen().is_some());
}

#[test]
fn a_withdrawn_ad_frees_its_budget_and_a_late_pause_is_no_fault() {
    let mut harness = Harness::new(OptimizeSettings {
        budgets: [("spring".to_owned(), PacingConfig::daily(Micros(5)))].into(),
        ..OptimizeSettings::default()
    });
    let first = decided(&mut harness, "a", 0);
    decided(&mut harness, "b", 0);
    let rule = harness.decisions[1].data.suppressed().unwrap().rule.clone();
    assert_eq!(rule, "budget_exhausted");
    harness.feed(vec![outcome(&first, OutcomeKind::Withdrawn, "w", 0)]);
    decided(&mut harness, "c", 0);
    assert!(harness.decisions[2].data.chosen().is_some());
    let unknown = Decision::id_of(&Slug::new("spring").unwrap(), "long ago");
    harness.feed(vec![outcome(&unknown, OutcomeKind::Paused, "p", 1)]);
    assert!(harness.dead.is_empty(), "{:?}", harness.dead);
    harness.feed(vec![outcome(&unknown, OutcomeKind::Click, "c", 1)]);
    assert_eq!(harness.dead.len(), 1, "a click without a decision is one");
}

#[test]
fn any_number_of_open_reservations_leaves_a_budgets_state_as_small_as_it_was() {
    let mut harness = Harness::new(OptimizeSettings {
        budgets: [("spring".to_owned(), PacingConfig::daily(Micros(i64::MAX / 2)))].into(),
        ..OptimizeSettings::default()
    });
    let budget = |harness: &Harness| harness.saved("budget/default/spring").unwrap();
    let first = decided(&mut harness, "m", 0);
    let small = budget(&harness).len();
    for moment in 0..3_000 {
        decided(&mut harness, &format!("m{moment}"), 0);
    }
    let text = String::from_utf8(budget(&harness).to_vec()).unwrap();
    assert!(text.contains(&format!("\"reserved\":{}", 5 * 3_001)), "{text}");
    // Only numbers have more digits.
    assert!(text.len() < small + 20, "{small} {text}");
    for kind in [OutcomeKind::Delivered, OutcomeKind::Impression] {
        harness.feed(vec![outcome(&first, kind, "d", 1)]);
    }
    let text = String::from_utf8(budget(&harness).to_vec()).unwrap();
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
    let mut harness = Harness::new(OptimizeSettings {
        engine: EngineConfig {
            dayparts: vec![morning],
            floor_price: Micros(5),
            ..EngineConfig::default()
        },
        ..OptimizeSettings::default()
    });
    for (moment, hour) in [("a", 4), ("b", 5), ("c", 10), ("d", 11), ("e", 29)] {
        decided(&mut harness, moment, hour * 60);
    }
    let mut cheap = creatives("f", 6 * 60);
    cheap.data.bid = Micros(4);
    harness.feed(vec![(topics::CREATIVES, cheap.encode())]);
    let rules: Vec<_> = harness
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
    let mut harness = Harness::new(OptimizeSettings {
        engine: EngineConfig {
            policy: serde_json::from_str(r#"{"name": "uniform"}"#).unwrap(),
            exploration_budget: 0.1,
            minimum_propensity: 0.02,
            ..EngineConfig::default()
        },
        ..OptimizeSettings::default()
    });
    decided(&mut harness, "m", 0);
    let mut propensities: Vec<f64> = harness.decisions[0]
        .data
        .chosen()
        .unwrap()
        .candidates
        .iter()
        .map(|candidate| candidate.propensity.get())
        .collect();
    propensities.sort_by(f64::total_cmp);
    // 0.05 and 0.9 of what three times 0.02 leave, plus 0.02.
    for (found, expected) in propensities.iter().zip([0.067, 0.067, 0.866]) {
        assert!((found - expected).abs() < 1e-12, "{propensities:?}");
    }
}

#[test]
fn people_who_are_held_out_are_never_reached() {
    let mut harness = Harness::new(OptimizeSettings {
        holdout: HoldoutConfig {
            share: 1.0,
            ..HoldoutConfig::default()
        },
        ..OptimizeSettings::default()
    });
    decided(&mut harness, "a", 0);
    assert_eq!(harness.decisions[0].data.suppressed().unwrap().rule, "hold_out");
}
