//! The optimize stage: reads creatives and outcomes, writes decisions.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod harness;

use bytes::Bytes;
use limbic_bandit::decide::{Daypart, EngineConfig};
use limbic_bandit::guardrails::frequency_cap::FrequencyCap;
use limbic_bandit::guardrails::hold_out::HoldoutConfig;
use limbic_bandit::guardrails::pacing::PacingConfig;
use limbic_bandit::rewards::RewardConfig;
use limbic_domain::{Decision, Envelope, Micros, Outcome, OutcomeKind, Slug, TenantId, topics};
use limbic_optimize::{OptimizeSettings, OptimizeStage};

use harness::{Harness, LARGEST, at, clicked, creatives, decided, outcome};

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
fn creatives_that_no_gate_has_cleared_are_never_decided_on() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let mut set = creatives("m", 1);
    set.data.cleared_by.clear();
    let without = String::from_utf8(set.encode()).unwrap();
    let without = without.replace(r#","cleared_by":"""#, "");
    assert!(!without.contains("cleared_by"));
    harness.feed(vec![
        (topics::CREATIVES, set.encode()),
        (topics::CREATIVES, without.into_bytes()),
        (topics::CREATIVES, b"{".to_vec()),
    ]);
    assert!(harness.decisions.is_empty());
    let reasons: Vec<_> = harness.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["not_cleared", "malformed", "malformed"]);
}

#[test]
fn nothing_to_choose_or_nobody_to_reach_is_a_stated_decision() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let mut set = creatives("m", 1);
    set.data.creatives.clear();
    harness.feed(vec![(topics::CREATIVES, set.encode())]);
    let mut set = creatives("n", 1);
    set.data.people.clear();
    harness.feed(vec![(topics::CREATIVES, set.encode())]);
    let rules: Vec<_> = harness
        .decisions
        .iter()
        .map(|decision| decision.data.suppressed().unwrap().rule.clone())
        .collect();
    assert_eq!(rules, ["no_eligible_candidate", "no_person_left"]);
}

#[test]
fn the_same_creatives_twice_are_decided_once() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let set = (topics::CREATIVES, creatives("m", 1).encode());
    harness.feed(vec![set.clone(), set.clone()]);
    harness.feed(vec![set]);
    assert_eq!(harness.decisions.len(), 1);
}

#[test]
fn a_click_moves_the_posterior_and_its_duplicate_changes_nothing() {
    let mut harness = Harness::new(OptimizeSettings {
        engine: EngineConfig {
            policy: serde_json::from_str(r#"{"name": "bernoulli-ts"}"#).unwrap(),
            minimum_propensity: 0.0,
            ..EngineConfig::default()
        },
        ..OptimizeSettings::default()
    });
    let id = decided(&mut harness, "m", 1);
    assert_eq!(harness.posterior(), None);
    harness.feed(clicked(&id, "c", 2));
    assert_eq!(harness.posterior(), None, "its window is open");
    harness.watermark(at(33));
    let (posterior, state) = (harness.posterior(), harness.state.clone());
    assert!(posterior.is_some());
    harness.feed([clicked(&id, "c", 2), clicked(&id, "c", 2)].concat());
    assert_eq!(harness.state, state);
    decided(&mut harness, "n", 34);
    let [first, second] = &harness.decisions[..] else {
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
    // Beta(2, 1) against two Beta(1, 1): the maximum of 4 uniforms, two of which belong to the arm, with probability
    // 1/2.
    assert!((of(second) - 0.5).abs() < 1e-9, "{}", of(second));
}

#[test]
fn a_missing_click_is_learned_when_event_time_has_passed_the_window() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let id = decided(&mut harness, "m", 0);
    harness.feed(vec![outcome(&id, OutcomeKind::Impression, "i", 1)]);
    harness.watermark(at(31));
    assert_eq!(harness.posterior(), None, "the window is still open");
    harness.watermark(at(32));
    let text = harness
        .posterior()
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    assert!(text.unwrap().contains("failures"));
}

#[test]
fn an_outcome_without_its_decision_is_a_dead_letter() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let id = decided(&mut harness, "m", 10);
    harness.feed(vec![
        outcome(
            "spring.0123456789abcdef0123456789abcdef",
            OutcomeKind::Click,
            "a",
            11,
        ),
        outcome(&id, OutcomeKind::Click, "b", 9),
    ]);
    let reasons: Vec<_> = harness.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["unknown_decision", "outcome_before_decision"]);
}

