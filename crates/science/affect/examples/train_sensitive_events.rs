//! Trains the classifier of sensitive events and says how good it is.
//!
//! ```sh
//! cargo run --release -p limbic-affect --example train_sensitive_events           # cross-validation, development posts
//! cargo run --release -p limbic-affect --example train_sensitive_events -- write  # writes the weights
//! cargo run --release -p limbic-affect --example train_sensitive_events -- FILE   # engines the posts of a file as well
//! ```
//!
//! Training posts: `models/sensitive-events/training/*.tsv` (label, language, text), written for Limbic. With `LIMBIC_DATA`, the
//! training parts of `TweetEval`'s irony and emotion sets count as ordinary posts, with a small weight, because some of them are
//! about events.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use limbic_affect::{
    ClassifierRoom, EventHead, HeadExample, ModelOptions, ModelReader, TextClassifier, TextExample,
    TextTraining, normalise, train_classifier,
};

/// Weight of an ordinary post of a public set.
const ORDINARY: f64 = 0.25;
/// Maximum number of comments of `GoEmotions` that are used.
const COMMENTS: usize = 15_000;
/// One of so many ordinary posts is judged.
const EVERY: usize = 4;
/// Number of folds of the cross-validation.
const FOLDS: usize = 5;
/// Thresholds to report: probabilities from which a text counts as about an event.
const FROM: [f64; 4] = [0.5, 0.6, 0.7, 0.8];

/// The model whose hidden state the head sees.
const MODEL: &str = "models/affect-l6";

/// A group, whether its texts are about an event, and the probability of one.
type Scored = (String, bool, f64);

/// The probabilities of texts.
type Judge<'a> = dyn Fn(&[&str]) -> Vec<f64> + 'a;

/// A training post.
struct Row {
    /// Where it comes from; `None` for an ordinary post of a public set.
    group: Option<String>,
    example: TextExample,
    /// The model's pooled state, if the model knows the language.
    state: Option<Vec<f32>>,
    /// The probability that words give without this fold.
    words: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let reader = ModelReader::open(&root.join(MODEL), &ModelOptions::default())?;
    let mut rows = rows(&root, &reader)?;
    let training = TextTraining::default();
    let in_fold = |place: usize, fold: usize| place % FOLDS == fold;
    for fold in 0..FOLDS {
        let learnt = rows
            .iter()
            .enumerate()
            .filter(|(place, _)| !in_fold(*place, fold));
        let learnt: Vec<TextExample> = learnt.map(|(_, row)| row.example.clone()).collect();
        let classifier = train_classifier(&learnt, &training);
        for (_, row) in rows
            .iter_mut()
            .enumerate()
            .filter(|(place, _)| in_fold(*place, fold))
        {
            row.words = score(&classifier, &row.example.text);
        }
    }
    let model = reader.model_version();
    if std::env::args().any(|argument| argument == "write") {
        return write(&root, &rows, model);
    }
    report("cross-validation, words", &scored(&rows, |row| row.words));
    let mut judged: Vec<f64> = rows.iter().map(|row| row.words).collect();
    for fold in 0..FOLDS {
        let learnt = rows
            .iter()
            .enumerate()
            .filter(|(place, _)| !in_fold(*place, fold));
        let head = EventHead::train(model, &examples(learnt.map(|(_, row)| row)));
        for (place, row) in rows.iter().enumerate().filter(|(place, _)| in_fold(*place, fold)) {
            if let Some(state) = &row.state {
                judged[place] = head.judge(row.words, state);
            }
        }
    }
    let mut next = judged.into_iter();
    let judged = scored(&rows, |_| next.next().unwrap_or(0.0));
    report("cross-validation, words and model", &judged);

