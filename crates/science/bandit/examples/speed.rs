//! Processor time of a decision and of an update, with 20 arms × 100 features, as rows of a Markdown table.
//!
//! `cargo bench -p limbic-bandit` measures the same with confidence intervals. This example is for runs beside
//! another program.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;
use std::time::Instant;

use limbic_bandit::policy::{AnyPolicy, Feedback};
use limbic_bandit::quadrature::{Beta, best_arm_probabilities};
use limbic_bandit::{Arm, Features, Policy, PolicyConfig};

/// Microseconds that this thread has spent on a processor, or of the wall clock if the system does not report it.
fn processor_time(begin: Instant) -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = statistics.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanos.map_or_else(|| begin.elapsed().as_secs_f64() * 1e6, |nanos| nanos / 1e3)
}

/// Number of measurements. The table shows their median, minimum and maximum.
const ROUNDS: usize = 9;
const DECISIONS: usize = 20_000;
const UPDATES: usize = 10_000;

fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn arms(own: usize) -> Vec<Arm> {
    (0..20)
        .map(|arm| {
            let features = (0..own).fold(Features::new(), |features, feature| {
                let name = format!("{arm}.{feature}");
                features.with_number("creative", &name, 0.1 + feature as f64 / 50.0)
            });
            Arm::new(format!("arm-{arm}"), "family", features)
        })
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let context = (0..9_u32).fold(Features::new(), |features, emotion| {
        features.with_number("feeling", &format!("e{emotion}"), f64::from(emotion) / 9.0)
    });
    let products = r#"[["feeling", "creative"], ["feeling", "arm"], ["feeling", "family"]]"#;
    for (label, own, interactions) in [("own features", 98, "[]"), ("interactions", 8, products)] {
        for policy in [
            r#""name": "softmax""#,
            r#""name": "linear-ts", "draws": 16"#,
            r#""name": "linear-ts", "draws": 32"#,
            r#""name": "logistic-ts", "draws": 16"#,
            r#""name": "lin-ucb""#,
        ] {
            let model = format!(r#"{{"bits": 16, "forgetting": 0.9999, "interactions": {interactions}}}"#);
            let config: PolicyConfig = serde_json::from_str(&format!(r#"{{{policy}, "model": {model}}}"#))?;
            let (mut policy_at_work, arms) = (config.build()?, arms(own));
            let mut feedback = 0;
            let mut learn = |policy: &mut AnyPolicy| -> Result<f64, Box<dyn Error>> {
                let start = processor_time(begin);
                for _ in 0..UPDATES {
                    feedback += 1;
                    policy.learn(&Feedback {
                        context: &context,
                        arm: &arms[feedback % arms.len()],
                        reward: (feedback % 3) as f64 / 2.0,
                        previous_reward: None,
                        propensity: 0.1,
                    })?;
                }
                Ok((processor_time(begin) - start) / UPDATES as f64)
            };
            learn(&mut policy_at_work)?;
            let (mut updates, mut decisions, mut waits) = (Vec::new(), Vec::new(), Vec::new());
            let mut sum = 0.0;
            for round in 0..ROUNDS {
                updates.push(learn(&mut policy_at_work)?);
                let start = processor_time(begin);
                for decision in 0..DECISIONS {
                    let prepared = Instant::now();
                    let seed = (round * DECISIONS + decision) as u64;
                    sum += policy_at_work.probabilities(&context, &arms, seed)[0];
                    waits.push(prepared.elapsed());
                }
                decisions.push((processor_time(begin) - start) / DECISIONS as f64);
            }
            assert!(sum.is_finite());
            waits.sort_unstable();
            let each = median(&mut decisions);
            println!(
                "| {policy}, {label}: decision | {each:.2} ({:.0}/s; {:.2} to {:.2}; 99 % below {:.1} by the clock) |",
                1e6 / each,
                decisions[0],
                decisions[ROUNDS - 1],
                waits[waits.len() * 99 / 100].as_secs_f64() * 1e6
            );
            let each = median(&mut updates);
            println!(
                "| {policy}, {label}: update | {each:.2} ({:.2} to {:.2}) |",
                updates[0],
                updates[ROUNDS - 1]
            );
        }
    }
    for count in [3_u32, 20] {
        let arms: Vec<Beta> = (0..count)
            .map(|arm| Beta {
                alpha: 1.0 + f64::from(arm) * 3.0,
                beta: 40.0 + f64::from(arm * arm),
            })
            .collect();
        let start = processor_time(begin);
        for _ in 0..50 {
            assert_eq!(best_arm_probabilities(&arms).len(), arms.len());
        }
        let each = (processor_time(begin) - start) / 50.0;
        println!("| bernoulli-ts, exact by quadrature, {count} arms: decision | {each:.1} |");
    }
    Ok(())
}
