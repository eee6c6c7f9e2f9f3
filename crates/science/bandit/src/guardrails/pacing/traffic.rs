//! What a budget's traffic looks like: how much money decisions ask for, in each part of a period.
//!
//! A period has 24 equal parts: hours, if the period is a day. What a new budget expects is flat. What it has seen
//! moves the shape of a period, the size of a period, and the size of each day of the week away from that, each by as
//! much as the number of observations supports.

use serde::{Deserialize, Serialize};

/// Parts of a period.
pub(super) const PARTS: usize = 24;
/// The latest periods count in the means, about so many.
const MEMORY: f64 = 14.0;
/// Weight of the flat shape, in decisions for each part.
const FLAT: f64 = 2.0;
/// Weight of the mean of all days in the mean of one day of the week, in days.
const ALL_DAYS: f64 = 2.0;
/// Parts after which an observation of this period counts half. It is short, so that a burst does not distort the rest
/// of the period.
const HALF_LIFE: f64 = 3.0;
/// Observations of this period never count more than so many decisions: the traffic of an hour is not a sample of the
/// traffic of the next one.
const MOST_OBSERVED: f64 = 400.0;

/// The demand of earlier periods. Money is in millionths of the currency.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Traffic {
    /// Number of periods it has learned from.
    periods: u32,
    /// Mean money asked for in a period.
    total: i64,
    /// Mean money asked for in each part.
    parts: [i64; PARTS],
    /// Mean money asked for on each day of the week, and the number of such days.
    weekdays: [(i64, u32); 7],
    /// Mean square of the relative error of a predicted period, in millionths.
    error: i64,
    /// Mean price of a decision.
    price: i64,
}

/// The demand of the current period so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Demand {
    /// Money asked for in each part.
    parts: [i64; PARTS],
    /// Number of decisions that asked.
    asks: u64,
    /// From when on it was observed, as a millionth of the period: 0, except in the first period.
    since: u32,
}

/// What is expected of the rest of the period, in decisions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forecast {
    /// Expected number of decisions until the end.
    pub(super) left: f64,
    /// Its standard deviation.
    pub(super) deviation: f64,
    /// Expected number in the current interval.
    pub(super) interval: f64,
}

impl Demand {
    /// The demand of a period that is observed from `position` on, in `[0, 1]`.
    pub(super) fn since(position: f64) -> Self {
        Self {
            since: (position * 1e6) as u32,
            ..Self::default()
        }
    }

    /// Adds a decision at `position`, in `[0, 1)`.
    pub(super) fn ask(&mut self, position: f64, price: i64) {
        let part = &mut self.parts[part_of(position)];
        *part = part.saturating_add(price);
        self.asks += 1;
    }

    fn total(&self) -> f64 {
        self.parts.iter().map(|&part| part as f64).sum()
    }

    fn start(&self) -> f64 {
        f64::from(self.since) / 1e6
    }
}

fn part_of(position: f64) -> usize {
    ((position * PARTS as f64) as usize).min(PARTS - 1)
}

impl Traffic {
    /// Learns from a whole period.
    pub(super) fn learn(&mut self, demand: &Demand, weekday: Option<u8>) {
        if demand.asks == 0 || demand.start() > 0.9 {
            return;
        }
        // A period that is observed from its middle on stands for a whole one.
        let observed = 1.0 - demand.start();
        let total = demand.total() / observed;
        let first = part_of(demand.start());
        let known = f64::from(self.periods);
        let step = 1.0 / (known + 1.0).min(MEMORY);
        if self.periods > 0 {
            let error = (total / self.expected(weekday).max(1.0) - 1.0).clamp(-3.0, 3.0);
            let share = 1.0 / known.min(MEMORY);
            move_by(&mut self.error, 1e6 * error * error, share);
        }
        for (part, mean) in self.parts.iter_mut().enumerate() {
            let seen = if part < first {
                total / PARTS as f64
            } else {
                demand.parts[part] as f64
            };
            move_by(mean, seen, step);
        }
        move_by(&mut self.total, total, step);
        move_by(&mut self.price, demand.total() / demand.asks as f64, step);
        if let Some(day) = weekday {
            let (mean, days) = &mut self.weekdays[usize::from(day) % 7];
            move_by(mean, total, 1.0 / f64::from(*days + 1).min(MEMORY));
            *days += 1;
        }
        self.periods += 1;
    }

