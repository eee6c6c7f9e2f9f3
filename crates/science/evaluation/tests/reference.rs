//! Results equal those of the reference implementation (Open Bandit Pipeline 0.5.7, scikit-learn 1.1.3) on its
//! sample.
//!
//! `fixtures/reference_draws.json` has the number of times that the reference, seeded with 12345, drew each item at
//! each position in 100,000 draws of Bernoulli Thompson sampling. `scripts/ope-reference --draws` writes it. With
//! these probabilities the arithmetic must be equal. With exact probabilities, the difference must be within the
//! error of the draws.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use limbic_domain::testing::data_dir;
use limbic_evaluation::{
    BanditLog, Estimator, EvaluationOptions, EvaluationPolicy, EvaluationReport, LogFormat, RewardModel,
    TablePolicy, TargetPolicy, UniformPolicy, evaluate, evaluate_log, read_log,
};

const DRAWS: f64 = 100_000.0;
const ESTIMATORS: [Estimator; 5] = [
    Estimator::Ipw,
    Estimator::Snipw,
    Estimator::Dm,
    Estimator::Dr,
    Estimator::Sndr,
];
/// Output of the reference, to its sixth decimal.
const TABLE: [(&str, [f64; 5]); 3] = [
    ("all", [0.004_553, 0.004_776, 0.003_545, 0.004_727, 0.004_785]),
    ("men", [0.004_534, 0.004_604, 0.004_129, 0.004_563, 0.004_570]),
    ("women", [0.006_813, 0.006_811, 0.004_537, 0.006_865, 0.006_864]),
];
/// Switch-DR with τ = 5 and `DRos` with λ = 10, to the eighth decimal (with the solver `newton-cg`, which converges).
const SETTINGS: [(&str, [f64; 2]); 3] = [
    ("all", [0.003_975_84, 0.003_666_22]),
    ("men", [0.004_359_45, 0.004_413_76]),
    ("women", [0.005_019_50, 0.005_125_88]),
];

fn options(campaign: &str) -> Option<EvaluationOptions> {
    let data = data_dir()?.join("open_bandit_sample");
    let prior = data.join("prior_bts.yaml");
    let policy = EvaluationPolicy::BernoulliThompson { prior };
    let mut options =
        EvaluationOptions::new(data.join("random").join(campaign), LogFormat::OpenBandit, policy);
    options.reward_model = RewardModel::Additive;
    Some(options)
}

fn drawn(log: &BanditLog, campaign: &str) -> TablePolicy {
    let text = include_str!("fixtures/reference_draws.json");
    let mut counts: BTreeMap<String, Vec<Vec<f64>>> = serde_json::from_str(text).unwrap();
    let mut table = counts.remove(campaign).unwrap();
    for count in table.iter_mut().flatten() {
        *count /= DRAWS;
    }
    TablePolicy::new("drawn", log, &table)
}

fn value(report: &EvaluationReport, estimator: Estimator) -> f64 {
    report.estimate(estimator).unwrap().value.unwrap()
}

#[test]
fn with_the_references_draws_every_number_is_the_references() {
    for (campaign, expected) in TABLE {
        let Some(mut options) = options(campaign) else {
            return;
        };
        options.switch_threshold = Some(5.0);
        options.shrinkage = Some(10.0);
        let log = read_log(&options, |_| {}).unwrap();
        let report = evaluate_log(&log, &drawn(&log, campaign), &options, |_| {}).unwrap();
        assert_eq!(report.rows, 10_000);
        for (estimator, expected) in ESTIMATORS.into_iter().zip(expected) {
            let found = value(&report, estimator);
            // Half of the last printed digit.
            assert!(
                (found - expected).abs() <= 5e-7,
                "{campaign} {estimator}: {found} {expected}"
            );
        }
        let (_, settings) = SETTINGS.into_iter().find(|(name, _)| *name == campaign).unwrap();
        for (estimator, expected) in [Estimator::SwitchDr, Estimator::DrOs].into_iter().zip(settings) {
            let found = value(&report, estimator);
            assert!(
                (found - expected).abs() < 5e-8,
                "{campaign} {estimator}: {found} {expected}"
            );
        }
    }
}

#[test]
fn exact_probabilities_differ_from_the_reference_by_what_its_draws_explain() {
    for (campaign, expected) in TABLE {
        let Some(options) = options(campaign) else { return };
        let log = read_log(&options, |_| {}).unwrap();
        let report = evaluate(&options, |_| {}).unwrap();
        assert_eq!(report.policy, "bernoulli-ts");
        // The standard error that 100,000 multinomial draws add to the mean of w r, by position.
        let exact = evaluate_probabilities(&log, &options);
        let mut variance = 0.0;
        for (position, probabilities) in exact.iter().enumerate() {
            let mut slopes = vec![0.0; log.arms.len()];
            for row in &log.rows {
                if log.situation_of(row).position as usize == position {
                    slopes[row.arm as usize] += row.reward / row.propensity / log.rows.len() as f64;
                }
            }
            let mean: f64 = slopes.iter().zip(probabilities).map(|(s, p)| s * p).sum();
            let square: f64 = slopes.iter().zip(probabilities).map(|(s, p)| s * s * p).sum();
            variance += (square - mean * mean) / DRAWS;
        }
        let error = variance.sqrt();
        assert!(error < 1e-4, "{error}");
        for (estimator, expected) in ESTIMATORS.into_iter().zip(expected) {
            let found = value(&report, estimator);
            println!(
                "{campaign} {estimator}: exact {found:.6}, reference {expected:.6}, draws' error {error:.6}"
            );
            assert!(
                (found - expected).abs() < 4.0 * error,
                "{campaign} {estimator}: {found} {expected} ± {error}"
            );
        }
    }
}

fn evaluate_probabilities(log: &BanditLog, options: &EvaluationOptions) -> Vec<Vec<f64>> {
    let EvaluationPolicy::BernoulliThompson { prior } = &options.policy else {
        unreachable!()
    };
    let priors = limbic_evaluation::read_priors(prior, options.log.file_name().unwrap().to_str()).unwrap();
    let policy = TablePolicy::bernoulli_thompson(log, &priors);
    (0..log.positions)
        .map(|position| {
            let situation = *log
                .situations
                .iter()
                .find(|s| s.position as usize == position)
                .unwrap();
            let mut probabilities = Vec::new();
            policy.probabilities(log, situation, &mut probabilities);
            probabilities
        })
        .collect()
}

#[test]
fn the_policy_that_wrote_a_log_is_worth_what_the_log_earned() {
    for (campaign, _) in TABLE {
        let Some(options) = options(campaign) else { return };
        let log = read_log(&options, |_| {}).unwrap();
        let report = evaluate_log(&log, &UniformPolicy, &options, |_| {}).unwrap();
        for estimator in [Estimator::Replay, Estimator::Ipw, Estimator::Snipw] {
            assert!(
                (value(&report, estimator) - report.logged_value).abs() < 1e-12,
                "{estimator}"
            );
        }
        assert!((report.effective_sample_size - 10_000.0).abs() < 1e-6);
        assert!(report.clicks < 100 && report.warnings[0].contains("not evidence of lift"));
    }
}

#[test]
fn the_report_does_not_depend_on_the_number_of_threads() {
    let Some(mut options) = options("women") else {
        return;
    };
    let of =
        |options: &EvaluationOptions| serde_json::to_string(&evaluate(options, |_| {}).unwrap()).unwrap();
    options.threads = 1;
    let alone = of(&options);
    options.threads = 3;
    assert_eq!(alone, of(&options));
}