    let all: Vec<TextExample> = rows.iter().map(|row| row.example.clone()).collect();
    let classifier = train_classifier(&all, &training);
    let head = EventHead::train(model, &examples(rows.iter()));
    let by_words =
        |texts: &[&str]| -> Vec<f64> { texts.iter().map(|text| score(&classifier, text)).collect() };
    let by_both = |texts: &[&str]| -> Vec<f64> {
        let states = reader.pooled(texts);
        let judged = by_words(texts).into_iter().zip(states);
        judged
            .map(|(words, state)| state.map_or(words, |state| head.judge(words, &state)))
            .collect()
    };
    let engines: [(&str, &Judge<'_>); 2] = [("words", &by_words), ("words and model", &by_both)];
    let evenings = std::fs::read_to_string(root.join("tests/data/evenings.tsv"))?;
    for (name, judge) in engines {
        for split in ["development", "held_out"] {
            let rows = evenings.lines().map(|line| line.split('\t').collect::<Vec<_>>());
            let rows: Vec<Vec<&str>> = rows.filter(|row| row[0] == split).collect();
            let texts: Vec<&str> = rows.iter().map(|row| row[4]).collect();
            let scores = rows.iter().zip(judge(&texts));
            let scores =
                scores.map(|(row, score)| (format!("{} {}", row[1], row[3]), row[1] == "grief", score));
            report(&format!("{split} evenings, {name}"), &scores.collect::<Vec<_>>());
        }
        report(&format!("ordinary posts, {name}"), &streams(judge)?);
    }
    for extra in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&extra)?;
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        let texts: Vec<&str> = rows.iter().filter_map(|row| row.last().copied()).collect();
        for (name, judge) in engines {
            let scores = rows.iter().zip(judge(&texts));
            let scores = scores.map(|(row, score)| {
                let group: Vec<&str> = row.iter().rev().skip(1).rev().copied().collect();
                (group.join(" "), row.contains(&"grief"), score)
            });
            report(&format!("{extra}, {name}"), &scores.collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Trains with all posts, and writes the weights of words and head.
fn write(root: &Path, rows: &[Row], model: &str) -> Result<(), Box<dyn std::error::Error>> {
    let all: Vec<TextExample> = rows.iter().map(|row| row.example.clone()).collect();
    let words = train_classifier(&all, &TextTraining::default());
    let head = EventHead::train(model, &examples(rows.iter()));
    let files = [
        (root.join("models/sensitive-events/weights.bin"), words.to_bytes()),
        (root.join(MODEL).join(EventHead::FILE), head.to_bytes()),
    ];
    for (path, bytes) in files {
        std::fs::write(&path, bytes)?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// Our own posts and the ordinary ones, with what the model sees in them.
fn rows(root: &Path, reader: &ModelReader) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let own = own(&root.join("models/sensitive-events/training"))?;
    let ordinary = ordinary()?;
    println!("{} posts of our own, {} ordinary ones", own.len(), ordinary.len());
    let own = own.into_iter().map(|(group, example)| (Some(group), example));
    let all: Vec<_> = own
        .chain(ordinary.into_iter().map(|example| (None, example)))
        .collect();
    let texts: Vec<&str> = all.iter().map(|(_, example)| example.text.as_str()).collect();
    let states = reader.pooled(&texts);
    Ok(all
        .into_iter()
        .zip(states)
        .map(|((group, example), state)| Row {
            state,
            group,
            example,
            words: 0.0,
        })
        .collect())
}

/// What the head learns from.
fn examples<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<HeadExample> {
    let seen = rows.filter_map(|row| {
        Some(HeadExample {
            state: row.state.clone()?,
            words: row.words,
            is_event: row.example.is_positive,
            weight: row.example.weight,
        })
    });
    seen.collect()
}

/// Our own posts with a score each. `score` is called for every row.
fn scored(rows: &[Row], mut score: impl FnMut(&Row) -> f64) -> Vec<Scored> {
    let scores = rows.iter().filter_map(|row| {
        let score = score(row);
        Some((row.group.clone()?, row.example.is_positive, score))
    });
    scores.collect()
}

fn score(classifier: &TextClassifier, text: &str) -> f64 {
    classifier.probability(&normalise(text), &mut ClassifierRoom::default())
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

fn own(folder: &Path) -> Result<Vec<(String, TextExample)>, Box<dyn std::error::Error>> {
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
            let example = TextExample {
                text: text.to_owned(),
                is_positive: label == "1",
                weight: 1.0,
            };
            examples.push((group, example));
        }
    }
    Ok(examples)
}

fn ordinary() -> Result<Vec<TextExample>, Box<dyn std::error::Error>> {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return Ok(Vec::new());
    };
    let mut examples = Vec::new();
    for set in ["irony", "emotion"] {
        let path = data.join("tweeteval").join(set).join("train_text.txt");
        let text = std::fs::read_to_string(path)?;
        examples.extend(text.lines().map(|line| TextExample {
            text: line.to_owned(),
            is_positive: false,
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
            examples.push(TextExample {
                text: text.to_owned(),
                is_positive: false,
                weight: ORDINARY,
            });
        }
    }
    Ok(examples)
}

/// Posts of ordinary days. They have no labels for events, and nearly all of them are not about an event.
fn streams(judge: &Judge<'_>) -> Result<Vec<Scored>, Box<dyn std::error::Error>> {
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
        let lines: Vec<&str> = text.lines().step_by(EVERY).collect();
        let judged = judge(&lines).into_iter();
        scores.extend(judged.map(|score| (name.to_owned(), false, score)));
    }
    Ok(scores)
}
