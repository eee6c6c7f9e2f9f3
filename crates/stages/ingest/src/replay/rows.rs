//! Reads the rows of a file as posts, one at a time.

use std::io;
use std::path::{Path, PathBuf};

use limbic_domain::Utc;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::mapping::{Mapping, MappingError};
use super::records::Records;
use super::times::Times;
use crate::incoming::Biometric;

/// How a file of posts is read. The default finds out all it can from the file.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The format. `None`: the first bytes and the ending of the name decide.
    pub format: Option<Format>,
    /// The character between the columns. `None`: the most frequent one of the first line.
    pub separator: Option<u8>,
    /// The first row is a post. Columns then have numbers from 0 as their names.
    pub no_header: bool,
    /// The name of the encoding, as the WHATWG lists them, for instance `windows-1252`. `None`: UTF-8, or UTF-16 if the file looks
    /// like it.
    pub encoding: Option<String>,
    /// The columns of the fields.
    pub mapping: Mapping,
    /// How times are read.
    pub times: Times,
}

impl ReadOptions {
    /// A text that is the same for options that read a file in the same way.
    pub fn name(&self) -> String {
        let Self {
            format,
            separator,
            no_header,
            encoding,
            mapping,
            times,
        } = self;
        format!(
            "{format:?} {separator:?} {no_header} {encoding:?} {mapping:?} {}",
            times.name()
        )
    }
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object in each line.
    JsonLines,
    /// An array of JSON objects, or objects over several lines each.
    Json,
    /// Columns between commas, semicolons or tabs. Quotes can surround a field.
    Csv,
    /// Columns between tabs, without quotes.
    Tsv,
    /// Apache Parquet, with the feature `parquet`.
    Parquet,
    /// An object container file of Apache Avro, with the feature `avro`.
    Avro,
}

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Neither the name nor the content tells the format.
    #[error("{0}: unknown format: give --format jsonl, json, csv, tsv, parquet or avro")]
    UnknownFormat(PathBuf),
    /// The program was built without the library for this format.
    #[error(
        "{path} is a {format} file, and this program was built without {format}: build it with `cargo build --release -p limbic --features \
         {feature}`, or write the file as CSV or JSON Lines"
    )]
    NotBuilt {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// The feature that reads it.
        feature: &'static str,
    },
    /// A table inside gzip or zstd.
    #[error("{path} is a {format} file inside another compression: unpack it first, with gunzip or unzstd")]
    Packed {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
    },
    /// No such encoding.
    #[error("`{0}` is not an encoding: give its name on the web, for instance windows-1252 or utf-16le")]
    UnknownEncoding(String),
    /// The first row does not name the columns.
    #[error("{path}: the first row should name the columns: {problem}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with the first row, and what to do.
        problem: String,
    },
    /// A column has features of a voice, a face or typing.
    #[error("{path}: the column {found}. No row was read")]
    Biometric {
        /// The file.
        path: PathBuf,
        /// The column. It is in the message, and so is not a source of its own.
        found: Biometric,
    },
    /// The mapping does not fit the columns.
    #[error("{path}: {problem}")]
    Columns {
        /// The file.
        path: PathBuf,
        /// What does not fit. It is in the message, and so is not a source of its own.
        problem: MappingError,
    },
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The row's number, from 1, without the header.
    pub number: u64,
    /// The number of its first line in the file, from 1.
    pub line: u64,
    /// When the post was written, if the row says so.
    pub at: Option<Utc>,
    /// The post, or why the row is not a post.
    pub post: Result<Value, String>,
    /// The size of the row in the file, in bytes.
    pub bytes: usize,
}

/// The rows of a file as posts.
pub struct Rows {
    records: Records,
    mapping: Mapping,
    times: Times,
}

impl Rows {
    /// Opens a file, finds out its compression, encoding and shape, and checks the mapping against its columns.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, RowsError> {
        let mut records = Records::open(path, options)?;
        let mut mapping = options.mapping.clone();
        if let Some(names) = records.columns() {
            mapping.fit(names).map_err(|problem| RowsError::Columns {
                path: path.to_owned(),
                problem,
            })?;
            records.need(mapping.needed_columns());
        }
        Ok(Self {
            records,
            mapping,
            times: options.times.clone(),
        })
    }

    /// The bytes read so far, and the bytes of the file.
    pub fn progress(&self) -> (u64, u64) {
        self.records.progress()
    }
}

impl Iterator for Rows {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let post = record
            .fields
            .and_then(|fields| self.mapping.apply(fields, &self.times));
        let at = post
            .as_ref()
            .ok()
            .and_then(|post| post.get("created_at")?.as_str()?.parse().ok());
        Some(Ok(Row {
            number: record.number,
            line: record.line,
            at,
            post,
            bytes: record.bytes,
        }))
    }
}

#[cfg(test)]
mod tests {
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
}
