//! How often the measured lift excludes a true 0: ads add nothing, and people differ in how often they buy.
//!
//! `cargo run --release -p limbic-bandit --example hold_out [RUNS]` prints a table for each kind of people and share of
//! held-out people:
//!
//! * *by moment*: each moment compares the mean of its reached people with the mean of its held-out people, as if moments were
//!   independent. The same people are in many moments, so they are not.
//! * *by person*: [`LiftEstimate`], which measures each person once.
#![expect(clippy::print_stdout, reason = "an example prints")]

use limbic_bandit::guardrails::champion_challenger::LowerBound;
use limbic_bandit::guardrails::lift::{Group, LiftEstimate, PersonValue};
use limbic_bandit::random::Random;

/// People, all of whom are in each moment.
const PEOPLE: usize = 300;
const MOMENTS: usize = 2_000;
/// Moments after a person's first one in which they are measured, and before it.
const MEASURED: usize = 100;
const ALPHA: f64 = 0.05;
const MOST: f64 = 10.0;

struct Scenario {
    name: &'static str,
    /// Share of heavy buyers.
    heavy: f64,
    /// Probabilities of a purchase in one moment: of the others, and of heavy buyers.
    rates: [f64; 2],
    /// The value of a purchase.
    value: fn(&mut Random) -> f64,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "everybody alike",
        heavy: 0.0,
        rates: [0.02, 0.0],
        value: |_| 1.0,
    },
    Scenario {
        name: "rare purchases",
        heavy: 0.0,
        rates: [0.000_5, 0.0],
        value: |_| 1.0,
    },
    Scenario {
        name: "heavy buyers",
        heavy: 0.05,
        rates: [0.005, 0.3],
        value: |_| 1.0,
    },
    Scenario {
        name: "heavy buyers, long-tailed values",
        heavy: 0.05,
        rates: [0.005, 0.3],
        value: |random| 0.2 * libm::pow(random.unit().max(1e-9), -0.7),
    },
];

#[derive(Default)]
struct Counts {
    by_moment: usize,
    by_person: usize,
    length: f64,
    length_without_history: f64,
}

fn excludes_zero([low, high]: &[LowerBound; 2]) -> bool {
    let bound = |side: &LowerBound| 2.0 * side.at_least(ALPHA / 2.0) - 1.0;
    bound(low) > 0.0 || bound(high) > 0.0
}

/// The values of the purchases of `people` with the same rate in one moment, all together.
fn purchases(random: &mut Random, people: usize, rate: f64, value: fn(&mut Random) -> f64) -> f64 {
    if people == 0 || rate <= 0.0 {
        return 0.0;
    }
    // From one buyer to the next: the distance is geometric.
    let (mut place, mut sum) = (0.0, 0.0);
    loop {
        place += (libm::log(1.0 - random.unit()) / libm::log(1.0 - rate)).floor() + 1.0;
        if place > people as f64 {
            return sum;
        }
        sum += value(random);
    }
}

fn run(scenario: &Scenario, share: f64, seed: u64, counts: &mut Counts) {
    let mut random = Random::new(seed);
    // For each group, how many people buy as most do, and how many buy often.
    let mut groups = [[0_usize; 2]; 2];
    let (mut lift, mut without) = (LiftEstimate::default(), LiftEstimate::default());
    let mut was_wrong = [false; 2];
    for _ in 0..PEOPLE {
        let is_held_out = random.unit() < share;
        let kind = usize::from(random.unit() < scenario.heavy);
        groups[usize::from(is_held_out)][kind] += 1;
        let mut total = || purchases(&mut random, MEASURED, scenario.rates[kind], scenario.value);
        let value = PersonValue {
            before: total(),
            after: total(),
        };
        let group = if is_held_out {
            Group::HeldOut
        } else {
            Group::Reachable
        };
        lift.add(group, value, MOST);
        without.add(group, PersonValue { before: 0.0, ..value }, MOST);
        let found = lift.difference(MOST, ALPHA);
        was_wrong[1] |= found.at_least > 0.0 || found.at_most < 0.0;
    }
    let mut sides = [LowerBound::default(), LowerBound::default()];
    for _ in 0..MOMENTS {
        let mean = |random: &mut Random, group: [usize; 2]| {
            let kinds = group.iter().zip(scenario.rates);
            let sum: f64 = kinds
                .map(|(&people, rate)| purchases(random, people, rate, scenario.value))
                .sum();
            (sum / group.iter().sum::<usize>().max(1) as f64).min(1.0)
        };
        let difference = mean(&mut random, groups[0]) - mean(&mut random, groups[1]);
        let moved = f64::midpoint(difference, 1.0);
        sides[0].observe(moved, ALPHA / 2.0);
        sides[1].observe(1.0 - moved, ALPHA / 2.0);
        was_wrong[0] |= excludes_zero(&sides);
    }
    let length = |lift: &LiftEstimate| {
        let found = lift.difference(MOST, ALPHA);
        found.at_most - found.at_least
    };
    counts.by_moment += usize::from(was_wrong[0]);
    counts.by_person += usize::from(was_wrong[1]);
    counts.length += length(&lift);
    counts.length_without_history += length(&without);
}

fn main() {
    let runs: u64 = std::env::args()
        .nth(1)
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(400);
    println!(
        "| people | held out | 0 excluded, by moment | 0 excluded, by person | length with / without history |"
    );
    println!("|---|---|---|---|---|");
    for scenario in &SCENARIOS {
        for share in [0.05, 0.2, 0.5] {
            let mut counts = Counts::default();
            for seed in 0..runs {
                run(scenario, share, seed, &mut counts);
            }
            let percent = |count: usize| 100.0 * count as f64 / runs as f64;
            println!(
                "| {} | {:.0} % | {:.1} % | {:.1} % | {:.2} |",
                scenario.name,
                100.0 * share,
                percent(counts.by_moment),
                percent(counts.by_person),
                counts.length / counts.length_without_history
            );
        }
    }
}
