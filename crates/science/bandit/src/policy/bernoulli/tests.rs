//! The tests of [`bernoulli`](super).

use super::*;

fn arm(id: &str, family: &str) -> Arm {
    Arm::new(id, family, Features::new())
}

fn teach(policy: &mut BernoulliThompson, arm: &Arm, reward: f64) {
    let context = Features::new();
    let feedback = Feedback {
        context: &context,
        arm,
        reward,
        previous_reward: None,
        propensity: 0.5,
    };
    policy.learn(&feedback).unwrap();
}

#[test]
fn without_forgetting_the_order_of_feedback_does_not_matter() {
    let arms = [arm("a", "f"), arm("b", "f")];
    let mut one = BernoulliThompson::new(BernoulliConfig::default()).unwrap();
    let mut two = one.clone();
    let feedback = [(0, 1.0), (1, 0.0), (0, 0.0), (1, 1.0), (0, 1.0)];
    for &(index, reward) in &feedback {
        teach(&mut one, &arms[index], reward);
    }
    for &(index, reward) in feedback.iter().rev() {
        teach(&mut two, &arms[index], reward);
    }
    let context = Features::new();
    assert_eq!(
        one.probabilities(&context, &arms, 0),
        two.probabilities(&context, &arms, 9)
    );
}

#[test]
fn a_window_counts_its_feedback_only() {
    let config = BernoulliConfig {
        window: Some(3),
        ..BernoulliConfig::default()
    };
    let mut policy = BernoulliThompson::new(config).unwrap();
    let arm = arm("a", "f");
    for reward in [1.0, 1.0, 1.0, 0.0, 0.0] {
        teach(&mut policy, &arm, reward);
    }
    let belief = policy.posteriors(&Features::new(), &[arm])[0];
    assert_eq!((belief.alpha, belief.beta), (2.0, 3.0));
}

#[test]
fn a_discount_forgets_what_was_long_ago() {
    let config = BernoulliConfig {
        discount: 0.5,
        ..BernoulliConfig::default()
    };
    let mut policy = BernoulliThompson::new(config).unwrap();
    let (a, b) = (arm("a", "f"), arm("b", "f"));
    teach(&mut policy, &a, 1.0);
    teach(&mut policy, &b, 0.0);
    teach(&mut policy, &b, 0.0);
    let belief = policy.posteriors(&Features::new(), &[a, b]);
    assert_eq!((belief[0].alpha, belief[0].beta), (1.25, 1.0));
    assert_eq!((belief[1].alpha, belief[1].beta), (1.0, 2.5));
}

#[test]
fn a_new_arm_starts_from_its_family() {
    let config = BernoulliConfig {
        hierarchy: Some(HierarchyConfig {
            creative: 10.0,
            family: 5.0,
        }),
        ..BernoulliConfig::default()
    };
    let mut policy = BernoulliThompson::new(config).unwrap();
    for _ in 0..50 {
        teach(&mut policy, &arm("warm-1", "warm"), 1.0);
        teach(&mut policy, &arm("cold-1", "cold"), 0.0);
    }
    let new = [arm("warm-2", "warm"), arm("cold-2", "cold"), arm("odd", "odd")];
    let belief = policy.posteriors(&Features::new(), &new);
    assert!(belief[0].mean() > 0.9 && belief[1].mean() < 0.1);
    assert!((belief[2].mean() - 0.5).abs() < 1e-9);
    assert!(
        (belief[0].alpha + belief[0].beta - 10.0).abs() < 1e-9,
        "still as wide as its prior"
    );
}

#[test]
fn a_change_widens_the_posterior() {
    let config = BernoulliConfig {
        change: Some(ChangeConfig {
            rate: 0.2,
            limit: 4.0,
            keep: 0.1,
        }),
        ..BernoulliConfig::default()
    };
    let mut policy = BernoulliThompson::new(config).unwrap();
    let arm = arm("a", "f");
    for _ in 0..300 {
        teach(&mut policy, &arm, 1.0);
    }
    let mass = |policy: &BernoulliThompson| {
        let belief = policy.posteriors(&Features::new(), std::slice::from_ref(&arm))[0];
        belief.alpha + belief.beta
    };
    assert!(mass(&policy) > 300.0);
    for _ in 0..5 {
        teach(&mut policy, &arm, 0.0);
    }
    assert!(mass(&policy) < 60.0);
}

#[test]
fn a_corrected_reward_is_as_if_it_had_been_right_at_once() {
    let mut policy = BernoulliThompson::new(BernoulliConfig::default()).unwrap();
    let arm = arm("a", "f");
    teach(&mut policy, &arm, 0.0);
    let context = Features::new();
    let feedback = Feedback {
        context: &context,
        arm: &arm,
        reward: 1.0,
        previous_reward: Some(0.0),
        propensity: 0.5,
    };
    policy.learn(&feedback).unwrap();
    let belief = policy.posteriors(&context, std::slice::from_ref(&arm))[0];
    assert_eq!((belief.alpha, belief.beta), (2.0, 1.0));
    let learned = Feedback {
        previous_reward: None,
        ..feedback
    };
    policy.unlearn(&learned).unwrap();
    let belief = policy.posteriors(&context, std::slice::from_ref(&arm))[0];
    assert_eq!((belief.alpha, belief.beta), (1.0, 1.0));
}

#[test]
fn a_reward_that_is_taken_back_leaves_the_window_too() {
    let config = BernoulliConfig {
        window: Some(2),
        ..BernoulliConfig::default()
    };
    let mut policy = BernoulliThompson::new(config).unwrap();
    let arm = arm("a", "f");
    let context = Features::new();
    let take = |policy: &mut BernoulliThompson, reward| {
        let feedback = Feedback {
            context: &context,
            arm: &arm,
            reward,
            previous_reward: None,
            propensity: 0.5,
        };
        policy.unlearn(&feedback).unwrap();
        let belief = policy.posteriors(&context, std::slice::from_ref(&arm))[0];
        (belief.alpha, belief.beta)
    };
    for reward in [1.0, 0.0, 0.0] {
        teach(&mut policy, &arm, reward);
    }
    assert_eq!(take(&mut policy, 1.0), (1.0, 3.0), "the success had left before");
    assert_eq!(take(&mut policy, 0.0), (1.0, 2.0));
    teach(&mut policy, &arm, 1.0);
    assert_eq!(take(&mut policy, 0.0), (2.0, 1.0));
}
