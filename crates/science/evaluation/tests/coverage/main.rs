//! On simulated logs the true value is known. Every interval that is given contains it as often as promised, in every
//! scenario, or it is not given.
//!
//! Every log is a function of its number, so the tests are deterministic. `LIMBIC_COVERAGE_RUNS=5000` repeats each
//! scenario more often, and `--nocapture` prints the table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod worlds;

use std::collections::BTreeMap;

use limbic_evaluation::{
    Estimator, EvaluationOptions, EvaluationPolicy, EvaluationReport, Interval, LogFormat, RewardModel,
    TablePolicy, UniformPolicy, evaluate_log,
};
use worlds::{EASY, Simulated, WORLDS, World};

/// Runs of each scenario.
const RUNS: u64 = 300;

fn runs() -> u64 {
    let given = std::env::var("LIMBIC_COVERAGE_RUNS").ok();
    given.map_or(RUNS, |runs| runs.parse().unwrap())
}

fn options(world: &World) -> EvaluationOptions {
    let mut options = EvaluationOptions::new("simulated", LogFormat::Limbic, EvaluationPolicy::Uniform);
    options.reward_range = (0.0, world.most);
    options.threads = 1;
    options
}

fn report(world: &World, number: u64) -> (Simulated, EvaluationReport) {
    let simulated = world.simulate(number);
    let mut options = options(world);
    options.seed = number;
    let report = evaluate_log(&simulated.log, world, &options, |_| {}).unwrap();
    (simulated, report)
}

/// How often an interval was given, and how often it contained the truth.
#[derive(Default, Clone, Copy)]
struct Count {
    given: f64,
    right: f64,
    width: f64,
}

impl Count {
    fn add(&mut self, interval: Interval, truth: f64) {
        self.given += 1.0;
        self.right += f64::from(u8::from(interval.contains(truth)));
        self.width += interval.high - interval.low;
    }

    /// Three standard errors of the share of right intervals, if it is 0.95. A deterministic test fails by chance with
    /// probability 0.001 per line when the code changes the draws.
    fn tolerance(&self) -> f64 {
        3.0 * (0.05 * 0.95 / self.given).sqrt()
    }
}

