//! Fuzz targets for the parsers that a stranger's bytes reach. `scripts/fuzz` builds and runs them.
//!
//! All targets are in one program, because linking costs more than anything else. The environment variable `LIMBIC_FUZZ` names the
//! target. A target panics if a promise does not hold.
#![no_main]

mod copies;
mod targets;

// What the copied files expect at the root of their crate.
use copies::{html, seen, text};
use limbic_connectors::{Item, Page};

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("LIMBIC_FUZZ").unwrap_or_default();
    let known = targets::ALL.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = known else {
        let names: Vec<&str> = targets::ALL.iter().map(|(name, _)| *name).collect();
        eprintln!("`{name}` is not a target: set LIMBIC_FUZZ to one of {}", names.join(", "));
        std::process::exit(2);
    };
    *target
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