/// A conversion with the given value.
fn sale(decision: &str, value: f64, minutes: i64) -> (&'static str, Vec<u8>) {
    let sale = Outcome {
        value: Some(value),
        ..Outcome::new(decision, OutcomeKind::Conversion, "sale")
    };
    let envelope = Envelope::new(TenantId::default(), "sale".into(), at(minutes), sale);
    (topics::OUTCOMES, envelope.encode())
}

#[test]
fn an_outcome_restated_within_28_days_corrects_the_posterior() {
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
    let seen_and_sold = |value| {
        let mut harness = Harness::new(settings.clone());
        let id = decided(&mut harness, "m", 0);
        harness.feed(vec![
            outcome(&id, OutcomeKind::Impression, "i", 0),
            sale(&id, value, 1),
        ]);
        harness.watermark(at(31));
        (harness, id)
    };
    let (mut harness, id) = seen_and_sold(4.0);
    for (day, value) in [(3, 2.0), (14, 7.0), (27, 3.0)] {
        harness.feed(vec![sale(&id, value, day * DAY)]);
        let (knew, _) = seen_and_sold(value);
        assert_eq!(harness.posterior(), knew.posterior(), "day {day}");
    }
    // Other outcomes keep the decision open, but the 28 days of the conversion have passed.
    harness.feed(vec![outcome(&id, OutcomeKind::Delivered, "d", 28 * DAY)]);
    let last = harness.posterior();
    harness.feed(vec![sale(&id, 1.0, 29 * DAY)]);
    assert_eq!(harness.posterior(), last);
    assert!(harness.dead.is_empty());
}

#[test]
fn a_decision_whose_last_impression_is_withdrawn_is_unlearnt_and_learnt_again_when_it_is_restated() {
    let seen = |decision: &str, revision, withdrawn| {
        let seen = Outcome {
            revision,
            withdrawn,
            ..Outcome::new(decision, OutcomeKind::Impression, "i")
        };
        let envelope = Envelope::new(TenantId::default(), "i".into(), at(1), seen);
        (topics::OUTCOMES, envelope.encode())
    };
    // What a policy knows of the arms, whatever the decision was.
    let counts = |harness: &Harness| -> Vec<(f64, f64)> {
        let saved: serde_json::Value = serde_json::from_slice(&harness.posterior().unwrap()).unwrap();
        let cells = saved["snapshot"]["cells"].as_object().unwrap();
        let arms = cells
            .values()
            .flat_map(|cell| cell["arms"].as_object().unwrap().values());
        let number = |value: &serde_json::Value| f64::from_bits(value.as_u64().unwrap());
        arms.map(|counts| (number(&counts["successes"]), number(&counts["failures"])))
            .collect()
    };
    let mut harness = Harness::new(OptimizeSettings::default());
    let id = decided(&mut harness, "m", 0);
    harness.feed(vec![
        seen(&id, 0, false),
        outcome(&id, OutcomeKind::Click, "c", 2),
    ]);
    harness.watermark(at(40));
    let learned = counts(&harness);
    assert!(learned.iter().all(|counts| *counts == (1.0, 0.0)), "{learned:?}");
    harness.feed(vec![seen(&id, 1, true)]);
    harness.watermark(at(50));
    assert!(counts(&harness).iter().all(|counts| *counts == (0.0, 0.0)));
    harness.feed(vec![seen(&id, 1, true)]);
    harness.feed(vec![seen(&id, 2, false)]);
    assert_eq!(counts(&harness), learned);
    assert!(harness.dead.is_empty());
}

