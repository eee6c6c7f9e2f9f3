//! The tests of [`outcomes`](super).

use super::*;
use crate::rewards::Exposure;
use proptest::prelude::*;

fn outcome(kind: OutcomeKind, key: &str, value: Option<f64>) -> Outcome {
    Outcome {
        value,
        ..Outcome::new("d", kind, key)
    }
}

fn at(minutes: i64) -> Utc {
    Utc::from_millis(minutes * 60_000)
}

fn accept(attribution: &mut Attribution, outcome: &Outcome, minutes: i64) -> (Acceptance, RewardUpdate) {
    let accepted = attribution
        .accept(outcome, at(minutes), &RewardConfig::default())
        .unwrap();
    (accepted.acceptance, accepted.update)
}

#[test]
fn an_impression_is_judged_when_its_window_has_passed_clicked_or_not() {
    let config = RewardConfig::default();
    for is_clicked in [false, true] {
        let mut attribution = Attribution::open(at(0), 1);
        assert_eq!(attribution.click_window_closes(&config), None, "never shown");
        let seen = outcome(OutcomeKind::Impression, "i", None);
        let answer = accept(&mut attribution, &seen, 5);
        assert_eq!(answer, (Acceptance::Counted, RewardUpdate::Unchanged));
        if is_clicked {
            let answer = accept(&mut attribution, &outcome(OutcomeKind::Click, "c", None), 6);
            assert_eq!(answer.1, RewardUpdate::Unchanged);
        }
        assert_eq!(attribution.click_window_closes(&config), Some(at(35)));
        let reward = f64::from(u8::from(is_clicked));
        let first = attribution.close_click_window(at(35), &config);
        assert_eq!(first, RewardUpdate::First(reward));
        assert_eq!(attribution.click_window_closes(&config), None);
        assert_eq!(
            attribution.close_click_window(at(35), &config),
            RewardUpdate::Unchanged
        );
    }
}

#[test]
fn impressions_over_a_day_are_judged_together_and_not_one_by_one() {
    let config = RewardConfig::default();
    let mut attribution = Attribution::open(at(0), 1);
    let (mut judgements, mut seen) = (0, 0);
    for minute in 0..24 * 60 {
        while let Some(end) = attribution.click_window_closes(&config)
            && end < at(minute)
        {
            attribution.close_click_window(end, &config);
            judgements += 1;
        }
        if minute % 2 == 0 {
            let key = format!("i{minute}");
            accept(
                &mut attribution,
                &outcome(OutcomeKind::Impression, &key, None),
                minute,
            );
            seen += 1;
        }
        if minute % 20 == 1 {
            let key = format!("c{minute}");
            accept(&mut attribution, &outcome(OutcomeKind::Click, &key, None), minute);
        }
    }
    assert!((24 * 4..=24 * 8).contains(&judgements), "{judgements}");
    let learned = attribution.learned().unwrap();
    assert!((learned - 0.1).abs() < 0.005, "{learned} of {seen}");
}

#[test]
fn a_late_word_of_an_early_click_corrects_the_failure() {
    let config = RewardConfig::default();
    let mut attribution = Attribution::open(at(0), 1);
    accept(&mut attribution, &outcome(OutcomeKind::Impression, "i", None), 0);
    attribution.close_click_window(at(30), &config);
    let answer = accept(&mut attribution, &outcome(OutcomeKind::Click, "c", None), 20);
    let corrected = |before, now| RewardUpdate::Corrected { before, now };
    assert_eq!(answer.1, corrected(0.0, 1.0));
    let too_late = accept(&mut attribution, &outcome(OutcomeKind::Click, "c2", None), 31);
    assert_eq!(too_late.1, RewardUpdate::Unchanged);
    let withdrawn = Outcome {
        withdrawn: true,
        revision: 1,
        ..outcome(OutcomeKind::Click, "c", None)
    };
    let answer = accept(&mut attribution, &withdrawn, 20);
    assert_eq!(answer, (Acceptance::Restated, corrected(1.0, 0.0)));
    // A conversion days later still teaches.
    let sold = accept(
        &mut attribution,
        &outcome(OutcomeKind::Conversion, "s", None),
        6 * 24 * 60,
    );
    assert_eq!(sold.1, corrected(0.0, 1.0));
}

