//! The champion/challenger test and the hold-out in the optimize stage.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod harness;

use limbic_bandit::PolicyConfig;
use limbic_bandit::decide::EngineConfig;
use limbic_bandit::guardrails::champion_challenger::{Challenger, ChampionChallengerConfig};
use limbic_bandit::guardrails::frequency_cap::FrequencyCap;
use limbic_bandit::guardrails::hold_out::HoldoutConfig;
use limbic_bandit::random::{Random, hash};
use limbic_bandit::rewards::RewardConfig;
use limbic_domain::{
    ChallengerMode, Decision, DecisionResult, Envelope, Outcome, OutcomeKind, PolicyRole, Pseudonym, Slug,
    TenantId, topics,
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
        floor: 0.0,
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
        // What evaluation weighs with: the probability with which both together make each choice.
        let choice = decision.data.chosen().unwrap();
        let both = choice.candidates[choice.position].evaluation_propensity().get();
        let other = test.other_propensity.unwrap().get();
        let (champion, challenger) = match test.by {
            PolicyRole::Champion => (own, other),
            PolicyRole::Challenger => (other, own),
        };
        assert!((both - 0.7 * champion - 0.3 * challenger).abs() < 1e-12, "{both}");
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

/// An audience of 40 people, the first of whom is number `first`, and of whom some are held out.
fn crowd_from(first: i64, moment: &str, minute: i64) -> Vec<u8> {
    let mut set = creatives(moment, minute);
    let people = (first..first + 40).map(|person| Pseudonym::new(&format!("{person:032x}")).unwrap());
    set.data.people = people.collect();
    set.encode()
}

/// The same 40 people in every moment.
fn crowd(moment: &str, minute: i64) -> Vec<u8> {
    crowd_from(0, moment, minute)
}

fn sale(decision: &str, person: &Pseudonym, key: &str, minutes: i64) -> (&'static str, Vec<u8>) {
    let sale = Outcome {
        person: Some(person.clone()),
        ..Outcome::new(decision, OutcomeKind::Conversion, key)
    };
    let at = harness::at(minutes);
    let envelope = Envelope::new(TenantId::default(), key.into(), at, sale);
    (topics::OUTCOMES, envelope.encode())
}

fn with_hold_out(mut settings: OptimizeSettings) -> OptimizeSettings {
    settings.holdout = HoldoutConfig {
        share: 0.3,
        measured_for: limbic_domain::HumanDuration::from_mins(60),
        largest_value: 2.0,
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
    let (with, without) = (0.60, 0.30);
    for minute in 0..100 {
        let moment = format!("m{minute}");
        harness.feed(vec![(
            topics::CREATIVES,
            crowd_from(minute * 40, &moment, minute),
        )]);
        let pair = &harness.decisions[harness.decisions.len() - 2..];
        let mut outcomes = Vec::new();
        for (decision, rate) in pair.iter().zip([with, without]) {
            for person in people_of(decision) {
                let key = format!("{moment}/{person}");
                if Random::new(hash(key.as_bytes())).unit() < rate {
                    outcomes.push(sale(&decision.id, person, &key, minute));
                }
            }
        }
        harness.feed(outcomes);
    }
    let [.., reached, held_out] = &harness.decisions[..] else {
        panic!("two decisions a moment")
    };
    assert_eq!(held_out.data.held_out().unwrap().beside, reached.id);
    assert_eq!(people_of(reached).len() + people_of(held_out).len(), 40);
    assert!((5..=20).contains(&people_of(held_out).len()));
    let known = &held_out.data.held_out().unwrap().lift;
    // An hour and a minute of disorder have passed for all moments but the last.
    assert_eq!(known.compared, 40 * (100 - 63));
    assert!((known.reached - with).abs() < 0.06, "{known:?}");
    assert!((known.held_out - without).abs() < 0.09, "{known:?}");
    assert!(
        (known.largest_value - 2.0).abs() < 1e-12 && known.cut == 0,
        "{known:?}"
    );
    let truth = with - without;
    assert!(
        known.adds_at_least < truth && truth < known.adds_at_most,
        "{known:?}"
    );
    assert!(known.adds_at_least > 0.1 && known.adds_at_most < 0.5, "{known:?}");
}

#[test]
fn a_person_counts_once_and_late_corrections_change_the_comparison() {
    let mut settings = with_hold_out(OptimizeSettings::default());
    settings.rewards.restatement_window = limbic_domain::HumanDuration::from_days(1);
    let mut harness = Harness::new(settings);
    // The same people in every moment, who buy again and again.
    for minute in 0..30 {
        let moment = format!("m{minute}");
        harness.feed(vec![(topics::CREATIVES, crowd(&moment, minute))]);
        let pair = harness.decisions[harness.decisions.len() - 2..].to_vec();
        for decision in &pair {
            let person = &people_of(decision)[0];
            harness.feed(vec![sale(
                &decision.id,
                person,
                &format!("{moment}/{person}"),
                minute,
            )]);
        }
    }
    let lift = |harness: &mut Harness, moment: &str, minute| {
        harness.feed(vec![(topics::CREATIVES, crowd(moment, minute))]);
        let held_out = harness.decisions.last().unwrap().data.held_out().unwrap();
        held_out.lift.clone()
    };
    harness.watermark(harness::at(70));
    let before = lift(&mut harness, "after", 70);
    // One person of each group bought 30 times, cut to 2; few people prove nothing.
    assert_eq!((before.compared, before.cut), (40, 2));
    assert!(
        before.adds_at_least < 0.0 && before.adds_at_most > 0.0,
        "{before:?}"
    );
    // All sales of the held-out buyer but one are taken back.
    let decisions: Vec<_> = harness
        .decisions
        .iter()
        .filter(|d| d.data.held_out().is_some())
        .cloned()
        .collect();
    for (number, decision) in decisions.iter().take(29).enumerate() {
        let person = &people_of(decision)[0];
        let key = format!("m{number}/{person}");
        let withdrawn = Outcome {
            person: Some(person.clone()),
            withdrawn: true,
            revision: 1,
            ..Outcome::new(decision.id.as_str(), OutcomeKind::Conversion, key.as_str())
        };
        let at = harness::at(number as i64);
        let envelope = Envelope::new(TenantId::default(), key, at, withdrawn);
        harness.feed(vec![(topics::OUTCOMES, envelope.encode())]);
    }
    assert!(harness.dead.is_empty(), "{:?}", harness.dead);
    let after = lift(&mut harness, "later", 71);
    assert_eq!((after.compared, after.cut), (40, 1));
    let held_out = people_of(&decisions[0]).len() as f64;
    assert!((before.held_out - 2.0 / held_out).abs() < 1e-12, "{before:?}");
    assert!((after.held_out - 1.0 / held_out).abs() < 1e-12, "{after:?}");
}

#[test]
fn people_who_are_held_out_pass_the_same_caps_and_enter_also_when_they_are_alone() {
    let mut settings = with_hold_out(OptimizeSettings::default());
    settings.caps = vec![FrequencyCap {
        times: 1,
        window: limbic_domain::HumanDuration::from_mins(30),
    }];
    let mut harness = Harness::new(settings.clone());
    let held = |person: &Pseudonym| settings.holdout.contains(&TenantId::default(), person);
    let people: Vec<_> = (0..40)
        .map(|person| Pseudonym::new(&format!("{person:032x}")).unwrap())
        .collect();
    let alone = people.iter().find(|person| held(person)).unwrap();
    let mut set = creatives("alone", 0);
    set.data.people = vec![alone.clone()];
    harness.feed(vec![(topics::CREATIVES, set.encode())]);
    let [suppressed, ghost] = &harness.decisions[..] else {
        panic!("{:?}", harness.decisions)
    };
    assert_eq!(suppressed.data.suppressed().unwrap().rule, "hold_out");
    assert_eq!(people_of(ghost), std::slice::from_ref(alone));
    harness.feed(vec![(topics::CREATIVES, crowd("all", 1))]);
    let others = people_of(harness.decisions.last().unwrap());
    assert!(!others.is_empty() && !others.contains(alone), "capped");
    // Everybody has had a contact now, real or ghost.
    let count = harness.decisions.len();
    harness.feed(vec![(topics::CREATIVES, crowd("again", 2))]);
    assert_eq!(harness.decisions.len(), count + 1);
    assert_eq!(
        harness.decisions[count].data.suppressed().unwrap().rule,
        "frequency_cap"
    );
    // The delivery of the second decision is refused: its contacts are given back, the ghosts' too.
    let refused = harness.decisions[2].id.clone();
    harness.feed(vec![outcome(
        &refused,
        OutcomeKind::Refused,
        "deliver/webhook",
        2,
    )]);
    harness.feed(vec![(topics::CREATIVES, crowd("later", 3))]);
    let pair = &harness.decisions[count + 1..];
    let reached: usize = pair.iter().map(|decision| people_of(decision).len()).sum();
    assert_eq!(reached, 39, "all but the one who had a contact before");
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
            let buyer = Pseudonym::new(&format!("{:032x}", minute % 40)).unwrap();
            records.push(sale(&held_out, &buyer, &format!("s{minute}"), minute));
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
