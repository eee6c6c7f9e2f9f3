//! The error for a model that cannot be used names the file and says what to do.
#![expect(clippy::unwrap_used, reason = "tests")]

mod small;

use std::path::Path;

use limbic_encoder::{Model, ModelError};
use serde_json::{Value, json};
use small::Tensors;

/// The error of a model whose files were changed by `damage`.
fn error(damage: impl FnOnce(&mut Value, &mut Tensors)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, mut tensors) = (small::config(), small::tensors(1));
    damage(&mut config, &mut tensors);
    small::write(folder.path(), &config, &tensors);
    said(folder.path())
}

fn said(folder: &Path) -> String {
    let mut error: &dyn std::error::Error = &Model::open(folder).err().unwrap();
    let mut said = error.to_string();
    while let Some(cause) = error.source() {
        said = format!("{said}: {cause}");
        error = cause;
    }
    said
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(said(folder.path()).contains("config.json"));
    small::write(folder.path(), &small::config(), &small::tensors(1));
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let said = said(folder.path());
    assert!(
        said.contains("model.safetensors") && said.contains("fetch the model again"),
        "{said}"
    );
}

#[test]
fn a_truncated_file_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    small::write(folder.path(), &small::config(), &small::tensors(1));
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for keep in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let said = said(folder.path());
        assert!(said.contains("damaged or cut short"), "{keep}: {said}");
    }
}

#[test]
fn another_format_is_reported_before_any_other_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), r#"{"format": 2, "new": true}"#).unwrap();
    let said = said(folder.path());
    assert!(
        said.contains("format 2") && said.contains("same release"),
        "{said}"
    );
}

#[test]
fn an_invalid_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "[]", "{\"format\": 1}", "\u{0}"] {
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        assert!(said(folder.path()).contains("not a model's configuration"));
    }
}

#[test]
fn a_tensor_that_is_missing_or_has_another_shape_or_is_not_finite_is_named() {
    let name = "encoder.layer.1.intermediate.dense.weight";
    let missing = error(|_, tensors| drop(tensors.remove(name)));
    assert!(missing.contains("lacks") && missing.contains(name), "{missing}");
    let misshapen = error(|_, tensors| tensors.get_mut(name).unwrap().0.swap(0, 1));
    assert!(
        misshapen.contains(name) && misshapen.contains("[128, 192]"),
        "{misshapen}"
    );
    for number in [f32::NAN, f32::INFINITY] {
        let said = error(|_, tensors| tensors.get_mut(name).unwrap().1[5] = number);
        assert!(said.contains(name) && said.contains("NaN or infinity"), "{said}");
    }
}

#[test]
fn a_file_with_another_digest_is_refused() {
    let said = error(|config, _| config["sha256"] = json!({"model.safetensors": "00ff"}));
    assert!(said.contains("model.safetensors has SHA-256"), "{said}");
    let said = error(|config, _| config["sha256"] = json!({"vocab.txt": "00ff"}));
    assert!(said.contains("vocab.txt"), "{said}");
}

#[test]
fn inconsistent_sizes_tasks_and_exits_are_refused() {
    type Damage = fn(&mut Value);
    let cases: [(&str, Damage); 10] = [
        ("hidden_size is 100", |c| c["hidden_size"] = json!(100)),
        ("attention heads", |c| c["attention_heads"] = json!(3)),
        ("max_tokens", |c| c["max_tokens"] = json!(100_000)),
        ("no tasks", |c| c["tasks"] = json!([])),
        ("3 labels, but 2 biases", |c| {
            c["tasks"][0]["biases"] = json!([0.0, 1.0]);
        }),
        ("twice", |c| c["tasks"][1]["name"] = json!("mood")),
        ("an exit after layer 3", |c| c["exits"][1]["layer"] = json!(3)),
        ("an exit after layer 1", |c| c["exits"][1]["layer"] = json!(1)),
        ("no task surprise", |c| {
            c["exits"][0]["tasks"] = json!(["surprise"]);
        }),
        ("temperature", |c| c["tasks"][0]["temperature"] = json!(0.0)),
    ];
    for (wanted, damage) in cases {
        let said = error(|config, _| damage(config));
        assert!(
            said.contains("config.json") && said.contains(wanted),
            "{wanted}: {said}"
        );
    }
}

#[test]
fn errors_keep_their_cause() {
    let folder = tempfile::tempdir().unwrap();
    let error = Model::open(folder.path()).err().unwrap();
    assert!(matches!(error, ModelError::Read { .. }));
}
