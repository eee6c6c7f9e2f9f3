//! Runs policies in the tutorial environment and prints their click-through rates.
//!
//! ```text
//! cargo run --release -p limbic-bandit --example tutorial                a table of benches/vw/configurations.jsonl, 20 seeds
//! cargo run --release -p limbic-bandit --example tutorial -- 9000 5      the same, with the 5 seeds from 9000 on
//! cargo run --release -p limbic-bandit --example tutorial -- 9000 5 -    engine configurations from standard input, one per
//!                                                                        line; the rate of every seed as JSON
//! ```

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;
use std::io::Read as _;

use limbic_bandit::decide::{DecisionEngine, EngineConfig};
use limbic_bandit::simulator::{Drift, Tutorial};

const CONFIGURATIONS: &str = include_str!("../../../../benches/vw/configurations.jsonl");
const USAGE: &str = "usage: tutorial [FIRST_SEED [SEEDS [-]]]";

/// Click-through rate of each seed: without drift, and in the second half after each kind of drift.
fn play(config: &EngineConfig, seeds: std::ops::Range<u64>) -> Result<[Vec<f64>; 3], Box<dyn Error>> {
    let mut rates = [const { Vec::new() }; 3];
    for (drift, rates) in [Drift::None, Drift::Known, Drift::Unknown]
        .into_iter()
        .zip(&mut rates)
    {
        for seed in seeds.clone() {
            let world = Tutorial { rounds: 5000, drift };
            let mut engine = DecisionEngine::new(EngineConfig {
                seed,
                ..config.clone()
            })?;
            rates.push(world.run(&mut engine, seed)?.second);
        }
    }
    Ok(rates)
}

/// The mean and, in parentheses, the minimum.
fn cell(rates: &[f64]) -> String {
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    format!("{mean:.3} ({least:.3})")
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| match arguments.get(place) {
        None => Ok(default),
        Some(text) => text
            .parse::<u64>()
            .map_err(|error| format!("`{text}`: {error}; {USAGE}")),
    };
    let (first, count) = (number(0, 9000)?, number(1, 20)?);
    if count == 0 || arguments.len() > 3 || arguments.get(2).is_some_and(|third| third != "-") {
        return Err(USAGE.into());
    }
    let is_asked = arguments.len() == 3;
    let mut text = String::new();
    if is_asked {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        CONFIGURATIONS.clone_into(&mut text);
        println!("click-through, mean and least of {count} seeds (second half where there is a drift)\n");
        println!("| policy | stationary | first drift | second drift |\n|---|---|---|---|");
    }
    for (place, line) in text.lines().enumerate() {
        let config: EngineConfig =
            serde_json::from_str(line).map_err(|error| format!("configuration {}: {error}", place + 1))?;
        let rates = play(&config, first..first + count)?;
        let name = config.policy.name();
        if is_asked {
            let [stationary, first_drift, second_drift] = rates;
            println!(
                "{}",
                serde_json::json!({"name": name, "stationary": stationary, "first_drift": first_drift,
                    "second_drift": second_drift})
            );
        } else {
            println!("| {name} | {} |", rates.map(|rates| cell(&rates)).join(" | "));
        }
    }
    Ok(())
}
