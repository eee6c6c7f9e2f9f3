//! Checks the layers of the workspace (the folder of a crate defines what it may depend on), and the length of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The layers, lowest first. A crate depends only on crates of lower layers, except for [`ALLOWED_WITHIN`].
const LAYERS: [&str; 8] = [
    "domain",
    "engine",
    "science",
    "stages",
    "control",
    "edges",
    "node",
    "simulation",
];

/// Allowed dependencies within a layer. A stage never depends on another stage, an edge never on another edge.
const ALLOWED_WITHIN: [(&str, &str); 9] = [
    ("limbic-component", "limbic-stream"),
    ("limbic-http", "limbic-stream"),
    ("limbic-stream-embedded", "limbic-component"),
    ("limbic-stream-kafka", "limbic-component"),
    ("limbic-stream-embedded", "limbic-stream"),
    ("limbic-stream-kafka", "limbic-stream"),
    ("limbic-affect", "limbic-encoder"),
    ("limbic-evaluation", "limbic-bandit"),
    ("limbic-raster", "limbic-fit"),
];

/// Pure computation. These layers never depend on the engine.
const WITHOUT_ENGINE: &str = "science";

struct Crate {
    layer: usize,
    folder: PathBuf,
    dependencies: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/limbic lies in the repository")
        .to_owned()
}

/// Every library crate, by package name. The program is above all layers.
fn crates() -> BTreeMap<String, Crate> {
    let mut found = BTreeMap::new();
    for (layer, name) in LAYERS.into_iter().enumerate() {
        let folder = root().join("crates").join(name);
        let mut folders = vec![folder.clone()];
        if let Ok(entries) = std::fs::read_dir(&folder) {
            folders.extend(entries.map(|entry| entry.unwrap().path()));
        }
        for folder in folders {
            let Ok(text) = std::fs::read_to_string(folder.join("Cargo.toml")) else {
                continue;
            };
            let manifest: toml::Table = toml::from_str(&text).unwrap();
            let package = manifest["package"]["name"].as_str().unwrap().to_owned();
            let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
            let dependencies = dependencies.into_iter().flat_map(toml::Table::keys);
            let dependencies = dependencies.filter(|name| name.starts_with("limbic-")).cloned();
            let dependencies = dependencies.collect();
            let one = Crate {
                layer,
                folder,
                dependencies,
            };
            found.insert(package, one);
        }
    }
    found
}

#[test]
fn a_crate_depends_on_lower_layers_only() {
    let crates = crates();
    assert!(crates.len() > 15, "only {} crates were found", crates.len());
    for (name, one) in &crates {
        for dependency in &one.dependencies {
            let below = &crates[dependency];
            let within = ALLOWED_WITHIN.contains(&(name.as_str(), dependency.as_str()));
            assert!(
                below.layer < one.layer || within,
                "{name} ({}) must not depend on {dependency} ({})",
                LAYERS[one.layer],
                LAYERS[below.layer],
            );
            assert!(
                LAYERS[one.layer] != WITHOUT_ENGINE || LAYERS[below.layer] != "engine",
                "{name} is pure computation and must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn every_crate_explains_itself() {
    let faces = crates().into_values().map(|one| one.folder.join("src/lib.rs"));
    for face in faces.chain([root().join("crates/limbic/src/main.rs")]) {
        let text = std::fs::read_to_string(&face).unwrap();
        assert!(text.starts_with("//! "), "{} has no page", face.display());
    }
}

/// Testing the safety gate compiles no backend of the log, no network client and no TLS library.
#[test]
fn the_safety_gate_is_tested_without_a_broker_or_a_database() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "limbic-safety",
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        names.contains(&"limbic-stream") && names.contains(&"proptest"),
        "{names:?}"
    );
    for heavy in [
        "rdkafka",
        "openssl",
        "native-tls",
        "fjall",
        "sqlx",
        "reqwest",
        "tokio",
    ] {
        let found = names.iter().find(|name| name.starts_with(heavy));
        assert_eq!(found, None, "limbic-safety and its tests must not need {heavy}");
    }
}
