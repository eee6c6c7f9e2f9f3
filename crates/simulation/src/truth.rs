//! Compares the moments and the ads of a run with the simulation's own events, which only it knows.

use std::collections::{BTreeMap, BTreeSet};

use limbic_domain::{Moment, MomentKind, Utc};
use serde::Serialize;

use crate::driver::{Impression, click_probability};
use crate::population::{Event, Population};

/// How well the moments match the events.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Detection {
    /// Events that moved people.
    pub events: usize,
    /// Events during which a change of their subject's audience in their direction began.
    pub found: usize,
    /// The share found, with its 95 % interval (Wilson).
    pub recall: Estimate,
    /// The median time from the start of an event to its moment, in seconds. Absent if no event was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_delay_seconds: Option<f64>,
    /// Events that were found, and after which a return was reported before the next event of the subject.
    pub returned: usize,
    /// Moments of a change that belong to no event.
    pub false_moments: usize,
    /// Those of them that go in the direction opposite to the last event of the subject, after its end: a way back that was taken for
    /// something new.
    pub opposite: usize,
}

/// Clicks that ads get at moments, beside those of the same ads at any time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Timing {
    /// Number of ads.
    pub ads: usize,
    /// Number of moments that they belong to. The interval takes the ads of a moment together.
    pub moments: usize,
    /// Expected clicks of an ad when it was shown.
    pub at_moments: f64,
    /// Expected clicks of the same ads at a time drawn from the whole run.
    pub at_any_time: f64,
    /// The difference, with its 95 % interval. Absent with fewer than two moments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Estimate>,
}

