//! Simulated people with moods and temperaments, events that change their moods, and posts whose feeling is known.

use limbic_domain::{Direction, Label, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::grammar::{self, SUBJECTS};
use limbic_domain::random::Random;

/// The name of the simulated social network.
pub const NETWORK: &str = "townsquare";
/// 2025-05-10 10:00 UTC, the start of simulated time, in milliseconds since the Unix epoch.
const START: i64 = 1_746_871_200_000;
/// Mean time between posts in milliseconds.
const MEAN_INTERVAL_MILLIS: f64 = 4_000.0;
/// Number of posts before the first event. The audiences need a baseline.
const POSTS_BEFORE_EVENTS: u32 = 320;
/// Number of posts from the start of one event to the start of the next.
const POSTS_BETWEEN_EVENTS: u32 = 140;
/// Number of posts during which an event changes moods.
const POSTS_OF_EVENT: u32 = 90;
/// Share of the posts about the event while it lasts.
const SHARE_ABOUT_EVENT: f64 = 0.85;
/// Probability that a post expresses distress.
const DISTRESS_PROBABILITY: f64 = 0.004;
/// The same for posts about a death.
const GRIEF_PROBABILITY: f64 = 0.5;

/// A kind of event that changes the mood of everyone who follows its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The team scores.
    Goal,
    /// The band plays an encore.
    Encore,
    /// A storm causes damage.
    Storm,
    /// The team loses.
    Loss,
    /// The sun comes out.
    Sunshine,
    /// The concert is cancelled.
    Cancelled,
    /// The market gives away free fruit.
    Harvest,
    /// A person whom everyone at the market knew has died.
    Mourning,
}

/// The events in their order, repeated: kind, index of the subject in [`SUBJECTS`], and change of mood in `[-1, 1]`.
const EVENTS: [(EventKind, usize, f64); 10] = [
    (EventKind::Goal, 0, 0.8),
    (EventKind::Storm, 2, -0.8),
    (EventKind::Encore, 1, 0.8),
    (EventKind::Mourning, 3, -0.8),
    (EventKind::Loss, 0, -0.8),
    (EventKind::Sunshine, 2, 0.8),
    (EventKind::Cancelled, 1, -0.8),
    (EventKind::Harvest, 3, 0.8),
    (EventKind::Goal, 0, 0.8),
    (EventKind::Encore, 1, 0.8),
];

/// An event in the simulation.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// The kind of event.
    pub kind: EventKind,
    /// The subject whose followers it affects.
    pub subject: &'static str,
    /// Start of the event: the time of the first post that it affects.
    pub at: Utc,
    /// The time of the last post that it affects.
    pub until: Utc,
    /// Whether people like it.
    pub direction: Direction,
    /// How much it changes the mood of everyone who follows the subject, in `[-1, 1]`.
    pub change: f64,
}

#[derive(Debug, Clone)]
struct Person {
    /// Valence without any event, in `[-0.3, 0.3]`.
    mood: f64,
    /// Factor on the change of mood by an event, in `[0.6, 1]`.
    temperament: f64,
    /// Indices of the subjects that the person follows, at least two.
    follows: Vec<usize>,
    consent: &'static str,
    minor: bool,
}

/// A generated post with its known feeling.
#[derive(Debug, Clone)]
pub struct SimulatedPost {
    /// The post's id on the network.
    pub id: String,
    /// The author's name on the network.
    pub author: String,
    /// The time of the post, in simulated time.
    pub at: Utc,
    /// The post's subject, one of [`SUBJECTS`].
    pub subject: &'static str,
    /// The text in English.
    pub text: String,
    /// The sentiment that the grammar gave the text.
    pub label: Label,
    /// Whether the author expresses distress.
    pub distress: bool,
    consent: &'static str,
    minor: bool,
}

impl SimulatedPost {
    /// The post in the format of `POST /v1/posts`. `meta` holds the known feeling.
    pub fn to_json(&self) -> Value {
        json!({
            "network": NETWORK, "id": self.id, "author": self.author, "text": self.text, "created_at": self.at,
            "lang": "en", "subjects": [self.subject], "consent": self.consent, "minor": self.minor,
            "meta": {"feeling": self.label, "distress": self.distress},
        })
    }
}

/// Simulated posts and events. All of them are functions of the seed.
#[derive(Debug)]
pub struct Population {
    /// The posts in order of time.
    pub posts: Vec<SimulatedPost>,
    /// The events in order of time.
    pub events: Vec<Event>,
}

impl Population {
    /// Generates `posts` posts by `people` people (at least one) from a seed.
    pub fn new(seed: u64, people: u32, posts: u32) -> Self {
        let mut random = Random::new(seed);
        let people: Vec<Person> = (0..people.max(1)).map(|_| person(&mut random)).collect();
        let mut population = Self {
            posts: Vec::with_capacity(posts as usize),
            events: Vec::new(),
        };
        let mut at = Utc::from_millis(START);
        for number in 0..posts {
            let interval = -(1.0 - random.unit()).ln() * MEAN_INTERVAL_MILLIS;
            at = at.plus_millis(1 + interval as i64);
            let event = event_at(number);
            if let Some((kind, subject, change)) =
                event.filter(|_| (number - POSTS_BEFORE_EVENTS).is_multiple_of(POSTS_BETWEEN_EVENTS))
            {
                population.events.push(Event {
                    kind,
                    subject: SUBJECTS[subject],
                    at,
                    until: at,
                    direction: if change > 0.0 {
                        Direction::Up
                    } else {
                        Direction::Down
                    },
                    change,
                });
            }
            if let Some(last) = population.events.last_mut().filter(|_| event.is_some()) {
                last.until = at;
            }
            population
                .posts
                .push(post(number, at, event, &people, &mut random));
        }
        population
    }

