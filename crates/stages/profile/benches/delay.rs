//! How soon a change of an audience's mood is found, and how often one is found that is none:
//! `cargo bench -p limbic-profile --bench delay [-- RUNS]`.
//!
//! Posts come at random times. 40 % have a valence of exactly 0, the others of -0.9 or 0.9 (a variance of 0.49). After four weeks the
//! mean moves up by a constant. Beside the test stands a reference that no test can have in practice: it knows the
//! distribution, the mean of every hour, the direction and the size of the shift, and adds up exact likelihood ratios
//! (Shiryaev-Roberts), with the same budget of false alarms. Every stream is drawn with a fixed seed.
#![expect(clippy::print_stdout, reason = "the tables are the result")]

use limbic_domain::{MomentKind, Utc};
use limbic_profile::{ChangeSettings, ChangeTest, Observation};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Runs of each case, unless the first argument says otherwise.
const RUNS: usize = 200;
/// Days before the shift.
const CALM: f64 = 28.0;
/// Days after the shift, after which it counts as not found.
const WAIT: f64 = 7.0;
const DAY: f64 = 86_400_000.0;
/// Share of the posts with a valence of 0, and the valence of the others.
const ZEROS: f64 = 0.4;
const STRONG: f64 = 0.9;

/// Posts of an audience, so many a day.
#[derive(Clone)]
struct Stream {
    chance: ChaCha8Rng,
    /// Milliseconds.
    at: f64,
    a_day: f64,
    amplitude: f64,
}

impl Stream {
    fn new(seed: u64, a_day: f64, amplitude: f64) -> Self {
        Self {
            chance: ChaCha8Rng::seed_from_u64(seed),
            at: 0.0,
            a_day,
            amplitude,
        }
    }

    fn days(&self) -> f64 {
        self.at / DAY
    }

    /// The mean of this time of the day, without a shift.
    fn usual(&self) -> f64 {
        self.amplitude * (self.days() * std::f64::consts::TAU).sin()
    }

    fn next(&mut self, shift: f64) -> Observation {
        self.at += -(1.0 - self.chance.random::<f64>()).ln() * DAY / self.a_day;
        let strong = positive(self.usual() + shift);
        let draw: f64 = self.chance.random();
        let valence = if draw < strong {
            STRONG
        } else if draw < 1.0 - ZEROS {
            -STRONG
        } else {
            0.0
        };
        Observation {
            valence,
            at: Utc::from_millis(self.at as i64),
            seen: 0,
            counts: 1.0,
            is_usual: true,
        }
    }
}

/// The probability of a post of `STRONG` if the mean is `mean`.
fn positive(mean: f64) -> f64 {
    (mean + STRONG * (1.0 - ZEROS)) / (2.0 * STRONG)
}

/// The reference: it knows everything but the time of the shift.
#[derive(Clone, Default)]
struct Reference {
    statistic: f64,
    before: f64,
}

impl Reference {
    /// Whether it finds the shift at this post.
    fn finds(&mut self, post: &Observation, usual: f64, shift: f64, settings: &ChangeSettings) -> bool {
        let at = post.at.as_millis() as f64;
        let due = (at - self.before) / DAY * settings.false_moments / f64::from(settings.audiences);
        self.before = at;
        let (before, after) = (positive(usual), positive(usual + shift));
        let ratio = match post.valence {
            x if x > 0.0 => after / before,
            x if x < 0.0 => (1.0 - ZEROS - after) / (1.0 - ZEROS - before),
            _ => 1.0,
        };
        self.statistic = (self.statistic + due.min(settings.alpha)) * ratio;
        self.statistic >= 1.0
    }
}

/// When a shift was found.
#[derive(Clone, Copy)]
struct Delay {
    posts: u32,
    days: f64,
}

/// The median and its 95 % interval by order statistics, of delays of which some are missing (later than all others).
fn median(delays: &[Option<Delay>]) -> String {
    let mut sorted: Vec<f64> = delays
        .iter()
        .map(|delay| delay.map_or(f64::INFINITY, |delay| f64::from(delay.posts)))
        .collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let spread = 0.98 * count.sqrt();
    let at = |place: f64| {
        let value = sorted[(place.round() as usize).min(sorted.len() - 1)];
        if value.is_finite() {
            format!("{value:.0}")
        } else {
            "not found".to_owned()
        }
    };
    let (low, high) = ((count / 2.0 - spread).max(0.0), count / 2.0 + spread);
    if sorted[sorted.len() / 2].is_finite() {
        format!("{} ({} to {})", at(count / 2.0), at(low), at(high))
    } else {
        "not found".to_owned()
    }
}

