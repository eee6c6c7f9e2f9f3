//! Budget pacing by pass-through rate (Agarwal et al. 2014, "Budget pacing for targeted online advertisements").
//!
//! A campaign's budget for a period is to be spent evenly over it. Every interval the pass-through rate moves by a
//! bounded step towards whatever would have met the plan. Money is *reserved* when a decision is made and settled when
//! the platform answers, so reserved and spent together never exceed the budget: overspend is bounded by the difference
//! between one reservation and its actual price, and is zero if prices are maxima.
//!
//! Each reservation is kept by whoever made it, with the decision it is for: a campaign may have any number of them open,
//! and the budget's own state stays a few numbers.

use limbic_domain::{HumanDuration, Micros, Utc};
use serde::{Deserialize, Serialize};

use crate::random;

/// Settings of a [`Pacer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacingConfig {
    /// What may be spent per period.
    pub budget: Micros,
    /// Length of a period of event time; periods are aligned with 1970-01-01T00:00Z. Default 1d.
    #[serde(default = "day")]
    pub period: HumanDuration,
    /// How often the rate is adjusted, in event time. Default 1min.
    #[serde(default = "minute")]
    pub interval: HumanDuration,
    /// The largest relative step of the rate, in `(0, 1)`.
    #[serde(default = "tenth")]
    pub step: f64,
    /// The rate never falls below this, so that it can find its way back.
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
    /// This budget, spent evenly over each day.
    pub const fn daily(budget: Micros) -> Self {
        Self {
            budget,
            period: day(),
            interval: minute(),
            step: tenth(),
            least: hundredth(),
        }
    }

    /// Refuses settings outside their ranges.
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

/// Why no money was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The budget would not cover it.
    Exhausted,
    /// Spending is ahead of plan.
    Paced,
}

/// A budget's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pacer {
    period: i64,
    interval: i64,
    spent: i64,
    /// The sum of the open reservations.
    reserved: i64,
    /// What was committed when the interval began.
    at_interval: i64,
    /// The bits of the pass-through rate.
    rate: u64,
}

impl Default for Pacer {
    fn default() -> Self {
        Self {
            period: i64::MIN,
            interval: i64::MIN,
            spent: 0,
            reserved: 0,
            at_interval: 0,
            rate: 1.0_f64.to_bits(),
        }
    }
}

impl Pacer {
    /// Reserves `price` (nothing, if it is negative) for a decision. What it answers must be settled or released exactly
    /// once.
    pub fn reserve(
        &mut self,
        config: &PacingConfig,
        decision: &str,
        price: Micros,
        at: Utc,
    ) -> Result<Micros, Held> {
        self.advance(config, at);
        let price = price.0.max(0);
        if self.committed().saturating_add(price) > config.budget.0 {
            return Err(Held::Exhausted);
        }
        // The lot is a function of the decision: asking again gives the same answer at the same rate.
        let lot = random::Random::new(random::hash(decision.as_bytes())).unit();
        if lot >= self.rate() {
            return Err(Held::Paced);
        }
        self.reserved += price;
        Ok(Micros(price))
    }

    /// The platform delivered: what was `reserved` becomes spending, at that price or the `actual` one.
    pub fn settle(&mut self, reserved: Micros, actual: Option<Micros>) {
        self.release(reserved);
        let price = actual.unwrap_or(reserved).0.max(0);
        self.spent = self.spent.saturating_add(price);
    }

    /// The platform refused, or the decision expired: the money is free again.
    pub const fn release(&mut self, reserved: Micros) {
        self.reserved = self.reserved.saturating_sub(reserved.0);
    }

    /// What is spent or reserved.
    pub const fn committed(&self) -> i64 {
        self.spent.saturating_add(self.reserved)
    }

    /// What is spent.
    pub const fn spent(&self) -> Micros {
        Micros(self.spent)
    }

    /// The probability with which a decision is let through.
    pub const fn rate(&self) -> f64 {
        f64::from_bits(self.rate)
    }

    fn advance(&mut self, config: &PacingConfig, at: Utc) {
        let millis = at.as_millis();
        let period = millis.div_euclid(config.period.as_millis());
        if period > self.period {
            // What is still reserved will be spent in this period: it stays on the books.
            self.period = period;
            self.spent = 0;
            self.interval = i64::MIN;
            self.at_interval = self.committed();
        }
        let interval = millis.div_euclid(config.interval.as_millis());
        if interval <= self.interval {
            return;
        }
        if self.interval != i64::MIN {
            self.adjust(config, millis);
        }
        self.interval = interval;
        self.at_interval = self.committed();
    }

    /// One step: what is left of the budget, spread over what is left of the period, is the target for an interval.
    fn adjust(&mut self, config: &PacingConfig, millis: i64) {
        let left_of_period =
            1.0 - millis.rem_euclid(config.period.as_millis()) as f64 / config.period.as_millis() as f64;
        let intervals_left =
            (left_of_period * config.period.as_millis() as f64 / config.interval.as_millis() as f64).max(1.0);
        let target = (config.budget.0 - self.committed()).max(0) as f64 / intervals_left;
        let used = (self.committed() - self.at_interval).max(0) as f64;
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
        // A hundred chances a minute, fourteen times what the budget can pay.
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
            Err(Held::Exhausted)
        );
        pacer.release(reserved);
        let reserved = pacer.reserve(&config, "b", Micros(10), at(2)).unwrap();
        pacer.settle(reserved, None);
        assert_eq!(pacer.spent(), Micros(10));
        assert_eq!(
            pacer.reserve(&config, "c", Micros(1), at(3)),
            Err(Held::Exhausted)
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
