//! Budget pacing: spends a budget along the curve of its traffic.
//!
//! At each decision, the pacer compares what is left of the budget with what the rest of the period is expected to ask
//! for. If the budget is enough, the decision passes. Otherwise the *share* of decisions that pass is the one at which
//! the budget lasts until the end of the period. Passing decisions are then spread like the traffic, in time and over
//! all kinds of decisions.
//!
//! ```text
//! traffic of earlier periods ─┐
//! demand of this period ──────┴─▶ forecast ─▶ share = budget left / demand left ─▶ pass, or "paced"
//!                                    └──────▶ most that this interval may spend ─▶ pass, or "paced"
//! ```
//!
//! * The forecast has an uncertainty. The share is computed for the lower end of the expected demand, because money that
//!   is left at the end is lost, and a share that is too high corrects itself.
//! * A limit for each interval keeps a burst from spending what later hours need. A budget that is larger than what
//!   later hours need is not limited.
//! * What a burst asks for beyond what the limit lets it buy is no demand: no money is kept for the next burst that could not
//!   be spent there.
//! * Passing is decided by error diffusion: the passed share follows the planned one within about one decision, and
//!   chance (a hash of the decision's id) decides which ones.
//!
//! Money is *reserved* when a decision is made and settled when the ad platform answers, so the sum of reserved and
//! spent money never exceeds the budget. Overspending is bounded by the difference between one reservation and its
//! actual price, and is 0 if prices are maxima.
//!
//! The caller stores each reservation with its decision. The number of open reservations is not limited, and the
//! state of the budget has a fixed size.

mod traffic;

use limbic_domain::{HumanDuration, Micros, TimeZone, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::random;
use traffic::{Demand, Forecast, Traffic};

/// Settings of a [`Pacer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PacingConfig {
    /// Budget of one period, not negative.
    pub budget: Micros,
    /// Length of a period, in event time. A period of `1d` is a calendar day in `time_zone`. Other periods are aligned
    /// with 1970-01-01T00:00Z. Default 1d.
    #[serde(default = "day")]
    pub period: HumanDuration,
    /// The time zone of the campaign's days. Default UTC.
    #[serde(default)]
    pub time_zone: TimeZone,
    /// Event time for which the money that may be spent is limited. Default 5min.
    #[serde(default = "five_minutes")]
    pub interval: HumanDuration,
    /// How many times its planned money an interval may spend, in `[1, 1000]`, beside an allowance for chance. Money that
    /// later intervals do not need is not limited. Default 2.
    #[serde(default = "two")]
    pub burst: f64,
}

const fn day() -> HumanDuration {
    HumanDuration::from_days(1)
}
const fn five_minutes() -> HumanDuration {
    HumanDuration::from_mins(5)
}
const fn two() -> f64 {
    2.0
}

impl PacingConfig {
    /// Settings that spend `budget` over each day in UTC.
    pub fn daily(budget: Micros) -> Self {
        Self {
            budget,
            period: day(),
            time_zone: TimeZone::default(),
            interval: five_minutes(),
            burst: two(),
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
        if self.time_zone != TimeZone::default() {
            let day = day().as_millis() as f64;
            within(
                "pacing.period",
                self.period.as_millis() as f64,
                day..=day,
                "(in milliseconds) is not a day, and only days have a time zone: write \"1d\", or remove `time_zone`",
            )?;
        }
        within("pacing.burst", self.burst, 1.0..=1000.0, "must be in [1, 1000]")
    }

    /// The period that contains `at`.
    fn period_of(&self, at: Utc) -> Period {
        if self.period == day() {
            let day = self.time_zone.day_of(at);
            return Period {
                begin: day.begin.as_millis(),
                end: day.end.as_millis(),
                weekday: Some(day.weekday),
            };
        }
        let length = self.period.as_millis();
        let begin = at.as_millis().div_euclid(length).saturating_mul(length);
        Period {
            begin,
            end: begin.saturating_add(length),
            weekday: None,
        }
    }
}

/// A period, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Period {
    begin: i64,
    end: i64,
    /// The day of the week, from 0 (Monday), if the period is a day.
    weekday: Option<u8>,
}

impl Period {
    /// Before every other period.
    const NONE: Self = Self {
        begin: i64::MIN,
        end: i64::MIN,
        weekday: None,
    };

    /// The length of an interval as a share of the period.
    fn share(self, interval: HumanDuration) -> f64 {
        interval.as_millis() as f64 / self.end.saturating_sub(self.begin).max(1) as f64
    }

