//! The ad platform that is a file.

use limbic_ad_platforms::FilePlatform;
use limbic_deliver::Answer;
use limbic_domain::Utc;
use serde_json::json;

use crate::kit::{deliver, delivery, lines};

#[test]
fn a_file_contains_each_decision_once_after_repeated_sends_and_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/on/the/way/ads.jsonl");
    let now = Utc::from_millis(1_000);
    let file = FilePlatform::open(&path).unwrap();
    let answers = deliver(&file, &[1, 2, 1], now);
    assert_eq!(answers, vec![Answer::Applied(()); 3]);
    let other = FilePlatform::open(&path).unwrap();
    assert_eq!(deliver(&other, &[2, 3], now), vec![Answer::Applied(()); 2]);
    assert_eq!(
        deliver(&file, &[3, 4], now),
        vec![Answer::Applied(()); 2],
        "it sees the lines that another process added"
    );
    let decisions: Vec<_> = lines(&path).iter().map(|line| line["decision"].clone()).collect();
    assert_eq!(decisions, [1, 2, 3, 4].map(|n| json!(delivery(n).decision)));
    assert_eq!(lines(&path)[0]["delivered_at"], "1970-01-01T00:00:01.000Z");
}

#[test]
fn a_file_opens_while_another_process_writes_it_and_is_read_before_the_first_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    let now = Utc::default();
    deliver(&FilePlatform::open(&path).unwrap(), &[1], now);
    let elsewhere = std::fs::File::open(&path).unwrap();
    elsewhere.lock().unwrap();
    let file = FilePlatform::open(&path).unwrap();
    let answers = deliver(&file, &[1, 2], now);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Answer::RetryAfter { .. })),
        "{answers:?}"
    );
    elsewhere.unlock().unwrap();
    assert_eq!(deliver(&file, &[1, 2], now), vec![Answer::Applied(()); 2]);
    let decisions: Vec<_> = lines(&path).iter().map(|line| line["decision"].clone()).collect();
    assert_eq!(decisions, [1, 2].map(|n| json!(delivery(n).decision)));
}

#[test]
fn a_torn_last_line_is_cut_off_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    deliver(&FilePlatform::open(&path).unwrap(), &[1, 2], Utc::default());
    let whole = std::fs::read(&path).unwrap();
    let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for torn in [first + 1, first + 20, whole.len() - 1] {
        std::fs::write(&path, &whole[..torn]).unwrap();
        let file = FilePlatform::open(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().len(),
            first as u64,
            "torn at {torn}"
        );
        assert_eq!(
            deliver(&file, &[1, 2], Utc::default()),
            vec![Answer::Applied(()); 2]
        );
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_damaged_file_and_a_locked_file_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    let file = FilePlatform::open(&path).unwrap();
    let holder = std::fs::File::open(&path).unwrap();
    holder.lock().unwrap();
    let answer = deliver(&file, &[1], Utc::default());
    assert!(
        matches!(&answer[..], [Answer::RetryAfter { wait: Some(_), .. }]),
        "{answer:?}"
    );
    holder.unlock().unwrap();
    assert_eq!(deliver(&file, &[1], Utc::default()), [Answer::Applied(())]);

    std::fs::write(&path, "{\"decision\":\"x\"}\nnot json\n").unwrap();
    let error = FilePlatform::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("byte 17") && error.contains("move the file aside"),
        "{error}"
    );
    std::fs::write(&path, "").unwrap();
    assert_eq!(
        deliver(&file, &[1], Utc::default()),
        [Answer::Applied(())],
        "an emptied file is read from its start"
    );
    assert_eq!(lines(&path).len(), 1);
}
