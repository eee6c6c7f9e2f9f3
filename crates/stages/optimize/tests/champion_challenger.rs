//! The champion/challenger test and the hold-out in the optimize stage.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod harness;

use limbic_bandit::PolicyConfig;
use limbic_bandit::decide::EngineConfig;
use limbic_bandit::guardrails::champion_challenger::{Challenger, ChampionChallengerConfig};
use limbic_bandit::guardrails::hold_out::HoldoutConfig;
use limbic_bandit::random::{Random, hash};
use limbic_bandit::rewards::RewardConfig;
use limbic_domain::{
    ChallengerMode, Decision, DecisionResult, Envelope, OutcomeKind, PolicyRole, Pseudonym, Slug, topics,
};
use limbic_optimize::OptimizeSettings;

use harness::{Harness, creatives, decided, outcome};

fn policy(text: &str) -> PolicyConfig {
    serde_json::from_str(text).unwrap()
}

fn live(share: f64) -> ChampionChallengerConfig {
    ChampionChallengerConfig {
        shadow: false,
        share,
        ..ChampionChallengerConfig::default()
    }
}

fn settings(champion: &str, challenger: Option<(&str, ChampionChallengerConfig)>) -> OptimizeSettings {
    let challenger = challenger.map(|(text, test)| Challenger {
        policy: policy(text),
        test,
    });
    let engine = EngineConfig {
        policy: policy(champion),
        challenger,
        ..EngineConfig::default()
    };
    OptimizeSettings {
        engine,
        rewards: RewardConfig {
            conversion: 0.0,
            ..RewardConfig::default()
        },
        ..OptimizeSettings::default()
    }
}

/// Decides one moment per minute. Each choice is seen and clicked with the probability `rate`, unless it is `lost`.
fn play(
    harness: &mut Harness,
    minutes: std::ops::Range<i64>,
    rate: impl Fn(&str) -> f64,
    lost: impl Fn(&Decision) -> bool,
) {
    for minute in minutes {
        let id = decided(harness, &format!("m{minute}"), minute);
        let decision = &harness.decisions.last().unwrap().data;
        if lost(decision) {
            continue;
        }
        let liked = rate(&decision.chosen().unwrap().creative.id);
        let mut outcomes = vec![outcome(
            &id,
            OutcomeKind::Impression,
            &format!("i{minute}"),
            minute,
        )];
        if Random::new(hash(id.as_bytes())).unit() < liked {
            outcomes.push(outcome(&id, OutcomeKind::Click, &format!("c{minute}"), minute));
        }
        harness.feed(outcomes);
    }
}

fn celebrate(creative: &str) -> f64 {
    if creative == "celebrate-1" { 0.8 } else { 0.1 }
}

fn nothing_is_lost(_: &Decision) -> bool {
    false
}

fn test_of(decision: &Envelope<Decision>) -> &limbic_domain::ChampionChallenger {
    test_in(&decision.data)
}

fn test_in(decision: &Decision) -> &limbic_domain::ChampionChallenger {
    decision.chosen().unwrap().champion_challenger.as_ref().unwrap()
}

const BERNOULLI: &str = r#"{"name": "bernoulli-ts"}"#;
const UCB: &str = r#"{"name": "lin-ucb"}"#;
const UNIFORM: &str = r#"{"name": "uniform"}"#;

