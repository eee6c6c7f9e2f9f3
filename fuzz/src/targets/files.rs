//! Files that a user passes to a command.

use std::path::Path;
use std::sync::Once;

use limbic_connectors::JsonLines;
use limbic_connectors::pull_once;
use limbic_evaluation::{EvaluationOptions, EvaluationPolicy, LogFormat, read_log};
use limbic_ingest::replay::{Format, Mapping, ReadOptions, Rows, Times};

use super::requests::check_item;
use super::with_file;

mod customer_list {
    #![allow(dead_code, unreachable_pub)]
    include!(concat!(env!("OUT_DIR"), "/customer_list.rs"));
}

const NAMES: [&str; 6] = ["posts.jsonl", "posts.json", "posts.csv", "posts.tsv", "posts", "posts.csv.gz"];
const ENCODINGS: [Option<&str>; 5] =
    [None, None, Some("windows-1252"), Some("utf-16le"), Some("shift_jis")];
const MAPPINGS: [&str; 4] = [
    "",
    "network:=test,id:=1,author=0,text=1,created_at=2",
    "network:=test,id=id,author=/user/name,text=/text,created_at=created_at",
    "network:=test,id=tweet_id,author=user,text=body,created_at=date",
];

fn options(choice: [u8; 4]) -> ReadOptions {
    let [format, separator, encoding, mapping] = choice.map(usize::from);
    let formats = [None, None, Some(Format::JsonLines), Some(Format::Json), Some(Format::Csv), Some(Format::Tsv)];
    let zones = [None, Some("UTC"), Some("America/New_York")];
    let forms = [None, None, None, Some("%d/%m/%Y %H:%M")];
    ReadOptions {
        format: formats[format % formats.len()],
        separator: [None, None, Some(b';'), Some(b'|')][separator % 4],
        no_header: separator / 4 % 2 == 1,
        encoding: ENCODINGS[encoding % ENCODINGS.len()].map(str::to_owned),
        mapping: Mapping::parse(MAPPINGS[mapping % 4]).expect("a mapping"),
        times: Times::new(zones[mapping / 4 % 3], forms[mapping / 16 % 4]).expect("a zone and a form"),
    }
}

/// The first bytes choose the name and the options of a file, the rest is the file. Every row is a post or says why not, and rows have
/// an order.
pub fn replay(bytes: &[u8]) {
    let Some((&[name, format, separator, encoding, mapping], file)) = bytes.split_first_chunk() else {
        return;
    };
    let options = options([format, separator, encoding, mapping]);
    with_file(NAMES[usize::from(name) % NAMES.len()], file, |path| check_rows(path, &options));
}

fn check_rows(path: &Path, options: &ReadOptions) {
    let rows = match Rows::open(path, options) {
        Ok(rows) => rows,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut before = (0, 0);
    for row in rows {
        // A damaged file.
        let Ok(row) = row else { return };
        assert!(row.number == before.0 + 1 && row.line >= before.1, "{row:?} after {before:?}");
        before = (row.number, row.line);
        match row.post {
            Ok(post) => check_item(post),
            Err(why) => assert!(!why.is_empty()),
        }
    }
}

/// The first byte chooses how times and columns are read, the rest is a file of Parquet or Avro. Rows as for all files.
pub fn tables(bytes: &[u8]) {
    static QUIET: Once = Once::new();
    // The library for Parquet panics on damaged files, and the reader makes errors of that. libFuzzer's hook would end the program; what
    // nobody catches ends it nevertheless.
    QUIET.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let is_ours = panic.location().is_none_or(|place| !place.file().contains("parquet-"));
            if is_ours {
                eprintln!("{panic}");
            }
        }));
    });
    let Some((&[mapping], file)) = bytes.split_first_chunk() else { return };
    let options = options([0, 0, 0, mapping]);
    with_file("posts.table", file, |path| check_rows(path, &options));
}

/// A text as the time of a post. What is read is written in one form, and read again as the same time.
pub fn times(bytes: &[u8]) {
    let Some((&[mapping], text)) = bytes.split_first_chunk() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(at) = text.parse::<limbic_domain::Utc>() {
        let again = at.to_string().parse::<limbic_domain::Utc>();
        assert_eq!(again.ok(), Some(at));
    }
    let row = serde_json::json!({"network": "test", "id": "1", "author": "a", "text": "t", "created_at": text});
    let options = options([2, 0, 0, mapping / 4 * 4]);
    with_file("time.jsonl", row.to_string().as_bytes(), |path| {
        let rows = Rows::open(path, &options).expect("JSON Lines");
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows.len(), 1);
        let row = rows[0].as_ref().expect("a row");
        if let Ok(post) = &row.post {
            let at: limbic_domain::Utc = post["created_at"].as_str().unwrap().parse().expect("one form");
            assert_eq!(row.at, Some(at));
        }
    });
}

/// A log of decisions is read, or the error says why not.
pub fn decision_logs(bytes: &[u8]) {
    let Some((&[format], file)) = bytes.split_first_chunk() else { return };
    let formats = [LogFormat::Dsjson, LogFormat::Limbic, LogFormat::OpenBandit];
    with_file("log", file, |path| {
        let format = formats[usize::from(format) % 3];
        let mut options = EvaluationOptions::new(path, format, EvaluationPolicy::Uniform);
        options.threads = 1;
        if let Ok(log) = read_log(&options, |_| {}) {
            assert!(log.rows.iter().all(|row| row.propensity > 0.0 && row.propensity <= 1.0));
        }
    });
}

/// A connector passes on every line once, and stops.
pub fn connector(bytes: &[u8]) {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let complete = lines.filter(|line| line.ends_with(b"\n") && !line.iter().all(u8::is_ascii_whitespace)).count();
    with_file("followed", bytes, |path| {
        let (mut source, mut cursor, mut found) = (JsonLines::new(path), None, 0);
        let accept = |posts: Vec<_>| {
            found += posts.len();
            Ok::<_, std::convert::Infallible>(())
        };
        let mut accept = accept;
        while pull_once(&mut source, &mut cursor, 3, &mut accept).expect("a page") {}
        assert_eq!(found, complete);
    });
}

/// A hashed contact has no field in the clear but those that the platform demands.
pub fn contacts(bytes: &[u8]) {
    use customer_list::{Contact, ListFormat};
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts = text.split('\n').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let contact = Contact {
        email: next(),
        phone: next(),
        first_name: next(),
        last_name: next(),
        country: next(),
        zip: next(),
    };
    for format in [ListFormat::Google, ListFormat::Meta] {
        let Ok(row) = contact.hashed(format) else { continue };
        let is_hash = |value: &String| value.is_empty() || (value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(row[..4].iter().all(is_hash), "{row:?}");
        assert!(row[4].len() == 2 || is_hash(&row[4]), "{row:?}");
    }
}
