//! The commands of the safety rules, with the real program.

use serde_json::Value;

use crate::kit::TestNode;

/// Judges the texts of a file. Returns the exit code, what was printed, and the messages.
fn judge(node: &TestNode, name: &str, text: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let file = node.data().join(name);
    std::fs::write(&file, text).unwrap();
    let mut arguments = vec!["safety", "test", file.to_str().unwrap()];
    arguments.extend(more);
    let output = node.run(&arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn texts_are_judged_and_a_refused_one_gives_exit_code_1() {
    let node = TestNode::open(&[]);
    let ordinary = "Warm feet in any weather. Try a pair of our boots.\n";
    let (code, printed, messages) = judge(&node, "good.txt", ordinary, &[]);
    assert_eq!(code, Some(0), "{messages}");
    assert_eq!(printed, format!("    1  cleared  {ordinary}"));

    let mixed = format!("{ordinary}\nFeeling sad? Try our boots.\n");
    let (code, printed, _) = judge(&node, "mixed.txt", &mixed, &[]);
    assert_eq!(code, Some(1));
    assert!(
        printed.ends_with("    3  refused  P2 feeling: It names or works on what a person feels (`sad`).\n"),
        "{printed}"
    );

    let objects = r#"[{"body": "A mortgage for your home in the town.", "declared": {"categories": ["credit"]}},
        {"body": "A mortgage for your home in the town."}]"#;
    let (code, printed, messages) = judge(&node, "ads.json", objects, &["--json"]);
    assert_eq!(code, Some(1), "{messages}");
    let judged: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(judged[0]["verdict"], "cleared");
    assert_eq!(judged[1]["verdict"], "refused");
    assert_eq!(judged[1]["rule"], "undeclared_category");
    assert_eq!(judged[1]["protection"], "P8");

    let hurry = "Hurry, the boots are in the shop in the town.\n";
    assert_eq!(judge(&node, "hurry.txt", hurry, &[]).0, Some(0));
    assert_eq!(
        judge(&node, "hurry.txt", hurry, &["--to-upset-people"]).0,
        Some(1)
    );
}

#[test]
fn a_file_that_cannot_be_judged_gives_a_message_and_exit_code_1() {
    let node = TestNode::open(&[]);
    for (name, text, expected) in [
        ("empty.txt", "\n", "no texts"),
        ("wrong.jsonl", "fine\n{\"body\": 1}\n", "line 2"),
    ] {
        let (code, printed, messages) = judge(&node, name, text, &[]);
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{messages}");
        assert!(messages.contains(expected), "{messages}");
    }
    let missing = node.run(&["safety", "test", "nowhere.txt"]);
    let messages = String::from_utf8(missing.stderr).unwrap();
    assert!(
        !missing.status.success() && messages.contains("nowhere.txt cannot be read"),
        "{messages}"
    );
    let wrong = node.run(&["safety", "explain", "everyone:boxing"]);
    let messages = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        !wrong.status.success() && messages.contains("is not the id of a decision"),
        "{messages}"
    );
}

#[test]
fn the_page_of_the_rules_is_the_one_in_the_documentation() {
    let node = TestNode::open(&[]);
    let printed = String::from_utf8(node.run(&["safety", "rules", "--markdown"]).stdout).unwrap();
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/safety.md")).unwrap();
    assert_eq!(printed, kept);
    let table = String::from_utf8(node.run(&["safety", "rules"]).stdout).unwrap();
    assert!(
        table.contains("P11  No pressure on people who are upset"),
        "{table}"
    );
}