#[test]
fn a_shadow_challenger_is_observed_and_changes_no_decision() {
    let mut alone = Harness::new(settings(BERNOULLI, None));
    let mut watched = Harness::new(settings(
        BERNOULLI,
        Some((UCB, ChampionChallengerConfig::default())),
    ));
    for harness in [&mut alone, &mut watched] {
        play(harness, 0..300, celebrate, nothing_is_lost);
    }
    assert_eq!(alone.posterior(), watched.posterior());
    let last = test_of(watched.decisions.last().unwrap());
    assert_eq!(
        (last.mode, last.by),
        (ChallengerMode::Shadow, PolicyRole::Champion)
    );
    assert_eq!(last.other.name, "lin-ucb");
    assert!(last.other_propensity.is_some());
    // The click window is 30 minutes, and disorder adds a minute; a click waits equally long. The last decision is
    // made after the last outcome before it.
    assert_eq!(last.judged, 300 - 33);
    assert!(watched.saved("challenger/default/spring").is_some(), "it learns");
    for decision in &mut watched.decisions {
        let DecisionResult::Chosen(chosen) = &mut decision.data.result else {
            panic!("{decision:?}");
        };
        chosen.champion_challenger = None;
    }
    assert_eq!(alone.decisions, watched.decisions);
}

#[test]
fn a_live_challenger_makes_its_share_of_decisions_with_its_own_probabilities() {
    let mut harness = Harness::new(settings(BERNOULLI, Some((UNIFORM, live(0.3)))));
    // Without clicks, the two policies stay similar and the test continues.
    play(&mut harness, 0..2000, |_| 0.0, nothing_is_lost);
    let (mut by_challenger, third) = (0, 1.0 / 3.0);
    for decision in &harness.decisions {
        let test = test_of(decision);
        assert_eq!(test.mode, ChallengerMode::Live);
        let own = decision.data.chosen().unwrap().propensity.get();
        let (name, uniform) = match test.by {
            PolicyRole::Champion => ("bernoulli-ts", test.other_propensity.unwrap().get()),
            PolicyRole::Challenger => {
                by_challenger += 1;
                ("uniform", own)
            }
        };
        assert_eq!(decision.data.chosen().unwrap().policy.name, name);
        assert!((uniform - third).abs() < 1e-12, "{uniform}");
    }
    // Four standard deviations around 600.
    assert!((518..=682).contains(&by_challenger), "{by_challenger}");
    assert!(!test_of(harness.decisions.last().unwrap()).ratio_alarm);
}

#[test]
fn a_worse_challenger_is_rolled_back_for_good_when_the_bound_says_so() {
    let settings = settings(BERNOULLI, Some((UNIFORM, live(0.5))));
    let mut harness = Harness::new(settings.clone());
    play(&mut harness, 0..1500, celebrate, nothing_is_lost);
    let turn = harness
        .decisions
        .iter()
        .position(|decision| test_of(decision).mode == ChallengerMode::RolledBack);
    let turn = turn.expect("it earns half of what the champion earns");
    let before = test_of(&harness.decisions[turn - 1]);
    assert!(
        before.champion_leads_by <= 0.0 && before.judged > 50,
        "{before:?}"
    );
    let after: Vec<_> = harness.decisions[turn..].iter().map(test_of).collect();
    assert!(after[0].champion_leads_by > 0.0);
    assert!(after.iter().all(|test| test.by == PolicyRole::Champion
        && test.mode == ChallengerMode::RolledBack
        && test.other_propensity.is_none()
        && test.judged == after[0].judged));
    assert!(
        harness.decisions[turn..]
            .iter()
            .all(|decision| decision.data.chosen().unwrap().policy.name == "bernoulli-ts")
    );
    harness.restart(settings);
    play(&mut harness, 1500..1501, celebrate, nothing_is_lost);
    assert_eq!(
        test_of(harness.decisions.last().unwrap()).mode,
        ChallengerMode::RolledBack
    );
}

#[test]
fn a_better_challenger_is_seen_to_lead_and_goes_on() {
    let mut harness = Harness::new(settings(UNIFORM, Some((BERNOULLI, live(0.5)))));
    play(&mut harness, 0..1500, celebrate, nothing_is_lost);
    let last = test_of(harness.decisions.last().unwrap());
    assert_eq!(last.mode, ChallengerMode::Live);
    assert!(last.challenger_leads_by > 0.0 && last.champion_leads_by < 0.0);
}

