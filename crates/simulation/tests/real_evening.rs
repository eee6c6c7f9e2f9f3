//! An ordinary evening of real posts in a dozen languages is not put on hold.
//!
//! The posts are those of `replay_mayweather_mcgregor`: 12,118 in 70 minutes, about a boxing match, 6 to 9 % of them in languages in
//! which nothing is read. Nobody died, and no crowd turned to another language. The lexicon reads them: the language of a post, and so
//! what is unread, is the same with the model.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its figures are to be read"
)]

use limbic_affect::{AffectEngine, LexiconReader};
use limbic_domain::random::Random;
use limbic_domain::{
    Affect, ConsentState, Envelope, Hold, HoldCause, PostRef, Pseudonym, Reading, Slug, TenantId, Utc,
    event_id, topics,
};
use limbic_profile::{MomentStage, ProfileStage, Settings};
use limbic_stream::References;
use limbic_stream::testing::{Harness, record};

/// A post, in the order of the file's times.
struct Post {
    at: Utc,
    id: String,
    author: String,
    affect: Affect,
}

fn evening() -> Option<Vec<Post>> {
    let file = limbic_domain::testing::data_dir()?.join("replay_mayweather_mcgregor/tweets.csv");
    let mut rows = csv::Reader::from_path(file).unwrap();
    let headers = rows.headers().unwrap().clone();
    let [at, id, author, text] = ["created_at", "id", "screen_name", "text"]
        .map(|name| headers.iter().position(|header| header == name).unwrap());
    let reader = LexiconReader::new();
    let mut posts: Vec<Post> = rows
        .records()
        .map(|row| {
            let row = row.unwrap();
            Post {
                at: format!("{}Z", row[at].replace(' ', "T")).parse().unwrap(),
                id: row[id].to_owned(),
                author: row[author].to_owned(),
                affect: reader.read(&[&row[text]]).remove(0),
            }
        })
        .collect();
    posts.sort_by_key(|post| post.at);
    Some(posts)
}

fn reading(post: &Post) -> Envelope<Reading> {
    let network = Slug::new("twitter").unwrap();
    let data = Reading {
        author: Pseudonym::of(&[7; 32], &network, &post.author),
        post: PostRef {
            network,
            id: post.id.clone(),
        },
        affect: post.affect.clone(),
        subjects: Vec::new(),
        consent: ConsentState::NotRequired,
        minor: false,
        revision: 0,
    };
    Envelope::new(
        TenantId::default(),
        event_id("reading", &[&post.id]),
        post.at,
        data,
    )
}

/// The holds on the subject of all posts, without those of an event that is only suspected; and how long one is suspected, in seconds.
fn holds(posts: &[Post]) -> Vec<Hold> {
    let (suspected, holds): (Vec<_>, Vec<_>) = all_holds(posts)
        .into_iter()
        .partition(|hold| hold.cause == HoldCause::Suspected);
    let (mut seconds, mut until) = (0, i64::MIN);
    for hold in &suspected {
        let end = hold.until.as_millis();
        // Each lasts from the post that raised it; a later one moves the end.
        let begin = until.max(hold.since.as_millis());
        seconds += (end - begin).max(0) / 1_000;
        until = until.max(end);
    }
    let minutes = posts.last().map_or(0, |last| last.at.millis_since(posts[0].at)) / 60_000;
    println!(
        "an event is suspected {} times, for {seconds} s of {minutes} min",
        suspected.len()
    );
    holds
}

fn all_holds(posts: &[Post]) -> Vec<Hold> {
    let settings = Settings::default();
    let of_moments = settings.clone();
    let mut profile = Harness::new(move || ProfileStage::new(&settings).unwrap()).once();
    let mut moments = Harness::new(move || MomentStage::new(&of_moments).unwrap()).once();
    moments.set_references(References::new().with::<&str, &[u8]>(topics::HOLDS, []));
    let mut holds = Vec::new();
    for batch in posts.chunks(50) {
        let readings = batch.iter().map(reading).map(|reading| {
            let key = format!("{}/{}", reading.tenant, reading.data.author);
            record(topics::READINGS).key(key).event(&reading)
        });
        let effects = profile.process(readings);
        let feelings = effects
            .records
            .iter()
            .filter(|(_, written)| &*written.topic == topics::FEELINGS);
        let feelings: Vec<_> = feelings
            .map(|(_, written)| {
                record(topics::FEELINGS)
                    .key(written.key.clone())
                    .value(written.value.clone())
                    .at(written.timestamp)
            })
            .collect();
        let effects = moments.process(feelings);
        let written = effects
            .records
            .iter()
            .filter(|(_, written)| &*written.topic == topics::HOLDS);
        holds.extend(written.map(|(_, written)| Envelope::<Hold>::decode(&written.value).unwrap().data));
    }
    holds
}

#[test]
fn an_ordinary_evening_in_many_languages_is_not_held() {
    let Some(mut posts) = evening() else { return };
    assert_eq!(posts.len(), 12_118);
    let unread = posts.iter().filter(|post| post.affect.distress.unread).count();
    println!("{unread} posts are in languages that are not read");
    assert!(
        unread * 100 > posts.len() * 4,
        "the evening must test something: {unread}"
    );
    assert_eq!(holds(&posts), []);

    // Posts of one minute could have come in any order: what is raised must not depend on luck.
    let mut raised = 0;
    for seed in 0..2 {
        let mut random = Random::for_name(seed, "evening");
        let mut keyed: Vec<(i64, f64, Post)> = posts
            .drain(..)
            .map(|post| (post.at.as_millis() / 60_000, random.unit(), post))
            .collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        posts = keyed.into_iter().map(|(_, _, post)| post).collect();
        raised += holds(&posts).len();
    }
    assert_eq!(raised, 0, "holds in two other orders");

    // From half time on, people write in a language that is not read: the subject is held within a minute.
    let half = posts.len() / 2;
    for (place, post) in posts.iter_mut().enumerate().skip(half) {
        post.affect.distress.unread |= place % 4 != 0;
    }
    let held = holds(&posts);
    let first = held.first().expect("no hold of a crowd that turned");
    assert_eq!(first.cause, HoldCause::Unread);
    let seconds = first.since.millis_since(posts[half].at) / 1_000;
    assert!((-60..60).contains(&seconds), "{seconds} s: {first:?}");
}
