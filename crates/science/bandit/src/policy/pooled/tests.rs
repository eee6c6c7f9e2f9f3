//! The tests of [`pooled`](super).

use super::*;

fn arm(id: &str, tone: &str) -> Arm {
    Arm::new(id, tone, Features::new())
}

fn context(subject: &str) -> Features {
    Features::new().with("subject", subject)
}

fn policy() -> Pooled {
    Pooled::new(PooledConfig {
        levels: vec!["subject".to_owned()],
        ..PooledConfig::default()
    })
    .unwrap()
}

/// `clicks` of `times` feedback items are clicks.
fn teach(policy: &mut Pooled, subject: &str, arm: &Arm, clicks: usize, times: usize) {
    let context = context(subject);
    for number in 0..times {
        policy
            .learn(&Feedback {
                context: &context,
                arm,
                reward: f64::from(u8::from(number < clicks)),
                previous_reward: None,
                propensity: 0.5,
            })
            .unwrap();
    }
}

fn mean(policy: &Pooled, subject: &str, arm: &Arm) -> f64 {
    policy.posteriors(&context(subject), std::slice::from_ref(arm))[0].mean()
}

#[test]
fn an_arm_in_a_new_feeling_starts_from_its_record_elsewhere() {
    let mut policy = policy();
    let (good, bad) = (arm("a", "warm"), arm("b", "cold"));
    teach(&mut policy, "football", &good, 40, 100);
    teach(&mut policy, "football", &bad, 5, 100);
    assert!((mean(&policy, "music", &good) - 0.4).abs() < 0.05);
    assert!((mean(&policy, "music", &bad) - 0.05).abs() < 0.03);
    // It is less sure of it than where it was seen.
    let strength = |subject| {
        let beta = policy.posteriors(&context(subject), std::slice::from_ref(&good))[0];
        beta.alpha + beta.beta
    };
    assert!(strength("music") < strength("football") / 4.0);
}

#[test]
fn a_new_arm_starts_from_what_its_tone_earns_in_this_feeling() {
    let mut policy = policy();
    for id in ["a", "b", "c"] {
        teach(&mut policy, "football", &arm(id, "warm"), 40, 100);
        teach(&mut policy, "music", &arm(id, "warm"), 5, 100);
    }
    for id in ["d", "e"] {
        for subject in ["football", "music"] {
            teach(&mut policy, subject, &arm(id, "cold"), 20, 100);
        }
    }
    let new = arm("new", "warm");
    assert!((mean(&policy, "football", &new) - 0.4).abs() < 0.1);
    assert!((mean(&policy, "music", &new) - 0.05).abs() < 0.05);
    // An arm that was seen elsewhere also takes over the difference of its tone.
    let better = arm("better", "warm");
    teach(&mut policy, "football", &better, 60, 100);
    assert!(mean(&policy, "music", &better) < 0.2);
    assert!(mean(&policy, "music", &better) > mean(&policy, "music", &new));
}

#[test]
fn enough_records_overrule_every_prior() {
    let mut policy = policy();
    let arm = arm("a", "warm");
    teach(&mut policy, "football", &arm, 3_500, 5_000);
    teach(&mut policy, "music", &arm, 500, 5_000);
    assert!((mean(&policy, "football", &arm) - 0.7).abs() < 0.01);
    assert!((mean(&policy, "music", &arm) - 0.1).abs() < 0.01);
}

#[test]
fn a_record_counts_once_however_many_levels_there_are() {
    let levels = |names: &[&str]| {
        let config = PooledConfig {
            levels: names.iter().map(|&name| name.to_owned()).collect(),
            tone_in_cell: 0.0,
            creative_in_cell: 0.0,
            ..PooledConfig::default()
        };
        let mut policy = Pooled::new(config).unwrap();
        for (number, subject) in ["football", "music", "football"].iter().enumerate() {
            teach(&mut policy, subject, &arm("a", "warm"), number, 10);
            teach(&mut policy, subject, &arm("b", "warm"), 1, 10);
        }
        policy.posteriors(&context("football"), &[arm("a", "warm"), arm("b", "warm")])
    };
    // Without differences between cells, the cells do not matter.
    for (one, three) in levels(&[]).iter().zip(levels(&["subject", "absent", "other"])) {
        assert!((one.mean() / three.mean() - 1.0).abs() < 0.1, "{one:?} {three:?}");
        assert!((one.alpha / three.alpha - 1.0).abs() < 0.2, "{one:?} {three:?}");
    }
}

#[test]
fn a_corrected_reward_is_as_if_it_had_been_right_at_once() {
    let (mut one, mut two) = (policy(), policy());
    let arm = arm("a", "warm");
    let context = context("football");
    let mut feedback = Feedback {
        context: &context,
        arm: &arm,
        reward: 0.0,
        previous_reward: None,
        propensity: 0.5,
    };
    one.learn(&feedback).unwrap();
    (feedback.reward, feedback.previous_reward) = (1.0, Some(0.0));
    one.learn(&feedback).unwrap();
    feedback.previous_reward = None;
    two.learn(&feedback).unwrap();
    assert_eq!(one.learned, two.learned);
    // Taken back, it is as if it had never been.
    two.unlearn(&feedback).unwrap();
    let beliefs = two.posteriors(&context, std::slice::from_ref(&arm));
    assert_eq!(beliefs, policy().posteriors(&context, std::slice::from_ref(&arm)));
}

#[test]
fn a_discount_forgets_what_was_long_ago() {
    let config = PooledConfig {
        levels: Vec::new(),
        discount: 0.9,
        ..PooledConfig::default()
    };
    let mut policy = Pooled::new(config).unwrap();
    teach(&mut policy, "football", &arm("a", "warm"), 100, 100);
    teach(&mut policy, "football", &arm("a", "warm"), 0, 60);
    assert!(mean(&policy, "football", &arm("a", "warm")) < 0.1);
}