#[test]
fn a_reward_whose_last_impression_is_withdrawn_is_taken_back_and_learned_again_with_a_new_one() {
    let config = RewardConfig::default();
    let mut attribution = Attribution::open(at(0), 1);
    let seen = |withdrawn, revision| Outcome {
        withdrawn,
        revision,
        ..outcome(OutcomeKind::Impression, "i", None)
    };
    accept(&mut attribution, &seen(false, 0), 1);
    accept(&mut attribution, &outcome(OutcomeKind::Click, "c", None), 2);
    assert_eq!(
        attribution.close_click_window(at(31), &config),
        RewardUpdate::First(1.0)
    );
    let gone = accept(&mut attribution, &seen(true, 1), 1);
    assert_eq!(
        gone,
        (Acceptance::Restated, RewardUpdate::Withdrawn { before: 1.0 })
    );
    assert_eq!(attribution.learned(), None);
    let again = accept(&mut attribution, &seen(true, 1), 1);
    assert_eq!(again.1, RewardUpdate::Unchanged, "it is taken back once");
    let back = accept(&mut attribution, &seen(false, 2), 1);
    assert_eq!(back.1, RewardUpdate::First(1.0));
    // An ad that the platform refused never ran.
    let refused = accept(&mut attribution, &outcome(OutcomeKind::Refused, "r", None), 40);
    assert_eq!(refused.1, RewardUpdate::Withdrawn { before: 1.0 });
}

#[test]
fn a_duplicate_changes_nothing_and_a_restatement_replaces() {
    let config = RewardConfig {
        conversion: 0.0,
        conversion_value: 0.01,
        ..RewardConfig::default()
    };
    let mut attribution = Attribution::open(at(0), 1);
    attribution
        .accept(&outcome(OutcomeKind::Impression, "i", None), at(0), &config)
        .unwrap();
    attribution.close_click_window(at(30), &config);
    let mut state = |value, minutes| {
        let said = attribution
            .accept(
                &outcome(OutcomeKind::Conversion, "s", Some(value)),
                at(minutes),
                &config,
            )
            .unwrap();
        (said.acceptance, attribution.learned())
    };
    assert_eq!(state(50.0, 1), (Acceptance::Counted, Some(0.5)));
    assert_eq!(state(50.0, 1), (Acceptance::Duplicate, Some(0.5)));
    assert_eq!(state(20.0, 60), (Acceptance::Restated, Some(0.2)));
    assert_eq!(state(70.0, 59), (Acceptance::Superseded, Some(0.2)));
    let days = |days: i64| days * 24 * 60;
    // The event happened at the earliest time, so a statement after the window still corrects it.
    assert_eq!(state(0.0, days(27)), (Acceptance::Restated, Some(0.0)));
    assert_eq!(state(70.0, days(29)), (Acceptance::TooLate, Some(0.0)));
}

#[test]
fn the_conversions_of_a_person_change_with_their_statements() {
    let person = Pseudonym::new(&"a".repeat(32)).unwrap();
    let sale = |value, revision| Outcome {
        person: Some(person.clone()),
        revision,
        ..outcome(OutcomeKind::Conversion, "s", Some(value))
    };
    let config = RewardConfig {
        conversion: 0.0,
        conversion_value: 1.0,
        ..RewardConfig::default()
    };
    let mut attribution = Attribution::open(at(10), 1);
    let mut change = |outcome: &Outcome, minutes| {
        let accepted = attribution.accept(outcome, at(minutes), &config).unwrap();
        let changes = accepted.conversions.into_iter();
        changes
            .map(|change| (change.at, change.reward))
            .collect::<Vec<_>>()
    };
    assert_eq!(change(&sale(5.0, 0), 12), [(at(12), 5.0)]);
    assert_eq!(change(&sale(5.0, 1), 12), []);
    assert_eq!(change(&sale(0.0, 2), 12), [(at(12), -5.0)]);
    assert_eq!(change(&sale(2.0, 3), 11), [(at(11), 2.0)]);
    assert_eq!(change(&sale(2.0, 1), 10), [(at(11), -2.0), (at(10), 2.0)]);
    // Before the decision: earlier behaviour, never a reward.
    let earlier = Outcome {
        key: "t".into(),
        ..sale(3.0, 0)
    };
    assert_eq!(change(&earlier, 2), [(at(2), 3.0)]);
    assert_eq!(attribution.reward(Utc::MAX, &config), None);
}