type Lines = BTreeMap<(Estimator, &'static str), Count>;

fn lines_of(world: &World, runs: u64) -> Lines {
    let mut lines = Lines::new();
    for number in 0..runs {
        let (truth, report) = report(world, number);
        for estimate in report.estimates {
            for (method, interval) in estimate.intervals {
                lines
                    .entry((estimate.estimator, method))
                    .or_default()
                    .add(interval, truth.value);
            }
            for (method, interval) in estimate.difference.intervals {
                let name = match method {
                    "asymptotic" => "- logged, asymptotic",
                    _ => "- logged, guaranteed",
                };
                let difference = truth.value - truth.logged;
                lines
                    .entry((estimate.estimator, name))
                    .or_default()
                    .add(interval, difference);
            }
        }
    }
    lines
}

#[test]
fn an_interval_that_is_given_is_right_as_often_as_it_promises() {
    let runs = runs();
    let mut broken = Vec::new();
    println!("| scenario | estimator | interval | given | right | mean length |");
    println!("|---|---|---|---|---|---|");
    for world in WORLDS {
        let lines = lines_of(&world, runs);
        for ((estimator, method), count) in &lines {
            let right = count.right / count.given;
            println!(
                "| {} | {estimator} | {method} | {:.1} % | {:.1} % | {:.4} |",
                world.name,
                100.0 * count.given / runs as f64,
                100.0 * right,
                count.width / count.given
            );
            if right < 0.95 - count.tolerance() {
                broken.push(format!("{} {estimator} {method}: {right:.3}", world.name));
            }
            if matches!(estimator, Estimator::Dm | Estimator::SwitchDr | Estimator::DrOs) {
                broken.push(format!("{} {estimator} has an interval", world.name));
            }
        }
        for method in ["confidence_sequence", "- logged, guaranteed"] {
            let given = lines
                .get(&(Estimator::Ipw, method))
                .map_or(0.0, |count| count.given);
            if given < runs as f64 {
                broken.push(format!("{}: {method} is missing", world.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn nothing_is_kept_back_where_everything_is_as_it_should_be() {
    let (_, report) = report(&EASY, 1);
    for estimate in &report.estimates {
        let expected: &[&str] = match estimate.estimator {
            // Stabilised: the logging policy does not learn.
            Estimator::Dm | Estimator::SwitchDr | Estimator::DrOs | Estimator::StabilisedDr => &[],
            Estimator::Ipw => &["asymptotic", "confidence_sequence"],
            _ => &["asymptotic"],
        };
        for intervals in [&estimate.intervals, &estimate.difference.intervals] {
            let given: Vec<&str> = intervals.keys().copied().collect();
            assert_eq!(given, expected, "{}", estimate.estimator);
        }
    }
    assert!(report.model_error.unwrap().intervals.contains_key("asymptotic"));
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}

#[test]
fn every_estimator_finds_the_truth_in_many_rows() {
    let world = World { rows: 40_000, ..EASY };
    let (truth, report) = report(&world, 1);
    for estimate in &report.estimates {
        if estimate.estimator == Estimator::StabilisedDr {
            assert!(estimate.value.is_none() && estimate.caveats[0].contains("see dr"));
            continue;
        }
        let error = (estimate.value.unwrap() - truth.value).abs();
        assert!(error < 0.012, "{}: off by {error}", estimate.estimator);
    }
    assert!((report.weights.mean - 1.0).abs() < 0.02);
}

#[test]
fn a_crossed_world_needs_interactions() {
    let world = WORLDS.into_iter().find(|world| world.name == "crossed").unwrap();
    let world = World {
        rows: 10_000,
        ..world
    };
    let simulated = world.simulate(3);
    let error_of = |model| {
        let mut options = options(&world);
        options.estimators = vec![Estimator::Dm];
        options.reward_model = model;
        let report = evaluate_log(&simulated.log, &world, &options, |_| {}).unwrap();
        let error = report.model_error.unwrap();
        let truth = report.estimates[0].value.unwrap() - simulated.value;
        let interval = error.intervals["asymptotic"];
        assert!(interval.contains(truth), "{interval:?} {truth}");
        truth.abs()
    };
    assert!(error_of(RewardModel::Additive) > 0.1);
    assert!(error_of(RewardModel::Interactions) < 0.02);
}

#[test]
fn a_policy_beside_itself_differs_by_nothing() {
    let world = World {
        logger: worlds::Logger::Fixed(EASY.policy),
        ..EASY
    };
    let (_, report) = report(&world, 1);
    let ipw = report.estimate(Estimator::Ipw).unwrap();
    assert!(ipw.difference.value.unwrap().abs() < 1e-12);
    let Interval { low, high } = ipw.difference.intervals["confidence_sequence"];
    assert!(low < 0.0 && high > 0.0 && high - low < 0.06, "{low} {high}");
}

#[test]
fn wrong_propensities_do_not_go_unnoticed() {
    let mut simulated = World { rows: 5000, ..EASY }.simulate(5);
    for row in &mut simulated.log.rows {
        row.propensity = 0.25;
    }
    let report = evaluate_log(&simulated.log, &EASY, &options(&EASY), |_| {}).unwrap();
    assert!(
        report.warnings.iter().any(|w| w.contains("instead of 1")),
        "{:?}",
        report.warnings
    );
    assert!(
        report
            .estimates
            .iter()
            .all(|e| !e.intervals.contains_key("asymptotic"))
    );
}

#[test]
fn a_report_does_not_depend_on_threads() {
    let simulated = World { rows: 40_000, ..EASY }.simulate(2);
    let of = |threads| {
        let mut options = options(&EASY);
        options.threads = threads;
        let table = TablePolicy::new("table", &simulated.log, &[vec![0.4, 0.3, 0.2, 0.1]]);
        let one = evaluate_log(&simulated.log, &table, &options, |_| {}).unwrap();
        let two = evaluate_log(&simulated.log, &UniformPolicy, &options, |_| {}).unwrap();
        serde_json::to_string(&(one, two)).unwrap()
    };
    assert_eq!(of(1), of(3));
}

#[test]
fn stabilised_weights_are_for_logs_whose_policy_learns() {
    let adaptive = WORLDS.into_iter().find(|world| world.name == "adaptive").unwrap();
    let (mut squares, mut runs) = ([0.0, 0.0], 0.0);
    for number in 0..100 {
        let (truth, report) = report(&adaptive, number);
        let error = |estimator| report.estimate(estimator).unwrap().value.unwrap() - truth.value;
        for (square, estimator) in squares.iter_mut().zip([Estimator::Dr, Estimator::StabilisedDr]) {
            *square += error(estimator) * error(estimator);
        }
        runs += 1.0;
    }
    let [plain, stabilised] = squares.map(|square: f64| (square / runs).sqrt());
    println!("error of dr {plain:.4}, of stabilised-dr {stabilised:.4}");
    assert!(stabilised < plain, "{stabilised} {plain}");

    // The value rises, and exploration falls: the mean with other shares is another value.
    let rising = World {
        pay: |time, _, arm| 0.1 + 0.7 * time + 0.05 * arm as f64,
        rows: 6000,
        ..adaptive
    };
    let (truth, report) = report(&rising, 1);
    let estimate = report.estimate(Estimator::StabilisedDr).unwrap();
    assert!(estimate.value.unwrap() < truth.value - 0.01, "{estimate:?}");
    assert!(estimate.intervals.is_empty() && estimate.caveats[0].contains("seems to change"));
}
