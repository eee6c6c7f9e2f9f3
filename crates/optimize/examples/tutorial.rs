//! Plays policies through the tutorial world and prints click-through rates, one line of JSON per configuration.
//!
//! ```text
//! cargo run --release -p limbic-optimize --example tutorial -- 9000 20 < configurations.jsonl
//! ```
//!
//! The arguments are the first seed and how many; standard input has one engine configuration per line.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;

use limbic_optimize::decide::{DecisionEngine, EngineConfig};
use limbic_optimize::simulator::{Drift, Tutorial};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let first: u64 = arguments.next().map_or(Ok(9000), |text| text.parse())?;
    let count: u64 = arguments.next().map_or(Ok(20), |text| text.parse())?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let config: EngineConfig = serde_json::from_str(&line)?;
        let mut rates = [const { Vec::new() }; 3];
        for (drift, rates) in [Drift::None, Drift::Known, Drift::Unknown]
            .into_iter()
            .zip(&mut rates)
        {
            for seed in first..first + count {
                let world = Tutorial { rounds: 5000, drift };
                let mut engine = DecisionEngine::new(EngineConfig {
                    seed,
                    ..config.clone()
                })?;
                rates.push(world.play(&mut engine, seed)?.second);
            }
        }
        println!(
            "{}",
            serde_json::json!({
                "name": config.policy.name(),
                "stationary": rates[0],
                "first_drift": rates[1],
                "second_drift": rates[2],
            })
        );
    }
    Ok(())
}
