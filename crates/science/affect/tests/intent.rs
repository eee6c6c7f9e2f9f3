//! The intent of texts: sentences that were written for this test, and the rate of each kind in public posts.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod texts;

use std::collections::BTreeMap;

use limbic_affect::{AffectEngine, LexiconReader};
use limbic_domain::IntentKind::{self, Churn, Complaint, None, Praise, Purchase, Question};

fn intent(text: &str) -> IntentKind {
    LexiconReader::new().read(&[text])[0].intent.unwrap().kind
}

fn all_are(kind: IntentKind, texts: &[&str]) {
    let missed: Vec<_> = texts
        .iter()
        .map(|text| (intent(text), *text))
        .filter(|(read, _)| *read != kind)
        .collect();
    assert!(missed.is_empty(), "not {kind:?}: {missed:#?}");
}

#[test]
fn leaving_is_found() {
    all_are(
        Churn,
        &[
            "That's it, cancelling my subscription tonight",
            "I just cancelled my gym membership",
            "switching to another bank next week, enough is enough",
            "Thinking of switching providers after today's outage",
            "never buying from this shop again",
            "I will never fly with them again",
            "You have lost a loyal customer",
            "taking my business elsewhere",
            "Uninstalled the app, good riddance",
            "deleting my account tomorrow",
            "last time I order from here",
            "ditching Spotify for something that works",
        ],
    );
}

#[test]
fn complaints_take_precedence_over_questions_and_praise() {
    all_are(
        Complaint,
        &[
            "Worst customer service ever",
            "still waiting for my refund after three weeks",
            "My parcel never arrived",
            "the screen arrived cracked",
            "this thing doesn't even work",
            "@AmazonHelp where is my order? It was due Monday, this is a joke, terrible",
            "App keeps crashing since the update",
            "been on hold for an hour now",
            "you charged me twice",
            "Wifi is down again",
            "my flight got cancelled and nobody tells us anything",
            "What a waste of money",
            "I want my money back",
            "very disappointed with the food tonight",
            "there was a hair in my soup",
            "why is your website so slow?",
        ],
    );
}

#[test]
fn buying_is_found() {
    all_are(
        Purchase,
        &[
            "where can I buy these?",
            "I want to buy a new bike",
            "Just ordered the red one",
            "thinking about getting a new laptop, which one?",
            "looking for a good pair of headphones",
            "any recommendations for a hotel in Lisbon?",
            "shut up and take my money",
            "need new running shoes asap",
            "How much does the blue jacket cost?",
            "bought myself a camera today",
            "is it worth upgrading?",
            "anyone selling tickets for Saturday?",
            "got my tickets!!",
        ],
    );
}

#[test]
fn praise_is_found() {
    all_are(
        Praise,
        &[
            "Best customer service I have had in years",
            "thank you so much for the quick help",
            "I love my new phone",
            "Shoutout to the team at the corner bakery",
            "highly recommend this place",
            "you guys are amazing",
            "well done everyone, great job",
            "What a performance!",
            "five stars from me",
            "this album is perfect",
            "so impressed with the staff today",
        ],
    );
}

#[test]
fn questions_are_found_with_and_without_a_question_mark() {
    all_are(
        Question,
        &[
            "is the shop open on Sunday?",
            "Does anyone know when the match starts",
            "what time is it in Tokyo",
            "how do I reset this",
            "Can someone explain the offside rule",
            "¿quién gana hoy?",
            "so, where are you all tonight?",
        ],
    );
}

#[test]
fn texts_without_an_intent_have_the_intent_none() {
    all_are(
        None,
        &[
            "",
            "😀",
            "The train leaves at nine",
            "I am so tired today",
            "see https://example.com/?q=buy",
            "he knows what is good for him",
            "not buying it",
            "She was on the bus when it rained",
            "Good morning",
            "They never came back from the war",
            "We lost the match",
        ],
    );
}

/// Rates on public posts. They have no labels, so precision cannot be computed.
#[test]
fn the_rates_on_public_posts_are_as_stated() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let reader = LexiconReader::new();
    let rate = |name: &str, texts: &[String]| {
        let mut counts = BTreeMap::<IntentKind, usize>::new();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for (reading, text) in reader.read(&texts).iter().zip(&texts) {
            let kind = reading.intent.unwrap().kind;
            *counts.entry(kind).or_default() += 1;
            if std::env::var_os("LIMBIC_SHOW").is_some() && kind != None {
                eprintln!("{kind:?}\t{text}");
            }
        }
        let percent =
            |kind: &IntentKind| 100.0 * counts.get(kind).copied().unwrap_or(0) as f64 / texts.len() as f64;
        let all = [Churn, Complaint, Purchase, Praise, Question, None]
            .map(|kind| format!("{kind:?} {:.1} %", percent(&kind)));
        eprintln!("{name}: {} texts: {}", texts.len(), all.join(", "));
        counts.get(&None).copied().unwrap_or(0) as f64 / texts.len() as f64
    };
    let tweets = texts::ground_truth(&data, "tweets").texts;
    let none = rate("vader tweets", &tweets);
    assert!((0.5..0.9).contains(&none), "{none}");
    let reviews = texts::ground_truth(&data, "amazonReviewSnippets").texts;
    rate("reviews", &reviews);
    // Posts from customers to brands, and from brands to customers. Most of the customers' posts complain.
    let mut rows = csv::Reader::from_path(data.join("twcs_sample/sample.csv")).unwrap();
    let headers = rows.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|h| h == name).unwrap();
    let (inbound, text) = (column("inbound"), column("text"));
    let customers: Vec<String> = rows
        .records()
        .map(Result::unwrap)
        .filter(|row| &row[inbound] == "True")
        .map(|row| row[text].to_owned())
        .collect();
    let none = rate("customers to brands", &customers);
    assert!(none < 0.7, "{none}");
}