    /// The posts as JSON Lines, each in the format of [`SimulatedPost::to_json`].
    pub fn to_json_lines(&self) -> String {
        let mut lines = String::new();
        for post in &self.posts {
            lines.push_str(&post.to_json().to_string());
            lines.push('\n');
        }
        lines
    }
}

fn person(random: &mut Random) -> Person {
    let mut follows: Vec<usize> = (0..SUBJECTS.len()).filter(|_| random.happens(0.5)).collect();
    while follows.len() < 2 {
        let subject = random.below(SUBJECTS.len());
        if !follows.contains(&subject) {
            follows.push(subject);
        }
    }
    Person {
        mood: random.unit() * 0.6 - 0.3,
        temperament: 0.6 + random.unit() * 0.4,
        follows,
        consent: if random.happens(0.06) { "denied" } else { "given" },
        minor: random.happens(0.03),
    }
}

/// The event that is active when the post of this number is written, if there is one.
fn event_at(number: u32) -> Option<(EventKind, usize, f64)> {
    let since = number.checked_sub(POSTS_BEFORE_EVENTS)?;
    let event = EVENTS[(since / POSTS_BETWEEN_EVENTS) as usize % EVENTS.len()];
    (since % POSTS_BETWEEN_EVENTS < POSTS_OF_EVENT).then_some(event)
}

fn post(
    number: u32,
    at: Utc,
    event: Option<(EventKind, usize, f64)>,
    people: &[Person],
    random: &mut Random,
) -> SimulatedPost {
    let active = event.filter(|_| random.happens(SHARE_ABOUT_EVENT));
    let mut who = random.below(people.len());
    let subject = match active {
        Some((_, subject, _)) => {
            // Prefer a follower of the subject. In a very small population perhaps nobody follows it; then anyone writes the post.
            for _ in 0..16 {
                if people[who].follows.contains(&subject) {
                    break;
                }
                who = random.below(people.len());
            }
            subject
        }
        None => *random.one_of(&people[who].follows),
    };
    let person = &people[who];
    let change = active.map_or(0.0, |(_, _, change)| change * person.temperament);
    let grieves = active.is_some_and(|(kind, ..)| kind == EventKind::Mourning);
    let generated = if random.happens(if grieves {
        GRIEF_PROBABILITY
    } else {
        DISTRESS_PROBABILITY
    }) {
        grammar::generate_distress(grieves, random)
    } else {
        let valence = person.mood + change + (random.unit() + random.unit() - 1.0) * 0.6;
        let label = match valence {
            v if v > 0.25 => Label::Positive,
            v if v < -0.25 => Label::Negative,
            _ => Label::Neutral,
        };
        grammar::generate(subject, label, random)
    };
    SimulatedPost {
        id: format!("t{number:06}"),
        author: format!("neighbour-{who:05}"),
        at,
        subject: SUBJECTS[subject],
        text: generated.text,
        label: generated.label,
        distress: generated.distress,
        consent: person.consent,
        minor: person.minor,
    }
}

#[cfg(test)]
mod tests {
    use limbic_affect::{AffectEngine as _, LexiconReader};

    use super::*;

    #[test]
    fn a_population_is_a_function_of_its_seed() {
        let lines = Population::new(7, 60, 900).to_json_lines();
        assert_eq!(lines, Population::new(7, 60, 900).to_json_lines());
        assert_ne!(lines, Population::new(8, 60, 900).to_json_lines());
        assert_eq!(lines.lines().count(), 900);
    }

    #[test]
    fn a_longer_population_begins_with_the_posts_of_a_shorter_one() {
        let (short, long) = (
            Population::new(3, 40, 300).to_json_lines(),
            Population::new(3, 40, 500).to_json_lines(),
        );
        assert!(long.starts_with(&short));
    }

    #[test]
    fn the_smallest_populations_work() {
        assert_eq!(Population::new(1, 1, 500).posts.len(), 500);
        assert_eq!(Population::new(1, 3, 0).posts.len(), 0);
    }

    #[test]
    fn the_lexicon_reader_finds_the_feeling_that_the_grammar_gave() {
        let population = Population::new(1, 200, 4_000);
        let texts: Vec<&str> = population.posts.iter().map(|post| post.text.as_str()).collect();
        let readings = LexiconReader::new().read(&texts);
        let pairs = || population.posts.iter().zip(&readings);
        let agree = pairs()
            .filter(|(post, read)| post.label == read.sentiment.label)
            .count();
        let share = agree as f64 / texts.len() as f64;
        assert!(share >= 0.9, "{share}");
        // The reader finds all distress, at the level at which the safety gate removes people.
        let unseen: Vec<&str> = pairs()
            .filter(|(post, read)| post.distress && read.distress.score.get() < 0.5)
            .map(|(post, _)| post.text.as_str())
            .collect();
        assert!(unseen.is_empty(), "{unseen:?}");
        assert!(pairs().filter(|(post, _)| post.distress).count() >= 5);
    }
}
