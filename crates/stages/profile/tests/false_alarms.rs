//! Measures the promise of the change test: false alarms are at least `1 / alpha` posts apart, and real changes are
//! found.
//!
//! Every stream here is drawn with a fixed seed, so the figures are the same in every run; `--nocapture` shows them.

use limbic_domain::{Direction, MomentKind, Utc};
use limbic_profile::{Band, ChangeSettings, ChangeTest, Detector, Observation};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Distributions of valence around `mean`, within [-1, 1].
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Only the two ends: the largest possible variance, and the hardest case for a bound.
    Ends,
    /// Two values near each other.
    Narrow,
    /// Mostly exactly 0, like a lexicon's readings of posts without a known word; otherwise far from 0.
    Sparse,
}

impl Shape {
    const ALL: [Self; 3] = [Self::Ends, Self::Narrow, Self::Sparse];

    fn draw(self, mean: f64, chance: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Ends => two_point(chance, -1.0, 1.0, mean),
            Self::Narrow => two_point(chance, mean - 0.1, mean + 0.1, mean),
            Self::Sparse => {
                if chance.random_bool(0.4) {
                    0.0
                } else {
                    two_point(chance, -0.9, 0.9, mean / 0.6)
                }
            }
        }
    }
}

/// `low` or `high`, with the given mean.
fn two_point(chance: &mut ChaCha8Rng, low: f64, high: f64, mean: f64) -> f64 {
    if chance.random_bool((mean - low) / (high - low)) {
        high
    } else {
        low
    }
}

/// The number of posts until the detector raises an alarm, at most `limit`.
fn run_length(alpha: f64, band: Band, limit: u64, mut draw: impl FnMut() -> f64) -> u64 {
    let mut detector = Detector::new();
    for post in 1..=limit {
        if detector
            .step(draw(), Utc::from_millis(post.cast_signed()), band)
            .statistic
            >= 1.0 / alpha
        {
            return post;
        }
    }
    limit
}

/// The worst case of "nothing changed": the mean of every post is on the edge of the band.
#[test]
fn false_alarms_are_as_rare_as_promised_even_on_the_edge_of_the_band() {
    for alpha in [1e-1, 1e-2, 1e-3] {
        for shape in Shape::ALL {
            for (band, mean) in [
                (Band { low: -0.1, high: 0.1 }, 0.1),
                (Band { low: -0.1, high: 0.1 }, -0.1),
                (Band { low: 0.1, high: 0.3 }, 0.2),
            ] {
                let mut chance = ChaCha8Rng::seed_from_u64(1);
                let runs = if alpha < 1e-2 { 60 } else { 300 };
                // A limit on the length of runs can only lower their mean.
                let limit = (20.0 / alpha) as u64;
                let total: u64 = (0..runs)
                    .map(|_| run_length(alpha, band, limit, || shape.draw(mean, &mut chance)))
                    .sum();
                let average = total as f64 / f64::from(runs);
                println!("alpha {alpha:.0e} {shape:?} mean {mean:+} in {band:?}: {average:.0} posts");
                assert!(average >= 1.0 / alpha, "{shape:?} {mean} {band:?}: {average}");
            }
        }
    }
}

/// Dependence does not matter either: the mean of each post is on the edge that the earlier posts suggest.
#[test]
fn false_alarms_are_as_rare_as_promised_when_posts_depend_on_each_other() {
    let (alpha, band) = (1e-2, Band { low: -0.1, high: 0.1 });
    let mut chance = ChaCha8Rng::seed_from_u64(2);
    let runs = 400;
    let total: u64 = (0..runs)
        .map(|_| {
            let mut last = 0.0;
            run_length(alpha, band, 2_000, || {
                last = Shape::Ends.draw(if last >= 0.0 { 0.1 } else { -0.1 }, &mut chance);
                last
            })
        })
        .sum();
    let average = total as f64 / f64::from(runs);
    println!("dependent, alpha {alpha:.0e}: {average:.0} posts");
    assert!(average >= 1.0 / alpha);
}

