//! A small model with random weights, in a folder in the format of a trained one.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::path::Path;

use limbic_encoder::{Encoder, Kernels, Model};
use safetensors::tensor::{Dtype, TensorView};

pub(crate) const HIDDEN: usize = 128;
pub(crate) const INNER: usize = 192;
pub(crate) const LAYERS: usize = 3;
pub(crate) const VOCABULARY: usize = 211;
pub(crate) const MAX_TOKENS: usize = 100;

/// Numbers that look random and are the same on every machine.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Roughly normal, with deviation 1.
    pub(crate) fn normal(&mut self) -> f32 {
        let sum: f32 = (0..12)
            .map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32)
            .sum();
        sum - 6.0
    }
}

pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The tensors of the small model.
pub(crate) fn tensors(seed: u64) -> Tensors {
    let mut chance = Chance(seed);
    let mut tensors = Tensors::new();
    let mut put = |name: &str, shape: &[usize], deviation: f32, mean: f32| {
        let numbers = (0..shape.iter().product())
            .map(|_| mean + deviation * chance.normal())
            .collect();
        tensors.insert(name.to_owned(), (shape.to_vec(), numbers));
    };
    put(
        "embeddings.word_embeddings.weight",
        &[VOCABULARY, HIDDEN],
        0.5,
        0.0,
    );
    put(
        "embeddings.position_embeddings.weight",
        &[MAX_TOKENS + 28, HIDDEN],
        0.2,
        0.0,
    );
    put("embeddings.token_type_embeddings.weight", &[2, HIDDEN], 0.1, 0.0);
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for i in 0..LAYERS {
        let mut dense = |part: &str, outputs: usize, inputs: usize| {
            let name = format!("encoder.layer.{i}.{part}");
            put(
                &format!("{name}.weight"),
                &[outputs, inputs],
                1.2 / (inputs as f32).sqrt(),
                0.0,
            );
            put(&format!("{name}.bias"), &[outputs], 0.1, 0.0);
        };
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            dense(&format!("attention.{part}"), HIDDEN, HIDDEN);
        }
        dense("intermediate.dense", INNER, HIDDEN);
        dense("output.dense", HIDDEN, INNER);
        norms.push(format!("encoder.layer.{i}.attention.output.LayerNorm"));
        norms.push(format!("encoder.layer.{i}.output.LayerNorm"));
    }
    for norm in norms {
        put(&format!("{norm}.weight"), &[HIDDEN], 0.3, 1.0);
        put(&format!("{norm}.bias"), &[HIDDEN], 0.3, 0.0);
    }
    for (head, labels) in [
        ("heads.mood", 3),
        ("heads.many", 5),
        ("exits.1.mood", 3),
        ("exits.2.mood", 3),
        ("exits.2.many", 5),
    ] {
        put(&format!("{head}.weight"), &[labels, 2 * HIDDEN], 0.15, 0.0);
        put(&format!("{head}.bias"), &[labels], 0.1, 0.0);
    }
    put("heads.degree.dense.weight", &[HIDDEN, 2 * HIDDEN], 0.1, 0.0);
    put("heads.degree.dense.bias", &[HIDDEN], 0.1, 0.0);
    put("heads.degree.weight", &[1, HIDDEN], 0.2, 0.0);
    put("heads.degree.bias", &[1], 0.1, 0.0);
    tensors
}

pub(crate) fn config() -> serde_json::Value {
    serde_json::json!({
        "format": 1, "version": "small-1", "hidden_size": HIDDEN, "layers": LAYERS, "attention_heads": 4,
        "intermediate_size": INNER, "layer_norm_eps": 1e-12, "max_tokens": MAX_TOKENS,
        "tasks": [
            {"name": "mood", "kind": "softmax", "labels": ["bad", "so so", "good"], "temperature": 1.3, "biases": [0.1, 0.0, -0.1]},
            {"name": "many", "kind": "sigmoid", "labels": ["a", "b", "c", "d", "e"], "temperatures": [1.0, 1.1, 1.2, 0.9, 0.8],
             "thresholds": [0.5, 0.4, 0.5, 0.6, 0.5]},
            {"name": "degree", "kind": "regression", "labels": ["degree"], "range": [-1.0, 1.0]}
        ],
        "exits": [
            {"layer": 1, "tasks": ["mood"], "temperatures": {"mood": 1.2}, "confidence": {"mood": 0.8}},
            {"layer": 2, "tasks": ["mood", "many"], "biases": {"mood": [0.0, 0.1, 0.0]}}
        ]
    })
}

pub(crate) fn write(folder: &Path, config: &serde_json::Value, tensors: &Tensors) {
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, numbers))| (name, numbers.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, (shape, _))| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

pub(crate) fn model(seed: u64) -> Model {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &config(), &tensors(seed));
    Model::open(folder.path()).unwrap()
}

/// Posts of random tokens with different lengths.
pub(crate) fn posts(seed: u64, lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut chance = Chance(seed);
    lengths
        .iter()
        .map(|length| (0..*length).map(|_| chance.below(VOCABULARY) as u32).collect())
        .collect()
}

pub(crate) fn borrowed(posts: &[Vec<u32>]) -> Vec<&[u32]> {
    posts.iter().map(Vec::as_slice).collect()
}

/// The model on all kernels that this machine can run, without the reference; or on those that `LIMBIC_KERNELS` names,
/// which must then run here.
pub(crate) fn encoders(model: &Model) -> Vec<Encoder> {
    let kernels: Vec<Kernels> = match std::env::var("LIMBIC_KERNELS") {
        Ok(names) => names.split(',').map(|name| name.parse().unwrap()).collect(),
        Err(_) => [
            Kernels::Amx,
            Kernels::Avx512Vnni,
            Kernels::Avx2,
            Kernels::Neon,
            Kernels::Portable,
        ]
        .into_iter()
        .filter(|kernels| kernels.available())
        .collect(),
    };
    kernels
        .into_iter()
        .map(|kernels| Encoder::new(model, kernels).unwrap())
        .collect()
}
