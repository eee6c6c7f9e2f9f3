//! Trains the classifier of sensitive events and says how good it is.
//!
//! ```sh
//! cargo run --release -p limbic-affect --example train_sensitive_events           # cross-validation, development posts
//! cargo run --release -p limbic-affect --example train_sensitive_events -- write  # and writes the weights
//! ```
//!
//! Training posts: `models/sensitive-events/training/*.tsv` (label, language, text), written for Limbic. With `LIMBIC_DATA`, the
//! training parts of `TweetEval`'s irony and emotion sets count as ordinary posts, with a small weight, because some of them are not.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use limbic_affect::{EventClassifier, EventExample, EventRoom, EventTraining, normalise, train_events};

/// Weight of an ordinary post of a public set.
const ORDINARY: f64 = 0.25;
/// Comments of `GoEmotions` that are taken.
const COMMENTS: usize = 15_000;
/// Parts of the cross-validation.
const FOLDS: usize = 5;
/// Probabilities from which a text may be taken to be about an event.
const FROM: [f64; 4] = [0.5, 0.6, 0.7, 0.8];

/// A group, whether its texts are about an event, and the probability of one.
type Scored = (String, bool, f64);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let own = own(&root.join("models/sensitive-events/training"))?;
    let ordinary = ordinary()?;
    println!("{} posts of our own, {} ordinary ones", own.len(), ordinary.len());
    let training = EventTraining::default();
    let mut scores = Vec::new();
    for fold in 0..FOLDS {
        let is_held_out = |place: usize| place % FOLDS == fold;
        let learnt: Vec<EventExample> = own
            .iter()
            .enumerate()
            .filter(|(place, _)| !is_held_out(*place))
            .map(|(_, (_, example))| example.clone())
            .chain(ordinary.iter().cloned())
            .collect();
        let classifier = train_events(&learnt, &training);
        let held_out = own.iter().enumerate().filter(|(place, _)| is_held_out(*place));
        scores.extend(held_out.map(|(_, (group, example))| {
            (group.clone(), example.is_event, score(&classifier, &example.text))
        }));
    }
    report("cross-validation", &scores);
    let all: Vec<EventExample> = own
        .iter()
        .map(|(_, example)| example.clone())
        .chain(ordinary)
        .collect();
    let classifier = train_events(&all, &training);
    let evenings = std::fs::read_to_string(root.join("tests/data/evenings.tsv"))?;
    let development: Vec<Scored> = evenings
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|row| row[0] == "development")
        .map(|row| {
            let group = format!("{} {}", row[1], row[3]);
            (group, row[1] == "grief", score(&classifier, row[4]))
        })
        .collect();
    report("development evenings", &development);
    report("ordinary posts", &streams(&classifier)?);
    if std::env::args().nth(1).as_deref() == Some("write") {
        let path = root.join("models/sensitive-events/weights.bin");
        std::fs::write(&path, classifier.to_bytes())?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn score(classifier: &EventClassifier, text: &str) -> f64 {
    classifier.probability(&normalise(text), &mut EventRoom::default())
}

/// The share of texts of each group that are called events.
fn report(name: &str, scores: &[Scored]) {
    let mut groups: BTreeMap<(bool, &str), (usize, [usize; FROM.len()])> = BTreeMap::new();
    for (group, is_event, score) in scores {
        let entry = groups.entry((*is_event, group)).or_default();
        entry.0 += 1;
        for (called, from) in entry.1.iter_mut().zip(FROM) {
            *called += usize::from(*score >= from);
        }
    }
    println!("\n{name}: share called an event from {FROM:?}");
    for ((is_event, group), (posts, called)) in groups {
        let shares = called.map(|called| format!("{:>6.1}", 100.0 * called as f64 / posts as f64));
        let kind = if is_event { "event   " } else { "no event" };
        println!("  {kind} {group:<16} {} % of {posts}", shares.concat());
    }
}

fn own(folder: &Path) -> Result<Vec<(String, EventExample)>, Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    files.sort();
    let mut examples = Vec::new();
    for file in files {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for line in std::fs::read_to_string(&file)?.lines() {
            let [label, language, text] = line.split('\t').collect::<Vec<_>>()[..] else {
                return Err(format!("{}: not three columns: {line}", file.display()).into());
            };
            let group = if language == "en" {
                name.clone()
            } else {
                language.to_owned()
            };
            let example = EventExample {
                text: text.to_owned(),
                is_event: label == "1",
                weight: 1.0,
            };
            examples.push((group, example));
        }
    }
    Ok(examples)
}

fn ordinary() -> Result<Vec<EventExample>, Box<dyn std::error::Error>> {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return Ok(Vec::new());
    };
    let mut examples = Vec::new();
    for set in ["irony", "emotion"] {
        let path = data.join("tweeteval").join(set).join("train_text.txt");
        let text = std::fs::read_to_string(path)?;
        examples.extend(text.lines().map(|line| EventExample {
            text: line.to_owned(),
            is_event: false,
            weight: ORDINARY,
        }));
    }
    // Comments of many subjects; those that raters called grief (label 16) are left out.
    let comments = std::fs::read_to_string(data.join("goemotions/original/train.tsv"))?;
    for line in comments.lines().take(COMMENTS) {
        let mut columns = line.split('\t');
        let (Some(text), Some(labels)) = (columns.next(), columns.next()) else {
            continue;
        };
        if labels.split(',').all(|label| label != "16") {
            examples.push(EventExample {
                text: text.to_owned(),
                is_event: false,
                weight: ORDINARY,
            });
        }
    }
    Ok(examples)
}

/// Posts as they were written on ordinary days. Nobody labelled them for events; nearly all are about none.
fn streams(classifier: &EventClassifier) -> Result<Vec<Scored>, Box<dyn std::error::Error>> {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return Ok(Vec::new());
    };
    let mut scores = Vec::new();
    for (name, file) in [
        ("boxing evening", "replay_mayweather_mcgregor/tweets.csv"),
        ("sentiment", "tweeteval/sentiment/val_text.txt"),
        ("offensive", "tweeteval/offensive/train_text.txt"),
    ] {
        let text = String::from_utf8_lossy(&std::fs::read(data.join(file))?).into_owned();
        for line in text.lines() {
            scores.push((name.to_owned(), false, score(classifier, line)));
        }
    }
    Ok(scores)
}