/// A detector that never raises an alarm would pass the tests above.
#[test]
fn a_change_is_found_soon_and_in_its_direction() {
    let band = Band {
        low: -0.05,
        high: 0.05,
    };
    let (runs, calm) = (200, 500);
    for (shift, within) in [(0.1, 6_000), (0.2, 700), (0.3, 250), (0.5, 100)] {
        let mut chance = ChaCha8Rng::seed_from_u64(3);
        let (mut delays, mut false_alarms, mut wrong_way) = (Vec::new(), 0, 0);
        for run in 0..runs {
            let sign = if run % 2 == 0 { 1.0 } else { -1.0 };
            let (post, direction) = first_alarm(band, |post| {
                let mean = if post <= calm { 0.0 } else { sign * shift };
                Shape::Sparse.draw(mean, &mut chance)
            });
            if post <= calm {
                false_alarms += 1;
                continue;
            }
            wrong_way += u32::from((direction == Direction::Up) != (sign > 0.0));
            delays.push(post - calm);
        }
        delays.sort_unstable();
        let (median, most) = (delays[delays.len() / 2], delays[delays.len() * 19 / 20]);
        println!(
            "alpha 1e-4, shift {shift}: found after {median} posts (median), {most} (95 %), \
             {false_alarms} false alarms before, {wrong_way} the wrong way"
        );
        // 500 posts at one in 10,000: at most one run in twenty.
        assert!(false_alarms * 20 <= runs);
        assert!(wrong_way * 50 <= runs);
        assert!(median <= within, "shift {shift}: {median}");
    }
}

/// The post at which a detector with a threshold of 10,000 raises an alarm, and the direction.
fn first_alarm(band: Band, mut draw: impl FnMut(i64) -> f64) -> (i64, Direction) {
    let mut detector = Detector::new();
    let mut post = 0;
    loop {
        post += 1;
        let verdict = detector.step(draw(post), Utc::from_millis(post), band);
        if verdict.statistic >= 1e4 {
            return (post, verdict.direction);
        }
    }
}

/// Posts that come at random times, so many a day on average.
struct Stream {
    chance: ChaCha8Rng,
    at: f64,
    a_day: f64,
}

/// Milliseconds of a day.
const DAY: f64 = 86_400_000.0;

impl Stream {
    fn new(seed: u64, a_day: f64) -> Self {
        Self {
            chance: ChaCha8Rng::seed_from_u64(seed),
            // A Monday.
            at: 4.0 * DAY,
            a_day,
        }
    }

    /// The next post, by somebody who has not posted, around the mean that is given for its time in days.
    fn next(&mut self, mean: impl Fn(f64) -> f64) -> Observation {
        self.at += -(1.0 - self.chance.random::<f64>()).ln() * DAY / self.a_day;
        let valence = Shape::Sparse.draw(mean(self.at / DAY), &mut self.chance);
        Observation {
            valence,
            at: Utc::from_millis(self.at as i64),
            seen: 0,
            counts: 1.0,
            is_usual: true,
        }
    }
}

fn cycle(amplitude: f64) -> impl Fn(f64) -> f64 {
    move |days| amplitude * (days * std::f64::consts::TAU).sin()
}

#[test]
fn daily_cycles_raise_no_more_than_the_budget_allows() {
    let settings = ChangeSettings::default();
    for (amplitude, a_day) in [(0.1, 1_000.0), (0.2, 1_000.0), (0.1, 10_000.0), (0.2, 10_000.0)] {
        let (mut first_week, mut later) = (0, 0);
        let (audiences, days) = if a_day > 5_000.0 { (2, 14) } else { (8, 21) };
        for seed in 0..audiences {
            let mut stream = Stream::new(seed, a_day);
            let mut test = ChangeTest::new();
            let until = f64::from(4 + days);
            while stream.at / DAY < until {
                let post = stream.next(cycle(amplitude));
                if test.step(&post, &settings).is_some() {
                    if stream.at / DAY < 11.0 {
                        first_week += 1;
                    } else {
                        later += 1;
                    }
                }
            }
        }
        let weeks = audiences as f64 * 7.0;
        println!(
            "daily cycle of {amplitude}, {a_day} posts a day: {:.3} alarms for each audience and day in the first week, {:.3} later",
            f64::from(first_week) / weeks,
            f64::from(later) / (audiences as f64 * (f64::from(days) - 7.0)),
        );
        assert!(f64::from(first_week) / weeks <= 0.1, "{first_week}");
        assert!(
            f64::from(later) / (audiences as f64 * (f64::from(days) - 7.0)) <= 0.05,
            "{later}"
        );
    }
}

