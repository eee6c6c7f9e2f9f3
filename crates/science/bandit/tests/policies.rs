//! Properties of every policy, with all settings.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use limbic_bandit::decide::{DecisionEngine, EngineConfig, Offer, Selection};
use limbic_bandit::policy::Feedback;
use limbic_bandit::random::{Random, derive};
use limbic_bandit::simulator::{Drift, Tutorial};
use limbic_bandit::{Arm, Features, Policy, PolicyConfig, PolicyError};
use limbic_domain::{Micros, Utc};
use proptest::prelude::*;

const MODEL: &str = r#"{"bits": 8, "interactions": [["user", "arm"], ["user", "tone"]], "forgetting": 0.999,
    "change": {"rate": 0.1, "limit": 3, "widen": 0.5}}"#;

fn policies() -> Vec<PolicyConfig> {
    let settings = [
        r#"{"name": "uniform"}"#.to_owned(),
        r#"{"name": "pooled-ts"}"#.to_owned(),
        r#"{"name": "pooled-ts", "levels": ["user", "mood"], "discount": 0.99, "scale": 1}"#.to_owned(),
        r#"{"name": "bernoulli-ts"}"#.to_owned(),
        r#"{"name": "bernoulli-ts", "discount": 0.97, "stratify": ["user"],
            "hierarchy": {"creative": 20, "family": 10}, "change": {"rate": 0.1, "limit": 3, "keep": 0.3}}"#
            .to_owned(),
        r#"{"name": "bernoulli-ts", "window": 7}"#.to_owned(),
        format!(r#"{{"name": "epsilon-greedy", "model": {MODEL}}}"#),
        format!(r#"{{"name": "linear-ts", "model": {MODEL}}}"#),
        format!(r#"{{"name": "logistic-ts", "draws": 100, "model": {MODEL}}}"#),
        format!(r#"{{"name": "lin-ucb", "model": {MODEL}}}"#),
        format!(r#"{{"name": "square-cb", "model": {MODEL}}}"#),
        format!(r#"{{"name": "softmax", "model": {MODEL}}}"#),
    ];
    settings
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

fn arms(count: usize) -> Vec<Arm> {
    (0..count)
        .map(|index| {
            let tone = ["warm", "calm", "plain"][index % 3];
            Arm::new(format!("arm-{index}"), tone, Features::new().with("tone", tone))
        })
        .collect()
}

fn context(user: usize) -> Features {
    Features::new().with("user", &format!("user-{user}")).with_number(
        "mood",
        "valence",
        user as f64 / 3.0 - 0.5,
    )
}

fn teach(policy: &mut impl Policy, feedback: usize, seed: u64) {
    let arms = arms(5);
    for feedback in 0..feedback {
        let mut random = Random::new(derive(seed, feedback as u64));
        let (user, arm) = (random.below(4), random.below(arms.len()));
        let reward = if random.unit() < 0.1 + 0.2 * arm as f64 {
            1.0
        } else {
            0.0
        };
        let feedback = Feedback {
            context: &context(user),
            arm: &arms[arm],
            reward,
            previous_reward: None,
            propensity: 0.2,
        };
        policy.learn(&feedback).unwrap();
    }
}

fn bits(probabilities: &[f64]) -> Vec<u64> {
    probabilities
        .iter()
        .map(|probability| probability.to_bits())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn probabilities_sum_to_one_and_follow_from_state_and_seed(
        feedback in 0..120usize, count in 1..20usize, user in 0..6usize, seed: u64,
    ) {
        for config in policies() {
            let mut policy = config.build().unwrap();
            teach(&mut policy, feedback, seed);
            let (context, arms) = (context(user), arms(count));
            let probabilities = policy.probabilities(&context, &arms, seed);
            let total: f64 = probabilities.iter().sum();
            prop_assert_eq!(probabilities.len(), count);
            prop_assert!((total - 1.0).abs() < 1e-9, "{} {}", config.name(), total);
            prop_assert!(probabilities.iter().all(|probability| (0.0..=1.0).contains(probability)));
            prop_assert_eq!(bits(&probabilities), bits(&policy.probabilities(&context, &arms, seed)));
        }
    }

    #[test]
    fn a_snapshot_gives_back_the_same_bits_now_and_after_more_feedback(feedback in 0..200usize, seed: u64) {
        for config in policies() {
            let mut policy = config.build().unwrap();
            teach(&mut policy, feedback, seed);
            let snapshot = policy.snapshot();
            let mut restored = config.build().unwrap();
            restored.restore(&snapshot).unwrap();
            prop_assert_eq!(&restored.snapshot(), &snapshot);
            teach(&mut policy, 30, seed ^ 1);
            teach(&mut restored, 30, seed ^ 1);
            prop_assert_eq!(restored.snapshot(), policy.snapshot());
            let (one, two) = (
                policy.probabilities(&context(1), &arms(7), 5),
                restored.probabilities(&context(1), &arms(7), 5),
            );
            prop_assert_eq!(bits(&one), bits(&two), "{}", config.name());
        }
    }
}

#[test]
fn propensities_are_the_frequencies_of_many_seeded_draws() {
    for policy in policies() {
        let mut engine = DecisionEngine::new(EngineConfig {
            policy: policy.clone(),
            marginal_seeds: 1,
            ..EngineConfig::default()
        })
        .unwrap();
        let (context, arms) = (context(2), arms(5));
        for feedback in 0..60_usize {
            let feedback = Feedback {
                context: &context,
                arm: &arms[feedback % 5],
                reward: if feedback % 7 < 3 { 1.0 } else { 0.0 },
                previous_reward: None,
                propensity: 0.2,
            };
            engine.learn(&feedback).unwrap();
        }
        let offers: Vec<Offer> = arms
            .iter()
            .map(|arm| Offer {
                arm: arm.clone(),
                price: Micros(0),
            })
            .collect();
        let decisions = 3000;
        let (mut chosen, mut logged) = ([0.0; 5], [0.0; 5]);
        for decision in 0..decisions {
            let answer = engine.decide(&decision.to_string(), Utc::from_millis(0), &context, &offers);
            let Selection::Chosen(draft) = answer else {
                panic!("five offers")
            };
            chosen[draft.choice] += 1.0 / f64::from(decisions);
            for (sum, probability) in logged.iter_mut().zip(&draft.probabilities) {
                *sum += probability / f64::from(decisions);
            }
        }
        // At most four standard deviations of a frequency over 3000 decisions.
        for (count, probability) in chosen.iter().zip(&logged) {
            assert!(
                (count - probability).abs() < 0.037,
                "{}: {chosen:?} {logged:?}",
                policy.name()
            );
        }
    }
}

/// Of 100 decisions of `linear-ts`, how many count in an evaluation of a uniform choice (Kish's effective sample): weighted by the
/// propensity given the 16 draws, and by the marginal one. Both weights must have the mean 1.
fn effective_rows(candidates: usize, floor: f64, decisions: usize) -> [f64; 2] {
    let settings = format!(r#"{{"name": "linear-ts", "floor": {floor}, "model": {MODEL}}}"#);
    let mut engine = DecisionEngine::new(EngineConfig {
        policy: serde_json::from_str(&settings).unwrap(),
        ..EngineConfig::default()
    })
    .unwrap();
    let arms = arms(candidates);
    for feedback in 0..60 {
        let arm = &arms[feedback % candidates];
        let reward = f64::from(u8::from(feedback % 10 < 2 * (feedback % candidates)));
        let context = context(feedback % 4);
        let feedback = Feedback {
            context: &context,
            arm,
            reward,
            previous_reward: None,
            propensity: 1.0 / candidates as f64,
        };
        engine.learn(&feedback).unwrap();
    }
    let context = context(2);
    let offers: Vec<Offer> = arms
        .into_iter()
        .map(|arm| Offer {
            arm,
            price: Micros(0),
        })
        .collect();
    let mut weights = [Vec::new(), Vec::new()];
    for decision in 0..decisions {
        let answer = engine.decide(&decision.to_string(), Utc::from_millis(0), &context, &offers);
        let Selection::Chosen(draft) = answer else {
            panic!("{candidates} offers")
        };
        let marginal = draft.marginal.unwrap();
        assert!((marginal.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        for (weights, propensity) in weights.iter_mut().zip([draft.propensity, marginal[draft.choice]]) {
            weights.push(1.0 / candidates as f64 / propensity);
        }
    }
    weights.map(|weights| {
        let (sum, squares) = weights.iter().fold((0.0, 0.0), |(sum, squares), weight| {
            (sum + weight, squares + weight * weight)
        });
        let count = weights.len() as f64;
        let deviation = ((squares / count - (sum / count).powi(2)) / count).sqrt();
        assert!(
            (sum / count - 1.0).abs() < 4.0 * deviation,
            "{} {deviation}",
            sum / count
        );
        100.0 * sum * sum / squares / count
    })
}

/// `LIMBIC_DECISIONS=20000 cargo test -p limbic-bandit --test policies weights -- --nocapture` prints the table of the benchmarks.
#[test]
fn weights_by_the_marginal_propensity_are_as_right_and_vary_less() {
    let long = std::env::var("LIMBIC_DECISIONS").ok();
    let (cases, decisions): (&[_], _) = match &long {
        Some(decisions) => (
            &[(5, 0.01), (5, 0.001), (10, 0.01), (10, 0.001)],
            decisions.parse().unwrap(),
        ),
        None => (&[(5, 0.01)], 1_000),
    };
    for &(candidates, floor) in cases {
        let [given_draws, marginal] = effective_rows(candidates, floor, decisions);
        println!("| {candidates} | {floor} | {given_draws:.1} | {marginal:.1} |");
        assert!(
            marginal > 1.5 * given_draws,
            "{candidates} candidates, floor {floor}: {given_draws} and {marginal}"
        );
    }
}

#[test]
fn a_policy_without_seeded_draws_has_no_other_marginal() {
    for policy in policies() {
        let engine = DecisionEngine::new(EngineConfig {
            policy: policy.clone(),
            ..EngineConfig::default()
        })
        .unwrap();
        let arms = arms(4);
        let ask = |seed| engine.probabilities(&context(1), &arms, seed);
        let is_seeded = (0..20).any(|seed| ask(seed) != ask(20));
        let marginal = engine.marginal_probabilities(&context(1), &arms, 1, &ask(1));
        assert_eq!(marginal.is_some(), is_seeded, "{}", policy.name());
    }
}

#[test]
fn rewards_and_propensities_that_cannot_be_are_refused_and_change_nothing() {
    for config in policies() {
        let mut policy = config.build().unwrap();
        let before = policy.snapshot();
        let (context, arms) = (context(0), arms(1));
        for (reward, propensity) in [
            (f64::NAN, 0.5),
            (-1.0, 0.5),
            (f64::INFINITY, 0.5),
            (1.0, 0.0),
            (1.0, 1.5),
            (1.0, f64::NAN),
        ] {
            let feedback = Feedback {
                context: &context,
                arm: &arms[0],
                reward,
                previous_reward: None,
                propensity,
            };
            let refused = policy.learn(&feedback);
            let expected = matches!(refused, Err(PolicyError::Reward(_) | PolicyError::Propensity(_)));
            assert!(expected, "{}", config.name());
        }
        assert_eq!(policy.snapshot(), before);
        assert!(policy.restore(b"{\"other\": 1}").is_err(), "{}", config.name());
    }
}

#[test]
fn a_reward_that_is_taken_back_leaves_little_of_what_it_changed() {
    for config in policies() {
        let mut policy = config.build().unwrap();
        teach(&mut policy, 300, 5);
        let (context, arms) = (context(1), arms(5));
        let ask = |policy: &limbic_bandit::policy::AnyPolicy| -> Vec<f64> {
            let asked = (0..200).map(|seed| policy.probabilities(&context, &arms, seed));
            asked.fold(vec![0.0; arms.len()], |sums, probabilities| {
                let sums = sums.iter().zip(probabilities);
                sums.map(|(sum, probability)| sum + probability / 200.0).collect()
            })
        };
        let distance = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum() };
        let before = ask(&policy);
        let feedback = Feedback {
            context: &context,
            arm: &arms[0],
            reward: 1.0,
            previous_reward: None,
            propensity: 0.2,
        };
        for _ in 0..3 {
            policy.learn(&feedback).unwrap();
        }
        let learned = ask(&policy);
        for _ in 0..3 {
            policy.unlearn(&feedback).unwrap();
        }
        let after = ask(&policy);
        let (change, left) = (distance(&before, &learned), distance(&before, &after));
        assert!(left <= 0.5 * change + 1e-12, "{} {change} {left}", config.name());
        // The probabilities of greedy policies change only when another arm becomes the best one.
        let depends_on_rewards = !["uniform", "epsilon-greedy", "lin-ucb"].contains(&config.name());
        assert!(change > 0.0 || !depends_on_rewards, "{}", config.name());
        // What was never learned is taken back without harm.
        let other = Feedback {
            arm: &Arm::new("other", "warm", Features::new()),
            ..feedback
        };
        policy.unlearn(&other).unwrap();
        let sum: f64 = policy.probabilities(&context, &arms, 1).iter().sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
}

#[test]
fn no_arms_have_no_probabilities() {
    for config in policies() {
        assert!(
            config
                .build()
                .unwrap()
                .probabilities(&context(0), &[], 1)
                .is_empty()
        );
    }
}

#[test]
fn settings_name_their_policy_and_refuse_what_they_do_not_know() {
    for config in policies() {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<PolicyConfig>(&text).unwrap(), config);
        assert_eq!(config.version().name, config.name());
        let hash = config.version().hash;
        assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    assert!(serde_json::from_str::<PolicyConfig>(r#"{"name": "softmax", "lamda": 3}"#).is_err());
    assert!(serde_json::from_str::<PolicyConfig>(r#"{"name": "uniform", "floor": 3}"#).is_err());
    assert!(serde_json::from_str::<PolicyConfig>(r#"{"name": "magic"}"#).is_err());
}

#[test]
fn a_change_of_preferences_is_learned() {
    let settings = r#"{"policy": {"name": "lin-ucb", "alpha": 1.0, "floor": 0.01,
        "model": {"interactions": [["user", "time", "arm"]], "forgetting": 0.999}},
        "minimum_propensity": 0.0}"#;
    let config: EngineConfig = serde_json::from_str(settings).unwrap();
    for drift in [Drift::Known, Drift::Unknown] {
        let mut engine = DecisionEngine::new(config.clone()).unwrap();
        let run = Tutorial { rounds: 2000, drift }.run(&mut engine, 11).unwrap();
        assert!(run.first > 0.9 && run.second > 0.9, "{drift:?} {run:?}");
    }
}
