//! The public texts of score comparisons.
#![allow(dead_code, reason = "each test uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;

use serde_json::Value;

/// One file's texts.
pub(crate) struct Texts {
    pub(crate) file: String,
    pub(crate) texts: Vec<String>,
}

/// All texts of VADER's ground truth and of the replayable streams.
pub(crate) fn all(data: &Path) -> Vec<Texts> {
    let mut found: Vec<Texts> = [
        "tweets",
        "amazonReviewSnippets",
        "movieReviewSnippets",
        "nytEditorialSnippets",
    ]
    .map(|name| ground_truth(data, name))
    .into();
    for (file, column) in [
        ("replay_mayweather_mcgregor/tweets.csv", "text"),
        ("replay_twitter_ratio/BarackObama.csv", "text"),
        ("replay_twitter_ratio/realDonaldTrump.csv", "text"),
        // A column without a name is called `0`.
        ("replay_reddit/lifestyle_drunk.csv", "0"),
    ] {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_path(data.join(file))
            .unwrap();
        let place = reader
            .headers()
            .unwrap()
            .iter()
            .position(|h| h == column)
            .unwrap();
        // Some rows contain bytes that are not UTF-8.
        let texts = reader
            .byte_records()
            .filter_map(|row| {
                row.unwrap()
                    .get(place)
                    .map(|t| String::from_utf8_lossy(t).into_owned())
            })
            .collect();
        found.push(Texts {
            file: file.to_owned(),
            texts,
        });
    }
    for file in [
        "replay_broad_twitter_corpus/a.no-labels.json",
        "replay_broad_twitter_corpus/b.no-labels.json",
        "replay_broad_twitter_corpus/e.no-labels.json",
        "replay_ark_tweets/daily547.tweets.json.tsv",
        "replay_ark_tweets/oct27.tweets.json.tsv",
    ] {
        let lines = std::fs::read_to_string(data.join(file)).unwrap();
        let texts = lines.lines().filter(|line| !line.is_empty()).map(|line| {
            let post: Value = serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap();
            post["text"].as_str().unwrap().to_owned()
        });
        found.push(Texts {
            file: file.to_owned(),
            texts: texts.collect(),
        });
    }
    for one in &found {
        assert!(
            one.texts.len() > 100,
            "{} has {} texts",
            one.file,
            one.texts.len()
        );
    }
    found
}

/// One of VADER's ground-truth files: `id TAB mean rating TAB text`.
pub(crate) fn ground_truth(data: &Path, name: &str) -> Texts {
    let file = format!("vader/{name}_GroundTruth.txt");
    let bytes = std::fs::read(data.join(&file)).unwrap();
    let lines = String::from_utf8_lossy(&bytes).into_owned();
    let texts = lines
        .lines()
        .filter_map(|line| line.splitn(3, '\t').nth(2))
        .map(str::to_owned)
        .collect();
    Texts { file, texts }
}
