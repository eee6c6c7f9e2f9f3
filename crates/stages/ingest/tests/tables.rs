//! Files of Parquet and Avro, written with the libraries and read by the rules of all other files.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use apache_avro::types::Value as Avro;
use apache_avro::{Codec, Schema, Writer, ZstandardSettings};
use limbic_ingest::replay::{Mapping, ReadOptions, Row, Rows, Times};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use tempfile::TempDir;

const REST: &str = "network:=test,author:=ann";

fn options(map: &str, zone: Option<&str>) -> ReadOptions {
    ReadOptions {
        mapping: Mapping::parse(map).unwrap(),
        times: Times::new(zone, None).unwrap(),
        ..ReadOptions::default()
    }
}

fn read(path: &Path, map: &str, zone: Option<&str>) -> Vec<Row> {
    let rows = Rows::open(path, &options(map, zone)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn refused(path: &Path, map: &str) -> String {
    match Rows::open(path, &options(map, None)) {
        Ok(_) => panic!("{} is accepted", path.display()),
        Err(error) => format!(
            "{error}: {}",
            std::error::Error::source(&error).map_or(String::new(), ToString::to_string)
        ),
    }
}

fn posts(rows: &[Row]) -> Vec<&Value> {
    rows.iter().map(|row| row.post.as_ref().unwrap()).collect()
}

fn problem(row: &Row) -> &str {
    row.post.as_ref().unwrap_err()
}

/// The values of a column of Parquet. `None` = missing.
enum Column {
    Text(Vec<Option<&'static str>>),
    Whole(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Bytes(Vec<Vec<u8>>),
}

fn levels<T: Clone>(values: &[Option<T>]) -> (Vec<T>, Vec<i16>) {
    let there = values.iter().flatten().cloned().collect();
    (
        there,
        values.iter().map(|value| i16::from(value.is_some())).collect(),
    )
}

/// Writes a file of optional columns.
fn parquet(
    folder: &TempDir,
    name: &str,
    schema: &str,
    compression: Compression,
    columns: &[Column],
) -> std::path::PathBuf {
    let path = folder.path().join(name);
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in columns {
        let mut writer = group.next_column().unwrap().unwrap();
        match column {
            Column::Text(values) => {
                let (there, levels) = levels(values);
                let there: Vec<ByteArray> = there.into_iter().map(ByteArray::from).collect();
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(&there, Some(&levels), None)
                    .unwrap();
            }
            Column::Whole(values) => {
                let (there, levels) = levels(values);
                writer
                    .typed::<Int64Type>()
                    .write_batch(&there, Some(&levels), None)
                    .unwrap();
            }
            Column::Float(values) => {
                let (there, levels) = levels(values);
                writer
                    .typed::<DoubleType>()
                    .write_batch(&there, Some(&levels), None)
                    .unwrap();
            }
            Column::Bytes(values) => {
                let there: Vec<ByteArray> = values.iter().cloned().map(ByteArray::from).collect();
                let levels = vec![1; there.len()];
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(&there, Some(&levels), None)
                    .unwrap();
            }
        }
        writer.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    path
}

const POSTS: &str = "message posts { optional int64 id (INTEGER(64, false)); optional binary text (STRING);
    optional int64 created_at (TIMESTAMP(MICROS, true)); optional double likes; }";

fn columns() -> Vec<Column> {
    vec![
        Column::Whole(vec![Some(-1), Some(9_007_199_254_740_993), Some(7)]),
        Column::Text(vec![Some("a goal"), Some("ça va 😀"), None]),
        Column::Whole(vec![Some(1_796_034_896_789_000); 3]),
        Column::Float(vec![Some(2.5), Some(f64::NAN), None]),
    ]
}

#[test]
fn rows_of_parquet_are_posts_whatever_their_compression() {
    let folder = tempfile::tempdir().unwrap();
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::GZIP(parquet::basic::GzipLevel::default()),
        Compression::BROTLI(parquet::basic::BrotliLevel::default()),
    ];
    for (number, compression) in compressions.into_iter().enumerate() {
        // The name says nothing: the first bytes do.
        let path = parquet(&folder, &format!("{number}.csv"), POSTS, compression, &columns());
        let rows = read(&path, REST, None);
        let first = json!({"network": "test", "id": "18446744073709551615", "author": "ann", "text": "a goal",
            "created_at": "2026-11-30T10:34:56.789Z", "meta": {"likes": 2.5}});
        let second = json!({"network": "test", "id": "9007199254740993", "author": "ann", "text": "ça va 😀",
            "created_at": "2026-11-30T10:34:56.789Z"});
        assert_eq!(
            posts(&rows[..2]),
            [&first, &second],
            "{compression:?}: NaN is a missing value"
        );
        assert_eq!(rows[2].post.as_ref().unwrap().get("text"), None);
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 2, 3]);
    }
}

#[test]
fn a_time_that_the_schema_does_not_state_in_utc_needs_a_zone() {
    let folder = tempfile::tempdir().unwrap();
    for (unit, at) in [
        ("MILLIS", 1_796_034_896_789),
        ("MICROS", 1_796_034_896_789_000),
        ("NANOS", 1_796_034_896_789_000_000),
    ] {
        for (is_utc, expected) in [
            (true, "2026-11-30T10:34:56.789Z"),
            (false, "2026-11-30T09:34:56.789Z"),
        ] {
            let schema = format!("message posts {{ optional int64 at (TIMESTAMP({unit}, {is_utc})); }}");
            let column = [Column::Whole(vec![Some(at)])];
            let path = parquet(&folder, "times.parquet", &schema, Compression::SNAPPY, &column);
            let map = "network:=test,author:=ann,id:=1,text:=x,created_at=at";
            let rows = read(&path, map, Some("Europe/Berlin"));
            assert_eq!(posts(&rows)[0]["created_at"], expected, "{unit} {is_utc}");
            let rows = read(&path, map, None);
            if is_utc {
                assert_eq!(posts(&rows)[0]["created_at"], expected);
            } else {
                assert!(problem(&rows[0]).contains("--timezone"), "{rows:?}");
            }
        }
    }
}

#[test]
fn an_id_that_was_a_floating_point_number_is_read_as_in_every_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let schema = "message posts { optional double id; }";
    let column = [Column::Float(vec![
        Some(81.0),
        Some(9_007_199_254_740_994.0),
        Some(1.5e300),
        Some(f64::NAN),
        Some(f64::INFINITY),
    ])];
    let path = parquet(&folder, "ids.parquet", schema, Compression::SNAPPY, &column);
    let rows = read(
        &path,
        "network:=test,author:=ann,text:=x,created_at:=2026-11-30T10:00:00Z",
        None,
    );
    assert_eq!(rows[0].post.as_ref().unwrap()["id"], "81");
    assert!(
        problem(&rows[1]).contains("lost digits") && problem(&rows[2]).contains("lost digits"),
        "{rows:?}"
    );
    assert_eq!(rows[3].post.as_ref().unwrap().get("id"), None);
    assert!(problem(&rows[4]).contains("column `id`"), "{rows:?}");
}

