//! What came of each creative of a campaign, for people: counted in the state, published in ticks.
//!
//! The policies learn from rewards, which are shares of impressions. People ask for the counts behind them: how often each ad was
//! chosen over time, seen and clicked.

use std::collections::BTreeMap;

use bytes::Bytes;
use limbic_bandit::decide::DecisionDraft;
use limbic_bandit::outcomes::Totals;
use limbic_domain::{
    CampaignStatus, Creative, CreativeSet, CreativeStatus, Envelope, SharePeriod, Slug, TenantId, Utc,
    event_id, topics,
};
use limbic_stream::{
    Cause, DecodeProblem, Decoder, Encoder, Outputs, StageError, StateSchema, StateValue, Table,
};

use crate::state::damaged;

/// By `TENANT/CAMPAIGN`.
const RESULTS: Table<Bytes, Results> = Table::new("results of campaigns", b"results/");
/// The keys of the campaigns whose results are not published yet.
const CHANGED: Table<Bytes, ()> = Table::new("campaigns to publish", b"results_changed/");
/// Most campaigns of a partition that one tick publishes.
const AT_ONCE: usize = 500;
/// Most creatives of a campaign. A new one takes the place of the one that was not offered for the longest time.
const MOST_CREATIVES: usize = 32;
/// Most periods. When they are full, two neighbours become one, and further periods are twice as long.
const MOST_PERIODS: usize = 24;
/// Decisions in the first periods.
const FIRST_LENGTH: u64 = 10;

#[derive(Debug, Clone, PartialEq)]
struct Results {
    since: Utc,
    at: Utc,
    creatives: Vec<Counted>,
    /// Decisions in a full period.
    length: u64,
    periods: Vec<Period>,
}

#[derive(Debug, Clone, PartialEq)]
struct Counted {
    status: CreativeStatus,
    /// When it was last offered.
    last: Utc,
}

#[derive(Debug, Clone, PartialEq)]
struct Period {
    since: Utc,
    decisions: u64,
    /// For each creative, the sum of its probabilities.
    sums: Vec<f64>,
}

fn key_of(tenant: &TenantId, campaign: &str) -> String {
    format!("{tenant}/{campaign}")
}

/// Counts a decision that chose one of the creatives of `set`.
pub(crate) fn count_decision(
    out: &mut Outputs<'_>,
    partition: u32,
    set: &Envelope<CreativeSet>,
    draft: &DecisionDraft,
) -> Result<(), StageError> {
    let key = key_of(&set.tenant, set.data.campaign.as_str());
    let known = RESULTS.get(out, partition, &key.as_bytes())?;
    let mut results = known.unwrap_or_else(|| Results::from(set.at));
    results.at = results.at.max(set.at);
    let eligible = draft.eligible.iter().zip(&draft.probabilities).enumerate();
    let mut shares = Vec::new();
    for (place, (&position, &probability)) in eligible {
        let number = results.number_of(&set.data.creatives[position], set.at);
        let counted = &mut results.creatives[number].status;
        counted.offered += 1;
        counted.chosen += u64::from(place == draft.choice);
        shares.push((number, probability));
    }
    results.add_shares(set.at, &shares);
    results.keep(out, partition, &key);
    Ok(())
}

/// Counts what an outcome changed: `before` and `now` are the totals of its decision, which chose the creative `creative`.
pub(crate) fn count_outcome(
    out: &mut Outputs<'_>,
    partition: u32,
    (tenant, campaign, creative): (&TenantId, &str, &str),
    (before, now): (&Totals, &Totals),
    at: Utc,
) -> Result<(), StageError> {
    if before == now {
        return Ok(());
    }
    let key = key_of(tenant, campaign);
    let Some(mut results) = RESULTS.get(out, partition, &key.as_bytes())? else {
        return Ok(());
    };
    let mut creatives = results.creatives.iter_mut();
    let Some(counted) = creatives.find(|counted| counted.status.creative == creative) else {
        return Ok(());
    };
    let status = &mut counted.status;
    let moved = |count: u64, before: u64, now: u64| (count + now).saturating_sub(before);
    status.impressions = moved(status.impressions, before.impressions, now.impressions);
    status.clicks = moved(status.clicks, before.clicks, now.clicks);
    status.conversions = moved(status.conversions, before.conversions, now.conversions);
    status.value = (status.value + now.value - before.value).max(0.0);
    results.at = results.at.max(at);
    results.keep(out, partition, &key);
    Ok(())
}

