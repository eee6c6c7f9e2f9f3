//! How far a text is from what the shipped model learnt, and what a reading makes of it.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use limbic_affect::{AffectEngine, ModelOptions, ModelReader};
use limbic_domain::Affect;
use limbic_encoder::ModelFiles;

const FILE: &str = "familiarity.bin";

/// Texts and what `scripts/train/familiarity.py` says of them.
const TEXTS: [(&str, f64); 10] = [
    (
        "the new bakery on the corner is lovely, we went twice this week 😊",
        0.2993,
    ),
    ("ugh my train is late again and nobody tells us why", 0.7576),
    ("lol", 0.7900),
    ("GOOOAL what a finish", 0.9316),
    (
        "#[derive(Debug)] pub struct Chunk<'a> { ids: &'a [u32], end: usize }",
        1.0,
    ),
    (
        "SELECT id, name FROM users WHERE age >= 18 ORDER BY name LIMIT 10;",
        0.9995,
    ),
    ("qzv xlkj wpqt bnmz rrgh ttyx vbnq", 1.0),
    (
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        1.0,
    ),
    (
        "Widget A, 12 pcs, SKU 8841-22-X; Widget B, 4 pcs, SKU 8841-23-X; Widget C, 9 pcs, SKU 8841-24-X",
        0.9950,
    ),
    (
        "lamp granite verbal otter comet fiscal plinth walnut hydra tempo civic grit",
        0.9993,
    ),
];

/// The shipped model with another file of familiarity, or without one.
struct Shipped(Option<Vec<u8>>);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/affect-l6")
}

impl ModelFiles for Shipped {
    fn read(&self, name: &str) -> io::Result<Cow<'_, [u8]>> {
        match &self.0 {
            _ if name != FILE => folder()
                .as_path()
                .read(name)
                .map(|bytes| Cow::Owned(bytes.into_owned())),
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        folder().join(name)
    }
}

fn file() -> Vec<u8> {
    std::fs::read(folder().join(FILE)).unwrap()
}

fn read(file: Option<Vec<u8>>) -> Vec<Affect> {
    let reader = ModelReader::from_files(&Shipped(file), &ModelOptions::default()).unwrap();
    reader.read(&TEXTS.map(|(text, _)| text))
}

#[test]
fn posts_are_near_and_texts_that_are_no_posts_are_far() {
    for ((text, wanted), reading) in TEXTS.iter().zip(read(Some(file()))) {
        // A text that is taken for another language is not read at all.
        let Some(found) = reading.out_of_domain else {
            assert!(reading.unknown_language, "{text}");
            continue;
        };
        assert!(
            (found.get() - wanted).abs() < 0.001,
            "{text}: {found:?} instead of {wanted}"
        );
        assert_eq!(reading.has_mood(), *wanted < Affect::FAR, "{text}");
    }
}

#[test]
fn a_far_text_has_a_flatter_sentiment_and_the_same_dangers() {
    let mut far = 0;
    for ((text, _), (with, without)) in TEXTS.iter().zip(read(Some(file())).into_iter().zip(read(None))) {
        assert_eq!(without.out_of_domain, None);
        assert_eq!(with.sentiment.label, without.sentiment.label, "{text}");
        let dangers = |reading: &Affect| {
            let distress = &reading.distress;
            (
                distress.score,
                distress.cues.clone(),
                distress.sensitive_event,
                reading.hate,
                reading.offence,
            )
        };
        assert_eq!(dangers(&with), dangers(&without), "{text}");
        assert_eq!(with.emotions, without.emotions, "{text}");
        if with.has_mood() || with.unknown_language {
            assert_eq!(with.sentiment, without.sentiment, "{text}");
            assert_eq!(with.distress.unread, without.distress.unread, "{text}");
        } else {
            far += 1;
            assert!(
                with.sentiment.compound.abs() <= without.sentiment.compound.abs(),
                "{text}"
            );
            let highest = |reading: &Affect| reading.sentiment.scores.values().copied().fold(0.0, f64::max);
            assert!(highest(&with) < highest(&without), "{text}");
            assert_eq!(with.distress.unread, with.distress.cues.is_empty(), "{text}");
        }
    }
    assert!(far >= 3, "only {far} texts are far and read");
}

#[test]
fn a_wrong_file_is_refused_and_named() {
    let refused = |bytes: Vec<u8>| {
        let error = ModelReader::from_files(&Shipped(Some(bytes)), &ModelOptions::default()).err();
        error.unwrap().to_string()
    };
    let mut damaged = file();
    damaged[5_000] ^= 1;
    let mut cut = file();
    cut.truncate(100_000);
    for bytes in [damaged, cut] {
        let error = refused(bytes);
        assert!(error.contains(FILE) && error.contains("it is damaged"), "{error}");
        assert!(error.contains("take the file of the same release"), "{error}");
    }
    let error = refused(b"something else".to_vec());
    assert!(error.contains("not a file of familiarity"), "{error}");
    let error = refused(for_other_vocabulary(file()));
    assert!(error.contains("another vocabulary"), "{error}");
}

/// The file with the checksum of another vocabulary, and a checksum of its own that is right.
fn for_other_vocabulary(mut bytes: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[first] ^= 1;
    let end = bytes.len() - 32;
    let sum = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    bytes
}
