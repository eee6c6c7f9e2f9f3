//! Object container files of Apache Avro.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apache_avro::Reader;
use apache_avro::schema::{Name, Schema};
use apache_avro::types::Value as Avro;
use apache_avro::util::max_allocation_bytes;
use serde_json::{Map, Value};

use super::super::rows::RowsError;
use super::super::source::Progress;
use super::typed::{DEPTH, checked_names, damaged, date, decimal, float, text, time};
use super::{Opened, Typed};

const NAME: &str = "Avro";
/// The most bytes that one length of a file may ask for.
const LARGEST: usize = 64 << 20;

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<Opened, RowsError> {
    let io = |source| RowsError::Io {
        path: path.to_owned(),
        source,
    };
    max_allocation_bytes(LARGEST);
    let file = File::open(path).map_err(io)?;
    let (progress, read) = Progress::counted(file.metadata().map_err(io)?.len());
    let reader = Reader::new(BufReader::new(Counted { file, read }));
    let reader = reader.map_err(|error| damaged(path, NAME, error))?;
    let schema = reader.writer_schema().clone();
    let Schema::Record(record) = &schema else {
        return Err(damaged(path, NAME, "its values are not records"));
    };
    let (mut types, mut names) = (HashMap::new(), Vec::new());
    collect(&schema, &mut types);
    for field in &record.fields {
        name(&field.name, &field.schema, "", DEPTH, &types, &mut names);
    }
    Ok(Opened {
        names: checked_names(path, names)?,
        rows: Box::new(Rows {
            reader: Some(reader),
            schema,
            types,
            number: 0,
        }),
        progress,
    })
}

/// Types that are used by their names.
type Types = HashMap<Name, Schema>;

fn collect(schema: &Schema, types: &mut Types) {
    match schema {
        Schema::Record(record) => {
            types.insert(record.name.clone(), schema.clone());
            for field in &record.fields {
                collect(&field.schema, types);
            }
        }
        Schema::Union(union) => union.variants().iter().for_each(|one| collect(one, types)),
        Schema::Array(array) => collect(&array.items, types),
        Schema::Map(map) => collect(&map.types, types),
        _ => {}
    }
}

fn resolved<'a>(schema: &'a Schema, types: &'a Types) -> Option<&'a Schema> {
    match schema {
        Schema::Ref { name } => types.get(name),
        other => Some(other),
    }
}

/// Adds a column, and the fields of a record by their JSON Pointers.
fn name(of: &str, schema: &Schema, before: &str, depth: usize, types: &Types, names: &mut Vec<String>) {
    names.push(if before.is_empty() {
        of.to_owned()
    } else {
        format!("{before}/{of}")
    });
    let is_record = |schema: &&Schema| matches!(schema, Schema::Record(_));
    let record = match schema {
        Schema::Union(union) => {
            let mut variants = union.variants().iter().filter_map(|one| resolved(one, types));
            variants.find(is_record)
        }
        other => Some(other).filter(is_record),
    };
    if let Some(Schema::Record(record)) = record
        && depth > 0
    {
        let here = format!("{before}/{of}");
        for field in &record.fields {
            name(&field.name, &field.schema, &here, depth - 1, types, names);
        }
    }
}

struct Rows {
    /// `None` after the end, or after an error.
    reader: Option<Reader<'static, BufReader<Counted>>>,
    schema: Schema,
    types: Types,
    number: u64,
}

impl Iterator for Rows {
    type Item = io::Result<Vec<(String, Typed)>>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.reader.as_mut()?.next() {
            None => {
                self.reader = None;
                return None;
            }
            Some(Ok(row)) => row,
            Some(Err(error)) => {
                self.reader = None;
                let problem = format!("row {} cannot be read: {error}", self.number + 1);
                return Some(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
        };
        self.number += 1;
        let Avro::Record(fields) = row else {
            return Some(Ok(Vec::new()));
        };
        Some(Ok(columns(fields, &self.schema, &self.types, DEPTH)))
    }
}

fn columns(
    fields: Vec<(String, Avro)>,
    schema: &Schema,
    types: &Types,
    depth: usize,
) -> Vec<(String, Typed)> {
    let kinds = match resolved(schema, types) {
        Some(Schema::Record(record)) => &record.fields[..],
        _ => &[],
    };
    let columns = fields.into_iter().enumerate().map(|(place, (name, of))| {
        let kind = kinds.get(place).map(|kind| &kind.schema);
        let found = value(of, kind, types, depth);
        (name, found)
    });
    columns.collect()
}

/// A value, with the type that the schema states for it.
fn value(of: Avro, kind: Option<&Schema>, types: &Types, depth: usize) -> Typed {
    let kind = kind.and_then(|kind| resolved(kind, types));
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| format!("nested deeper than {DEPTH}"))?;
    match of {
        Avro::Null => Ok(Value::Null),
        Avro::Boolean(value) => Ok(value.into()),
        Avro::Int(number) | Avro::TimeMillis(number) => Ok(number.into()),
        Avro::Long(number) | Avro::TimeMicros(number) => Ok(number.into()),
        Avro::Float(number) => float(number.into()),
        Avro::Double(number) => float(number),
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => text(bytes),
        Avro::String(text) | Avro::Enum(_, text) => Ok(text.into()),
        Avro::Union(place, inner) => {
            let kind = match kind {
                Some(Schema::Union(union)) => union.variants().get(place as usize),
                _ => None,
            };
            value(*inner, kind, types, depth)
        }
        Avro::Array(items) => {
            let kind = match kind {
                Some(Schema::Array(array)) => Some(&*array.items),
                _ => None,
            };
            let items = items.into_iter().map(|item| value(item, kind, types, depth));
            items.collect::<Result<Vec<_>, String>>().map(Value::Array)
        }
        Avro::Map(entries) => {
            let kind = match kind {
                Some(Schema::Map(map)) => Some(&*map.types),
                _ => None,
            };
            let entries = entries.into_iter();
            let entries = entries.map(|(key, of)| Ok((key, value(of, kind, types, depth)?)));
            entries.collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        Avro::Record(fields) => {
            let null = Schema::Null;
            let fields = columns(fields, kind.unwrap_or(&null), types, depth).into_iter();
            let fields = fields.map(|(name, value)| Ok((name, value?)));
            fields.collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        Avro::Date(days) => date(days.into()),
        Avro::Decimal(number) => {
            let scale = match kind {
                Some(Schema::Decimal(kind)) => kind.scale,
                _ => 0,
            };
            let bytes = Vec::<u8>::try_from(&number).map_err(|error| error.to_string())?;
            decimal(&bytes, scale)
        }
        Avro::BigDecimal(number) => Ok(number.to_plain_string().into()),
        Avro::TimestampMillis(millis) => time(i128::from(millis) * 1_000_000, true),
        Avro::TimestampMicros(micros) => time(i128::from(micros) * 1_000, true),
        Avro::TimestampNanos(nanos) => time(nanos.into(), true),
        Avro::LocalTimestampMillis(millis) => time(i128::from(millis) * 1_000_000, false),
        Avro::LocalTimestampMicros(micros) => time(i128::from(micros) * 1_000, false),
        Avro::LocalTimestampNanos(nanos) => time(nanos.into(), false),
        Avro::Duration(_) => Err("a duration is not a value that is read".to_owned()),
        Avro::Uuid(id) => Ok(id.to_string().into()),
    }
}
