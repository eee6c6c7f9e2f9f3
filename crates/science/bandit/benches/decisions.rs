//! Benchmarks of a decision and an update, each with 20 arms × 100 features.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use limbic_bandit::policy::Feedback;
use limbic_bandit::quadrature::{Beta, best_arm_probabilities};
use limbic_bandit::{Arm, Features, Policy, PolicyConfig};

fn arms() -> Vec<Arm> {
    (0..20)
        .map(|arm| {
            let features = (0..98).fold(Features::new(), |features, feature| {
                let name = format!("{arm}.{feature}");
                features.with_number("creative", &name, 0.1 + f64::from(feature) / 50.0)
            });
            Arm::new(format!("arm-{arm}"), "family", features)
        })
        .collect()
}

fn decisions(criterion: &mut Criterion) {
    let (context, arms) = (Features::new(), arms());
    for (label, settings) in [
        (
            "softmax",
            r#"{"name": "softmax", "model": {"bits": 16, "forgetting": 0.9999}}"#,
        ),
        (
            "linear-ts of 16 draws",
            r#"{"name": "linear-ts", "draws": 16, "model": {"bits": 16, "forgetting": 0.9999}}"#,
        ),
        (
            "linear-ts of 32 draws",
            r#"{"name": "linear-ts", "draws": 32, "model": {"bits": 16, "forgetting": 0.9999}}"#,
        ),
    ] {
        let config: PolicyConfig = serde_json::from_str(settings).expect("settings of this bench");
        let mut policy = config.build().expect("settings of this bench");
        let mut turn = 0;
        let mut learn = |policy: &mut limbic_bandit::policy::AnyPolicy| {
            turn += 1;
            let feedback = Feedback {
                context: &context,
                arm: &arms[turn % arms.len()],
                reward: f64::from(turn.is_multiple_of(3)),
                previous_reward: None,
                propensity: 0.1,
            };
            policy.learn(&feedback).expect("a fair feedback");
        };
        for _ in 0..2000 {
            learn(&mut policy);
        }
        let mut seed = 0;
        criterion.bench_function(&format!("decide, {label}"), |bencher| {
            bencher.iter(|| {
                seed += 1;
                black_box(policy.probabilities(&context, &arms, seed))
            });
        });
        criterion.bench_function(&format!("learn, {label}"), |bencher| {
            bencher.iter(|| learn(&mut policy));
        });
    }
    let posteriors: Vec<Beta> = (0..20_u32)
        .map(|arm| Beta {
            alpha: 1.0 + f64::from(arm) * 3.0,
            beta: 40.0 + f64::from(arm * arm),
        })
        .collect();
    criterion.bench_function("decide, bernoulli-ts by quadrature", |bencher| {
        bencher.iter(|| black_box(best_arm_probabilities(&posteriors)));
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