/// The share found within so many days, with its 95 % interval (Wilson).
fn found_within(delays: &[Option<Delay>], days: f64) -> String {
    let runs = delays.len() as f64;
    let found = delays.iter().flatten().filter(|delay| delay.days <= days).count() as f64;
    let (z, share) = (1.96, found / runs);
    let middle = (share + z * z / (2.0 * runs)) / (1.0 + z * z / runs);
    let radius =
        z * (share * (1.0 - share) / runs + z * z / (4.0 * runs * runs)).sqrt() / (1.0 + z * z / runs);
    format!(
        "{:.0} % ({:.0} to {:.0})",
        100.0 * share,
        100.0 * (middle - radius).max(0.0),
        100.0 * (middle + radius)
    )
}

fn delays(a_day: f64, amplitude: f64, runs: usize) {
    let settings = ChangeSettings::default();
    let shifts = [0.1, 0.2, 0.4];
    let (mut ours, mut reference) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
    for run in 0..runs {
        let mut stream = Stream::new(run as u64, a_day, amplitude);
        let mut test = ChangeTest::new();
        while stream.days() < CALM {
            let post = stream.next(0.0);
            test.step(&post, &settings);
        }
        for (place, shift) in shifts.into_iter().enumerate() {
            let (mut stream, mut test) = (stream.clone(), test.clone());
            let mut oracle = Reference {
                statistic: 0.0,
                before: stream.at,
            };
            let (mut by_test, mut by_oracle, mut posts) = (None, None, 0);
            while stream.days() < CALM + WAIT && (by_test.is_none() || by_oracle.is_none()) {
                let post = stream.next(shift);
                posts += 1;
                let delay = Delay {
                    posts,
                    days: stream.days() - CALM,
                };
                let found = test.step(&post, &settings);
                if by_test.is_none() && found.is_some_and(|found| found.kind == MomentKind::Change) {
                    by_test = Some(delay);
                }
                if by_oracle.is_none() && oracle.finds(&post, stream.usual(), shift, &settings) {
                    by_oracle = Some(delay);
                }
            }
            ours[place].push(by_test);
            reference[place].push(by_oracle);
        }
    }
    for (place, shift) in shifts.into_iter().enumerate() {
        println!(
            "| {a_day} | {shift} | {} | {} | {} | {} | {} | {} |",
            median(&ours[place]),
            median(&reference[place]),
            found_within(&ours[place], 1.0),
            found_within(&reference[place], 1.0),
            found_within(&ours[place], WAIT),
            found_within(&reference[place], WAIT),
        );
    }
}

fn false_alarms(a_day: f64, amplitude: f64, runs: usize) {
    let settings = ChangeSettings::default();
    let (mut first_week, mut later) = (0_u32, 0_u32);
    for run in 0..runs {
        let mut stream = Stream::new(1_000_000 + run as u64, a_day, amplitude);
        let mut test = ChangeTest::new();
        while stream.days() < CALM {
            let post = stream.next(0.0);
            if test.step(&post, &settings).is_some() {
                if stream.days() < 7.0 {
                    first_week += 1;
                } else {
                    later += 1;
                }
            }
        }
    }
    // The upper end of a 95 % interval of a Poisson mean (Garwood, by the Wilson-Hilferty approximation).
    let rate = |alarms: u32, days: f64| {
        let (count, days) = (f64::from(alarms) + 1.0, days * runs as f64);
        let most = count * (1.0 - 1.0 / (9.0 * count) + 1.96 / (3.0 * count.sqrt())).powi(3);
        format!("{:.4} (at most {:.4})", f64::from(alarms) / days, most / days)
    };
    println!(
        "| {a_day} | {amplitude} | {} | {} |",
        rate(first_week, 7.0),
        rate(later, CALM - 7.0)
    );
}

fn main() {
    let runs = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(RUNS);
    let settings = ChangeSettings::default();
    println!(
        "{runs} runs of each case; budget {} false moments a day for {} audiences, at most {} a post\n",
        settings.false_moments, settings.audiences, settings.alpha
    );
    println!(
        "| posts a day | shift | posts until it is found | reference | found in a day | reference | found in a week | reference |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for a_day in [100.0, 1_000.0, 10_000.0] {
        delays(a_day, 0.0, runs);
    }
    println!("\nThe same with a daily cycle of amplitude 0.1:\n");
    for a_day in [100.0, 1_000.0, 10_000.0] {
        delays(a_day, 0.1, runs / 2);
    }
    println!("\n| posts a day | daily cycle | false alarms for each audience and day, first week | later |");
    println!("|---|---|---|---|");
    for a_day in [100.0, 1_000.0, 10_000.0] {
        for amplitude in [0.0, 0.1, 0.2] {
            false_alarms(a_day, amplitude, runs / 2);
        }
    }
}
