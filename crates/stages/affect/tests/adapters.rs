//! The stage tells the engine which adapters may read a post.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use limbic_affect::adapters::{AdapterChoice, Adapters};
use limbic_affect::{AdapterSet, AffectEngine, SubjectTagger};
use limbic_affect_stage::AffectStage;
use limbic_domain::{
    Affect, ConsentState, Envelope, Post, PostRef, Pseudonym, Reading, Slug, TenantId, Utc, event_id, topics,
};
use limbic_stream::testing::{Harness, record};
use serde_json::json;
use sha2::{Digest, Sha256};

/// An engine whose readings say which adapters it was given.
struct Telling;

impl AffectEngine for Telling {
    fn version(&self) -> &'static str {
        "telling"
    }

    fn read(&self, texts: &[&str]) -> Vec<Affect> {
        self.read_adapted(texts, &vec![AdapterSet::NONE; texts.len()])
    }

    fn read_adapted(&self, texts: &[&str], adapters: &[AdapterSet]) -> Vec<Affect> {
        assert_eq!(texts.len(), adapters.len());
        let told = adapters.iter().map(|set| Affect {
            model: format!("{set:?}"),
            ..Affect::default()
        });
        told.collect()
    }
}

fn slug(name: &str) -> Slug {
    Slug::new(name).unwrap()
}

/// The file of an adapter for a model of one feature.
fn adapter(folder: &Path, name: &str) -> std::path::PathBuf {
    let json = json!({
        "name": name, "model": "small-1", "config": "", "posts": 150,
        "gain": {"measure": "macro-F1", "general": 0.6, "adapted": 0.7, "low": 0.05, "high": 0.15},
        "labels": ["negative", "neutral", "positive"], "temperature": 1.0,
        "head": {"weights": [[-1.0], [0.0], [1.0]], "biases": [0.0, 0.0, 0.0]}
    });
    let json = json.to_string();
    let checksum = Sha256::digest(&json)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
    let path = folder.join(format!("{name}.adapter"));
    std::fs::write(&path, format!("limbic-adapter-1 sha256:{checksum}\n{json}\n")).unwrap();
    path
}

fn post(id: &str, network: &str, text: &str) -> Envelope<Post> {
    let at = Utc::from_millis(1_700_000_000_000);
    let post = Post {
        author: Pseudonym::of(&[7; 32], &slug(network), "someone"),
        post: PostRef {
            network: slug(network),
            id: id.to_owned(),
        },
        text: text.to_owned(),
        created_at: at,
        lang: None,
        reply_to: None,
        repost_of: None,
        url: None,
        subjects: Vec::new(),
        consent: ConsentState::default(),
        minor: false,
        revision: 0,
        meta: serde_json::Map::new(),
    };
    Envelope::new(TenantId::default(), event_id("post", &[id]), at, post)
}

#[test]
fn a_post_is_read_with_the_adapters_of_its_network_and_of_the_subjects_in_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let choice = |name: &str, networks: &[&str], subjects: &[&str]| AdapterChoice {
        file: adapter(folder.path(), name),
        networks: networks.iter().map(|name| slug(name)).collect(),
        subjects: subjects.iter().map(|name| slug(name)).collect(),
        languages: Vec::new(),
    };
    let adapters = Adapters::open(&[
        choice("finance", &[], &["finance"]),
        choice("reddit", &["reddit"], &[]),
    ])
    .unwrap();
    let [finance, reddit] = ["finance", "reddit"].map(|name| adapters.named(name).unwrap());
    let both = adapters.for_post(&slug("reddit"), &[slug("finance")]);
    let build = move || {
        let words = [(slug("finance"), vec!["shares".to_owned()])].into();
        let tagger = SubjectTagger::new(&words).unwrap();
        AffectStage::new(Arc::new(Telling), tagger).adapted_by(adapters.clone())
    };
    let posts = [
        post("1", "bluesky", "the shares fell"),
        post("2", "bluesky", "the rain fell"),
        post("3", "reddit", "the rain fell"),
        post("4", "reddit", "the shares fell"),
    ];
    let records: Vec<_> = posts
        .iter()
        .zip(0..)
        .map(|(post, offset)| {
            record(topics::POSTS)
                .offset(offset)
                .key("default/someone")
                .value(post.encode())
                .build()
        })
        .collect();
    let effects = Harness::new(build)
        .described_by(AffectStage::spec())
        .process(records);
    let readings = effects
        .records
        .iter()
        .map(|(_, written)| Envelope::<Reading>::decode(&written.value).unwrap().data);
    let told: Vec<String> = readings.map(|reading| reading.affect.model).collect();
    assert_eq!(
        told,
        [finance, AdapterSet::NONE, reddit, both].map(|set| format!("{set:?}"))
    );
}