#[test]
fn after_too_many_outcomes_nothing_is_learned() {
    let config = RewardConfig::default();
    let mut attribution = Attribution::open(at(0), 1);
    for number in 0..Attribution::MAX_OUTCOMES {
        accept(
            &mut attribution,
            &outcome(OutcomeKind::Impression, &number.to_string(), None),
            1,
        );
    }
    let click = outcome(OutcomeKind::Click, "c", None);
    assert!(matches!(
        attribution.accept(&click, at(2), &config),
        Err(OutcomeError::TooMany(_))
    ));
    assert_eq!(attribution.click_window_closes(&config), None);
    assert_eq!(
        attribution.close_click_window(at(31), &config),
        RewardUpdate::Unchanged
    );
}

#[test]
fn an_attribution_of_version_1_goes_on_with_what_it_has_learned() {
    let text = r#"{"decided":"1970-01-01T00:00:00Z","entries":{"c":{"kind":"click","value":null,"at":"1970-01-01T00:02:00Z","first":"1970-01-01T00:02:00Z"},
            "i":{"kind":"impression","value":null,"at":"1970-01-01T00:01:00Z","first":"1970-01-01T00:01:00Z"}},"learned":4607182418800017408,"latest":"1970-01-01T00:02:00Z"}"#;
    let mut attribution: Attribution = serde_json::from_str(text).unwrap();
    let config = RewardConfig::default();
    assert_eq!(attribution.learned(), Some(1.0));
    assert_eq!(attribution.click_window_closes(&config), None);
    let withdrawn = Outcome {
        withdrawn: true,
        revision: 1,
        ..outcome(OutcomeKind::Click, "c", None)
    };
    assert_eq!(
        accept(&mut attribution, &withdrawn, 3).1,
        RewardUpdate::Corrected {
            before: 1.0,
            now: 0.0
        }
    );
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let config = RewardConfig::default();
    let mut attribution = Attribution::open(at(10), 1);
    let before = attribution.clone();
    for value in [-1.0, f64::NAN, f64::INFINITY] {
        let wrong = outcome(OutcomeKind::Conversion, "s", Some(value));
        assert!(matches!(
            attribution.accept(&wrong, at(20), &config),
            Err(OutcomeError::Value(_))
        ));
    }
    let early = attribution.accept(&outcome(OutcomeKind::Click, "c", None), at(9), &config);
    assert!(matches!(early, Err(OutcomeError::BeforeDecision { .. })));
    assert_eq!(attribution, before);
}

#[test]
fn a_refused_creative_teaches_nothing() {
    let config = RewardConfig {
        exposure: Exposure::Delivered,
        ..RewardConfig::default()
    };
    let mut attribution = Attribution::open(at(0), 1);
    attribution
        .accept(&outcome(OutcomeKind::Refused, "r", None), at(1), &config)
        .unwrap();
    assert_eq!(attribution.click_window_closes(&config), None);
    assert_eq!(
        attribution.close_click_window(at(31), &config),
        RewardUpdate::Unchanged
    );
}

proptest! {
    #[test]
    fn what_is_taught_in_the_end_depends_on_neither_order_nor_repetition(
        order in Just((0..7usize).collect::<Vec<_>>()).prop_shuffle(),
        repeated in prop::collection::vec(0..7usize, 0..6),
        closes_after in 0..13usize,
    ) {
        let config = RewardConfig { most: 10.0, conversion_value: 0.1, ..RewardConfig::default() };
        let stated = |outcome: Outcome, minutes| Outcome { stated_at: Some(at(minutes)), ..outcome };
        let sale = |value, minutes| stated(outcome(OutcomeKind::Conversion, "s", Some(value)), minutes);
        let gone = Outcome { withdrawn: true, ..stated(outcome(OutcomeKind::Click, "c3", None), 99) };
        let outcomes = [
            (outcome(OutcomeKind::Impression, "i", None), at(1)),
            (outcome(OutcomeKind::Click, "c1", None), at(2)),
            (outcome(OutcomeKind::Click, "c2", None), at(50)),
            (sale(9.0, 90), at(90)),
            (sale(7.0, 95), at(96)),
            (stated(outcome(OutcomeKind::Click, "c3", None), 3), at(3)),
            (gone, at(3)),
        ];
        let mut attribution = Attribution::open(at(0), 1);
        for (number, &index) in order.iter().chain(&repeated).enumerate() {
            if number == closes_after {
                attribution.close_click_window(at(31), &config);
            }
            attribution.accept(&outcomes[index].0, outcomes[index].1, &config).unwrap();
        }
        attribution.close_click_window(at(31), &config);
        let learned = attribution.learned().unwrap();
        prop_assert!((learned - 2.7).abs() < 1e-12, "{}", learned);
    }
}
