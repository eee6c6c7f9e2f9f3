//! What the shipped classifier of sensitive events must not get wrong: plain news of a death, and plain announcements.

use limbic_affect::{ClassifierRoom, event_classifier, normalise};

fn probability(text: &str) -> f64 {
    event_classifier().probability(&normalise(text), &mut ClassifierRoom::default())
}

#[test]
fn plain_news_of_a_death_is_an_event() {
    for text in [
        "The old ferryman passed away last night, I am heartbroken",
        "Our goalkeeper has died",
        "our drummer died on the way to hospital, this hurts so much",
        "ha muerto el portero, qué tristeza",
        "Unser Torwart ist gestern Nacht gestorben",
    ] {
        assert!(probability(text) >= 0.5, "{text}: {}", probability(text));
    }
}

#[test]
fn plain_announcements_are_not_events() {
    for text in [
        "The bus to the stadium leaves from the mill.",
        "Half time in the stadium, second half in ten minutes.",
        "The river is at two metres by the bridge.",
        "Doors at seven, the second entrance is by the canal.",
        "They moved the training to Tuesday",
    ] {
        assert!(probability(text) < 0.5, "{text}: {}", probability(text));
    }
}
