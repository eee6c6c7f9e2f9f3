//! A town that does not exist: people with moods and temperaments, events that move them, and posts whose feeling is known
//! because the town put it there. Everything follows from the seed; time is the town's own.

use limbic_domain::{Label, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::phrases::{self, SUBJECTS};
use limbic_domain::random::Random;

/// The social network that the town posts on.
pub const NETWORK: &str = "townsquare";
/// 2025-05-10 10:00 UTC: when the town wakes up.
const MORNING: i64 = 1_746_871_200_000;
/// Milliseconds between posts, on average.
const PAUSE: f64 = 4_000.0;
/// Posts before the first event: the audiences need a baseline.
const QUIET: u32 = 320;
/// Posts from the beginning of one event to that of the next.
const EVERY: u32 = 140;
/// Posts that an event moves.
const LASTS: u32 = 90;
/// Share of the posts that speak of the event while it moves people.
const TALK: f64 = 0.85;
/// Share of the posts, on any day, of somebody in distress.
const DISTRESS: f64 = 0.004;
/// The same of the posts that speak of a death.
const GRIEF: f64 = 0.5;

/// Something that happens to everyone who follows a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The team scores.
    Goal,
    /// The band comes back on the stage.
    Encore,
    /// The wind breaks things.
    Storm,
    /// The team loses.
    Loss,
    /// The clouds part.
    Sunshine,
    /// The concert is off.
    Cancelled,
    /// Free plums.
    Harvest,
    /// Somebody has died whom everyone at the market knew.
    Mourning,
}

/// What happens, in turn; each with its subject (place in [`SUBJECTS`]) and which way it moves people.
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

/// An event of the town.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happens.
    pub kind: EventKind,
    /// Whom it moves.
    pub subject: &'static str,
    /// When it begins.
    pub at: Utc,
}

#[derive(Debug, Clone)]
struct Person {
    /// How glad they are when nothing happens, in `[-0.3, 0.3]`.
    mood: f64,
    /// How much events move them, in `[0.6, 1]`.
    temperament: f64,
    /// The subjects they follow, at least two.
    follows: Vec<usize>,
    consent: &'static str,
    minor: bool,
}

/// A post of the town, and the feeling it was given.
#[derive(Debug, Clone)]
pub struct SimulatedPost {
    /// Its id on the network.
    pub id: String,
    /// Who wrote it, as the network names them.
    pub author: String,
    /// When.
    pub at: Utc,
    /// What it is about.
    pub subject: &'static str,
    /// What it says.
    pub text: String,
    /// The leaning that the town put into it.
    pub label: Label,
    /// Whether its author is in distress.
    pub distress: bool,
    consent: &'static str,
    minor: bool,
}

impl SimulatedPost {
    /// As a connector would send it. `meta` keeps the known feeling with the post.
    pub fn to_json(&self) -> Value {
        json!({
            "network": NETWORK, "id": self.id, "author": self.author, "text": self.text, "created_at": self.at,
            "lang": "en", "subjects": [self.subject], "consent": self.consent, "minor": self.minor,
            "meta": {"feeling": self.label, "distress": self.distress},
        })
    }
}

/// A town, and everything that is said in it.
#[derive(Debug)]
pub struct Population {
    /// The posts, by time.
    pub posts: Vec<SimulatedPost>,
    /// The events, by time.
    pub events: Vec<Event>,
}

impl Population {
    /// The town of a seed.
    pub fn new(seed: u64, people: u32, posts: u32) -> Self {
        let mut random = Random::new(seed);
        let people: Vec<Person> = (0..people.max(1)).map(|_| person(&mut random)).collect();
        let mut town = Self {
            posts: Vec::with_capacity(posts as usize),
            events: Vec::new(),
        };
        let mut at = Utc::from_millis(MORNING);
        for number in 0..posts {
            let pause = -(1.0 - random.unit()).ln() * PAUSE;
            at = at.plus_millis(1 + pause as i64);
            let event = event_at(number);
            if let Some((kind, subject, _)) = event.filter(|_| (number - QUIET).is_multiple_of(EVERY)) {
                town.events.push(Event {
                    kind,
                    subject: SUBJECTS[subject],
                    at,
                });
            }
            town.posts.push(post(number, at, event, &people, &mut random));
        }
        town
    }

