//! What outcomes teach, and what is kept for them.

use crate::harness::{Harness, LARGEST, at, clicked, creatives, decided, outcome};
use limbic_bandit::decide::EngineConfig;
use limbic_bandit::rewards::RewardConfig;
use limbic_domain::{Decision, Envelope, Outcome, OutcomeKind, TenantId, topics};
use limbic_optimize::OptimizeSettings;

use crate::kit::{Earlier, sale, to_former};

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
