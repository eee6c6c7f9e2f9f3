//! The floors of the house: `domain` is the ground, `stream` stands on it, stage crates on those two and never on each
//! other, `api` and `limbic` are the roof. `encoder` stands beside the ground and carries `affect` alone. And files that
//! tell one story.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("crates/")
        .to_owned()
}

/// The crates of the house that a manifest depends on, tests and benchmarks left out.
fn stands_on(name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(crates().join(name).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&text).unwrap();
    let dependencies = manifest
        .get("dependencies")
        .and_then(|table| table.as_table())
        .cloned()
        .unwrap_or_default();
    dependencies
        .keys()
        .filter_map(|name| name.strip_prefix("limbic-"))
        .map(str::to_owned)
        .collect()
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(crates())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| crates().join(name).join("Cargo.toml").is_file())
        .collect();
    names.sort();
    names
}

#[test]
fn no_crate_stands_on_one_above_or_beside_it() {
    for name in names() {
        let allowed: &[&str] = match name.as_str() {
            "domain" | "encoder" => &[],
            "stream" => &["domain"],
            "affect" => &["domain", "stream", "encoder"],
            // The roof: the API reads the view and writes through the edge; the program knows all.
            "api" => &["domain", "stream", "ingest", "views", "metrics"],
            "limbic" => continue,
            _ => &["domain", "stream"],
        };
        for below in stands_on(&name) {
            assert!(
                allowed.contains(&below.as_str()),
                "crates/{name} must not depend on limbic-{below}"
            );
        }
    }
}

#[test]
fn every_crate_explains_itself() {
    for name in names() {
        let face = if name == "limbic" {
            "src/main.rs"
        } else {
            "src/lib.rs"
        };
        let text = std::fs::read_to_string(crates().join(&name).join(face)).unwrap();
        assert!(
            text.starts_with("//! ") && !text.contains("Not written yet"),
            "crates/{name}/{face} has no page"
        );
    }
}