    /// The posts as JSON Lines.
    pub fn to_lines(&self) -> String {
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

/// The event that moves people when the post of this number is written, if one does.
fn event_at(number: u32) -> Option<(EventKind, usize, f64)> {
    let since = number.checked_sub(QUIET)?;
    let event = EVENTS[(since / EVERY) as usize % EVENTS.len()];
    (since % EVERY < LASTS).then_some(event)
}

fn post(
    number: u32,
    at: Utc,
    event: Option<(EventKind, usize, f64)>,
    people: &[Person],
    random: &mut Random,
) -> SimulatedPost {
    let moved = event.filter(|_| random.happens(TALK));
    let mut who = random.below(people.len());
    let subject = match moved {
        Some((_, subject, _)) => {
            // Somebody who follows it; in a very small town perhaps nobody does, then anybody.
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
    let push = moved.map_or(0.0, |(_, _, push)| push * person.temperament);
    let grieves = moved.is_some_and(|(kind, ..)| kind == EventKind::Mourning);
    let said = if random.happens(if grieves { GRIEF } else { DISTRESS }) {
        phrases::say_distress(grieves, random)
    } else {
        let feeling = person.mood + push + (random.unit() + random.unit() - 1.0) * 0.6;
        let label = match feeling {
            f if f > 0.25 => Label::Positive,
            f if f < -0.25 => Label::Negative,
            _ => Label::Neutral,
        };
        phrases::say(subject, label, random)
    };
    SimulatedPost {
        id: format!("t{number:06}"),
        author: format!("neighbour-{who:05}"),
        at,
        subject: SUBJECTS[subject],
        text: said.text,
        label: said.label,
        distress: said.distress,
        consent: person.consent,
        minor: person.minor,
    }
}

#[cfg(test)]
mod tests {
    use limbic_affect::{AffectEngine as _, LexiconReader};

    use super::*;

    #[test]
    fn a_seed_says_everything() {
        let lines = Population::new(7, 60, 900).to_lines();
        assert_eq!(lines, Population::new(7, 60, 900).to_lines());
        assert_ne!(lines, Population::new(8, 60, 900).to_lines());
        assert_eq!(lines.lines().count(), 900);
    }

    #[test]
    fn a_longer_town_begins_as_the_shorter_one() {
        let (short, long) = (
            Population::new(3, 40, 300).to_lines(),
            Population::new(3, 40, 500).to_lines(),
        );
        assert!(long.starts_with(&short));
    }

    #[test]
    fn the_smallest_towns_are_towns() {
        assert_eq!(Population::new(1, 1, 500).posts.len(), 500);
        assert_eq!(Population::new(1, 3, 0).posts.len(), 0);
    }

    #[test]
    fn the_reading_finds_the_feeling_that_the_town_put_in() {
        let town = Population::new(1, 200, 4_000);
        let texts: Vec<&str> = town.posts.iter().map(|post| post.text.as_str()).collect();
        let readings = LexiconReader::new().read(&texts);
        let pairs = || town.posts.iter().zip(&readings);
        let agree = pairs()
            .filter(|(post, read)| post.label == read.sentiment.label)
            .count();
        let share = agree as f64 / texts.len() as f64;
        assert!(share >= 0.9, "{share}");
        // Whoever is in distress is seen to be, at the level that holds ads back.
        let unseen: Vec<&str> = pairs()
            .filter(|(post, read)| post.distress && read.distress.score.get() < 0.5)
            .map(|(post, _)| post.text.as_str())
            .collect();
        assert!(unseen.is_empty(), "{unseen:?}");
        assert!(pairs().filter(|(post, _)| post.distress).count() >= 5);
    }
}
