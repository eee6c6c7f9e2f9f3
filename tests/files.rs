//! Files of posts as people have them, replayed by the program.

use serde_json::Value;

use crate::kit::{TestNode, count};

/// Replays `text` as the file `name` and returns the exit code, the totals and the messages.
fn replay(node: &TestNode, name: &str, text: &[u8], more: &[&str]) -> (bool, Value, String) {
    let file = node.data().join(name);
    std::fs::write(&file, text).unwrap();
    let url = node.url();
    let mut arguments = vec!["replay", file.to_str().unwrap(), "--to", &url, "--json"];
    arguments.extend(more);
    let output = node.run(&arguments);
    let totals = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (
        output.status.success(),
        totals,
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Posts one minute apart, the newest first.
fn backwards() -> String {
    let rows = (0..50)
        .rev()
        .map(|minute| format!("b{minute},ada,2026-03-01 10:{minute:02}:00,a line of the evening {minute}\n"));
    format!("id,author,created_at,text\n{}", rows.collect::<String>())
}

#[test]
fn a_file_from_which_nothing_is_accepted_is_a_failure() {
    let node = TestNode::open(&[]);
    let map = ["--map", "network:=test"];
    for (name, text, expected) in [
        ("empty.csv", "", "empty"),
        ("header.csv", "id,author,created_at,text\n", "it has no rows"),
        (
            "zone.csv",
            "id,author,created_at,text\n1,a,2026-03-01 10:00,x\n",
            "--timezone UTC",
        ),
        (
            "columns.csv",
            "id;author;created_at;body\n1;a;2026-03-01T10:00:00Z;x\n",
            "no column for text",
        ),
        ("none.jsonl", "{\"id\": 1}\n", "author"),
    ] {
        let (succeeded, _, messages) = replay(&node, name, text.as_bytes(), &map);
        assert!(!succeeded && messages.contains(expected), "{name}: {messages}");
    }
}

#[test]
fn an_excel_file_is_read_and_every_bad_row_is_named_by_its_line() {
    let mut node = TestNode::open(&[]);
    let text = "id;who;when;text\r\n1;ada;01.03.2026 10:00:00;\"two\r\nlines\"\r\n2;ada;01.03.2026 10:01:00;\"open\r\n\
                3;ada;yesterday;x\r\n4;ada;01.03.2026 10:02:00;caf\u{e9}\r\n";
    let bytes: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let map = [
        "--map",
        "network:=test,author=who,created_at=when",
        "--timezone",
        "Europe/Berlin",
    ];
    let (succeeded, totals, messages) = replay(&node, "excel.csv", &bytes, &map);
    assert!(succeeded, "{messages}");
    assert_eq!(
        (count(&totals, "/accepted"), count(&totals, "/rejected")),
        (2, 2),
        "{totals}"
    );
    assert!(messages.contains("line 4: row: a quote opens"), "{messages}");
    assert!(
        messages.contains("line 5: row: created_at: `yesterday`"),
        "{messages}"
    );
    // The bad row of the year's end does not move time.
    assert_eq!(totals["latest"], "2026-03-01T09:02:00.000Z");
    assert_eq!(count(&node.settle(), "/topics/posts/records"), 2);
}

#[test]
fn a_file_that_runs_backwards_is_refused_or_sorted() {
    let mut node = TestNode::open(&[]);
    let map = ["--map", "network:=test", "--timezone", "UTC"];
    let file = backwards();
    let (succeeded, _, messages) = replay(&node, "newest.csv", file.as_bytes(), &map);
    assert!(!succeeded && messages.contains("--sort"), "{messages}");
    let unsorted = [&map[..], &["--unsorted"]].concat();
    let (succeeded, totals, messages) = replay(&node, "newest.csv", file.as_bytes(), &unsorted);
    assert!(succeeded, "{messages}");
    assert_eq!(count(&totals, "/out_of_order"), 49, "{totals}");
    let sorted = [&map[..], &["--sort", "--batch", "7"]].concat();
    let (succeeded, totals, messages) = replay(&node, "newest.csv", file.as_bytes(), &sorted);
    assert!(succeeded, "{messages}");
    assert_eq!(
        (count(&totals, "/out_of_order"), count(&totals, "/duplicates")),
        (0, 50),
        "{totals}"
    );
    assert_eq!(count(&node.settle(), "/topics/posts/records"), 50);
}

#[test]
fn a_request_that_is_too_large_is_sent_in_halves() {
    let mut node = TestNode::open(&["--set", "api.max_body=\"64KiB\""]);
    let rows = (0..40).map(|n| format!("{n},ada,2026-03-01T10:00:00Z,{} {n}\n", "long ".repeat(1_000)));
    let file = format!("id,author,created_at,text\n{}", rows.collect::<String>());
    let (succeeded, totals, messages) =
        replay(&node, "long.csv", file.as_bytes(), &["--map", "network:=test"]);
    assert!(succeeded, "{messages}");
    assert_eq!(count(&totals, "/accepted"), 40, "{totals}");
    assert_eq!(count(&node.settle(), "/topics/posts/records"), 40);
}

#[test]
fn posts_whose_subjects_are_not_known_are_counted_with_what_to_do() {
    let node = TestNode::open(&["--set", "ingest.open_subjects=false"]);
    let row = |id: u32, subjects: &str| {
        format!(
            "{{\"network\":\"test\",\"id\":\"{id}\",\"author\":\"ada\",\"text\":\"a line\",\
             \"created_at\":\"2026-03-01T10:00:00Z\",\"subjects\":[{subjects}]}}\n"
        )
    };
    let known = "\"boxing\"";
    let posts = [
        row(1, known),
        row(2, "\"golf\",\"boxing\""),
        row(3, "\"golf\",\"tennis\""),
    ];
    let (succeeded, totals, messages) = replay(&node, "posts.jsonl", posts.concat().as_bytes(), &[]);
    assert!(succeeded, "{messages}");
    assert_eq!(count(&totals, "/accepted"), 3, "{totals}");
    assert_eq!(count(&totals, "/posts_without_subjects"), 2, "{totals}");
    assert_eq!(count(&totals, "/unknown_subjects"), 3, "{totals}");
    assert_eq!(
        totals["examples_of_unknown_subjects"],
        serde_json::json!(["golf", "tennis"])
    );

    let file = node.data().join("posts.jsonl");
    let url = node.url();
    let output = node.run(&["replay", file.to_str().unwrap(), "--to", &url, "--restart"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for part in [
        "2 posts named subjects that the node does not know",
        "golf, tennis",
        "affect.subjects",
        "ingest.open_subjects = true",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