/// For three hours the mood is better, or worse; then it is as before.
#[test]
fn a_way_back_to_the_usual_mood_is_a_return_and_never_an_opposite_moment() {
    let settings = ChangeSettings::default();
    let cases = 300;
    let (mut found, mut returns, mut opposite, mut others) = (0, 0, 0, 0);
    for case in 0..cases {
        let mut stream = Stream::new(1_000 + case, 4_000.0);
        let sign = if case % 2 == 0 { 1.0 } else { -1.0 };
        let began = 5.0 + (case % 24) as f64 / 24.0;
        let shift = |days: f64| {
            let is_away = days >= began && days < began + 0.125;
            cycle(0.1)(days) + if is_away { sign * 0.4 } else { 0.0 }
        };
        let mut test = ChangeTest::new();
        while stream.at / DAY < began + 0.35 {
            let post = stream.next(shift);
            let now = stream.at / DAY;
            let Some(alarm) = test.step(&post, &settings) else {
                continue;
            };
            let is_up = alarm.direction == Direction::Up;
            match alarm.kind {
                _ if now < began => others += 1,
                MomentKind::Change if is_up == (sign > 0.0) && now < began + 0.125 => found += 1,
                MomentKind::Return if is_up != (sign > 0.0) && now >= began + 0.125 => returns += 1,
                MomentKind::Change if is_up != (sign > 0.0) => opposite += 1,
                _ => others += 1,
            }
        }
    }
    println!(
        "of {cases} shifts of three hours: {found} found, {returns} returns, {opposite} opposite moments, {others} others"
    );
    assert!(found * 100 >= cases * 95, "{found} found");
    assert!(returns * 100 >= cases * 90, "{returns} returns");
    assert_eq!(opposite, 0);
    assert!(others <= 6, "{others}");
}

/// A goal, and then the keeper dies: below what was usual, and not only back to it.
#[test]
fn a_fall_beyond_the_usual_mood_is_a_change() {
    let settings = ChangeSettings::default();
    let cases = 100;
    let mut falls = 0;
    for case in 0..cases {
        let mut stream = Stream::new(2_000 + case, 5_000.0);
        let mean = |days: f64| match days {
            days if days < 6.0 => 0.1,
            days if days < 6.05 => 0.45,
            _ => -0.4,
        };
        let mut test = ChangeTest::new();
        while stream.at / DAY < 6.15 {
            let post = stream.next(mean);
            let alarm = test.step(&post, &settings);
            falls +=
                u64::from(alarm.is_some_and(|alarm| {
                    alarm.kind == MomentKind::Change && alarm.direction == Direction::Down
                }));
        }
    }
    println!("{falls} of {cases} falls beyond the usual mood are changes");
    assert!(falls * 100 >= cases * 95, "{falls}");
}

#[test]
fn a_new_mood_that_stays_is_the_usual_one_after_two_days() {
    let settings = ChangeSettings::default();
    let mut stream = Stream::new(3, 5_000.0);
    let mean = |days: f64| match days {
        days if days < 6.0 => 0.0,
        days if days < 9.0 => 0.4,
        _ => 0.0,
    };
    let mut test = ChangeTest::new();
    let mut found = Vec::new();
    while stream.at / DAY < 10.0 {
        let post = stream.next(mean);
        found.extend(
            test.step(&post, &settings)
                .map(|alarm| (alarm.kind, alarm.direction)),
        );
    }
    assert_eq!(
        found,
        [
            (MomentKind::Change, Direction::Up),
            (MomentKind::Change, Direction::Down)
        ]
    );
}