#[test]
fn clicks_without_impressions_teach_nothing_and_are_noticed() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let id = decided(&mut harness, "m", 0);
    harness.feed(vec![outcome(&id, OutcomeKind::Click, "c", 1)]);
    let noticed = |harness: &Harness| harness.saved("unseen/default/spring");
    harness.watermark(at(31));
    assert_eq!(noticed(&harness), None, "an impression may still be reported");
    harness.watermark(at(33));
    assert_eq!(noticed(&harness).as_deref(), Some(&1_i64.to_be_bytes()[..]));
    harness.watermark(at(90));
    harness.feed(vec![outcome(&id, OutcomeKind::Click, "d", 91)]);
    harness.watermark(at(190));
    assert_eq!(
        noticed(&harness).as_deref(),
        Some(&1_i64.to_be_bytes()[..]),
        "once"
    );
    assert_eq!(harness.posterior(), None);
    // Deliveries may count instead: then the click is one of one.
    let mut harness = Harness::new(OptimizeSettings {
        rewards: RewardConfig {
            exposure: limbic_bandit::rewards::Exposure::Delivered,
            ..RewardConfig::default()
        },
        ..OptimizeSettings::default()
    });
    let id = decided(&mut harness, "m", 0);
    harness.feed(vec![
        outcome(&id, OutcomeKind::Delivered, "deliver/webhook", 0),
        outcome(&id, OutcomeKind::Click, "c", 1),
    ]);
    harness.watermark(at(33));
    assert!(harness.posterior().is_some());
    assert_eq!(noticed(&harness), None);
}

#[test]
fn an_invalid_value_is_a_dead_letter_and_nothing_is_learned() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let id = decided(&mut harness, "m", 0);
    harness.feed(vec![sale(&id, -1.0, 1)]);
    // JSON has no NaN: another text in its place is not a valid outcome.
    let (topic, negative) = sale(&id, -1.0, 1);
    let text = String::from_utf8(negative).unwrap();
    harness.feed(vec![(topic, text.replace("-1.0", "NaN").into_bytes())]);
    let reasons: Vec<_> = harness.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["bad_value", "malformed"]);
    assert_eq!(harness.posterior(), None);
}

#[test]
fn a_model_too_large_for_one_record_is_stored_in_chunks_and_restored_to_the_bit() {
    let settings = OptimizeSettings {
        engine: EngineConfig {
            policy: serde_json::from_str(r#"{"name": "linear-ts", "model": {"bits": 16}}"#).unwrap(),
            ..EngineConfig::default()
        },
        ..OptimizeSettings::default()
    };
    let (mut one, mut two) = (Harness::new(settings.clone()), Harness::new(settings.clone()));
    for moment in 0..12 {
        for harness in [&mut one, &mut two] {
            let name = format!("m{moment}");
            let mut set = creatives(&name, moment * 40);
            // Feelings that no moment had before.
            for feeling in 0..1000 {
                let name = format!("feeling-{moment}-{feeling}");
                set.data.mood.emotions.insert(name, 0.5);
            }
            harness.feed(vec![(topics::CREATIVES, set.encode())]);
            let id = harness.decisions.last().unwrap().id.clone();
            harness.feed(clicked(&id, &name, moment * 40));
            harness.watermark(at(moment * 40 + 31));
        }
        two.restart(settings.clone());
    }
    assert_eq!(one.decisions, two.decisions);
    assert_eq!(one.state, two.state);
    let chunks = one.state.entries();
    let size: usize = chunks
        .filter(|(_, key, _)| key.starts_with(b"policy/"))
        .map(|(_, _, chunk)| chunk.len())
        .sum();
    assert!(size > 2 * LARGEST, "{size}");
}

#[test]
fn an_open_decision_is_removed_when_no_outcome_can_change_it() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let id = decided(&mut harness, "m", 0);
    harness.feed(vec![outcome(&id, OutcomeKind::Click, "c", 1)]);
    harness.watermark(at(40 * 24 * 60));
    assert!(
        harness
            .state
            .keys()
            .all(|key| !key.starts_with(b"open/") && !key.starts_with(b"due_of/"))
    );
    harness.feed(vec![outcome(&id, OutcomeKind::Click, "d", 2)]);
    assert_eq!(harness.dead[0].reason, "unknown_decision");
}

/// How an earlier version kept timers.
#[derive(Debug, Clone, Copy)]
enum Earlier {
    /// In an index of its own.
    Index,
    /// In timers of all tenants.
    Timers,
}

