//! The limits of a tenant: what a call may use is held before it, and settled after it.
//!
//! ```text
//!  hold (its most tokens and cost) ─▶ admit (a request) ─▶ call ─▶ settle (what it used)
//!                                                             └──▶ settle_unknown (the whole hold counts)
//! ```

use std::time::Duration;

use limbic_domain::Micros;
use limbic_stream::outbox::{Rate, TokenBucket};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limits of one tenant. They are those of each node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// Maximum number of requests to providers per minute; as many at once after a pause. 0 = no limit. Default 600.
    pub requests_per_minute: u32,
    /// Maximum number of tokens of prompts and replies per minute. 0 = no limit. Default 1,000,000. A request needs as many tokens as
    /// its prompt has bytes, and its `max_tokens`, until it is answered.
    pub tokens_per_minute: u32,
    /// Maximum cost per day (UTC), in millionths of the currency unit of the prices. 0 = no limit. Default 10,000,000.
    pub budget_per_day: u64,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: 600,
            tokens_per_minute: 1_000_000,
            budget_per_day: 10_000_000,
        }
    }
}

/// A limit that leaves no room for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(*self))]
pub struct OverLimit {
    /// The limit.
    pub limit: Limit,
    /// When there is room. `None` = this request never has room.
    pub wait: Option<Duration>,
}

fn describe(over: OverLimit) -> String {
    let setting = over.limit.setting();
    let (what, then) = match over.limit {
        Limit::Requests => ("requests per minute", "retry later"),
        Limit::Tokens => ("tokens per minute", "retry later, or ask for fewer tokens"),
        Limit::Budget => ("the budget of the day", "retry tomorrow (UTC)"),
    };
    if over.wait.is_some() {
        format!("the tenant's limit of {what} (llm.limits.{setting}) is reached: {then}, or raise it")
    } else {
        format!(
            "the request alone is larger than the tenant's limit of {what} (llm.limits.{setting}): shorten the prompt, lower \
             max_tokens, or raise the limit"
        )
    }
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`TenantLimits::requests_per_minute`].
    Requests,
    /// [`TenantLimits::tokens_per_minute`].
    Tokens,
    /// [`TenantLimits::budget_per_day`].
    Budget,
}

impl Limit {
    /// The name of the setting.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Requests => "requests_per_minute",
            Self::Tokens => "tokens_per_minute",
            Self::Budget => "budget_per_day",
        }
    }
}

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time on a clock that does not jump, since any fixed start.
    pub elapsed: Duration,
    /// Milliseconds since 1970, for the days of budgets.
    pub millis: i64,
}

const DAY: i64 = 86_400_000;

impl Moment {
    /// The day, counted from 1970 (UTC).
    pub const fn day(self) -> i64 {
        self.millis.div_euclid(DAY)
    }

    fn until_tomorrow(self) -> Duration {
        Duration::from_millis((DAY - self.millis.rem_euclid(DAY)).unsigned_abs())
    }
}

/// What a call holds until it is settled or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The day whose budget it uses.
    pub day: i64,
    /// The most tokens.
    pub tokens: u64,
    /// The highest cost, in micro-units.
    pub cost: u64,
}

/// What a tenant has spent on one day, in micro-units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Spending {
    /// The cost of calls that have ended.
    pub settled: u64,
    /// The highest cost of calls whose end is not known: the process ended, or the provider did not say what it counted.
    pub unknown: u64,
    /// The highest cost of calls that run.
    pub held: u64,
}

impl Spending {
    /// Everything that the budget counts.
    pub const fn total(self) -> u64 {
        self.settled
            .saturating_add(self.unknown)
            .saturating_add(self.held)
    }
}

/// The use of one tenant's limits.
#[derive(Debug, Clone)]
pub struct Account {
    limits: TenantLimits,
    requests: Option<TokenBucket>,
    tokens: Option<TokenBucket>,
    day: i64,
    spending: Spending,
}

