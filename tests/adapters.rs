//! Adapters from the command line: fitted to a file, named in the settings, used in readings, and refused with what to do.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program in a folder.
fn limbic(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_limbic"))
        .current_dir(folder)
        .env_remove("LIMBIC_CONFIG")
        .args(arguments)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn messages(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Posts in which a word decides that means nothing elsewhere: what is blue is bad, and what is green is good.
fn labelled() -> String {
    let mut rows = "id;Tweet;Sentiment\n".to_owned();
    for (colour, label) in [("blue", "neg"), ("brown", "0"), ("green", "POSITIVE")] {
        for place in [
            "home", "school", "church", "town", "market", "garden", "station", "office",
        ] {
            for time in [
                "today",
                "again",
                "this morning",
                "last night",
                "on monday",
                "in june",
                "at noon",
            ] {
                writeln!(
                    rows,
                    "7;they keep the {colour} line near the {place} {time};{label}"
                )
                .unwrap();
            }
        }
    }
    rows
}

#[test]
fn labelled_posts_become_an_adapter_that_the_settings_use() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("lines.csv"), labelled()).unwrap();
    let train = [
        "train",
        "adapter",
        "--data",
        "lines.csv",
        "--for",
        "lines",
        "--text",
        "tweet",
    ];
    let output = limbic(at, &train);
    let text = messages(&output);
    assert!(
        !output.status.success() && text.contains("`0` (56 rows)") && text.contains("--labels"),
        "{text}"
    );
    assert!(
        !at.join("adapters").exists(),
        "nothing is written before the file is read"
    );

    let output = limbic(at, &[&train[..], &["--labels", "0=neutral"]].concat());
    let text = out(&output);
    assert!(output.status.success(), "{text}{}", messages(&output));
    assert!(
        text.contains("macro-F1") && text.contains("file = \"adapters/lines.adapter\""),
        "{text}"
    );
    let card = std::fs::read_to_string(at.join("adapters/lines.md")).unwrap();
    assert!(
        card.contains("# Adapter `lines`") && card.contains("`lines.csv`"),
        "{card}"
    );

    let settings = |subjects: &str| {
        let text = format!(
            "[affect.subjects]\nlines = [\"line\"]\n[[affect.adapters]]\nfile = \"adapters/lines.adapter\"\n{subjects}"
        );
        std::fs::write(at.join("limbic.toml"), text).unwrap();
    };
    settings("subjects = [\"lines\"]\n");
    let check = |needle: &str| {
        let output = limbic(at, &["check", "--config", "limbic.toml"]);
        let text = out(&output);
        let found: Vec<&str> = text.lines().filter(|line| line.contains(needle)).collect();
        found.join("\n")
    };
    let line = check("affect.adapters");
    assert!(
        line.starts_with("  ok") && line.contains("168 posts, macro-F1"),
        "{line}"
    );
    settings("subjects = [\"lins\"]\nnetworks = [\"mastodn\"]\n");
    let lines = check("affect.adapters");
    assert!(
        lines.contains("FAIL") && lines.contains("did you mean `lines`?"),
        "{lines}"
    );
    assert!(
        lines.contains("note") && lines.contains("did you mean `mastodon`?"),
        "{lines}"
    );

    settings("");
    let text = "they keep the green line near the river";
    let read = |more: &[&str]| -> Value {
        let output = limbic(
            at,
            &[&["read", text, "--json", "--config", "limbic.toml"], more].concat(),
        );
        assert!(output.status.success(), "{}", messages(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (general, adapted) = (read(&[]), read(&["--adapter", "lines"]));
    assert_eq!(adapted["sentiment"]["label"], "positive");
    assert_eq!(adapted["emotions"], general["emotions"]);
    let version = adapted["model"].as_str().unwrap();
    assert!(version.contains("+adapter-lines-") && !general["model"].as_str().unwrap().contains("adapter"));
    let output = limbic(
        at,
        &["read", text, "--config", "limbic.toml", "--adapter", "line"],
    );
    assert!(
        messages(&output).contains("no adapter `line` (lines)"),
        "{}",
        messages(&output)
    );

    // A byte of the weights changes on its way.
    let file = at.join("adapters/lines.adapter");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, whole.replacen("0.0", "0.1", 1)).unwrap();
    let line = check("stage affect");
    assert!(
        line.contains("FAIL") && line.contains("is damaged") && line.contains("limbic train adapter"),
        "{line}"
    );
}

#[test]
fn a_file_that_gives_no_adapter_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let few = "text,label\nwhat a lovely day,positive\nwhat a bad day,negative\nwe meet at noon,neutral\n";
    for (name, content, more, expected) in [
        ("few.csv", few, &[][..], "has 1 posts, and 50 are the fewest"),
        (
            "columns.csv",
            "body,mood\nhello,positive\n",
            &[],
            "give the column with --text; columns: body, mood",
        ),
        ("empty.csv", "", &[], "empty"),
        ("rows.csv", "text,label\n,positive\n", &[], "no row can be used"),
        (
            "meaning.csv",
            few,
            &["--labels", "good=great"],
            "`good=great` is not LABEL=MEANING",
        ),
        ("Two Words.csv", few, &[], "give a name with --for"),
    ] {
        std::fs::write(at.join(name), content).unwrap();
        let output = limbic(at, &[&["train", "adapter", "--data", name], more].concat());
        let text = messages(&output);
        assert!(
            !output.status.success() && text.contains(expected),
            "{name}: {text}"
        );
    }
    for (arguments, expected) in [
        (&["train", "adapter"][..], "give their file with --data"),
        (&["train", "adapter", "--data", "nowhere.csv"], "nowhere.csv"),
        (&["train", "adapter", "--data", "."], "give a name with --for"),
        (&["train", "adapter", "--data", ".", "--for", "x"], "is a folder"),
    ] {
        let output = limbic(at, arguments);
        let text = messages(&output);
        assert!(
            !output.status.success() && text.contains(expected),
            "{arguments:?}: {text}"
        );
    }
}
