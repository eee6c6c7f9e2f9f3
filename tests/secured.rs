//! The program over a cluster that wants TLS, a user and a password, as managed ones do.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may")]

mod node;

use node::{TestNode, posts};
use serde_json::json;

/// Flags for the secured listener of `scripts/services up kafka`, with a prefix of this test's own.
fn flags(name: &str, password: Option<&str>) -> Option<Vec<String>> {
    let said = |name: &str| std::env::var(format!("LIMBIC_TEST_KAFKA_SASL{name}"));
    let Ok(address) = said("") else {
        eprintln!("\n*** SKIPPED over Kafka: LIMBIC_TEST_KAFKA_SASL is not set (scripts/services up) ***\n");
        return None;
    };
    let password = password.map_or_else(|| said("_PASSWORD").unwrap(), str::to_owned);
    let settings = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", &said("_USER").unwrap()),
        ("sasl.password", &password),
        ("ssl.ca.location", &said("_CA").unwrap()),
    ]
    .map(|(name, value)| format!("{name:?} = {value:?}"));
    let flags = [
        "--log".to_owned(),
        format!("kafka://{address}"),
        "--set".to_owned(),
        format!("kafka.prefix={name}-{}", std::process::id()),
        "--set".to_owned(),
        "stream.single_node=true".to_owned(),
        "--set".to_owned(),
        format!("kafka.settings={{ {} }}", settings.join(", ")),
    ];
    Some(flags.into())
}

fn open(flags: &[String]) -> TestNode {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    TestNode::new(&flags)
}

#[test]
fn it_runs_and_is_checked_over_tls_with_a_password() {
    let Some(flags) = flags("secured", None) else {
        return;
    };
    let mut house = open(&flags);
    house.start();
    house.wait_ready();
    assert_eq!(house.insist("/v1/posts", &json!(posts(50)))["accepted"], 50);
    let counts = house.settle();
    assert_eq!(counts["topics"]["readings"]["records"], 50, "{counts}");
    assert_eq!(house.all("readings", 100).len(), 50);

    let checked = house.run(&["check"]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("topics"), "{said}");
    let (status, log) = house.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_wrong_password_is_said_and_never_shown() {
    let Some(flags) = flags("refused", Some("not-the-word")) else {
        return;
    };
    let house = open(&flags);
    for command in [&["check"][..], &["run", "--listen", "127.0.0.1:0"]] {
        let output = house.run(command);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!output.status.success(), "{command:?}: {said}");
        assert!(
            said.to_lowercase().contains("authentication"),
            "{command:?}: {said}"
        );
        assert!(!said.contains("not-the-word"), "{command:?}: {said}");
    }
    let shown = house.run(&["config", "show"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("sasl.username") && !shown.contains("not-the-word"),
        "{shown}"
    );
}
