use super::*;
use crate::random::choose;

const LIMITS: Limits = Limits {
    reward: 1.0,
    weight: 20.0,
};

fn live(share: f64) -> ChampionChallengerConfig {
    ChampionChallengerConfig {
        shadow: false,
        share,
        ..ChampionChallengerConfig::default()
    }
}

fn clicks(random: &mut Random, rate: f64) -> f64 {
    f64::from(u8::from(random.unit() < rate))
}

/// Runs a test of two fixed policies over the same arms.
fn play(
    config: ChampionChallengerConfig,
    (champion, challenger): (&[f64], &[f64]),
    rates: &[f64],
    rounds: u64,
    seed: u64,
) -> ChampionChallengerTest {
    let mut test = ChampionChallengerTest::new(config, LIMITS, 1).unwrap();
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let by = test.assign(derive(seed, round));
        let chosen_from = match by {
            PolicyRole::Champion => champion,
            PolicyRole::Challenger => challenger,
        };
        let choice = choose(chosen_from, random.unit()).unwrap();
        let observation = test.observation(by, champion, challenger, choice);
        test.observe(&observation, clicks(&mut random, rates[choice]));
    }
    test
}

fn rolled_back(test: &ChampionChallengerTest) -> bool {
    test.mode() == ChallengerMode::RolledBack
}