    /// The place of `millis` in the period, in `[0, 1]`.
    fn position(self, millis: i64) -> f64 {
        let passed = millis.saturating_sub(self.begin) as f64;
        (passed / self.end.saturating_sub(self.begin).max(1) as f64).clamp(0.0, 1.0)
    }
}

/// The reason why no money was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacingRefusal {
    /// The price exceeds what is left of the budget.
    Exhausted,
    /// The rest of the budget is kept for the rest of the period.
    Paced,
}

/// Standard deviations by which the expected demand is lowered before the share of passing decisions is computed.
const CAUTION: f64 = 0.5;
/// The same in the first period, whose traffic nothing foretells.
const FIRST_CAUTION: f64 = 2.0;
/// An interval counts as demand up to so many times what its limit could pay at the planned share.
const COUNTED: f64 = 1.5;
/// Decisions that an interval may pass beyond its plan: so many, and so many standard deviations.
const ALLOWANCE: f64 = 3.0;

/// Parts of a millionth of the currency in which the credit is counted, so that a share of a small price is not 0.
const CREDIT: i64 = 1_000;

/// The state of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredPacer")]
pub struct Pacer {
    /// Version of the stored form.
    version: u32,
    period: Period,
    spent: i64,
    /// Sum of the open reservations.
    reserved: i64,
    demand: Demand,
    /// Beginning of the interval, in milliseconds since 1970.
    interval: i64,
    /// Committed money at the beginning of the interval.
    committed_at_interval: i64,
    /// Money that the interval has asked for, and the most of it that counts as demand.
    asked: i64,
    most_asked: i64,
    /// Money that the planned share would have passed, minus money that passed, in units of 1 / [`CREDIT`].
    credit: i64,
    /// The share of decisions that passes, in millionths.
    rate: u32,
    traffic: Traffic,
    /// From a state of version 1: the number of its period. It is replaced at the next decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former_period: Option<i64>,
}

const VERSION: u32 = 2;

/// Any version of the state. Version 1 counted periods from 1970 and knew no traffic; its interval and rate have another
/// meaning.
#[derive(Deserialize)]
struct StoredPacer {
    period: StoredPeriod,
    spent: i64,
    reserved: i64,
    interval: i64,
    committed_at_interval: i64,
    #[serde(default)]
    asked: i64,
    #[serde(default = "unlimited")]
    most_asked: i64,
    rate: u64,
    #[serde(default)]
    demand: Demand,
    #[serde(default)]
    credit: i64,
    #[serde(default)]
    traffic: Traffic,
    #[serde(default)]
    former_period: Option<i64>,
}

