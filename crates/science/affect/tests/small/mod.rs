//! A small model with random weights and every task, in its own folder, in the format of a trained one.
#![allow(dead_code, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

const HIDDEN: usize = 64;
const LAYERS: usize = 2;
pub(crate) const MAX_TOKENS: usize = 48;

pub(crate) const GOEMOTIONS: &str = "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment \
    disapproval disgust embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief \
    remorse sadness surprise neutral";

/// Numbers that look random and are the same on every machine (`SplitMix64`), between -1 and 1.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

pub(crate) fn vocabulary() -> String {
    let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .map(str::to_owned)
        .into();
    let signs = "!?.,'@#&$%-_:;()/0123456789abcdefghijklmnopqrstuvwxyz";
    pieces.extend(signs.chars().map(String::from));
    pieces.extend(
        "0123456789abcdefghijklmnopqrstuvwxyz"
            .chars()
            .map(|c| format!("##{c}")),
    );
    pieces.extend(
        [
            "user", "http", "good", "bad", "the", "cake", "train", "😂", "😭", "❤",
        ]
        .map(str::to_owned),
    );
    pieces.join("\n")
}

fn tasks() -> Value {
    let labels: Vec<&str> = GOEMOTIONS.split_ascii_whitespace().collect();
    json!([
        {"name": "sentiment", "kind": "softmax", "labels": ["negative", "neutral", "positive"], "temperature": 0.3},
        {"name": "goemotions", "kind": "sigmoid", "thresholds": vec![0.5; labels.len()], "labels": labels},
        {"name": "irony", "kind": "softmax", "labels": ["not", "irony"]},
        {"name": "hate", "kind": "softmax", "labels": ["not", "hate"]},
        {"name": "offensive", "kind": "softmax", "labels": ["not", "offensive"]},
        {"name": "valence", "kind": "regression", "labels": ["valence"], "range": [-1.0, 1.0]}
    ])
}

pub(crate) fn config() -> Value {
    json!({
        "format": 1, "version": "small-1", "hidden_size": HIDDEN, "layers": LAYERS, "attention_heads": 4,
        "intermediate_size": HIDDEN, "layer_norm_eps": 1e-12, "max_tokens": MAX_TOKENS, "tasks": tasks(),
        "exits": [{"layer": 1, "tasks": ["sentiment", "goemotions"], "confidence": {"sentiment": 0.0}}]
    })
}

/// Writes the model into a new folder.
pub(crate) fn model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &config(), &vocabulary());
    folder
}

pub(crate) fn write(folder: &Path, config: &Value, vocabulary: &str) {
    let mut chance = Chance(7);
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    let mut put = |name: String, shape: &[usize], middle: f32, spread: f32| {
        let numbers = (0..shape.iter().product::<usize>())
            .flat_map(|_| (middle + spread * chance.next()).to_le_bytes());
        tensors.insert(name, (shape.to_vec(), numbers.collect()));
    };
    let pieces = vocabulary.lines().count();
    put(
        "embeddings.word_embeddings.weight".into(),
        &[pieces, HIDDEN],
        0.0,
        1.0,
    );
    put(
        "embeddings.position_embeddings.weight".into(),
        &[MAX_TOKENS, HIDDEN],
        0.0,
        0.2,
    );
    put(
        "embeddings.token_type_embeddings.weight".into(),
        &[2, HIDDEN],
        0.0,
        0.1,
    );
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..LAYERS {
        let layer = format!("encoder.layer.{layer}");
        for part in [
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        ] {
            put(format!("{layer}.{part}.weight"), &[HIDDEN, HIDDEN], 0.0, 0.25);
            put(format!("{layer}.{part}.bias"), &[HIDDEN], 0.0, 0.1);
        }
        norms.extend(["attention.output", "output"].map(|part| format!("{layer}.{part}.LayerNorm")));
    }
    for norm in norms {
        put(format!("{norm}.weight"), &[HIDDEN], 1.0, 0.3);
        put(format!("{norm}.bias"), &[HIDDEN], 0.0, 0.3);
    }
    let mut head = |name: String, labels: usize| {
        put(format!("{name}.weight"), &[labels, 2 * HIDDEN], 0.0, 0.3);
        put(format!("{name}.bias"), &[labels], 0.0, 0.1);
    };
    for task in config["tasks"].as_array().unwrap() {
        let labels = task["labels"].as_array().unwrap().len();
        let name = task["name"].as_str().unwrap();
        head(format!("heads.{name}"), labels);
        if matches!(name, "sentiment" | "goemotions") {
            head(format!("exits.1.{name}"), labels);
        }
    }
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("vocab.txt"), vocabulary).unwrap();
}
