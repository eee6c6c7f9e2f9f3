//! Replays randomised headline tests as one bandit per test, and prints a table with a row per configuration.
//!
//! ```text
//! benches/upworthy/run.sh        # converts the data, then runs this
//! ```
//!
//! The argument is a CSV file of `test,impressions,clicks` with one headline per row, sorted by test. Every
//! impression is drawn from the real impressions of the headline, without replacement. A test has as many impressions
//! as its least shown headline, so that no headline runs out. The policy is asked again every `BATCH` impressions.
//! "Best" is the headline with the highest rate in the same data, noise included, so the regret of every policy is
//! overstated.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;

use limbic_bandit::decide::{DecisionEngine, EngineConfig};
use limbic_bandit::policy::Feedback;
use limbic_bandit::random::{Random, choose, derive};
use limbic_bandit::{Arm, Features};

const BATCH: u64 = 100;

/// Impressions and clicks of each headline of one test.
type Test = Vec<(u64, u64)>;

fn read(path: &str) -> Result<Vec<Test>, Box<dyn Error>> {
    let mut tests: Vec<(String, Test)> = Vec::new();
    for row in csv::Reader::from_path(path)?.deserialize() {
        let (test, impressions, clicks): (String, u64, u64) = row?;
        match tests.last_mut() {
            Some((known, headlines)) if *known == test => headlines.push((impressions, clicks)),
            _ => tests.push((test, vec![(impressions, clicks)])),
        }
    }
    Ok(tests
        .into_iter()
        .map(|(_, headlines)| headlines)
        .filter(|test| test.len() > 1)
        .collect())
}

/// Clicks of the policy, expected clicks of a uniform choice and of the best headline, and the number of impressions.
fn replay(config: &EngineConfig, test: &Test, seed: u64) -> Result<[f64; 4], Box<dyn Error>> {
    let mut engine = DecisionEngine::new(config.clone())?;
    let arms: Vec<Arm> = (0..test.len())
        .map(|headline| Arm::new(headline.to_string(), "headline", Features::new()))
        .collect();
    let context = Features::new();
    let mut pools = test.clone();
    let mut random = Random::new(seed);
    let length = test.iter().map(|pool| pool.0).min().unwrap_or(0);
    let (mut clicks, mut probabilities) = (0.0, Vec::new());
    for impression in 0..length {
        if impression % BATCH == 0 {
            probabilities = engine.probabilities(&context, &arms, derive(seed, impression));
        }
        let Some(choice) = choose(&probabilities, random.unit()) else {
            break;
        };
        let pool = &mut pools[choice];
        let clicked = random.unit() * (pool.0 as f64) < pool.1 as f64;
        pool.0 -= 1;
        pool.1 -= u64::from(clicked);
        let reward = f64::from(clicked);
        clicks += reward;
        engine.learn(&Feedback {
            context: &context,
            arm: &arms[choice],
            reward,
            previous_reward: None,
            propensity: probabilities[choice],
        })?;
    }
    let rates = test.iter().map(|pool| pool.1 as f64 / pool.0 as f64);
    let (best, sum) = rates.fold((0.0_f64, 0.0), |(best, sum), rate| (best.max(rate), sum + rate));
    let length = length as f64;
    Ok([clicks, length * sum / test.len() as f64, length * best, length])
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: headlines CSV < configurations.jsonl")?;
    let tests = read(&path)?;
    let mut is_first = true;
    for line in std::io::stdin().lines() {
        let settings: serde_json::Value = serde_json::from_str(&line?)?;
        let config: EngineConfig = serde_json::from_value(settings.clone())?;
        let (mut total, mut gains) = ([0.0; 4], Vec::with_capacity(tests.len()));
        for (number, test) in tests.iter().enumerate() {
            let replayed = replay(&config, test, derive(77, number as u64))?;
            for (total, part) in total.iter_mut().zip(replayed) {
                *total += part;
            }
            gains.push(replayed[0] - replayed[1]);
        }
        let [clicks, uniform, best, impressions] = total;
        if is_first {
            println!(
                "{} tests, {impressions:.0} impressions; a choice among equals expects {uniform:.0} clicks, the best headline of each \
                 test {:.0} more\n",
                tests.len(),
                best - uniform
            );
            println!(
                "| policy | clicks gained over uniform (± half of a 95 % interval) | | of what the best gains | regret |"
            );
            println!("|---|---|---|---|---|");
            is_first = false;
        }
        let count = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let squares = gains.iter().map(|gain| (gain - mean) * (gain - mean));
        let variance = squares.sum::<f64>() / (count - 1.0);
        println!(
            "| `{}` | {:+.0} ± {:.0} | {:+.1} % | {:.0} % | {:.0} |",
            settings["policy"],
            clicks - uniform,
            1.96 * (variance * count).sqrt(),
            100.0 * (clicks / uniform - 1.0),
            100.0 * (clicks - uniform) / (best - uniform),
            best - clicks,
        );
    }
    Ok(())
}