const fn unlimited() -> i64 {
    i64::MAX
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StoredPeriod {
    Period(Period),
    Number(i64),
}

impl From<StoredPacer> for Pacer {
    fn from(stored: StoredPacer) -> Self {
        let (spent, reserved) = (stored.spent, stored.reserved);
        match stored.period {
            StoredPeriod::Number(number) => Self {
                spent,
                reserved,
                former_period: Some(number),
                ..Self::default()
            },
            StoredPeriod::Period(period) => Self {
                version: VERSION,
                period,
                spent,
                reserved,
                demand: stored.demand,
                interval: stored.interval,
                committed_at_interval: stored.committed_at_interval,
                asked: stored.asked,
                most_asked: stored.most_asked,
                credit: stored.credit,
                rate: u32::try_from(stored.rate).unwrap_or(1_000_000),
                traffic: stored.traffic,
                former_period: stored.former_period,
            },
        }
    }
}

impl Default for Pacer {
    fn default() -> Self {
        Self {
            version: VERSION,
            period: Period::NONE,
            spent: 0,
            reserved: 0,
            demand: Demand::default(),
            interval: i64::MIN,
            committed_at_interval: 0,
            asked: 0,
            most_asked: i64::MAX,
            credit: 0,
            rate: 1_000_000,
            traffic: Traffic::default(),
            former_period: None,
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
        // A record that is late belongs to the current period.
        let millis = at.as_millis().max(self.period.begin);
        let position = self.period.position(millis);
        if self.asked < self.most_asked {
            self.demand.ask(position, price);
        }
        self.asked = self.asked.saturating_add(price);
        let left = config.budget.0.saturating_sub(self.committed());
        if price > left {
            return Err(PacingRefusal::Exhausted);
        }
        let unit = self.traffic.price(price);
        let interval_end = self
            .period
            .position(self.interval.saturating_add(config.interval.as_millis()));
        let forecast = self.traffic.forecast(
            &self.demand,
            self.period.weekday,
            (
                position,
                interval_end.max(position),
                self.period.share(config.interval),
            ),
            unit,
            config.budget.0 as f64 / unit,
        );
        self.most_asked = if self.traffic.is_known() {
            ((COUNTED * config.burst * forecast.interval + allowance(forecast.interval)) * unit) as i64
        } else {
            // Nothing tells a burst from the traffic that is usual.
            i64::MAX
        };
        let budget = left as f64 / unit;
        let caution = if self.traffic.is_known() {
            CAUTION
        } else {
            FIRST_CAUTION
        };
        let demand = (forecast.left - caution * forecast.deviation).max(0.0);
        let rate = if demand > budget { budget / demand } else { 1.0 };
        self.rate = (1e6 * rate) as u32;
        let spent = (self.committed() - self.committed_at_interval).max(0) as f64 / unit;
        let allowed = most_of_interval(&forecast, rate, config.burst, budget + spent);
        let is_passed = spent + price as f64 / unit <= allowed && self.pass(rate, decision, price);
        if !is_passed {
            return Err(PacingRefusal::Paced);
        }
        self.reserved += price;
        Ok(Micros(price))
    }

    /// Error diffusion: `rate` of the money passes, and the hash of the decision's id says which.
    fn pass(&mut self, rate: f64, decision: &str, price: i64) -> bool {
        if rate >= 1.0 {
            self.credit = 0;
            return true;
        }
        let price = price.saturating_mul(CREDIT);
        let most = price.saturating_mul(2);
        let earned = (rate * price as f64) as i64;
        self.credit = self.credit.saturating_add(earned).clamp(-most, most);
        // A function of the decision's id: a repeated call with the same state gives the same result.
        let draw = random::Random::new(random::hash(decision.as_bytes())).unit();
        let is_passed = self.credit as f64 > draw * price as f64;
        if is_passed {
            self.credit -= price;
        }
        is_passed
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

    /// The share of decisions that passes, in `[0, 1]`: the one of the latest decision.
    pub fn rate(&self) -> f64 {
        f64::from(self.rate) / 1e6
    }

    /// The share of a period's traffic that is expected before `at`: the planned curve of cumulative spend, as a share
    /// of the period's spend.
    pub fn planned(&self, config: &PacingConfig, at: Utc) -> f64 {
        let period = config.period_of(at);
        self.traffic.share_before(period.position(at.as_millis()))
    }

    fn advance(&mut self, config: &PacingConfig, at: Utc) {
        let millis = at.as_millis();
        if millis >= self.period.end {
            self.begin_period(config, at);
        }
        let length = config.interval.as_millis();
        if self.interval == i64::MIN || millis.saturating_sub(self.interval) >= length {
            let number = millis.saturating_sub(self.period.begin).div_euclid(length);
            self.interval = self.period.begin.saturating_add(number.saturating_mul(length));
            self.committed_at_interval = self.committed();
            self.asked = 0;
            self.most_asked = i64::MAX;
        }
    }

    /// Open reservations will be spent in the new period, so they stay committed.
    fn begin_period(&mut self, config: &PacingConfig, at: Utc) {
        let period = config.period_of(at);
        let is_first = self.period == Period::NONE;
        if let Some(former) = self.former_period.take() {
            // What was spent in a period that overlaps with this one counts in this one.
            let length = config.period.as_millis();
            if former.saturating_add(1).saturating_mul(length) <= period.begin {
                self.spent = 0;
            }
        } else {
            self.traffic.learn(&self.demand, self.period.weekday);
            self.spent = 0;
        }
        self.demand = if is_first {
            Demand::since(period.position(at.as_millis()))
        } else {
            Demand::default()
        };
        self.period = period;
        self.interval = i64::MIN;
        self.credit = 0;
    }
}

/// Most decisions that the interval may pass, if `budget` decisions could be paid at its beginning.
fn most_of_interval(forecast: &Forecast, rate: f64, burst: f64, budget: f64) -> f64 {
    let planned = rate * forecast.interval;
    let later = forecast.left + CAUTION * forecast.deviation;
    let surplus = (budget - later).max(0.0);
    burst * planned + allowance(planned) + surplus
}

/// By how much an interval with so many planned decisions may exceed them by chance.
fn allowance(planned: f64) -> f64 {
    ALLOWANCE * (planned.sqrt() + 1.0)
}

#[cfg(test)]
mod tests;