#[test]
fn columns_and_groups_are_checked_before_the_first_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = parquet(&folder, "posts.parquet", POSTS, Compression::SNAPPY, &columns());
    let said = refused(&path, "network:=test");
    assert!(
        said.contains("no column for author") && said.contains("id, text, created_at, likes"),
        "{said}"
    );
    let said = refused(&path, &format!("{REST},text=bdy"));
    assert!(said.contains("`bdy`"), "{said}");
    let schema = "message posts { optional group tweet { optional binary text (STRING); } }";
    let path = folder.path().join("groups.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<ByteArrayType>()
        .write_batch(&[ByteArray::from("inside")], Some(&[2]), None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let map = "network:=test,author:=ann,id:=1,created_at:=2026-11-30T10:00:00Z,text=/tweet/text";
    assert_eq!(posts(&read(&path, map, None))[0]["text"], "inside");
    let said = refused(&path, &map.replace("/tweet/text", "/tweet/body"));
    assert!(said.contains("/tweet/text"), "{said}");
}

#[test]
fn a_table_with_a_column_of_features_is_refused_before_its_first_row() {
    let folder = tempfile::tempdir().unwrap();
    let schema = POSTS.replace("likes", "voice_pitch");
    let path = parquet(&folder, "voice.parquet", &schema, Compression::SNAPPY, &columns());
    let said = refused(&path, REST);
    assert!(
        said.contains("`voice_pitch`") && said.contains("leave the field out"),
        "{said}"
    );
    let schema = r#"{"type": "record", "name": "post", "fields": [{"name": "id", "type": "string"}, {"name": "user", "type":
        {"type": "record", "name": "user", "fields": [{"name": "face", "type":
            {"type": "record", "name": "face", "fields": [{"name": "landmarks", "type": {"type": "array", "items": "double"}}]}}]}}]}"#;
    let landmarks = Avro::Record(vec![(
        "landmarks".to_owned(),
        Avro::Array(vec![Avro::Double(0.5)]),
    )]);
    let user = Avro::Record(vec![("face".to_owned(), landmarks)]);
    let row = vec![("id", Avro::String("1".to_owned())), ("user", user)];
    let path = avro(&folder, schema, Codec::Null, vec![row]);
    let said = refused(&path, REST);
    assert!(said.contains("`/user/face/landmarks`"), "{said}");
}

