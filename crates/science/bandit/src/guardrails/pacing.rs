//! Budget pacing by pass-through rate (Agarwal et al. 2014, "Budget pacing for targeted online advertisements").
//!
//! The budget of a campaign is spent evenly over a period. In every interval, the pass-through rate moves by a
//! bounded step towards the rate that would have met the plan. Money is *reserved* when a decision is made and
//! settled when the ad platform answers, so the sum of reserved and spent money never exceeds the budget.
//! Overspending is bounded by the difference between one reservation and its actual price, and is 0 if prices are
//! maxima.
//!
//! The caller stores each reservation with its decision. The number of open reservations is not limited, and the
//! state of the budget has a fixed size.

use limbic_domain::{HumanDuration, Micros, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::random;

/// Settings of a [`Pacer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PacingConfig {
    /// Budget of one period, not negative.
    pub budget: Micros,
    /// Length of a period, in event time. Periods are aligned with 1970-01-01T00:00Z. Default 1d.
    #[serde(default = "day")]
    pub period: HumanDuration,
    /// Event time between adjustments of the rate. Default 1min.
    #[serde(default = "minute")]
    pub interval: HumanDuration,
    /// Largest relative change of the rate per interval, in `(0, 1)`. Default 0.1.
    #[serde(default = "tenth")]
    pub step: f64,
    /// Smallest rate, in `(0, 1]`, so that the rate can recover. Default 0.01.
    #[serde(default = "hundredth")]
    pub least: f64,
}

const fn day() -> HumanDuration {
    HumanDuration::from_days(1)
}
const fn minute() -> HumanDuration {
    HumanDuration::from_mins(1)
}
const fn tenth() -> f64 {
    0.1
}
const fn hundredth() -> f64 {
    0.01
}

impl PacingConfig {
    /// Settings that spend `budget` evenly over each day.
    pub const fn daily(budget: Micros) -> Self {
        Self {
            budget,
            period: day(),
            interval: minute(),
            step: tenth(),
            least: hundredth(),
        }
    }

    /// Returns an error for the first setting that is outside its range.
    pub fn check(&self) -> Result<(), crate::PolicyError> {
        use crate::policy::within;
        within(
            "pacing.budget",
            self.budget.0 as f64,
            0.0..=9e18,
            "must not be negative",
        )?;
        within(
            "pacing.interval",
            self.interval.as_millis() as f64,
            1.0..=1e15,
            "must be positive",
        )?;
        within(
            "pacing.period",
            self.period.as_millis() as f64,
            self.interval.as_millis() as f64..=1e15,
            "must be at least one interval",
        )?;
        within("pacing.step", self.step, 1e-6..=0.99, "must be in (0, 1)")?;
        within("pacing.least", self.least, 1e-9..=1.0, "must be in (0, 1]")
    }
}

/// The reason why no money was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacingRefusal {
    /// The price exceeds what is left of the budget.
    Exhausted,
    /// The campaign has spent faster than planned.
    Paced,
}

/// The state of a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pacer {
    period: i64,
    interval: i64,
    spent: i64,
    /// Sum of the open reservations.
    reserved: i64,
    /// Committed money at the beginning of the interval.
    committed_at_interval: i64,
    /// The pass-through rate, as the bits of an `f64`.
    rate: u64,
}

impl Default for Pacer {
    fn default() -> Self {
        Self {
            period: i64::MIN,
            interval: i64::MIN,
            spent: 0,
            reserved: 0,
            committed_at_interval: 0,
            rate: 1.0_f64.to_bits(),
        }
    }
}

impl Pacer {
    /// Reserves `price` for a decision; a negative price counts as 0. The caller must settle or release the returned
    /// amount exactly once.
    pub fn reserve(
        &mut self,
        config: &PacingConfig,
        decision: &str,
        price: Micros,
        at: Utc,
    ) -> Result<Micros, PacingRefusal> {
        self.advance(config, at);
        let price = price.0.max(0);
        if self.committed().saturating_add(price) > config.budget.0 {
            return Err(PacingRefusal::Exhausted);
        }
        // The draw is a function of the decision's id: a repeated call at the same rate gives the same result.
        let draw = random::Random::new(random::hash(decision.as_bytes())).unit();
        if draw >= self.rate() {
            return Err(PacingRefusal::Paced);
        }
        self.reserved += price;
        Ok(Micros(price))
    }

    /// Converts a reservation into spending after the ad platform has delivered, at the `actual` price if it is
    /// known.
    pub fn settle(&mut self, reserved: Micros, actual: Option<Micros>) {
        self.release(reserved);
        let price = actual.unwrap_or(reserved).0.max(0);
        self.spent = self.spent.saturating_add(price);
    }

    /// Returns a reservation to the budget after the ad platform has refused, or the decision has expired.
    pub const fn release(&mut self, reserved: Micros) {
        self.reserved = self.reserved.saturating_sub(reserved.0);
    }