    /// Whether it has learned from a period.
    pub(super) const fn is_known(&self) -> bool {
        self.periods > 0
    }

    /// Expected money of a period on this day of the week.
    fn expected(&self, weekday: Option<u8>) -> f64 {
        let total = self.total as f64;
        weekday.map_or(total, |day| {
            let (mean, days) = self.weekdays[usize::from(day) % 7];
            let days = f64::from(days);
            (ALL_DAYS * total + days * mean as f64) / (ALL_DAYS + days)
        })
    }

    /// Expected share of each part.
    fn shape(&self) -> [f64; PARTS] {
        let days = f64::from(self.periods).min(MEMORY);
        let flat = FLAT * self.price.max(1) as f64;
        let all = days * self.total as f64 + flat * PARTS as f64;
        self.parts.map(|part| (days * part as f64 + flat) / all)
    }

    /// The price by which money is counted in decisions: the mean one, or `price` if none is known.
    pub(super) fn price(&self, price: i64) -> f64 {
        if self.price > 0 {
            self.price as f64
        } else {
            price.max(1) as f64
        }
    }

    /// Expected share of a period's traffic before `position`.
    pub(super) fn share_before(&self, position: f64) -> f64 {
        share_between(&self.shape(), 0.0, position)
    }

    /// The rest of the period as it is expected at `position`. Without an earlier period, `budget` decisions are
    /// expected, which is what a budget is set for.
    pub(super) fn forecast(
        &self,
        demand: &Demand,
        weekday: Option<u8>,
        (position, interval_end, interval): (f64, f64, f64),
        price: f64,
        budget: f64,
    ) -> Forecast {
        let shape = self.shape();
        let start = demand.start();
        let (usual, weight) = if self.periods == 0 {
            (budget / share_between(&shape, start, 1.0).max(1e-9), 1.0)
        } else {
            let error = (self.error as f64 / 1e6).max(0.01) + 0.5 / f64::from(self.periods);
            (self.expected(weekday) / price, 1.0 / error)
        };
        // This period's size relative to a usual one, from its latest parts: a Gamma posterior.
        let (mut seen, mut expected) = (0.0, 0.0);
        let now = part_of(position);
        // The first decisions of a period stand for a whole interval, not for the instants that have passed.
        let observed_until = position.max(start + interval);
        for part in part_of(start)..=now {
            let (from, until) = (part as f64 / PARTS as f64, (part + 1) as f64 / PARTS as f64);
            let kept = libm::exp2(-((now - part) as f64) / HALF_LIFE);
            seen += kept * demand.parts[part] as f64 / price;
            expected += kept * usual * share_between(&shape, from.max(start), until.min(observed_until));
        }
        let level = (weight + seen) / (weight + expected);
        let information = weight + seen.min(MOST_OBSERVED);
        let left = level * usual * share_between(&shape, position, 1.0);
        Forecast {
            left,
            deviation: (left + left * left / information).sqrt(),
            interval: level * usual * share_between(&shape, position, interval_end),
        }
    }
}

/// Moves a mean towards an observation.
fn move_by(mean: &mut i64, observed: f64, step: f64) {
    *mean += (step * (observed - *mean as f64)).round() as i64;
}

/// Share of the traffic between two positions in the period.
fn share_between(shape: &[f64; PARTS], from: f64, until: f64) -> f64 {
    let (from, until) = (from * PARTS as f64, until * PARTS as f64);
    let overlap = |part: usize| (until.min(part as f64 + 1.0) - from.max(part as f64)).max(0.0);
    shape
        .iter()
        .enumerate()
        .map(|(part, share)| share * overlap(part))
        .sum()
}
