//! Trains the classifier of distress in languages other than English, and says how good it is.
//!
//! ```sh
//! cargo run --release -p limbic-affect --example train_distress_words            # cross-validation
//! cargo run --release -p limbic-affect --example train_distress_words -- write   # writes models/distress-words/weights.bin
//! ```
//!
//! Training posts: `models/distress-words/training/LANGUAGE.tsv` (label, kind, text), written for Limbic. The posts in these languages of
//! `models/sensitive-events/training` that are about no event count as ordinary posts; they are not trained on, and set the threshold.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::path::Path;

use limbic_affect::{
    ClassifierRoom, DistressWords, TextClassifier, TextExample, TextTraining, normalise, train_classifier,
};

/// Number of folds of the cross-validation.
const FOLDS: usize = 5;
/// At most these shares of posts without distress reach the threshold: of those that were written to resemble distress, in
/// cross-validation, and of ordinary posts.
const MOST_ALIKE: f64 = 0.08;
const MOST_ORDINARY: f64 = 0.03;

struct Row {
    language: String,
    kind: String,
    example: TextExample,
    /// The probability by a classifier that was trained without this post.
    probability: f64,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let mut rows = rows(&root.join("models/distress-words/training"))?;
    let training = TextTraining::default();
    for fold in 0..FOLDS {
        let learnt = rows.iter().enumerate().filter(|(place, _)| place % FOLDS != fold);
        let learnt: Vec<TextExample> = learnt.map(|(_, row)| row.example.clone()).collect();
        let classifier = train_classifier(&learnt, &training);
        for row in rows.iter_mut().skip(fold).step_by(FOLDS) {
            row.probability = probability(&classifier, &row.example.text);
        }
    }
    let all: Vec<TextExample> = rows.iter().map(|row| row.example.clone()).collect();
    let classifier = train_classifier(&all, &training);
    let ordinary = ordinary(&root.join("models/sensitive-events/training"))?;
    let of_ordinary: Vec<f64> = ordinary
        .iter()
        .map(|text| probability(&classifier, text))
        .collect();
    let alike: Vec<f64> = rows
        .iter()
        .filter(|row| !row.example.is_positive)
        .map(|row| row.probability)
        .collect();
    let threshold = f64::max(
        threshold(alike, MOST_ALIKE),
        threshold(of_ordinary.clone(), MOST_ORDINARY),
    );
    println!("threshold {threshold:.3}");
    println!(
        "{:.1} % of {} ordinary posts reach it",
        share(of_ordinary.iter().map(|one| *one >= threshold)),
        ordinary.len()
    );
    report(&rows, threshold, "language", |row| row.language.as_str());
    report(&rows, threshold, "kind", |row| row.kind.as_str());
    if std::env::args().any(|argument| argument == "write") {
        let path = root.join("models/distress-words/weights.bin");
        std::fs::write(&path, DistressWords::new(classifier, threshold as f32).to_bytes())?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn probability(classifier: &TextClassifier, text: &str) -> f64 {
    classifier.probability(&normalise(text), &mut ClassifierRoom::default())
}

/// The lowest number that at most this share of `probabilities` reaches.
fn threshold(mut probabilities: Vec<f64>, most: f64) -> f64 {
    probabilities.sort_by(|a, b| b.total_cmp(a));
    let reaching = (most * probabilities.len() as f64) as usize;
    probabilities.get(reaching).copied().unwrap_or(0.5).next_up()
}

/// Per cent.
fn share(found: impl Iterator<Item = bool>) -> f64 {
    let found: Vec<bool> = found.collect();
    100.0 * found.iter().filter(|one| **one).count() as f64 / found.len().max(1) as f64
}

fn report(rows: &[Row], threshold: f64, name: &str, group: impl Fn(&Row) -> &str) {
    let mut groups: BTreeMap<(bool, &str), Vec<bool>> = BTreeMap::new();
    for row in rows {
        let found = groups.entry((!row.example.is_positive, group(row))).or_default();
        found.push(row.probability >= threshold);
    }
    println!("\ncross-validation by {name}: share that reaches the threshold");
    for ((is_calm, group), found) in groups {
        let kind = if is_calm { "calm    " } else { "distress" };
        println!(
            "  {kind} {group:<10} {:5.1} % of {}",
            share(found.iter().copied()),
            found.len()
        );
    }
}

fn rows(folder: &Path) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for language in ["de", "es", "fr", "it", "nl", "pt"] {
        let path = folder.join(format!("{language}.tsv"));
        let lines = std::fs::read_to_string(&path)?;
        for line in lines
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let [label, kind, text] = line.split('\t').collect::<Vec<_>>()[..] else {
                return Err(format!("{}: not three columns: {line}", path.display()).into());
            };
            rows.push(Row {
                language: language.to_owned(),
                kind: kind.to_owned(),
                example: TextExample {
                    text: text.to_owned(),
                    is_positive: label == "1",
                    weight: 1.0,
                },
                probability: 0.0,
            });
        }
    }
    Ok(rows)
}

/// Posts in the languages of the classifier that are about no sensitive event. A few of them may be in distress for another reason.
fn ordinary(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    for file in std::fs::read_dir(folder)? {
        for line in std::fs::read_to_string(file?.path())?.lines() {
            if let ["0", language, text] = line.split('\t').collect::<Vec<_>>()[..]
                && DistressWords::reads(language)
            {
                texts.push(text.to_owned());
            }
        }
    }
    Ok(texts)
}
