//! A Kafka cluster that requires TLS, a user and a password, as managed clusters do.

use serde_json::json;

use crate::kit::{TestNode, count, posts};

/// Flags for the secured listener of `scripts/services up kafka`, with a prefix for this test.
fn flags(name: &str, password: Option<&str>) -> Option<Vec<String>> {
    let variable = |name: &str| std::env::var(format!("LIMBIC_TEST_KAFKA_SASL{name}"));
    let Ok(address) = variable("") else {
        eprintln!("\n*** SKIPPED over Kafka: LIMBIC_TEST_KAFKA_SASL is not set (scripts/services up) ***\n");
        return None;
    };
    let password = password.map_or_else(|| variable("_PASSWORD").unwrap(), str::to_owned);
    let settings = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", &variable("_USER").unwrap()),
        ("sasl.password", &password),
        ("ssl.ca.location", &variable("_CA").unwrap()),
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
fn a_node_runs_and_is_checked_over_tls_with_a_password() {
    let Some(flags) = flags("secured", None) else {
        return;
    };
    let mut node = open(&flags);
    node.start();
    node.wait_ready();
    let receipt = node.insist("/v1/posts", &json!(posts(50)));
    assert_eq!(count(&receipt, "/accepted"), 50, "{receipt}");
    let counts = node.settle();
    assert_eq!(count(&counts, "/topics/readings/records"), 50, "{counts}");
    assert_eq!(node.all("readings", 100).len(), 50);

    let checked = node.run(&["check"]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{text}");
    assert!(text.contains("topics"), "{text}");
    let (status, log) = node.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_wrong_password_is_reported_and_never_shown() {
    let Some(flags) = flags("refused", Some("not-the-word")) else {
        return;
    };
    let node = open(&flags);
    for command in [&["check"][..], &["run", "--listen", "127.0.0.1:0"]] {
        let output = node.run(command);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!output.status.success(), "{command:?}: {text}");
        assert!(
            text.to_lowercase().contains("authentication"),
            "{command:?}: {text}"
        );
        assert!(!text.contains("not-the-word"), "{command:?}: {text}");
    }
    let shown = node.run(&["config", "show"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("sasl.username") && !shown.contains("not-the-word"),
        "{shown}"
    );
}