#[test]
fn the_settings_of_the_test_are_read_under_their_former_name_too() {
    let of = |name: &str| {
        let text = format!(r#"{{"policy": {{"name": "uniform"}}, "{name}": {{"share": 0.25}}}}"#);
        serde_json::from_str::<Challenger>(&text).unwrap()
    };
    assert_eq!(of("contest"), of("test"));
    assert!((of("test").test.share - 0.25).abs() < f64::EPSILON);
}

#[test]
fn a_surely_worse_challenger_is_rolled_back_live_and_in_shadow() {
    let (good, bad) = ([0.8, 0.2], [0.2, 0.8]);
    for config in [live(0.5), live(0.2), ChampionChallengerConfig::default()] {
        let back = (0..40)
            .filter(|&seed| rolled_back(&play(config, (&good, &bad), &[0.3, 0.1], 6000, seed)))
            .count();
        assert!(back >= 38, "{config:?}: {back}");
    }
}

/// Runs a live test with a share of 0.5 and a floor of 0.9. Returns it, and the share of decisions that the challenger made.
fn play_with_floor(rates: &[f64], rounds: u64, seed: u64) -> (ChampionChallengerTest, f64) {
    let config = ChampionChallengerConfig {
        floor: 0.9,
        ..live(0.5)
    };
    let (champion, challenger) = (&[0.7, 0.3], &[0.3, 0.7]);
    let mut test = ChampionChallengerTest::new(config, LIMITS, 1).unwrap();
    let mut random = Random::new(seed);
    let (mut by_challenger, mut made) = (0.0, 0.0);
    for round in 0..rounds {
        let by = test.assign(derive(seed, round));
        let chosen_from = match by {
            PolicyRole::Champion => champion,
            PolicyRole::Challenger => challenger,
        };
        if test.mode() == ChallengerMode::Live {
            made += 1.0;
            by_challenger += f64::from(u8::from(by == PolicyRole::Challenger));
        }
        let choice = choose(chosen_from, random.unit()).unwrap();
        let observation = test.observation(by, champion, challenger, choice);
        test.observe(&observation, clicks(&mut random, rates[choice]));
    }
    (test, by_challenger / made)
}

#[test]
fn a_floor_gives_the_challenger_more_only_as_the_evidence_allows() {
    // As good as the champion: the share grows from 0.1.
    let (test, share) = play_with_floor(&[0.5, 0.5], 6_000, 2);
    assert!(test.share() > 0.2 && test.share() <= 0.5, "{}", test.share());
    assert!(share > 0.1 && !test.ratio_alarm() && !rolled_back(&test));
    // Much worse: it never makes more than its safe share, and is rolled back.
    for seed in 0..5 {
        let (test, share) = play_with_floor(&[0.8, 0.02], 6_000, seed);
        assert!(rolled_back(&test), "{seed}: {}", test.champion_leads_by());
        assert!(share < 0.2, "{seed}: {share}");
    }
    // Saved and resumed, it goes on.
    let saved = serde_json::to_string(test.state()).unwrap();
    assert_eq!(
        &serde_json::from_str::<ChampionChallengerState>(&saved).unwrap(),
        test.state()
    );
}

#[test]
fn a_better_challenger_is_said_to_be_and_never_rolled_back() {
    let (good, bad) = ([0.8, 0.2], [0.2, 0.8]);
    for config in [live(0.3), ChampionChallengerConfig::default()] {
        let test = play(config, (&bad, &good), &[0.3, 0.1], 8000, 5);
        assert!(test.challenger_leads_by() > 0.0, "{config:?}");
        assert!(test.champion_leads_by() < 0.0 && !rolled_back(&test));
    }
}

#[test]
fn an_equal_challenger_is_rarely_rolled_back_however_often_one_looks() {
    // Different choices with the same value.
    for config in [live(0.2), ChampionChallengerConfig::default()] {
        let back = (0..200)
            .filter(|&seed| {
                let policies: (&[f64], &[f64]) = (&[0.5, 0.5], &[0.1, 0.9]);
                rolled_back(&play(config, policies, &[0.2, 0.2], 2000, seed))
            })
            .count();
        // 5 % of 200, and four standard deviations.
        assert!(back <= 22, "{config:?}: {back}");
    }
}

#[test]
fn a_cut_never_rolls_back_a_challenger_that_is_as_good() {
    // The challenger prefers an arm to which the champion gives a probability of 0.01: most of its weight is cut.
    let policies: (&[f64], &[f64]) = (&[0.99, 0.01], &[0.01, 0.99]);
    for seed in 0..20 {
        let test = play(
            ChampionChallengerConfig::default(),
            policies,
            &[0.4, 0.4],
            3000,
            seed,
        );
        assert!(!rolled_back(&test), "{seed}: {}", test.champion_leads_by());
    }
}

#[test]
fn a_bound_covers_at_all_moments_together() {
    let missed = (0..300)
        .filter(|&seed| {
            let mut random = Random::new(seed);
            let mut bound = LowerBound::default();
            (0..2000).any(|_| {
                bound.observe(clicks(&mut random, 0.1), 0.05);
                bound.at_least(0.05) > 0.1
            })
        })
        .count();
    assert!(missed <= 30, "{missed}");
}

#[test]
fn a_shadow_decides_nothing_and_a_live_challenger_its_share() {
    let shadow = ChampionChallengerTest::new(ChampionChallengerConfig::default(), LIMITS, 1).unwrap();
    assert!((0..100).all(|seed| shadow.assign(seed) == PolicyRole::Champion));
    let config = ChampionChallengerConfig {
        floor: 0.0,
        ..live(0.2)
    };
    let test = ChampionChallengerTest::new(config, LIMITS, 1).unwrap();
    let share = (0..10_000)
        .filter(|&seed| test.assign(seed) == PolicyRole::Challenger)
        .count();
    assert!((1840..2160).contains(&share), "{share}");
    // With the default floor, it starts with a tenth, and the default share needs no floor.
    let start = |config| ChampionChallengerTest::new(config, LIMITS, 1).unwrap().share();
    assert!((start(live(0.5)) - 0.1).abs() < 1e-9);
    assert!((start(live(0.1)) - 0.1).abs() < 1e-9);
    assert!(live(0.1).floor_in_force() == 0.0 && live(0.5).floor_in_force() > 0.0);
}

#[test]
fn outcomes_that_are_lost_for_one_side_raise_the_alarm() {
    let mut test = ChampionChallengerTest::new(live(0.3), LIMITS, 1).unwrap();
    let equal = [0.5, 0.5];
    let mut random = Random::new(3);
    let mut turns = Vec::new();
    for seed in 0..4000 {
        let by = test.assign(seed);
        // A third of the challenger's outcomes never arrives.
        if by == PolicyRole::Champion || random.below(3) > 0 {
            let observation = test.observation(by, &equal, &equal, 0);
            turns.push(test.observe(&observation, 0.0));
        }
    }
    assert!(test.ratio_alarm());
    assert_eq!(
        turns
            .iter()
            .filter(|&&turn| turn == TestEvent::RatioAlarm)
            .count(),
        1
    );
    assert!(!rolled_back(&test), "two that are alike have no loser");
}

#[test]
fn a_state_resumes_its_own_test_to_the_bit_and_no_other() {
    let test = play(live(0.3), (&[0.6, 0.4], &[0.3, 0.7]), &[0.3, 0.2], 100, 9);
    let saved = serde_json::to_string(test.state()).unwrap();
    let state: ChampionChallengerState = serde_json::from_str(&saved).unwrap();
    let mut again = ChampionChallengerTest::new(live(0.3), LIMITS, 1).unwrap();
    again.resume(state.clone());
    assert_eq!(again, test);
    let fresh = ChampionChallengerTest::new(live(0.3), LIMITS, 2).unwrap();
    let mut other = fresh.clone();
    other.resume(state);
    assert_eq!(other, fresh);
    let stray = test.observation(PolicyRole::Champion, &[1.0], &[1.0], 0);
    assert_eq!(other.observe(&stray, 1.0), TestEvent::None);
    assert_eq!(other, fresh);
}

#[test]
fn settings_outside_their_ranges_are_refused() {
    for (share, alpha) in [(0.0, 0.05), (1.0, 0.05), (f64::NAN, 0.05), (0.5, 0.0)] {
        let config = ChampionChallengerConfig {
            share,
            alpha,
            ..ChampionChallengerConfig::default()
        };
        assert!(ChampionChallengerTest::new(config, LIMITS, 1).is_err());
    }
}
