//! The tests of [`baseline`](super).

use super::*;

/// Adds a post every `apart` milliseconds from `from` until `until`, of the valence that `mean` gives, with a wobble of 0.5.
fn fill(
    baseline: &mut Baseline,
    (from, until, apart): (i64, i64, i64),
    settings: &ChangeSettings,
    mean: impl Fn(i64) -> f64,
) {
    for (number, at) in (from..until).step_by(apart as usize).enumerate() {
        let wobble = if number % 2 == 0 { 0.5 } else { -0.5 };
        let time = Utc::from_millis(at);
        baseline.enter(time, settings);
        baseline.add(mean(at) + wobble, 1.0, time, settings);
    }
}

fn daily(at: i64) -> f64 {
    0.2 * (at as f64 / (24 * HOUR) as f64 * std::f64::consts::TAU).sin()
}

#[test]
fn the_band_narrows_as_posts_come_and_holds_the_mean() {
    let settings = ChangeSettings::default();
    let mut baseline = Baseline::new();
    let mut widths = Vec::new();
    for post in 0..2_000 {
        assert_eq!(baseline.band(&settings).is_some(), post >= 100);
        let at = Utc::from_millis(0);
        baseline.enter(at, &settings);
        baseline.add(if post % 2 == 0 { 0.5 } else { -0.5 }, 1.0, at, &settings);
        if let Some(band) = baseline.band(&settings) {
            assert!(band.low < 0.0 && band.high > 0.0);
            widths.push(band.high - band.low);
        }
    }
    assert!(widths.first().unwrap() > &0.35);
    assert!(widths.last().unwrap() < &0.15);
}

/// The least posts that a baseline needs, of distributions that are far from normal.
#[test]
fn the_band_misses_the_mean_no_more_often_than_the_risk_says() {
    use rand::{Rng, SeedableRng};
    let settings = ChangeSettings {
        tolerance: 0.0,
        ..ChangeSettings::default()
    };
    let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    for (low, high, share) in [
        (-1.0, 1.0, 0.5),
        (-1.0, 1.0, 0.9),
        (0.0, 0.9, 0.3),
        (-0.5, 0.4, 0.8),
    ] {
        let (mean, runs) = (low + share * (high - low), 3_000);
        let missed = (0..runs)
            .filter(|_| {
                let mut level = Level::new();
                for _ in 0..settings.least_posts {
                    let x = if chance.random_bool(share) { high } else { low };
                    level.add(x, 1.0, Utc::from_millis(0), 1);
                }
                (level.mean() - mean).abs() > level.slack(&settings).unwrap()
            })
            .count();
        assert!(
            missed as f64 <= settings.baseline_risk * f64::from(runs),
            "{low} {high} {share}: {missed}"
        );
    }
}

#[test]
fn old_posts_count_for_less() {
    let settings = ChangeSettings {
        baseline_half_life: limbic_domain::HumanDuration::from_secs(1),
        ..ChangeSettings::default()
    };
    let mut baseline = Baseline::new();
    fill(&mut baseline, (0, 10_000_000, 1_000), &settings, |_| 0.1);
    assert!(baseline.all.posts() < 4.0);
    assert_eq!(baseline.band(&settings), None);
}

#[test]
fn each_hour_has_its_own_mean_once_it_is_known() {
    let settings = ChangeSettings::default();
    let mut baseline = Baseline::new();
    let days = 14;
    fill(&mut baseline, (0, days * 24 * HOUR, 20_000), &settings, daily);
    for hour in 0..24 {
        let at = days * 24 * HOUR + hour * HOUR;
        baseline.enter(Utc::from_millis(at), &settings);
        let middle = daily(at + HOUR / 2);
        assert!((baseline.mean() - middle).abs() < 0.03, "hour {hour}");
    }
}

#[test]
fn an_hour_without_posts_falls_back_on_its_hour_of_the_day_and_that_on_its_neighbours() {
    let settings = ChangeSettings::default();
    let mut baseline = Baseline::new();
    // Two days, each without the hour from 12 to 13.
    for day in 0..2 {
        let midnight = day * 24 * HOUR;
        fill(
            &mut baseline,
            (midnight, midnight + 12 * HOUR, 20_000),
            &settings,
            |_| 0.3,
        );
        let rest = (midnight + 13 * HOUR, midnight + 24 * HOUR, 20_000);
        fill(&mut baseline, rest, &settings, |_| -0.3);
    }
    let mut third = baseline.clone();
    third.enter(Utc::from_millis(48 * HOUR + 6 * HOUR), &settings);
    assert!(
        (third.mean() - 0.3).abs() < 0.02,
        "the hour of the day: {}",
        third.mean()
    );
    let mut noon = baseline.clone();
    noon.enter(Utc::from_millis(48 * HOUR + 12 * HOUR), &settings);
    assert!(
        noon.mean().abs() < 0.05,
        "between its neighbours: {}",
        noon.mean()
    );
    assert!(
        noon.expected.weight < third.expected.weight,
        "and less is known of it"
    );
}

#[test]
fn the_hours_are_those_of_the_audiences_clock() {
    let local = ChangeSettings {
        utc_offset: limbic_domain::UtcOffset::from_minutes(60),
        ..ChangeSettings::default()
    };
    let mut baseline = Baseline::new();
    baseline.enter(Utc::from_millis(HOUR / 2), &local);
    assert_eq!(baseline.hour, 1);
}
