//! How budgets are spent on simulated traffic, as a Markdown table.
//!
//! ```sh
//! cargo run --release -p limbic-bandit --example pacing
//! ```

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use limbic_bandit::simulator::Spending;

fn main() {
    println!(
        "| decisions a day | budgets, share of demand | bursts a day | spent, first day | spent, later days | unevenness | most in a day |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (decisions_a_day, days) in [
        (24.0, 400),
        (100.0, 200),
        (1_000.0, 60),
        (10_000.0, 15),
        (100_000.0, 8),
    ] {
        for budget in [0.25, 0.5, 0.9, 1.5] {
            print(decisions_a_day, &[budget], 0, days);
        }
    }
    for budget in [0.25, 0.6, 0.9] {
        print(1_000.0, &[budget], 3, 60);
        print(10_000.0, &[budget], 3, 15);
    }
    print(1_000.0, &[0.1, 0.2, 0.3], 0, 60);
    print(10_000.0, &[0.1, 0.2, 0.3], 3, 15);
}

fn print(decisions_a_day: f64, budgets: &[f64], bursts: u32, days: u32) {
    let spending = Spending {
        decisions_a_day,
        budgets: budgets.to_vec(),
        bursts,
        days,
    };
    let spent = spending.run(20_261_129);
    let worst = |value: fn(f64, f64) -> f64, of: fn(&limbic_bandit::simulator::Spent) -> f64| {
        spent.iter().map(of).reduce(value).unwrap_or(0.0)
    };
    let budgets: Vec<String> = budgets.iter().map(ToString::to_string).collect();
    println!(
        "| {decisions_a_day} | {} | {bursts} | {:.3} | {:.3} | {:.3} | {:.3} |",
        budgets.join(", "),
        worst(f64::min, |one| one.first_day),
        worst(f64::min, |one| one.later),
        worst(f64::max, |one| one.unevenness),
        worst(f64::max, |one| one.most),
    );
}
