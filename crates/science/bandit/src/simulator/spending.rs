//! Budgets spent on simulated traffic: whether a budget is used up, and how evenly.

use limbic_domain::{CalendarDay, Micros, TimeZone, Utc};

use crate::guardrails::pacing::{Pacer, PacingConfig};
use crate::random::{Random, derive};

/// Traffic of several days, and the budgets that are spent on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spending {
    /// Mean number of decisions in a day.
    pub decisions_a_day: f64,
    /// The daily budget of each campaign, as a share of the mean demand of a day. With several campaigns, a decision is
    /// offered to all of them in a random order, and the first whose pacer passes it takes it.
    pub budgets: Vec<f64>,
    /// Number of bursts in a day: twenty minutes with ten times the traffic.
    pub bursts: u32,
    /// Number of days, at least 2.
    pub days: u32,
}

/// How a budget was spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// Spent money as a share of the lesser of budget and demand, of the first day.
    pub first_day: f64,
    /// The same of all later days together.
    pub later: f64,
    /// Largest distance between the cumulative shares of spend and of demand in a day, mean of the later days: 0 if the
    /// spend follows the traffic, 1 if all is spent before the rest of the traffic comes.
    pub unevenness: f64,
    /// Largest spend of a day as a share of the budget, at most 1.
    pub most: f64,
}

/// 2026-03-23, a Monday, 00:00 in the time zone [`ZONE`]. The clock changes on the seventh day.
const START: i64 = 1_774_220_400_000;
const ZONE: &str = "Europe/Berlin";
const MINUTE: i64 = 60_000;
const PRICE: i64 = 250_000;
/// Traffic by hour of the day, relative to the mean.
const HOURS: [f64; 24] = [
    0.5, 0.3, 0.2, 0.15, 0.15, 0.2, 0.4, 0.7, 0.9, 1.0, 1.0, 1.1, 1.2, 1.2, 1.1, 1.1, 1.2, 1.4, 1.6, 1.9,
    2.1, 2.0, 1.6, 1.0,
];
/// Traffic by day of the week, relative to the mean, from Monday.
const DAYS: [f64; 7] = [0.9, 0.9, 0.9, 0.95, 1.05, 1.2, 1.1];

impl Spending {
    /// Settings of campaigns with these budgets.
    fn configs(&self) -> Vec<PacingConfig> {
        let of = |share: &f64| PacingConfig {
            time_zone: zone(),
            ..PacingConfig::daily(Micros((share * self.decisions_a_day) as i64 * PRICE))
        };
        self.budgets.iter().map(of).collect()
    }

    /// The times of the decisions of the day with this number, ascending.
    fn times(&self, number: u32, day: CalendarDay, seed: u64) -> Vec<i64> {
        let mut random = Random::new(derive(seed, u64::from(number)));
        let (begin, end) = (day.begin.as_millis(), day.end.as_millis());
        let level = libm::exp(0.15 * random.normal());
        let bursts: Vec<usize> = (0..self.bursts).map(|_| random.below(1420)).collect();
        let mut times = Vec::new();
        for minute in 0..1440_usize {
            let is_burst = bursts.iter().any(|&start| (start..start + 20).contains(&minute));
            let mean = self.decisions_a_day / 1440.0
                * HOURS[minute / 60]
                * DAYS[usize::from(day.weekday)]
                * level
                * if is_burst { 10.0 } else { 1.0 };
            let count = poisson(mean, &mut random);
            let start = begin + minute as i64 * MINUTE;
            times.extend((0..count).map(|_| start + random.below(MINUTE as usize) as i64));
        }
        // A day without its last hour ends earlier.
        times.retain(|&at| at < end);
        times.sort_unstable();
        times
    }

    /// Spends the budgets. Each reservation is settled at once at its price.
    pub fn run(&self, seed: u64) -> Vec<Spent> {
        let configs = self.configs();
        let mut pacers = vec![Pacer::default(); configs.len()];
        let mut days: Vec<Vec<Day>> = vec![Vec::new(); configs.len()];
        let zone = zone();
        let mut today = zone.day_of(Utc::from_millis(START));
        for day in 0..self.days {
            let times = self.times(day, today, seed);
            today = zone.day_of(today.end);
            let mut taken = vec![vec![false; times.len()]; configs.len()];
            for (number, &at) in times.iter().enumerate() {
                let id = format!("{day}.{number}");
                let mut order: Vec<usize> = (0..configs.len()).collect();
                let mut random = Random::for_name(seed, &id);
                for place in (1..order.len()).rev() {
                    order.swap(place, random.below(place + 1));
                }
                for campaign in order {
                    let id = format!("{id}.{campaign}");
                    let pacer = &mut pacers[campaign];
                    if let Ok(reserved) =
                        pacer.reserve(&configs[campaign], &id, Micros(PRICE), Utc::from_millis(at))
                    {
                        pacer.settle(reserved, None);
                        taken[campaign][number] = true;
                        break;
                    }
                }
            }
            for (days, (taken, config)) in days.iter_mut().zip(taken.iter().zip(&configs)) {
                days.push(Day::of(taken, config.budget));
            }
        }
        days.iter().map(|days| Spent::of(days)).collect()
    }
}