#[test]
fn outcomes_that_are_lost_for_one_side_raise_the_ratio_alarm() {
    let mut harness = Harness::new(settings(BERNOULLI, Some((UNIFORM, live(0.5)))));
    let lost = |decision: &Decision| test_in(decision).by == PolicyRole::Challenger;
    play(&mut harness, 0..300, |_| 0.0, lost);
    assert!(test_of(harness.decisions.last().unwrap()).ratio_alarm);
}

#[test]
fn a_changed_test_starts_anew_and_the_champion_keeps_its_posterior() {
    let first = settings(BERNOULLI, Some((UNIFORM, ChampionChallengerConfig::default())));
    let mut harness = Harness::new(first.clone());
    play(&mut harness, 0..100, celebrate, nothing_is_lost);
    let judged = test_of(harness.decisions.last().unwrap()).judged;
    assert!(judged > 0);

    harness.restart(first);
    play(&mut harness, 100..101, celebrate, nothing_is_lost);
    assert!(
        test_of(harness.decisions.last().unwrap()).judged >= judged,
        "the same goes on"
    );

    let known = harness.posterior();
    harness.restart(settings(
        BERNOULLI,
        Some((UCB, ChampionChallengerConfig::default())),
    ));
    play(&mut harness, 101..102, celebrate, nothing_is_lost);
    let last = test_of(harness.decisions.last().unwrap());
    assert_eq!((last.judged, last.other.name.as_str()), (0, "lin-ucb"));
    assert!(
        known.is_some()
            && harness
                .decisions
                .last()
                .unwrap()
                .data
                .chosen()
                .unwrap()
                .candidates
                .iter()
                .any(|candidate| candidate.creative == "celebrate-1" && candidate.propensity.get() > 0.9)
    );
    // Observations of the earlier test are ignored; only those of the current test count.
    play(&mut harness, 102..132, celebrate, nothing_is_lost);
    assert_eq!(test_of(harness.decisions.last().unwrap()).judged, 0);
    play(&mut harness, 132..142, celebrate, nothing_is_lost);
    assert!(test_of(harness.decisions.last().unwrap()).judged > 0);

    harness.restart(settings(r#"{"name": "bernoulli-ts", "discount": 0.99}"#, None));
    play(&mut harness, 142..143, celebrate, nothing_is_lost);
    let candidates = &harness
        .decisions
        .last()
        .unwrap()
        .data
        .chosen()
        .unwrap()
        .candidates;
    assert!(
        candidates
            .iter()
            .all(|candidate| (candidate.propensity.get() - 1.0 / 3.0).abs() < 1e-9),
        "another policy has is_changed nothing yet"
    );
}

/// An audience of which some people are held out.
fn crowd(moment: &str, minute: i64) -> Vec<u8> {
    let mut set = creatives(moment, minute);
    let people = (0..40).map(|person| Pseudonym::new(&format!("{person:032x}")).unwrap());
    set.data.people = people.collect();
    set.encode()
}

fn with_hold_out(mut settings: OptimizeSettings) -> OptimizeSettings {
    settings.holdout = HoldoutConfig {
        share: 0.3,
        ..HoldoutConfig::default()
    };
    settings.rewards = RewardConfig {
        click_window: limbic_domain::HumanDuration::from_mins(10),
        conversion_window: limbic_domain::HumanDuration::from_mins(60),
        restatement_window: limbic_domain::HumanDuration::from_mins(60),
        ..RewardConfig::default()
    };
    settings
}

fn people_of(decision: &Envelope<Decision>) -> &[Pseudonym] {
    match &decision.data.result {
        DecisionResult::Chosen(chosen) => &chosen.people,
        DecisionResult::HeldOut(held_out) => &held_out.people,
        DecisionResult::Suppressed(_) => &[],
    }
}

#[test]
fn the_hold_out_measures_what_ads_add_person_for_person() {
    let mut harness = Harness::new(with_hold_out(OptimizeSettings::default()));
    let (with, without) = (0.30, 0.12);
    for minute in 0..600 {
        let moment = format!("m{minute}");
        harness.feed(vec![(topics::CREATIVES, crowd(&moment, minute))]);
        let pair = &harness.decisions[harness.decisions.len() - 2..];
        let mut outcomes = Vec::new();
        for (decision, rate) in pair.iter().zip([with, without]) {
            for person in people_of(decision) {
                let key = format!("{moment}/{person}");
                if Random::new(hash(key.as_bytes())).unit() < rate {
                    outcomes.push((decision.id.clone(), key));
                }
            }
        }
        let outcomes = outcomes
            .iter()
            .map(|(id, key)| outcome(id, OutcomeKind::Conversion, key, minute));
        harness.feed(outcomes.collect());
    }
    let [.., reached, held_out] = &harness.decisions[..] else {
        panic!("two decisions a moment")
    };
    assert_eq!(held_out.data.held_out().unwrap().beside, reached.id);
    assert_eq!(people_of(reached).len() + people_of(held_out).len(), 40);
    assert!((7..=17).contains(&people_of(held_out).len()));
    let known = &held_out.data.held_out().unwrap().lift;
    // An hour and a minute of disorder have passed for all moments but the last.
    assert_eq!(known.compared, 600 - 63);
    assert!((known.reached - with).abs() < 0.01, "{known:?}");
    assert!((known.held_out - without).abs() < 0.01, "{known:?}");
    let truth = with - without;
    assert!(
        known.adds_at_least < truth && truth < known.adds_at_most,
        "{known:?}"
    );
    assert!(
        known.adds_at_least > truth - 0.1 && known.adds_at_most < truth + 0.1,
        "{known:?}"
    );
}

#[test]
fn outcomes_that_need_an_ad_are_rejected_for_the_hold_out() {
    let mut harness = Harness::new(with_hold_out(OptimizeSettings::default()));
    harness.feed(vec![(topics::CREATIVES, crowd("m", 0))]);
    let held_out = harness.decisions.last().unwrap().id.clone();
    assert_eq!(
        held_out,
        Decision::hold_out_id_of(&Slug::new("spring").unwrap(), "m")
    );
    harness.feed(vec![
        outcome(&held_out, OutcomeKind::Impression, "i", 1),
        outcome(&held_out, OutcomeKind::Conversion, "s", 1),
    ]);
    let reasons: Vec<_> = harness.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["reached_hold_out"]);
}

#[test]
fn test_and_hold_out_replay_to_the_bit_however_the_records_are_batched() {
    let settings = with_hold_out(settings(UCB, Some((BERNOULLI, live(0.4)))));
    let campaign = Slug::new("spring").unwrap();
    let mut records = Vec::new();
    for minute in 0..200 {
        let moment = format!("m{minute}");
        let id = Decision::id_of(&campaign, &moment);
        records.push((topics::CREATIVES, crowd(&moment, minute)));
        records.push(outcome(
            &id,
            OutcomeKind::Impression,
            &format!("i{minute}"),
            minute,
        ));
        if minute % 3 == 0 {
            records.push(outcome(&id, OutcomeKind::Click, &format!("c{minute}"), minute));
            let held_out = Decision::hold_out_id_of(&campaign, &moment);
            records.push(outcome(
                &held_out,
                OutcomeKind::Conversion,
                &format!("s{minute}"),
                minute,
            ));
        }
    }
    let houses = [1, 7, records.len()].map(|size| {
        let mut harness = Harness::new(settings.clone());
        for (number, batch) in records.chunks(size).enumerate() {
            if number % 5 == 4 {
                harness.restart(settings.clone());
            }
            harness.feed(batch.to_vec());
        }
        harness
    });
    let [one, seven, all] = &houses;
    for other in [seven, all] {
        assert_eq!(one.decisions, other.decisions);
        assert_eq!(one.state, other.state);
    }
    let last = one.decisions.last().unwrap().data.held_out().unwrap();
    assert!(one.saved("champion_challenger/default/spring").is_some() && last.lift.compared > 0);
}
