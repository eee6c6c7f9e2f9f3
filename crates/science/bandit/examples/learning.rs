//! How fast policies learn which tone fits which feeling, as a Markdown table.
//!
//! ```sh
//! cargo run --release -p limbic-bandit --example learning                the default, blind, and strata; 20 runs
//! cargo run --release -p limbic-bandit --example learning -- 40 0.05 -   40 runs, least propensity 0.05, policies from
//!                                                                        standard input, one per line
//! ```

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;

use limbic_bandit::PolicyConfig;
use limbic_bandit::decide::EngineConfig;
use limbic_bandit::simulator::{Feelings, MeanOfRuns, learning_curves};

const POLICIES: &str = r#"{"name": "bernoulli-ts"}
{"name": "bernoulli-ts", "stratify": ["direction", "subject"]}
{"name": "pooled-ts"}"#;
const MARKS: [usize; 4] = [90, 350, 1000, 3000];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runs: u64 = arguments.first().map_or(Ok(20), |text| text.parse())?;
    let mut engine = EngineConfig::default();
    if let Some(least) = arguments.get(1) {
        engine.minimum_propensity = least.parse()?;
    }
    let policies = match arguments.get(2) {
        Some(_) => std::io::read_to_string(std::io::stdin())?,
        None => POLICIES.to_owned(),
    };
    let policies: Vec<(String, PolicyConfig)> = policies
        .lines()
        .map(|line| Ok((line.to_owned(), serde_json::from_str(line)?)))
        .collect::<Result<_, serde_json::Error>>()?;
    for (title, click_rate, matter) in [
        ("feelings matter", 1.0, true),
        ("feelings matter, a twentieth of the clicks", 0.05, true),
        ("feelings do not matter", 1.0, false),
        ("feelings do not matter, a twentieth of the clicks", 0.05, false),
    ] {
        let world = Feelings { click_rate, matter };
        let decisions = world.decisions(1_000, 20_261_129);
        println!("\n| {title} | 90 | 350 | 1,000 | 3,000 | over the first |\n|---|---|---|---|---|---|");
        for curve in learning_curves(&decisions, &engine, &policies, &MARKS, runs)? {
            let percent = |gain: MeanOfRuns| {
                format!(
                    "{:+.1} ± {:.1} %",
                    100.0 * gain.mean,
                    50.0 * (gain.high - gain.low)
                )
            };
            let gains: Vec<String> = curve
                .points
                .iter()
                .map(|point| percent(point.over_random))
                .collect();
            let over = curve
                .points
                .last()
                .map_or_else(String::new, |point| percent(point.over_first));
            println!("| {} | {} | {over} |", curve.name, gains.join(" | "));
        }
    }
    Ok(())
}