impl Account {
    /// An account that has spent this on the day of `now`.
    pub fn new(limits: TenantLimits, now: Moment, settled: u64, unknown: u64) -> Self {
        let bucket = |per_minute: u32| {
            (per_minute > 0).then(|| {
                TokenBucket::new(Rate {
                    per_second: f64::from(per_minute) / 60.0,
                    burst: per_minute,
                })
            })
        };
        Self {
            requests: bucket(limits.requests_per_minute),
            tokens: bucket(limits.tokens_per_minute),
            limits,
            day: now.day(),
            spending: Spending {
                settled,
                unknown,
                held: 0,
            },
        }
    }

    /// Takes one request.
    pub fn admit(&mut self, now: Moment) -> Result<(), OverLimit> {
        take(self.requests.as_mut(), now, 1, Limit::Requests)
    }

    /// Holds tokens and money for a call.
    pub fn hold(&mut self, now: Moment, tokens: u64, cost: u64) -> Result<Hold, OverLimit> {
        self.turn(now);
        let budget = self.limits.budget_per_day;
        if budget > 0 && self.spending.total().saturating_add(cost) > budget {
            return Err(OverLimit {
                limit: Limit::Budget,
                wait: (cost <= budget).then(|| now.until_tomorrow()),
            });
        }
        take(self.tokens.as_mut(), now, tokens, Limit::Tokens)?;
        self.spending.held = self.spending.held.saturating_add(cost);
        Ok(Hold {
            day: self.day,
            tokens,
            cost,
        })
    }

    /// Holds the money for a call that began before this account.
    pub fn hold_again(&mut self, hold: Hold) {
        if hold.day == self.day {
            self.spending.held = self.spending.held.saturating_add(hold.cost);
        }
    }

    /// Ends a hold: the call has used this.
    pub fn settle(&mut self, now: Moment, hold: Hold, tokens: u64, cost: u64) {
        if self.release(now, hold) {
            self.spending.settled = self.spending.settled.saturating_add(cost);
        }
        if let Some(bucket) = &mut self.tokens {
            if tokens <= hold.tokens {
                bucket.give_back(count(hold.tokens - tokens));
            } else {
                bucket.take(count(tokens - hold.tokens));
            }
        }
    }

    /// Ends a hold: what the call has used is not known, so the whole hold counts.
    pub fn settle_unknown(&mut self, now: Moment, hold: Hold) {
        if self.release(now, hold) {
            self.spending.unknown = self.spending.unknown.saturating_add(hold.cost);
        }
    }

    /// What the tenant has spent on the day of `now`.
    pub fn spending(&mut self, now: Moment) -> Spending {
        self.turn(now);
        self.spending
    }

    /// The limits.
    pub const fn limits(&self) -> &TenantLimits {
        &self.limits
    }

    /// Ends a hold. Returns whether it is one of today.
    fn release(&mut self, now: Moment, hold: Hold) -> bool {
        self.turn(now);
        let is_of_today = hold.day == self.day;
        if is_of_today {
            self.spending.held = self.spending.held.saturating_sub(hold.cost);
        }
        is_of_today
    }

    /// Begins a new day. A clock that is set back does not.
    fn turn(&mut self, now: Moment) {
        if now.day() > self.day {
            self.day = now.day();
            self.spending = Spending::default();
        }
    }
}

/// The cost as money.
pub(super) fn micros(cost: u64) -> Micros {
    Micros(i64::try_from(cost).unwrap_or(i64::MAX))
}

fn take(bucket: Option<&mut TokenBucket>, now: Moment, tokens: u64, limit: Limit) -> Result<(), OverLimit> {
    let Some(bucket) = bucket else { return Ok(()) };
    let tokens = count(tokens);
    if bucket.available(now.elapsed) < tokens {
        return Err(OverLimit {
            limit,
            wait: bucket.wait_for(tokens),
        });
    }
    bucket.take(tokens);
    Ok(())
}

