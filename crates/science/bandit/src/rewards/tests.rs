//! The tests of [`rewards`](super).

use super::*;
use proptest::prelude::*;

const SHOWN: Shown = Shown {
    decided: Utc::from_millis(0),
    people: 4,
};

fn at(minutes: i64) -> Utc {
    Utc::from_millis(minutes * 60_000)
}

fn event(kind: OutcomeKind, minutes: i64, person: Option<u8>) -> Event<u8> {
    Event {
        kind,
        at: at(minutes),
        value: None,
        count: 1,
        person,
    }
}

fn reward(events: &[Event<u8>]) -> Option<f64> {
    RewardConfig::default().reward(SHOWN, events, Utc::MAX)
}

#[test]
fn a_reward_is_clicks_over_impressions_and_each_impression_has_its_own_window() {
    use OutcomeKind::{Click, Impression};
    let seen = |minutes| event(Impression, minutes, None);
    let clicked = |minutes| event(Click, minutes, None);
    let four = [seen(0), seen(10), seen(120), seen(240)];
    let of = |clicks: &[i64]| {
        let clicks = clicks.iter().map(|&minutes| clicked(minutes));
        reward(&four.iter().cloned().chain(clicks).collect::<Vec<_>>()).unwrap()
    };
    for (clicks, expected) in [
        (&[][..], 0.0),
        (&[5], 0.25),
        // The window of the first impression is over, that of the second is not.
        (&[40], 0.25),
        (&[41], 0.0),
        // Three clicks on two impressions.
        (&[11, 12, 13], 0.5),
        // The first click takes the impression whose window ends first, so both count.
        (&[20, 40], 0.5),
        (&[125, 245, 246], 0.5),
        (&[5, 11, 125, 245], 1.0),
    ] {
        assert!(
            (of(clicks) - expected).abs() < 1e-12,
            "{clicks:?}: {}",
            of(clicks)
        );
    }
    assert_eq!(reward(&[clicked(5)]), None, "nobody knows how often it was seen");
}

#[test]
fn a_click_belongs_to_its_person_where_every_person_is_known() {
    use OutcomeKind::{Click, Impression};
    let seen = [event(Impression, 0, Some(1)), event(Impression, 0, Some(2))];
    let with = |events: &[Event<u8>]| reward(&[&seen[..], events].concat()).unwrap();
    let stranger = with(&[event(Click, 1, Some(3))]);
    assert!(stranger.abs() < 1e-12, "{stranger}");
    let twice = with(&[event(Click, 1, Some(1)), event(Click, 2, Some(1))]);
    assert!((twice - 0.5).abs() < 1e-12, "{twice}");
    let unknown = with(&[event(Click, 1, Some(1)), event(Click, 2, None)]);
    assert!((unknown - 1.0).abs() < 1e-12, "{unknown}");
    let dismissed = with(&[
        event(Click, 1, Some(1)),
        event(OutcomeKind::Dismissal, 2, Some(1)),
    ]);
    assert!(dismissed.abs() < 1e-12, "{dismissed}");
    let other = with(&[
        event(Click, 1, Some(1)),
        event(OutcomeKind::Dismissal, 2, Some(2)),
    ]);
    assert!((other - 0.5).abs() < 1e-12, "{other}");
}

#[test]
fn numbers_count_like_the_events_that_they_stand_for() {
    use OutcomeKind::{Click, Conversion, Impression};
    let many = |kind, minutes, count| Event {
        count,
        ..event(kind, minutes, None)
    };
    let config = RewardConfig {
        conversion: 0.0,
        conversion_value: 0.01,
        ..RewardConfig::default()
    };
    let sale = Event {
        value: Some(50.0),
        ..many(Conversion, 3 * 24 * 60, 2)
    };
    let events = [many(Impression, 0, 200), many(Click, 5, 30), sale];
    let found = config.reward(SHOWN, &events, Utc::MAX).unwrap();
    assert!((found - 30.5 / 200.0).abs() < 1e-12, "{found}");
    let more = [many(Impression, 0, 2), many(Click, 5, 30)];
    assert_eq!(config.reward(SHOWN, &more, Utc::MAX), Some(1.0));
}