/// Publishes the results that have changed. Those that are left over come in the next tick.
pub(crate) fn publish(out: &mut Outputs<'_>, partition: u32) -> Result<(), StageError> {
    for (key, ()) in CHANGED.scan(out, partition, b"", AT_ONCE)? {
        CHANGED.remove(out, partition, &&key[..]);
        let Some(results) = RESULTS.get(out, partition, &&key[..])? else {
            continue;
        };
        let text = std::str::from_utf8(&key).map_err(|error| damaged(&error))?;
        let (tenant, campaign) = text
            .split_once('/')
            .ok_or_else(|| damaged(&"a campaign without its tenant"))?;
        let tenant = TenantId::new(tenant).map_err(|error| damaged(&error))?;
        let campaign = Slug::new(campaign).map_err(|error| damaged(&error))?;
        let topic_key = CampaignStatus::key(&tenant, &campaign);
        let status = results.status(campaign);
        let content = serde_json::to_string(&status).expect("a status has string keys and finite numbers");
        let id = event_id("status", &[&topic_key, &content]);
        let envelope = Envelope::new(tenant, id, results.at, status);
        out.emit(
            &Cause::of_partition(partition),
            topics::STATUS,
            &topic_key,
            &envelope,
        );
    }
    Ok(())
}

impl Results {
    const fn from(since: Utc) -> Self {
        Self {
            since,
            at: since,
            creatives: Vec::new(),
            length: FIRST_LENGTH,
            periods: Vec::new(),
        }
    }

    /// The place of a creative that is offered at `at`.
    fn number_of(&mut self, creative: &Creative, at: Utc) -> usize {
        let known = self
            .creatives
            .iter()
            .position(|counted| counted.status.creative == creative.id);
        if let Some(number) = known {
            let last = &mut self.creatives[number].last;
            *last = at.max(*last);
            return number;
        }
        let new = Counted {
            status: CreativeStatus {
                creative: creative.id.clone(),
                platform: creative.rendering.platform.clone(),
                tone: creative.tone.clone(),
                headline: creative.rendering.headline.clone(),
                offered: 0,
                chosen: 0,
                impressions: 0,
                clicks: 0,
                conversions: 0,
                value: 0.0,
            },
            last: at,
        };
        if self.creatives.len() < MOST_CREATIVES {
            self.creatives.push(new);
            return self.creatives.len() - 1;
        }
        let oldest = self
            .creatives
            .iter()
            .enumerate()
            .min_by_key(|(_, counted)| counted.last);
        let number = oldest.map_or(0, |(number, _)| number);
        self.creatives[number] = new;
        for period in &mut self.periods {
            if let Some(sum) = period.sums.get_mut(number) {
                *sum = 0.0;
            }
        }
        number
    }

    fn add_shares(&mut self, at: Utc, shares: &[(usize, f64)]) {
        if self
            .periods
            .last()
            .is_none_or(|period| period.decisions >= self.length)
        {
            if self.periods.len() == MOST_PERIODS {
                let pairs = self.periods.chunks(2).map(Period::merged);
                self.periods = pairs.collect();
                self.length *= 2;
            }
            self.periods.push(Period {
                since: at,
                decisions: 0,
                sums: Vec::new(),
            });
        }
        let Some(period) = self.periods.last_mut() else {
            return;
        };
        period.decisions += 1;
        for &(number, probability) in shares {
            if period.sums.len() <= number {
                period.sums.resize(number + 1, 0.0);
            }
            period.sums[number] += probability;
        }
    }

    fn keep(&self, out: &mut Outputs<'_>, partition: u32, key: &str) {
        RESULTS.put(out, partition, &key.as_bytes(), self);
        CHANGED.put(out, partition, &key.as_bytes(), &());
    }

    fn status(&self, campaign: Slug) -> CampaignStatus {
        let periods = self.periods.iter().map(|period| {
            let total: f64 = period.sums.iter().sum();
            let named = period.sums.iter().zip(&self.creatives);
            let shares = named
                .filter(|(sum, _)| **sum > 0.0)
                .map(|(sum, counted)| {
                    (
                        counted.status.creative.clone(),
                        sum / total.max(f64::MIN_POSITIVE),
                    )
                })
                .collect::<BTreeMap<_, _>>();
            SharePeriod {
                since: period.since,
                decisions: period.decisions,
                shares,
            }
        });
        let periods = periods.collect();
        let mut creatives: Vec<CreativeStatus> = self
            .creatives
            .iter()
            .map(|counted| counted.status.clone())
            .collect();
        creatives.sort_by(|a, b| b.chosen.cmp(&a.chosen).then_with(|| a.creative.cmp(&b.creative)));
        CampaignStatus {
            campaign,
            since: self.since,
            creatives,
            periods,
        }
    }
}