fn count(tokens: u64) -> usize {
    usize::try_from(tokens).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment {
            elapsed: Duration::from_secs(seconds),
            millis: i64::try_from(seconds).unwrap() * 1_000,
        }
    }

    fn account(requests: u32, tokens: u32, budget: u64) -> Account {
        let limits = TenantLimits {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            budget_per_day: budget,
        };
        Account::new(limits, at(0), 0, 0)
    }

    #[test]
    fn requests_and_tokens_come_back_with_time_and_say_when() {
        let mut account = account(2, 100, 0);
        account.admit(at(0)).unwrap();
        account.admit(at(0)).unwrap();
        let over = account.admit(at(0)).unwrap_err();
        assert_eq!(
            (over.limit, over.wait),
            (Limit::Requests, Some(Duration::from_secs(30)))
        );
        account.admit(at(30)).unwrap();
        let hold = account.hold(at(30), 80, 0).unwrap();
        let over = account.hold(at(30), 80, 0).unwrap_err();
        assert_eq!(
            (over.limit, over.wait),
            (Limit::Tokens, Some(Duration::from_secs(36)))
        );
        account.settle(at(30), hold, 20, 0);
        account.hold(at(30), 80, 0).unwrap();
        assert_eq!(
            account.hold(at(30), 101, 0).unwrap_err().wait,
            None,
            "it never fits"
        );
    }

    #[test]
    fn a_budget_is_for_a_day_and_unknown_costs_count() {
        let mut account = account(0, 0, 100);
        let first = account.hold(at(86_399), 1, 60).unwrap();
        let over = account.hold(at(86_399), 1, 60).unwrap_err();
        assert_eq!(
            (over.limit, over.wait),
            (Limit::Budget, Some(Duration::from_secs(1)))
        );
        assert_eq!(account.hold(at(86_399), 1, 101).unwrap_err().wait, None);
        account.settle_unknown(at(86_399), first);
        assert_eq!(account.spending(at(86_399)).unknown, 60);
        let late = account.hold(at(86_399), 1, 40).unwrap();
        let today = account.hold(at(86_400), 1, 100).unwrap();
        account.settle(at(86_400), late, 1, 40);
        account.settle(at(86_400), today, 1, 99);
        let expected = Spending {
            settled: 99,
            ..Spending::default()
        };
        assert_eq!(
            account.spending(at(86_400)),
            expected,
            "the late call belongs to yesterday"
        );
        assert_eq!(
            account.spending(at(0)),
            expected,
            "a clock that is set back gives no new budget"
        );
    }

    #[derive(Debug, Clone)]
    enum Step {
        Hold(u64),
        Settle(usize, u64),
        Lose(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..500).prop_map(Step::Hold),
            (any::<usize>(), 0u64..=100).prop_map(|(which, share)| Step::Settle(which, share)),
            any::<usize>().prop_map(Step::Lose),
            (0u64..20_000).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn no_order_of_calls_spends_more_than_the_budget_of_a_day_and_every_unit_is_counted(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut account = account(0, 0, 1_000);
            let mut now = 0;
            let mut open: Vec<Hold> = Vec::new();
            let (mut settled, mut unknown, mut day) = (0, 0, 0);
            for step in steps {
                match step {
                    Step::Hold(cost) => open.extend(account.hold(at(now), 1, cost)),
                    Step::Settle(which, share) if !open.is_empty() => {
                        let hold = open.swap_remove(which % open.len());
                        let cost = hold.cost * share / 100;
                        account.settle(at(now), hold, 1, cost);
                        if hold.day == day { settled += cost; }
                    }
                    Step::Lose(which) if !open.is_empty() => {
                        let hold = open.swap_remove(which % open.len());
                        account.settle_unknown(at(now), hold);
                        if hold.day == day { unknown += hold.cost; }
                    }
                    Step::Wait(seconds) => {
                        now += seconds;
                        if at(now).day() > day {
                            (settled, unknown, day) = (0, 0, at(now).day());
                        }
                    }
                    Step::Settle(..) | Step::Lose(_) => {}
                }
                let spending = account.spending(at(now));
                let held: u64 = open.iter().filter(|hold| hold.day == day).map(|hold| hold.cost).sum();
                prop_assert_eq!(spending, Spending { settled, unknown, held });
                prop_assert!(spending.total() <= 1_000, "{spending:?}");
            }
        }
    }
}