#[test]
fn a_conversion_days_later_belongs_to_the_latest_impression_before_it() {
    use OutcomeKind::{Conversion, Impression};
    let day = 24 * 60;
    let seen = [event(Impression, 0, None), event(Impression, 5 * day, None)];
    let with = |minutes| reward(&[&seen[..], &[event(Conversion, minutes, None)]].concat()).unwrap();
    assert!((with(11 * day) - 0.5).abs() < 1e-12);
    assert!(with(13 * day).abs() < 1e-12);
    // Only the first impression is judged: the conversion of the second does not count yet.
    let config = RewardConfig::default();
    let early = [&seen[..], &[event(Conversion, 6 * day, None)]].concat();
    assert_eq!(config.reward(SHOWN, &early, at(2 * day)), Some(0.0));
    assert_eq!(config.reward(SHOWN, &early, at(0)), None);
}

#[test]
fn without_impressions_the_settings_say_what_was_seen() {
    use OutcomeKind::{Click, Delivered, Refused};
    let with = |exposure| RewardConfig {
        exposure,
        ..RewardConfig::default()
    };
    let events = [event(Delivered, 10, None), event(Click, 35, None)];
    assert_eq!(
        with(Exposure::Delivered).reward(SHOWN, &events, Utc::MAX),
        Some(0.25)
    );
    assert_eq!(
        with(Exposure::Decided).reward(SHOWN, &events, Utc::MAX),
        Some(0.0)
    );
    assert_eq!(with(Exposure::Impression).reward(SHOWN, &events, Utc::MAX), None);
    let refused = [event(Delivered, 10, None), event(Refused, 11, None)];
    assert_eq!(with(Exposure::Delivered).reward(SHOWN, &refused, Utc::MAX), None);
}

/// Every way of giving clicks to impressions, one after the other: how many impressions can be clicked.
fn most(clicks: &[&Event<u8>], seen: &[&Event<u8>], taken: usize, is_by_person: bool) -> usize {
    let Some((click, rest)) = clicks.split_first() else {
        return 0;
    };
    let mut best = most(rest, seen, taken, is_by_person);
    for (place, seen_at) in seen.iter().enumerate() {
        let waited = click.at.millis_since(seen_at.at);
        let is_free = taken & (1 << place) == 0;
        let is_same = !is_by_person || seen_at.person == click.person;
        if is_free && is_same && (-60_000..=30 * 60_000).contains(&waited) {
            best = best.max(1 + most(rest, seen, taken | (1 << place), is_by_person));
        }
    }
    best
}

proptest! {
    #[test]
    fn a_reward_depends_on_no_order_and_finds_the_most_clicked_impressions(
        events in prop::collection::vec((0..4_u8, 0..200_i64, prop::option::of(0..3_u8)), 1..9),
        shift in 0..9_usize,
    ) {
        use OutcomeKind::{Click, Impression};
        let events: Vec<_> = events
            .into_iter()
            .map(|(kind, minutes, person)| {
                event(if kind < 2 { Impression } else { Click }, minutes, person)
            })
            .collect();
        let mut other = events.clone();
        other.rotate_left(shift % events.len());
        let found = reward(&events);
        prop_assert_eq!(found, reward(&other));

        let seen: Vec<_> = events.iter().filter(|event| event.kind == Impression).collect();
        let clicks: Vec<_> = events.iter().filter(|event| event.kind == Click).collect();
        let is_by_person = events.iter().all(|event| event.person.is_some());
        let expected = (!seen.is_empty())
            .then(|| most(&clicks, &seen, 0, is_by_person) as f64 / seen.len() as f64);
        prop_assert_eq!(found, expected);
    }
}
