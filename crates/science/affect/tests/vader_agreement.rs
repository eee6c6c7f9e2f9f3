//! VADER equals its reference: on the fixtures always, and on every public text if the texts and the reference are
//! installed.
#![expect(
    clippy::print_stderr,
    reason = "a skipped comparison must be seen; so must what was compared"
)]

mod texts;

use std::io::Write;
use std::process::{Command, Stdio};

use limbic_affect::{Scores, Vader};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    neg: f64,
    neu: f64,
    pos: f64,
    compound: f64,
}

impl Reference {
    #[expect(clippy::float_cmp, reason = "agreement to the last decimal is the promise")]
    fn agrees_with(&self, ours: Scores) -> bool {
        self.neg == ours.neg && self.neu == ours.neu && self.pos == ours.pos && self.compound == ours.compound
    }
}

#[derive(Deserialize)]
struct Fixture {
    text: String,
    #[serde(flatten)]
    scores: Reference,
}

#[test]
fn the_fixtures_have_the_scores_of_the_reference() {
    let lines = include_str!("fixtures/vader.jsonl");
    let mut count = 0;
    for line in lines.lines() {
        let Fixture { text, scores } = serde_json::from_str(line).unwrap();
        let ours = Vader::new().score(&text);
        assert!(scores.agrees_with(ours), "{line}\n{ours:?}");
        count += 1;
    }
    assert!(count >= 40);
}

#[test]
fn every_public_text_has_the_scores_of_the_reference() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let all = texts::all(&data);
    let Some(reference) = reference_scores(all.iter().flat_map(|t| &t.texts)) else {
        return;
    };
    let mut reference = reference.lines();
    let mut disagreements = Vec::new();
    let mut total = 0;
    for texts::Texts { file, texts } in &all {
        for text in texts {
            let theirs = reference.next().expect("the reference answers every text");
            let scores: Reference = serde_json::from_str(theirs).unwrap();
            let ours = Vader::new().score(text);
            if !scores.agrees_with(ours) {
                disagreements.push(format!("{file}: {text:?}\n  reference {theirs}\n  ours {ours:?}"));
            }
        }
        total += texts.len();
        eprintln!("{:>6} texts of {file} compared", texts.len());
    }
    assert!(reference.next().is_none());
    eprintln!("{total} texts, {} disagreements", disagreements.len());
    assert!(
        disagreements.is_empty(),
        "{} of {total} disagree, for instance:\n{}",
        disagreements.len(),
        disagreements[..disagreements.len().min(10)].join("\n")
    );
}

/// The reason for this crate's own VADER. If the other crate agrees some day, this test fails, and ours can be removed.
#[test]
fn the_crate_vader_sentiment_disagrees_with_its_reference() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let tweets = texts::ground_truth(&data, "tweets").texts;
    let theirs = vader_sentiment::SentimentIntensityAnalyzer::new();
    let label = |compound: f64| i8::from(compound >= 0.05) - i8::from(compound <= -0.05);
    let (mut differ, mut flipped, mut opposite) = (0, 0, 0);
    for text in &tweets {
        // Ours replaces the reference here, because the test above shows that they are equal.
        let ours = Vader::new().score(text).compound;
        let theirs = theirs.polarity_scores(text)["compound"];
        differ += u32::from((ours - theirs).abs() > 0.000_05);
        flipped += u32::from(label(ours) != label(theirs));
        opposite += u32::from(label(ours) * label(theirs) < 0);
    }
    eprintln!(
        "vader_sentiment 0.1.1: of {} tweets {differ} differ, {flipped} change label, {opposite} turn round",
        tweets.len()
    );
    assert!(differ > 0);
}

#[expect(clippy::unwrap_used, reason = "a test fails where it stands")]
/// The reference's scores of each text, one JSON object per line. If it is not installed, prints a notice and returns
/// `None`.
fn reference_scores<'a>(texts: impl Iterator<Item = &'a String>) -> Option<String> {
    let lines: Vec<u8> = texts
        .flat_map(|text| {
            let mut line = serde_json::to_vec(text).unwrap();
            line.push(b'\n');
            line
        })
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../scripts/vader-reference");
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(&lines).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let output = Command::new(script)
        .arg("--offline")
        .stdin(Stdio::from(input))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    if output.status.code() == Some(3) {
        eprintln!(
            "\n*** SKIPPED: the reference VADER is not installed (run scripts/vader-reference once) ***\n"
        );
        return None;
    }
    assert!(output.status.success(), "scripts/vader-reference failed");
    Some(String::from_utf8(output.stdout).unwrap())
}
