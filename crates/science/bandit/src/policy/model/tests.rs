//! The tests of [`model`](super).

use super::*;

fn arm(id: &str) -> Arm {
    Arm::new(id, "f", Features::new())
}

fn predict(model: &Model, context: &Features, arm: &Arm) -> f64 {
    let mut terms = Vec::new();
    let prepared = model.prepare(context);
    prepared.shared_terms(&mut terms);
    prepared.arm_terms(arm, &mut terms);
    f64::from(model.mean(&terms))
}

fn config() -> ModelConfig {
    ModelConfig {
        interactions: vec![vec!["user".into(), "arm".into()]],
        ..ModelConfig::default()
    }
}

#[test]
fn it_learns_what_interacts() {
    let mut model = Model::new(config(), Link::Identity).unwrap();
    let users = ["tom", "anna"].map(|name| Features::new().with("user", name));
    let arms = [arm("a"), arm("b")];
    for round in 0..400 {
        let (user, choice) = (round % 2, (round / 2) % 2);
        model.learn(
            &users[user],
            &arms[choice],
            if user == choice { 0.9 } else { 0.1 },
            None,
        );
    }
    for (user, context) in users.iter().enumerate() {
        for (choice, arm) in arms.iter().enumerate() {
            let right = if user == choice { 0.9 } else { 0.1 };
            assert!((predict(&model, context, arm) - right).abs() < 0.05);
        }
    }
}

#[test]
fn logistic_predictions_become_the_rate() {
    let mut model = Model::new(config(), Link::Logistic).unwrap();
    let (context, arm) = (Features::new(), arm("a"));
    for round in 0..4000 {
        model.learn(&context, &arm, if round % 10 == 0 { 1.0 } else { 0.0 }, None);
    }
    let rate = logistic(predict(&model, &context, &arm));
    assert!((rate - 0.1).abs() < 0.02, "{rate}");
}

#[test]
fn a_change_of_mind_widens_what_it_is_about_and_nothing_else() {
    let watchful = ModelConfig {
        change: Some(WidenConfig {
            rate: 0.2,
            limit: 4.0,
            widen: 1.0,
        }),
        noise_variance: 0.01,
        ..config()
    };
    let mut model = Model::new(watchful, Link::Identity).unwrap();
    let context = Features::new();
    let width = |model: &Model, id: &str| {
        // A feature of the arm's own name only, because the family is shared.
        let arm = Arm {
            features: Features::new().with("arm", id),
            ..arm(id)
        };
        let mut terms = Vec::new();
        model.prepare(&context).arm_terms(&arm, &mut terms);
        model.deviation(&terms)
    };
    for round in 0..400 {
        let (id, reward) = [("a", 0.8), ("b", 0.2)][round % 2];
        model.learn(&context, &arm(id), reward, None);
    }
    let (learned, other) = (width(&model, "a"), width(&model, "b"));
    let widest = (0..20)
        .map(|_| {
            model.learn(&context, &arm("a"), 0.0, None);
            width(&model, "a")
        })
        .fold(0.0, f32::max);
    assert!(widest > 2.0 * learned, "{widest} {learned}");
    assert!(width(&model, "b") < 1.01 * other, "no feedback for it");
}

#[test]
fn forgetting_widens_again_what_is_not_seen() {
    let forgetful = ModelConfig {
        forgetting: 0.99,
        ..config()
    };
    let mut model = Model::new(forgetful, Link::Identity).unwrap();
    let context = Features::new();
    let width = |model: &Model| {
        let mut terms = Vec::new();
        model.prepare(&context).arm_terms(&arm("a"), &mut terms);
        model.deviation(&terms)
    };
    let before = width(&model);
    for _ in 0..50 {
        model.learn(&context, &arm("a"), 1.0, None);
    }
    let learned = width(&model);
    for _ in 0..1500 {
        model.learn(&context, &arm("b"), 0.0, None);
    }
    // Two terms, the name and the family. The family is shared with the other arm, so its deviation stays small.
    assert!(learned < 0.6 * before && width(&model) > 1.2 * learned);
}