/// Replaces what the state keeps for each tenant by what an earlier version kept for all.
fn to_former(harness: &mut Harness, earlier: Earlier) {
    const DUE: &[u8] = b"due_of/default\0";
    let entries: Vec<(Bytes, Bytes)> = harness
        .state
        .entries()
        .map(|(_, key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in entries {
        let former = if let Some(timer) = key.strip_prefix(DUE) {
            let (time, target) = timer.split_at(8);
            match earlier {
                Earlier::Index => {
                    let time = u64::from_be_bytes(time.try_into().unwrap());
                    format!("due/{time:016x}/{}", std::str::from_utf8(target).unwrap()).into_bytes()
                }
                Earlier::Timers => [b"timer/", timer].concat(),
            }
        } else if key == "count/default" || key == "clock/default" {
            key[..5].to_vec()
        } else {
            continue;
        };
        harness.state.put(0, former, value);
        harness.state.remove(0, &key);
    }
    assert_eq!(harness.divide_time(), [TenantId::default()]);
}

#[test]
fn what_an_earlier_version_left_to_do_is_done_at_the_same_time() {
    let run = |upgraded: Option<Earlier>| {
        let mut harness = Harness::new(OptimizeSettings::default());
        for (moment, minutes) in [("a", 0), ("b", 5), ("c", 20)] {
            let id = decided(&mut harness, moment, minutes);
            harness.feed(vec![outcome(&id, OutcomeKind::Impression, moment, minutes)]);
        }
        if let Some(earlier) = upgraded {
            to_former(&mut harness, earlier);
        }
        let mut learned = Vec::new();
        for minutes in [30, 33, 36, 52, 60, 40 * 24 * 60] {
            harness.watermark(at(minutes));
            learned.push(harness.posterior());
        }
        let left = harness.state.keys().filter(|key| {
            [&b"open/"[..], b"due_of/", b"timer/", b"due/"]
                .iter()
                .any(|prefix| key.starts_with(prefix))
        });
        assert_eq!(left.count(), 0);
        learned
    };
    let learned = run(None);
    assert_ne!(learned.first(), learned.last());
    for earlier in [Earlier::Index, Earlier::Timers] {
        assert_eq!(run(Some(earlier)), learned, "{earlier:?}");
    }
}

#[test]
fn decisions_of_an_earlier_version_make_room_too() {
    let settings = OptimizeSettings {
        most_open: 3,
        ..OptimizeSettings::default()
    };
    let mut harness = Harness::new(settings);
    for moment in ["a", "b", "c"] {
        decided(&mut harness, moment, 0);
    }
    to_former(&mut harness, Earlier::Index);
    decided(&mut harness, "d", 1);
    let open = harness.state.keys().filter(|key| key.starts_with(b"open/"));
    assert_eq!(open.count(), 3);
}

#[test]
fn open_decisions_are_bounded() {
    let mut harness = Harness::new(OptimizeSettings {
        most_open: 10,
        ..OptimizeSettings::default()
    });
    for moment in 0..50 {
        decided(&mut harness, &format!("m{moment}"), moment);
    }
    let open = harness
        .state
        .keys()
        .filter(|key| key.starts_with(b"open/"))
        .count();
    let due = harness
        .state
        .keys()
        .filter(|key| key.starts_with(b"due_of/"))
        .count();
    assert_eq!((open, due), (10, 10));
}

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

#[test]
fn what_a_policy_has_learned_is_published_once_it_changed_and_not_too_often() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let ids = ["m", "n", "o"].map(|moment| decided(&mut harness, moment, 1));
    harness.feed(clicked(&ids[0], "c", 2));
    harness.feed(clicked(&ids[1], "d", 2));
    harness.watermark(at(32).plus_millis(1));
    assert!(harness.posterior().is_some());
    assert!(harness.posteriors.is_empty(), "the interval has not passed");
    harness.watermark(at(33));
    harness.watermark(at(34));
    let [first] = &harness.posteriors[..] else {
        panic!("{} posteriors", harness.posteriors.len())
    };
    assert_eq!(
        (first.at, first.data.campaign.as_str()),
        (at(32).plus_millis(10_000), "spring")
    );
    let snapshot = first.data.snapshot.clone().unwrap();
    assert_eq!(first.data.snapshot_bytes, snapshot.len() as u64);
    let saved: serde_json::Value = serde_json::from_slice(&harness.posterior().unwrap()).unwrap();
    let published: serde_json::Value = serde_json::from_str(&snapshot).unwrap();
    assert_eq!(published, saved["snapshot"]);
    // The same outcome again teaches nothing, another one does.
    harness.feed(clicked(&ids[0], "c", 2));
    harness.watermark(at(35));
    assert_eq!(harness.posteriors.len(), 1);
    harness.feed(clicked(&ids[2], "e", 35));
    harness.watermark(at(67));
    assert_eq!(harness.posteriors.len(), 2);
    assert_ne!(harness.posteriors[1].data.snapshot.as_deref(), Some(&*snapshot));
}