#[test]
fn bytes_that_are_not_text_refuse_a_row_only_if_they_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let schema = "message posts { optional binary text; optional binary picture; }";
    let bytes = [
        Column::Bytes(vec![b"a goal".to_vec(), vec![0xff, 0xfe]]),
        Column::Bytes(vec![vec![0x89, 0x50, 0xff], b"x".to_vec()]),
    ];
    let path = parquet(&folder, "bytes.parquet", schema, Compression::SNAPPY, &bytes);
    let rows = read(
        &path,
        "network:=test,author:=ann,id:=1,created_at:=2026-11-30T10:00:00Z",
        None,
    );
    let first = rows[0].post.as_ref().unwrap();
    assert_eq!(
        (first["text"].as_str(), first.get("meta")),
        (Some("a goal"), None)
    );
    assert!(problem(&rows[1]).contains("column `text`"), "{rows:?}");
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(parquet(
        &folder,
        "posts.parquet",
        POSTS,
        Compression::SNAPPY,
        &columns(),
    ))
    .unwrap();
    let path = folder.path().join("damaged.parquet");
    let (mut refused, mut read) = (0, 0);
    for place in 4..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x5a;
        std::fs::write(&path, &bytes).unwrap();
        match Rows::open(&path, &options(REST, None)) {
            Err(_) => refused += 1,
            Ok(rows) => read += rows.take(10).count(),
        }
    }
    for length in 4..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(
            Rows::open(&path, &options(REST, None)).is_err(),
            "{length} bytes of {}",
            whole.len()
        );
    }
    assert!(refused > 100 && read > 100, "{refused} {read}");
}

fn avro(folder: &TempDir, schema: &str, codec: Codec, rows: Vec<Vec<(&str, Avro)>>) -> std::path::PathBuf {
    let path = folder.path().join("posts.avro");
    let schema = Schema::parse_str(schema).unwrap();
    let mut writer = Writer::with_codec(&schema, Vec::new(), codec);
    for row in rows {
        let row = row
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        writer.append(Avro::Record(row)).unwrap();
    }
    std::fs::write(&path, writer.into_inner().unwrap()).unwrap();
    path
}

#[test]
fn rows_of_avro_are_posts_whatever_their_compression() {
    let folder = tempfile::tempdir().unwrap();
    let schema = r#"{"type": "record", "name": "post", "fields": [
        {"name": "id", "type": "long"}, {"name": "text", "type": ["null", "string"]},
        {"name": "created_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "user", "type": {"type": "record", "name": "user", "fields": [{"name": "name", "type": "string"}]}},
        {"name": "likes", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "tags", "type": {"type": "array", "items": "string"}}]}"#;
    let row = || {
        vec![
            ("id", Avro::Long(9_007_199_254_740_993)),
            (
                "text",
                Avro::Union(1, Box::new(Avro::String("a goal".to_owned()))),
            ),
            ("created_at", Avro::TimestampMicros(1_796_034_896_789_000)),
            (
                "user",
                Avro::Record(vec![("name".to_owned(), Avro::String("ann".to_owned()))]),
            ),
            ("likes", Avro::Decimal(123_456_i32.to_be_bytes().into())),
            ("tags", Avro::Array(vec![Avro::String("x".to_owned())])),
        ]
    };
    let expected = json!({"network": "test", "id": "9007199254740993", "author": "ann", "text": "a goal",
        "created_at": "2026-11-30T10:34:56.789Z", "meta": {"likes": "1234.56", "tags": ["x"]}});
    let codecs = [
        Codec::Null,
        Codec::Deflate(apache_avro::DeflateSettings::default()),
        Codec::Snappy,
        Codec::Zstandard(ZstandardSettings::default()),
    ];
    for codec in codecs {
        let path = avro(&folder, schema, codec, vec![row(), row()]);
        let rows = read(&path, "network:=test,author=/user/name", None);
        assert_eq!(posts(&rows), [&expected, &expected], "{codec:?}");
    }
    let path = avro(&folder, schema, Codec::Null, vec![row()]);
    let said = refused(&path, "network:=test,author=/user/id");
    assert!(said.contains("/user/name"), "{said}");
    // Cut off in the middle of a block.
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    let rows: Vec<_> = Rows::open(&path, &options("network:=test,author=/user/name", None))
        .unwrap()
        .collect();
    assert!(
        matches!(&rows[..], [Err(error)] if error.to_string().contains("row 1")),
        "{rows:?}"
    );
}

#[test]
fn a_local_time_of_avro_needs_a_zone_and_missing_values_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let schema = r#"{"type": "record", "name": "post", "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-millis"}}, {"name": "text", "type": ["null", "string"]},
        {"name": "likes", "type": "double"}]}"#;
    let row = vec![
        ("at", Avro::LocalTimestampMillis(1_796_034_896_789)),
        ("text", Avro::Union(0, Box::new(Avro::Null))),
        ("likes", Avro::Double(f64::NAN)),
    ];
    let path = avro(&folder, schema, Codec::Null, vec![row]);
    let map = "network:=test,author:=ann,id:=1,created_at=at";
    let rows = read(&path, map, Some("UTC"));
    let expected =
        json!({"network": "test", "author": "ann", "id": "1", "created_at": "2026-11-30T10:34:56.789Z"});
    assert_eq!(posts(&rows), [&expected]);
    assert!(problem(&read(&path, map, None)[0]).contains("--timezone"));
}

#[test]
fn a_table_inside_another_compression_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(parquet(
        &folder,
        "posts.parquet",
        POSTS,
        Compression::SNAPPY,
        &columns(),
    ))
    .unwrap();
    let path = folder.path().join("posts.parquet.zst");
    std::fs::write(&path, zstd::encode_all(&whole[..], 1).unwrap()).unwrap();
    let said = refused(&path, REST);
    assert!(
        said.contains("Parquet") && said.contains("unpack it first"),
        "{said}"
    );
}
