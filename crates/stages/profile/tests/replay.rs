//! Real posts give the same moments with any partitions, batches and interleaving.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kit;

use std::collections::HashMap;

use kit::{Pipeline, reading, write};
use limbic_domain::{Direction, Envelope, Reading, Utc};
use limbic_profile::Settings;
use limbic_stream::NewRecord;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The posts of an evening of boxing (12,118 posts in 70 minutes), each with a simple valence: the sum of its words and
/// emoji in VADER's lexicon, squashed. It only has to be deterministic and realistic.
fn evening() -> Option<Vec<Envelope<Reading>>> {
    let folder = limbic_domain::testing::data_dir()?;
    let text = std::fs::read_to_string(folder.join("vader/vader_lexicon.txt")).unwrap();
    let mut lexicon: HashMap<String, f64> = text
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('\t');
            Some((columns.next()?.to_owned(), columns.next()?.parse().ok()?))
        })
        .collect();
    let emoji = std::fs::read_to_string(folder.join("vader/emoji_utf8_lexicon.txt")).unwrap();
    for (emoji, words) in emoji.lines().filter_map(|line| line.split_once('\t')) {
        let valence = words.split(' ').filter_map(|word| lexicon.get(word)).sum();
        lexicon.insert(emoji.to_owned(), valence);
    }
    let file = folder.join("replay_mayweather_mcgregor/tweets.csv");
    let mut rows = csv::Reader::from_path(file).unwrap();
    let headers = rows.headers().unwrap().clone();
    let column = |name| headers.iter().position(|header| header == name).unwrap();
    let (at, id, author, text) = (
        column("created_at"),
        column("id"),
        column("screen_name"),
        column("text"),
    );
    let posts = rows
        .records()
        .map(|row| {
            let row = row.unwrap();
            let lower = row[text].to_lowercase();
            let words = lower.split(|c: char| !c.is_alphanumeric() && c != '\'');
            let of_words: f64 = words.filter_map(|word| lexicon.get(word)).sum();
            let of_emoji: f64 = lower
                .chars()
                .filter(|c| !c.is_ascii())
                .filter_map(|c| lexicon.get(c.to_string().as_str()))
                .sum();
            let sum = of_words + of_emoji;
            let valence = sum / (sum * sum + 15.0).sqrt();
            let about: Vec<&str> = ["mayweather", "mcgregor"]
                .into_iter()
                .filter(|name| lower.contains(name))
                .collect();
            let at: Utc = format!("{}Z", row[at].replace(' ', "T")).parse().unwrap();
            reading(&row[author], &row[id], at, valence, &about)
        })
        .collect();
    Some(posts)
}

/// Moments are rarer than an evening shows. With one false alarm in a thousand posts there are some to compare.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.change.alpha = 1e-3;
    settings.change.false_moments = 10_000.0;
    settings.change.audiences = 1;
    settings.change.tolerance = 0.0;
    settings.change.cooldown = limbic_domain::HumanDuration::from_mins(2);
    settings
}

#[test]
fn an_evening_of_boxing_gives_the_same_moments_however_it_is_cut() {
    let Some(posts) = evening() else { return };
    assert_eq!(posts.len(), 12_118);
    let posts: Vec<NewRecord> = posts.iter().map(write).collect();
    let alone = Pipeline::new(&settings(), 1, posts.clone()).run(0);
    for (moment, _) in alone.outcome.moments.values() {
        let data = &moment.data;
        println!(
            "{} {} {:?} since {} from {:+.3} to {:+.3} after {} posts, {} people",
            moment.at,
            data.audience,
            data.direction,
            data.change.since,
            data.baseline,
            data.change.mood.valence,
            data.evidence.posts,
            data.people.len()
        );
    }
    assert!(!alone.outcome.moments.is_empty());
    assert_eq!((alone.outcome.late, alone.outcome.dead.len()), (0, 0));
    for seed in 1..=4 {
        let partitions = if seed % 3 == 0 { 1 } else { 3 };
        let cut = Pipeline::new(&settings(), partitions, posts.clone()).run(seed);
        assert_eq!(cut.outcome, alone.outcome, "{partitions} partitions, seed {seed}");
    }
}

/// The same posts in a random order: nothing changes, so nearly no moment may be found.
#[test]
fn shuffled_real_posts_raise_no_more_false_alarms_than_promised() {
    let Some(mut posts) = evening() else { return };
    let (mut feelings, mut moments) = (0, 0);
    for seed in 0..2 {
        let mut affects: Vec<_> = posts.iter().map(|post| post.data.affect.clone()).collect();
        affects.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        for (post, affect) in posts.iter_mut().zip(affects) {
            feelings += post.data.subjects.len().max(1);
            post.data.affect = affect;
        }
        let pipeline = Pipeline::new(&settings(), 1, posts.iter().map(write).collect()).run(0);
        moments += pipeline.outcome.moments.len();
    }
    println!("{moments} false alarms in {feelings} posts at alpha 1e-3");
    assert!(moments as f64 <= feelings as f64 * settings().change.alpha);
}

/// A small population whose mood changes at half time. Authors write many posts, out of order within the allowed
/// disorder.
fn population(posts: u32, shuffle: u32) -> Vec<NewRecord> {
    (0..posts)
        .map(|post| {
            let hash = post.wrapping_mul(2_654_435_761) >> 8;
            let noise = f64::from(hash % 1_000) / 1_000.0 - 0.5;
            let level = if post < posts / 2 { -0.3 } else { 0.4 };
            let jitter = i64::from(hash % (shuffle + 1));
            let at = Utc::from_millis(1_700_000_000_000 + i64::from(post) * 200 + jitter);
            let about: &[&str] = match hash % 4 {
                0 => &["tea", "rain"],
                1 => &["tea"],
                2 => &[],
                _ => &["rain"],
            };
            write(&reading(
                &format!("author-{}", hash % 2_000),
                &post.to_string(),
                at,
                level + noise,
                about,
            ))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_population_gives_the_same_moments_with_any_batches(partitions in 1_u32..6, seed: u64, shuffle in 0_u32..30_000) {
        let alone = Pipeline::new(&settings(), 1, population(2_000, shuffle)).run(0).outcome;
        prop_assert_eq!(alone.late, 0);
        for subject in ["tea", "rain", "all"] {
            let up = alone.moments.values().any(|(moment, _)| moment.data.audience.subject() == subject && moment.data.direction == Direction::Up);
            prop_assert!(up, "no moment for {}", subject);
        }
        for (moment, trace) in alone.moments.values() {
            prop_assert_eq!(&moment.data.trigger.id, trace, "a moment continues the trace of its trigger");
        }
        let cut = Pipeline::new(&settings(), partitions, population(2_000, shuffle)).run(seed);
        let waiting = cut.kept_of_moments().keys().filter(|key| key[0] == b'b').count();
        prop_assert_eq!(waiting, 0, "nothing waits once every sender has passed it");
        prop_assert_eq!(cut.outcome, alone);
    }
}
