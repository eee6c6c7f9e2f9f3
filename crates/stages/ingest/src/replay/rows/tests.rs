//! The tests of [`rows`](super).

use std::io::Write as _;

use super::super::lines::LIMIT;
use super::*;

fn open(ending: &str, bytes: &[u8], options: &ReadOptions) -> Result<Rows, RowsError> {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Rows::open(file.path(), options)
}

fn mapped(map: &str) -> ReadOptions {
    ReadOptions {
        mapping: Mapping::parse(map).unwrap(),
        times: Times::new(Some("UTC"), None).unwrap(),
        ..ReadOptions::default()
    }
}

fn rows(ending: &str, bytes: &[u8], map: &str) -> Vec<Row> {
    open(ending, bytes, &mapped(map))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn problems(rows: &[Row]) -> Vec<(u64, &str)> {
    rows.iter()
        .filter_map(|row| Some((row.line, row.post.as_ref().err()?.as_str())))
        .collect()
}

fn ids(rows: &[Row]) -> Vec<&str> {
    let ids = rows
        .iter()
        .filter_map(|row| row.post.as_ref().ok()?["id"].as_str());
    ids.collect()
}

const REST: &str = "network:=test,author:=a,created_at:=2026-11-29T12:00:00Z";

#[test]
fn an_invalid_line_is_reported_and_reading_continues() {
    let mut bytes = b"{\"id\":\"1\"}\n{\"id\":\n\n[1]\n{\"id\":\"\xff\"}\n".to_vec();
    bytes.extend(vec![b'x'; LIMIT + 10]);
    bytes.extend_from_slice(b"\n{\"id\":\"5\"}");
    let rows = rows(".jsonl", &bytes, REST);
    let found = problems(&rows);
    assert_eq!(found.len(), 4, "{found:?}");
    for ((number, problem), hint) in found.iter().zip(["too early", "object", "UTF-8", "1048576"]) {
        assert!(problem.contains(hint), "{number}: {problem}");
    }
    assert_eq!(ids(&rows), ["1", "5"]);
}

#[test]
fn a_csv_keeps_quoted_newlines_and_reports_short_rows() {
    let rows = rows(
        ".csv",
        "\u{feff}id,text\n1,\"two\nlines\"\n2\n3,ok\n".as_bytes(),
        REST,
    );
    assert_eq!(rows[0].post.as_ref().unwrap()["text"], "two\nlines");
    assert_eq!(problems(&rows), [(4, "has 1 columns, the first row has 2")]);
    assert_eq!(ids(&rows), ["1", "3"]);
}

#[test]
fn shape_and_separator_are_found() {
    for (ending, text) in [
        (".csv", "id;text\n1;a, b\n2;c, d\n"),
        (".csv", "id\ttext\n1\ta, b\n2\tc, d\n"),
        (".csv", " id , text \n1,a\n2,b\n"),
        (".tsv", "id\ttext\n1\ta\n2\tb\n"),
        (".txt", "id,text\n1,a\n2,b\n"),
        (
            ".json",
            "[{\"id\":\"1\",\"text\":\"a\"},{\"id\":\"2\",\"text\":\"b\"}]",
        ),
        (
            ".json",
            "{\n\"id\":\"1\",\"text\":\"a\"\n}\n{\n\"id\":\"2\",\"text\":\"b\"\n}",
        ),
        (
            ".json",
            "{\"id\":\"1\",\"text\":\"a\"}\n{\"id\":\"2\",\"text\":\"b\"}\n",
        ),
        (
            ".js",
            "window.YTD.tweets.part0 = [ {\"id\":\"1\",\"text\":\"a\"},\n{\"id\":\"2\",\"text\":\"b\"} ]",
        ),
    ] {
        assert_eq!(
            ids(&rows(ending, text.as_bytes(), REST)),
            ["1", "2"],
            "{ending}: {text}"
        );
    }
}

#[test]
fn columns_have_numbers_where_there_is_no_header() {
    let found = rows(
        ".csv",
        b"\"0\",\"7\",\"x\"\n\"4\",\"8\",\"y\"\n",
        &format!("{REST},id=1,text=2"),
    );
    assert_eq!(ids(&found), ["7", "8"]);
    let options = ReadOptions {
        no_header: true,
        ..mapped("network:=test,id=1,text=2")
    };
    let problem = open(".csv", b"0,7,x\n", &options).err().unwrap().to_string();
    assert!(problem.contains("author, created_at"), "{problem}");
}

#[test]
fn a_mapping_that_does_not_fit_is_refused_before_anything_is_sent() {
    let refused = |map: &str, text: &str| match open(".csv", text.as_bytes(), &mapped(map)) {
        Ok(_) => panic!("{text} is accepted"),
        Err(error) => error.to_string(),
    };
    let problem = refused(&format!("{REST},text=bdy"), "id,body\n1,a\n");
    assert!(
        problem.contains("`bdy`") && problem.contains("id, body"),
        "{problem}"
    );
    let problem = refused("network:=test", "id,body\n1,a\n");
    assert!(problem.contains("author, text, created_at"), "{problem}");
    let problem = refused(REST, "id,text,text\n1,a,b\n");
    assert!(problem.contains("columns 1 and 2"), "{problem}");
    assert!(refused(REST, "").contains("empty"));
}

#[test]
fn a_file_with_a_column_of_features_is_refused_before_its_first_row() {
    for (ending, text) in [
        (".csv", "id,text,voice_pitch\n1,a,120\n"),
        (".csv", "id;text;Face Embedding\n1;a;[0.1]\n"),
        (".tsv", "id\ttext\tkeystroke_dwell\n1\ta\t81\n"),
    ] {
        let error = open(ending, text.as_bytes(), &mapped(REST))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("leave the field out") && error.contains("No row was read"),
            "{error}"
        );
    }
    assert_eq!(
        ids(&rows(
            ".csv",
            b"id,text,voice,face_image\n1,a voice_pitch,alto,x.png\n",
            REST
        )),
        ["1"]
    );
}