    /// Money that is spent or reserved, in millionths of the currency.
    pub const fn committed(&self) -> i64 {
        self.spent.saturating_add(self.reserved)
    }

    /// Money that is spent in this period.
    pub const fn spent(&self) -> Micros {
        Micros(self.spent)
    }

    /// The probability with which a decision passes, in `(0, 1]`.
    pub const fn rate(&self) -> f64 {
        f64::from_bits(self.rate)
    }

    fn advance(&mut self, config: &PacingConfig, at: Utc) {
        let millis = at.as_millis();
        let period = millis.div_euclid(config.period.as_millis());
        if period > self.period {
            // Open reservations will be spent in the new period, so they stay committed.
            self.period = period;
            self.spent = 0;
            self.interval = i64::MIN;
            self.committed_at_interval = self.committed();
        }
        let interval = millis.div_euclid(config.interval.as_millis());
        if interval <= self.interval {
            return;
        }
        if self.interval != i64::MIN {
            self.adjust(config, millis);
        }
        self.interval = interval;
        self.committed_at_interval = self.committed();
    }

    /// Adjusts the rate. The target is the remaining budget divided by the remaining intervals of the period.
    fn adjust(&mut self, config: &PacingConfig, millis: i64) {
        let left_of_period =
            1.0 - millis.rem_euclid(config.period.as_millis()) as f64 / config.period.as_millis() as f64;
        let intervals_left =
            (left_of_period * config.period.as_millis() as f64 / config.interval.as_millis() as f64).max(1.0);
        let target = (config.budget.0 - self.committed()).max(0) as f64 / intervals_left;
        let used = (self.committed() - self.committed_at_interval).max(0) as f64;
        let wanted = if used > 0.0 {
            target / used
        } else {
            1.0 + config.step
        };
        let step = wanted.clamp(1.0 - config.step, 1.0 + config.step);
        self.rate = (self.rate() * step).clamp(config.least, 1.0).to_bits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    fn config(budget: i64) -> PacingConfig {
        PacingConfig::daily(Micros(budget))
    }

    #[test]
    fn a_budget_lasts_the_day_when_demand_would_eat_it_by_breakfast() {
        let config = config(10_000);
        let mut pacer = Pacer::default();
        let mut by_noon = 0;
        // A hundred decisions per minute, fourteen times what the budget can pay.
        for minute in 0..1440_i64 {
            for chance in 0..100 {
                let id = format!("{minute}.{chance}");
                let at = Utc::from_millis(minute * 60_000);
                if let Ok(reserved) = pacer.reserve(&config, &id, Micros(1), at) {
                    pacer.settle(reserved, None);
                }
            }
            if minute == 720 {
                by_noon = pacer.spent().0;
            }
        }
        assert!((4_000..7_000).contains(&by_noon), "{by_noon}");
        assert!((9_000..=10_000).contains(&pacer.spent().0), "{:?}", pacer.spent());
    }

    #[test]
    fn a_new_period_has_a_new_budget_and_a_refusal_gives_the_money_back() {
        let config = config(10);
        let mut pacer = Pacer::default();
        let at = Utc::from_millis;
        let reserved = pacer.reserve(&config, "a", Micros(10), at(0)).unwrap();
        assert_eq!(
            pacer.reserve(&config, "b", Micros(1), at(1)),
            Err(PacingRefusal::Exhausted)
        );
        pacer.release(reserved);
        let reserved = pacer.reserve(&config, "b", Micros(10), at(2)).unwrap();
        pacer.settle(reserved, None);
        assert_eq!(pacer.spent(), Micros(10));
        assert_eq!(
            pacer.reserve(&config, "c", Micros(1), at(3)),
            Err(PacingRefusal::Exhausted)
        );
        assert_eq!(
            pacer.reserve(&config, "c", Micros(1), at(86_400_000)),
            Ok(Micros(1))
        );
    }

    proptest! {
        #[test]
        fn reserved_and_spent_never_exceed_the_budget(seed: u64, budget in 0..500_i64) {
            let config = config(budget);
            let mut pacer = Pacer::default();
            let mut random = Random::new(seed);
            let mut open = Vec::new();
            for turn in 0..300_i64 {
                let id = turn.to_string();
                let price = Micros((40.0 * random.unit()) as i64);
                if let Ok(reserved) = pacer.reserve(&config, &id, price, Utc::from_millis(turn * 1000)) {
                    open.push(reserved);
                }
                if random.below(3) == 0 && !open.is_empty() {
                    let reserved = open.swap_remove(random.below(open.len()));
                    if random.below(2) == 0 {
                        pacer.settle(reserved, Some(Micros((reserved.0 as f64 * random.unit()) as i64)));
                    } else {
                        pacer.release(reserved);
                    }
                }
                prop_assert!(pacer.committed() <= budget);
            }
            let text = serde_json::to_string(&pacer).unwrap();
            prop_assert_eq!(serde_json::from_str::<Pacer>(&text).unwrap(), pacer);
        }
    }
}