/// A value with the two ends of its interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    /// The share `hits` of `count`, with Wilson's 95 % interval. All of `[0, 1]` if `count` is 0.
    fn share(hits: usize, count: usize) -> Self {
        if count == 0 {
            return Self {
                value: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let (z, n) = (1.96_f64, count as f64);
        let share = hits as f64 / n;
        let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let radius = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
        Self {
            value: share,
            low: (middle - radius).max(0.0),
            high: (middle + radius).min(1.0),
        }
    }
}

/// The moments of the audiences of all people, in order of time, beside the events.
///
/// A moment belongs to an event if it is about the event's subject and goes in its direction, and if the change began while the event
/// lasted and was reported before the subject's next event.
pub fn detection(events: &[Event], moments: &[(Utc, Moment)]) -> Detection {
    let mut result = Detection {
        events: events.len(),
        ..Detection::default()
    };
    let mut delays = Vec::new();
    let mut explained = BTreeSet::new();
    for (place, event) in events.iter().enumerate() {
        let next = next_of(events, place);
        let of_event = |(_, (at, moment)): &(usize, &(Utc, Moment))| {
            moment.audience.as_str() == format!("everyone:{}", event.subject) && *at >= event.at && *at < next
        };
        let about: Vec<_> = moments.iter().enumerate().filter(of_event).collect();
        let matching: Vec<_> = about
            .iter()
            .filter(|(_, (_, moment))| {
                moment.kind == MomentKind::Change
                    && moment.direction == event.direction
                    && moment.change.since <= event.until
            })
            .collect();
        explained.extend(matching.iter().map(|(place, _)| *place));
        if let Some((_, (at, _))) = matching.first() {
            result.found += 1;
            delays.push(at.millis_since(event.at) as f64 / 1_000.0);
            let has_returned = about
                .iter()
                .any(|(_, (at, moment))| moment.kind == MomentKind::Return && *at > event.at);
            result.returned += usize::from(has_returned);
        }
    }
    for (place, (at, moment)) in moments.iter().enumerate() {
        let is_of_all = moment.audience.segment() == "everyone";
        if !is_of_all || moment.kind == MomentKind::Return || explained.contains(&place) {
            continue;
        }
        result.false_moments += 1;
        let last = events
            .iter()
            .rfind(|event| event.subject == moment.audience.subject() && event.at <= *at);
        let is_opposite = last.is_some_and(|last| last.direction != moment.direction && *at > last.until);
        result.opposite += usize::from(is_opposite);
    }
    delays.sort_by(f64::total_cmp);
    result.median_delay_seconds = delays.get(delays.len() / 2).copied();
    result.recall = Estimate::share(result.found, result.events);
    result
}

/// When the next event of the same subject begins.
fn next_of(events: &[Event], place: usize) -> Utc {
    let subject = events[place].subject;
    let next = events[place + 1..].iter().find(|event| event.subject == subject);
    next.map_or(Utc::MAX, |event| event.at)
}

/// The probability of a click while nothing moves the people who see the ad. It does not depend on the tone then.
const CALM: f64 = 0.06;

/// The probability of a click at a time, by how people really feel then, whatever a moment said.
fn truly(events: &[Event], at: Utc, ad: &Impression) -> f64 {
    let active = events
        .iter()
        .find(|event| event.subject == ad.subject && event.at <= at && at <= event.until);
    active.map_or(CALM, |event| {
        click_probability(event.direction, event.subject, &ad.tone, event.change.abs())
    })
}

/// Compares each ad that was shown with the same ad, shown to the same audience at a time drawn from the whole run.
pub fn timing(population: &Population, ads: &[Impression]) -> Timing {
    let (Some(first), Some(last)) = (population.posts.first(), population.posts.last()) else {
        return Timing::default();
    };
    let whole = last.at.millis_since(first.at).max(1) as f64;
    let mut by_moment: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let (mut at_moments, mut at_any_time) = (0.0, 0.0);
    for ad in ads {
        let then = truly(&population.events, ad.at, ad);
        // The mean over all times: each event for as long as it lasts, and the rest.
        let moved = population
            .events
            .iter()
            .filter(|event| event.subject == ad.subject)
            .map(|event| {
                let share = event.until.millis_since(event.at) as f64 / whole;
                share * (truly(&population.events, event.at, ad) - CALM)
            });
        let any = CALM + moved.sum::<f64>();
        at_moments += then;
        at_any_time += any;
        let sums = by_moment.entry(&ad.moment).or_default();
        sums.0 += then - any;
        sums.1 += 1.0;
    }
    let count = ads.len().max(1) as f64;
    let value = (at_moments - at_any_time) / count;
    let moments = by_moment.len();
    let difference = (moments > 1).then(|| {
        // The error of a ratio of sums over moments (cluster-robust), with the correction for few of them.
        let squares: f64 = by_moment
            .values()
            .map(|(sum, ads)| (sum - ads * value) * (sum - ads * value))
            .sum();
        let few = moments as f64 / (moments as f64 - 1.0);
        let radius = 1.96 * (few * squares).sqrt() / count;
        Estimate {
            value,
            low: value - radius,
            high: value + radius,
        }
    });
    Timing {
        ads: ads.len(),
        moments,
        at_moments: at_moments / count,
        at_any_time: at_any_time / count,
        difference,
    }
}

#[cfg(test)]
mod tests {
    use limbic_domain::{Direction, testing};

    use super::*;
    use crate::population::EventKind;

    fn event(subject: &'static str, from: i64, until: i64, change: f64) -> Event {
        Event {
            kind: EventKind::Goal,
            subject,
            at: Utc::from_millis(from),
            until: Utc::from_millis(until),
            direction: if change > 0.0 {
                Direction::Up
            } else {
                Direction::Down
            },
            change,
        }
    }

    fn moment(kind: MomentKind, direction: Direction, since: i64, at: i64) -> (Utc, Moment) {
        let mut moment = testing::moment("everyone:football".parse().unwrap(), direction, Vec::new());
        moment.kind = kind;
        moment.change.since = Utc::from_millis(since);
        (Utc::from_millis(at), moment)
    }

    #[test]
    fn found_events_returns_false_and_opposite_moments_are_told_apart() {
        use Direction::{Down, Up};
        use MomentKind::{Change, Return};
        let events = [
            event("football", 1_000, 2_000, 0.8),
            event("music", 1_000, 2_000, 0.8),
            event("football", 10_000, 11_000, -0.8),
        ];
        let moments = [
            moment(Change, Down, 100, 200),
            moment(Change, Up, 1_050, 1_500),
            moment(Return, Down, 2_100, 2_500),
            moment(Change, Down, 10_100, 10_400),
            moment(Change, Up, 11_100, 11_500),
        ];
        let found = detection(&events, &moments);
        assert_eq!((found.events, found.found, found.returned), (3, 2, 1));
        assert_eq!((found.false_moments, found.opposite), (2, 1));
        assert!(found.recall.low < 2.0 / 3.0 && found.recall.high > 2.0 / 3.0);
        assert_eq!(found.median_delay_seconds, Some(0.5));
        assert_eq!(detection(&[], &[]).recall.high.to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn an_ad_in_time_gets_more_clicks_than_at_any_time_and_one_too_late_does_not() {
        let mut population = Population::new(1, 10, 2);
        let whole = population.posts[1].at.millis_since(population.posts[0].at);
        let start = population.posts[0].at.as_millis();
        population.events = vec![event("football", start, start + whole / 4, 0.5)];
        let ad = |moment: &str, at: i64| Impression {
            decision: moment.to_owned(),
            moment: moment.to_owned(),
            subject: "football".to_owned(),
            at: Utc::from_millis(at),
            direction: Direction::Up,
            tone: "celebrate".to_owned(),
            click_probability: 0.5,
            best: 0.5,
            uniform: 0.3,
            clicked: false,
        };
        let early = timing(&population, &[ad("a", start), ad("b", start + 1)]);
        // A quarter of the time at 0.5, the rest at 0.06.
        assert!(
            (early.at_moments - 0.5).abs() < 1e-12 && (early.at_any_time - 0.17).abs() < 0.01,
            "{early:?}"
        );
        let late = timing(&population, &[ad("a", start + whole), ad("b", start + whole)]);
        assert!(late.difference.unwrap().high < 0.0, "{late:?}");
        assert_eq!(timing(&population, &[]).difference, None);
    }
}
