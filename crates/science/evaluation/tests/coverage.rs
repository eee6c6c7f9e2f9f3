//! On simulated logs the true value is known: estimates are close to it, and intervals contain it as often as
//! promised.
//!
//! Every log is a function of its number, so the tests are deterministic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use limbic_bandit::random::{Random, choose};
use limbic_evaluation::{
    BanditLog, Estimator, EvaluationOptions, EvaluationPolicy, EvaluationReport, LogFormat, LogRow,
    Situation, TablePolicy, evaluate_log,
};

const ARMS: usize = 4;
const CONTEXTS: usize = 3;
/// Probabilities of the evaluated policy, independent of the context.
const POLICY: [f64; ARMS] = [0.1, 0.2, 0.3, 0.4];

/// Mean reward of the arm `arm` in a context.
fn pay(context: usize, arm: usize) -> f64 {
    0.1 + 0.15 * ((context + 2 * arm) % 5) as f64
}

/// Probabilities of the logging policy, which depend on the context.
fn logging(context: usize) -> [f64; ARMS] {
    let mut probabilities = [0.15; ARMS];
    probabilities[context] = 0.55;
    probabilities
}

fn truth() -> f64 {
    let values = (0..CONTEXTS).flat_map(|context| (0..ARMS).map(move |arm| POLICY[arm] * pay(context, arm)));
    values.sum::<f64>() / CONTEXTS as f64
}

fn simulate(seed: u64, rows: usize) -> BanditLog {
    let mut random = Random::new(seed);
    let mut log = BanditLog::new();
    let arms: Vec<u32> = (0..ARMS).map(|arm| log.arm(&format!("arm {arm}"))).collect();
    let set = log.set(&arms);
    let situations: Vec<u32> = (0..CONTEXTS)
        .map(|context| {
            let feature = log.feature(&format!("context={context}"));
            let context = log.context(&mut vec![(feature, 1.0)]);
            log.situation(Situation {
                context,
                set,
                position: 0,
            })
        })
        .collect();
    for line in 0..rows {
        let context = random.below(CONTEXTS);
        let probabilities = logging(context);
        let arm = choose(&probabilities, random.unit()).unwrap();
        let row = LogRow {
            situation: situations[context],
            arm: arms[arm],
            reward: f64::from(u8::from(random.unit() < pay(context, arm))),
            propensity: probabilities[arm],
        };
        log.push(row, line as u64 + 1);
    }
    log
}

fn report(seed: u64, rows: usize, estimators: &[Estimator]) -> EvaluationReport {
    let log = simulate(seed, rows);
    let mut options = EvaluationOptions::new("simulated", LogFormat::Limbic, EvaluationPolicy::Uniform);
    options.estimators = estimators.to_vec();
    options.bootstrap_samples = 200;
    options.seed = seed;
    options.threads = 1;
    let policy = TablePolicy::new("fixed", &log, &[POLICY.to_vec()]);
    evaluate_log(&log, &policy, &options, |_| {}).unwrap()
}

#[test]
fn every_unbiased_estimator_finds_the_truth() {
    let report = report(1, 40_000, &Estimator::ALL);
    for estimate in &report.estimates {
        let error = (estimate.value.unwrap() - truth()).abs();
        // The model of the direct method has no interactions, so its estimate is only approximate.
        let tolerance = match estimate.estimator {
            Estimator::Dm | Estimator::SwitchDr | Estimator::DrOs => 0.03,
            _ => 0.012,
        };
        assert!(error < tolerance, "{}: off by {error}", estimate.estimator);
    }
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert!((report.weights.mean - 1.0).abs() < 0.02);
}

#[test]
fn intervals_hold_as_often_as_they_promise() {
    const RUNS: u64 = 300;
    let estimators = [
        Estimator::Replay,
        Estimator::Ipw,
        Estimator::Snipw,
        Estimator::Dr,
        Estimator::Sndr,
    ];
    let mut held = std::collections::BTreeMap::new();
    for seed in 0..RUNS {
        for estimate in report(seed, 300, &estimators).estimates {
            for (method, interval) in estimate.intervals {
                let holds = interval.low <= truth() && truth() <= interval.high;
                *held.entry((estimate.estimator, method)).or_insert(0) += u64::from(holds);
            }
        }
    }
    let methods = |estimator| held.keys().filter(|(of, _)| *of == estimator).count();
    assert_eq!(
        (
            methods(Estimator::Ipw),
            methods(Estimator::Replay),
            methods(Estimator::Dr)
        ),
        (3, 3, 2)
    );
    for ((estimator, method), count) in held {
        let share = count as f64 / RUNS as f64;
        println!("{estimator} {method}: {share:.3}");
        // Guaranteed intervals must cover at least 95 %. The bootstrap is valid for many rows only, so it is allowed
        // 2.5 points less: two standard errors of a share of 300.
        let least = if method == "bootstrap" { 0.925 } else { 0.95 };
        assert!(share >= least, "{estimator} {method}: {share}");
    }
}

#[test]
fn wrong_propensities_do_not_go_unnoticed() {
    let mut log = simulate(5, 5_000);
    for row in &mut log.rows {
        row.propensity = 0.25;
    }
    let options = EvaluationOptions::new("simulated", LogFormat::Limbic, EvaluationPolicy::Uniform);
    let policy = TablePolicy::new("fixed", &log, &[POLICY.to_vec()]);
    let report = evaluate_log(&log, &policy, &options, |_| {}).unwrap();
    assert!(
        report.warnings.iter().any(|w| w.contains("instead of 1")),
        "{:?}",
        report.warnings
    );
}