#[test]
fn a_row_of_json_with_features_keeps_them_for_the_edge_to_refuse() {
    let text = br#"{"id":"1","voice":{"text":"a","pitch":120}}
{"id":"2","voice":{"text":"b","file":"b.ogg"}}"#;
    let rows = rows(".jsonl", text, &format!("{REST},text=/voice/text"));
    let posts: Vec<&Value> = rows.iter().map(|row| row.post.as_ref().unwrap()).collect();
    assert_eq!(posts[0]["meta"]["voice"]["pitch"], 120);
    assert_eq!(posts[1].get("meta"), None);
}

#[test]
fn an_id_that_lost_digits_is_refused() {
    let text = "id,text\n1.23457E+17,a\n12345678901234567890123,b\n81.0,c\n9007199254740994.0,d\n";
    let found = rows(".csv", text.as_bytes(), REST);
    assert_eq!(ids(&found), ["12345678901234567890123", "81"]);
    let found = problems(&found);
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 5]);
    assert!(
        found.iter().all(|(_, problem)| problem.contains("as text")),
        "{found:?}"
    );
    let found = rows(
        ".jsonl",
        b"{\"id\":1.5e17,\"text\":\"a\"}\n{\"id\":36893488147419103232,\"text\":\"b\"}",
        REST,
    );
    assert_eq!(ids(&found), ["36893488147419103232"]);
}

#[cfg(not(all(feature = "parquet", feature = "avro")))]
#[test]
fn a_table_that_this_build_does_not_read_names_the_feature() {
    for (bytes, feature, is_built) in [
        (
            &b"PAR1 and so on"[..],
            "--features parquet",
            cfg!(feature = "parquet"),
        ),
        (b"Obj\x01 and so on", "--features avro", cfg!(feature = "avro")),
    ] {
        let error = open(".data", bytes, &mapped(REST)).err().unwrap();
        assert!(is_built || error.to_string().contains(feature), "{error}");
    }
}

#[test]
fn a_value_inside_an_object_is_found_by_its_pointer() {
    let text = br#"[{"tweet": {"id_str": "7", "full_text": "hi", "user": {"name": "ada"}}, "likes": 3}]"#;
    let map = "network:=twitter,created_at:=2026-11-29T12:00:00Z,id=/tweet/id_str,text=/tweet/full_text,author=/tweet/user/name";
    let found = rows(".json", text, map);
    let post = found[0].post.as_ref().unwrap();
    assert_eq!(
        (&post["text"], &post["author"]),
        (&Value::from("hi"), &Value::from("ada"))
    );
    assert_eq!(post["meta"], serde_json::json!({"likes": 3}));
}