impl Period {
    /// One period in place of these.
    fn merged(periods: &[Self]) -> Self {
        let mut merged = periods[0].clone();
        for period in &periods[1..] {
            merged.decisions += period.decisions;
            merged.sums.resize(merged.sums.len().max(period.sums.len()), 0.0);
            for (sum, more) in merged.sums.iter_mut().zip(&period.sums) {
                *sum += more;
            }
        }
        merged
    }
}

impl StateValue for Results {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Encoder) {
        to.time(self.since);
        to.time(self.at);
        to.length(self.creatives.len());
        for Counted { status, last } in &self.creatives {
            to.text(&status.creative);
            to.text(status.platform.as_str());
            to.text(status.tone.as_str());
            to.text(&status.headline);
            for count in [
                status.offered,
                status.chosen,
                status.impressions,
                status.clicks,
                status.conversions,
            ] {
                to.unsigned(count);
            }
            to.number(status.value);
            to.time(*last);
        }
        to.unsigned(self.length);
        to.length(self.periods.len());
        for period in &self.periods {
            to.time(period.since);
            to.unsigned(period.decisions);
            to.length(period.sums.len());
            for sum in &period.sums {
                to.number(*sum);
            }
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let (since, at) = (from.time()?, from.time()?);
        let mut creatives = Vec::new();
        for _ in 0..from.length()? {
            let status = CreativeStatus {
                creative: from.text()?.to_owned(),
                platform: from.id()?,
                tone: from.id()?,
                headline: from.text()?.to_owned(),
                offered: from.unsigned()?,
                chosen: from.unsigned()?,
                impressions: from.unsigned()?,
                clicks: from.unsigned()?,
                conversions: from.unsigned()?,
                value: from.number()?,
            };
            let last = from.time()?;
            creatives.push(Counted { status, last });
        }
        let length = from.unsigned()?;
        let mut periods = Vec::new();
        for _ in 0..from.length()? {
            let (since, decisions) = (from.time()?, from.unsigned()?);
            let mut sums = Vec::new();
            for _ in 0..from.length()? {
                sums.push(from.number()?);
            }
            periods.push(Period {
                since,
                decisions,
                sums,
            });
        }
        Ok(Self {
            since,
            at,
            creatives,
            length,
            periods,
        })
    }
}

/// Adds the tables to `schema`.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema.table(&RESULTS).table(&CHANGED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creative(id: &str) -> Creative {
        serde_json::from_value(serde_json::json!({
            "id": id, "generator": "template/x", "tone": "calm",
            "rendering": {"platform": "file", "headline": "H", "body": "B", "link": "L"}
        }))
        .unwrap()
    }

    fn after(decisions: i64) -> Results {
        let mut results = Results::from(Utc::from_millis(0));
        for decision in 0..decisions {
            let at = Utc::from_millis(decision);
            let shares =
                [("a", 0.75), ("b", 0.25)].map(|(id, share)| (results.number_of(&creative(id), at), share));
            results.add_shares(at, &shares);
        }
        results
    }

    #[test]
    fn shares_over_time_stay_within_their_bound_and_no_decision_is_lost() {
        for decisions in [1, 10, 11, 240, 241, 5_000, 100_000] {
            let status = after(decisions).status("spring".parse().unwrap());
            assert!(status.periods.len() <= MOST_PERIODS, "{decisions}");
            let sum: u64 = status.periods.iter().map(|period| period.decisions).sum();
            assert_eq!(sum, decisions.cast_unsigned());
            for period in &status.periods {
                assert!((period.shares["a"] - 0.75).abs() < 1e-9, "{period:?}");
            }
            let since: Vec<Utc> = status.periods.iter().map(|period| period.since).collect();
            assert!(since.is_sorted() && since[0] == Utc::from_millis(0));
        }
    }

    #[test]
    fn a_new_creative_takes_the_place_of_the_one_not_offered_for_the_longest_time() {
        let mut results = Results::from(Utc::from_millis(0));
        for number in 0..=(MOST_CREATIVES as i64) {
            let at = Utc::from_millis(number);
            let place = results.number_of(&creative(&number.to_string()), at);
            results.add_shares(at, &[(place, 1.0)]);
        }
        let ids: Vec<&str> = results
            .creatives
            .iter()
            .map(|counted| &*counted.status.creative)
            .collect();
        assert_eq!(ids.len(), MOST_CREATIVES);
        assert!(!ids.contains(&"0") && ids.contains(&"1") && ids.contains(&"32"));
        assert_eq!(Results::from_bytes(&results.to_bytes()), Ok(results));
    }
}
