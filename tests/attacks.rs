//! The short form of `scripts/attack`: each attack on a node of its own, with a neighbour whose requests go on.

use std::path::Path;
use std::process::Command;

/// The attacks that need the whole program. Those on single connections and requests are tests of the crate `limbic-api`.
const ATTACKS: [&str; 6] = [
    "nested",
    "bomb",
    "unread",
    "descriptors",
    "other-sites",
    "open-files",
];

#[test]
fn a_node_keeps_its_promises_under_attack() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/attack");
    let mut command = Command::new("python3");
    command
        .arg(script)
        .arg("--short")
        .arg("--binary")
        .arg(env!("CARGO_BIN_EXE_limbic"));
    for attack in ATTACKS {
        command.args(["--only", attack]);
    }
    let Ok(done) = command.output() else {
        eprintln!("\n*** SKIPPED: python3 is not installed, so nothing was attacked ***\n");
        return;
    };
    let table = String::from_utf8_lossy(&done.stdout);
    let problem = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{table}\n{problem}");
    assert_eq!(table.lines().count(), ATTACKS.len() + 2, "{table}");
}