fn zone() -> TimeZone {
    ZONE.parse().expect("a name of the database")
}

/// One day of one campaign, in decisions.
#[derive(Debug, Clone, Copy)]
struct Day {
    spent: f64,
    possible: f64,
    budget: f64,
    unevenness: f64,
}

impl Day {
    fn of(taken: &[bool], budget: Micros) -> Self {
        let spent = taken.iter().filter(|&&taken| taken).count() as f64;
        let demand = taken.len() as f64;
        let (mut so_far, mut unevenness) = (0.0, 0.0_f64);
        for (number, &taken) in taken.iter().enumerate() {
            so_far += f64::from(u8::from(taken));
            let distance = so_far / spent.max(1.0) - (number + 1) as f64 / demand;
            unevenness = unevenness.max(distance.abs());
        }
        let budget = (budget.0 / PRICE) as f64;
        Self {
            spent,
            possible: budget.min(demand),
            budget,
            unevenness,
        }
    }
}

impl Spent {
    fn of(days: &[Day]) -> Self {
        let share = |days: &[Day]| {
            let possible: f64 = days.iter().map(|day| day.possible).sum();
            days.iter().map(|day| day.spent).sum::<f64>() / possible.max(1.0)
        };
        let later = &days[1..];
        Self {
            first_day: share(&days[..1]),
            later: share(later),
            unevenness: later.iter().map(|day| day.unevenness).sum::<f64>() / later.len() as f64,
            most: days
                .iter()
                .map(|day| day.spent / day.budget.max(1.0))
                .fold(0.0, f64::max),
        }
    }
}

/// A Poisson number: by multiplication of uniforms, or rounded from a normal number if the mean is large.
fn poisson(mean: f64, random: &mut Random) -> u32 {
    if mean > 30.0 {
        return (mean + mean.sqrt() * random.normal()).round().max(0.0) as u32;
    }
    let limit = libm::exp(-mean);
    let (mut count, mut product) = (0, random.unit());
    while product > limit {
        count += 1;
        product *= random.unit();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(decisions_a_day: f64, budgets: &[f64], bursts: u32, days: u32) -> Vec<Spent> {
        let spending = Spending {
            decisions_a_day,
            budgets: budgets.to_vec(),
            bursts,
            days,
        };
        let spent = spending.run(7);
        assert!(spent.iter().all(|one| one.most <= 1.0), "{spent:?}");
        spent
    }

    #[test]
    fn a_budget_is_spent_whether_traffic_is_sparse_or_dense_and_the_budget_tight_or_ample() {
        for (decisions_a_day, days) in [(24.0, 60), (100.0, 30), (1_000.0, 10), (10_000.0, 4)] {
            for budget in [0.25, 0.5, 0.9, 1.5] {
                let spent = spend(decisions_a_day, &[budget], 0, days)[0];
                assert!(spent.later >= 0.97, "{decisions_a_day} {budget} {spent:?}");
            }
        }
    }

    #[test]
    fn a_tight_budget_follows_the_traffic_from_the_second_day_on() {
        let spent = spend(2_000.0, &[0.25], 0, 6)[0];
        assert!(spent.unevenness < 0.06, "{spent:?}");
    }

    #[test]
    fn bursts_neither_use_a_budget_up_nor_leave_it_unspent() {
        for (decisions_a_day, days) in [(1_000.0, 12), (10_000.0, 5)] {
            for budget in [0.4, 0.6, 0.9] {
                let spent = spend(decisions_a_day, &[budget], 3, days)[0];
                let is_even = spent.unevenness < 0.16;
                assert!(
                    spent.later >= 0.97 && is_even,
                    "{decisions_a_day} {budget} {spent:?}"
                );
            }
        }
    }

    #[test]
    fn campaigns_that_share_traffic_all_spend_their_budgets() {
        for (decisions_a_day, bursts, days) in [(1_000.0, 0, 12), (10_000.0, 3, 5)] {
            for spent in spend(decisions_a_day, &[0.1, 0.2, 0.3], bursts, days) {
                let is_even = spent.unevenness < 0.18;
                assert!(spent.later >= 0.97 && is_even, "{decisions_a_day} {spent:?}");
            }
        }
    }
}
