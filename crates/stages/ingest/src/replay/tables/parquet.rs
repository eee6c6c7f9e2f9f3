//! Files of Apache Parquet.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Map, Value};

use super::super::rows::RowsError;
use super::super::source::Progress;
use super::typed::{DEPTH, checked_names, damaged, date, decimal, float, text, time};
use super::{Opened, Typed};

const NAME: &str = "Parquet";

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<Opened, RowsError> {
    let io = |source| RowsError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let reader =
        contained(|| SerializedFileReader::new(file)).map_err(|problem| damaged(path, NAME, problem))?;
    let metadata = reader.metadata().file_metadata();
    let total = u64::try_from(metadata.num_rows()).unwrap_or(0);
    let schema = metadata.schema_descr().root_schema_ptr();
    let mut names = Vec::new();
    for column in schema.get_fields() {
        name(column, "", DEPTH, &mut names);
    }
    let (progress, read) = Progress::counted(length);
    let rows = contained(|| Ok(reader.into_iter())).map_err(|problem| damaged(path, NAME, problem))?;
    Ok(Opened {
        names: checked_names(path, names)?,
        rows: Box::new(Rows {
            inner: Some(rows),
            schema,
            number: 0,
            total,
            length,
            read,
        }),
        progress,
    })
}

/// Calls the library. Its panics about damaged files are errors.
fn contained<T>(call: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("its content does not fit its schema".to_owned()),
    }
}

/// Adds a column, and the fields of a group by their JSON Pointers.
fn name(kind: &TypePtr, before: &str, depth: usize, names: &mut Vec<String>) {
    if before.is_empty() {
        names.push(kind.name().to_owned());
    } else {
        names.push(format!("{before}/{}", kind.name()));
    }
    let is_plain = kind.is_group()
        && kind.get_basic_info().logical_type_ref().is_none()
        && kind.get_basic_info().converted_type() == ConvertedType::NONE;
    if is_plain && depth > 0 {
        let here = format!("{before}/{}", kind.name());
        for field in kind.get_fields() {
            name(field, &here, depth - 1, names);
        }
    }
}

struct Rows {
    /// `None` after the end, or after an error.
    inner: Option<RowIter<'static>>,
    schema: TypePtr,
    number: u64,
    total: u64,
    length: u64,
    read: Arc<AtomicU64>,
}

impl Iterator for Rows {
    type Item = io::Result<Vec<(String, Typed)>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.inner.as_mut()?;
        let row = match contained(|| rows.next().transpose()) {
            Ok(Some(row)) => row,
            Ok(None) => {
                self.inner = None;
                return None;
            }
            Err(problem) => {
                self.inner = None;
                let problem = format!("row {} cannot be read: {problem}", self.number + 1);
                return Some(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
        };
        self.number += 1;
        let share = self.number as f64 / self.total.max(1) as f64;
        self.read
            .store((self.length as f64 * share.min(1.0)) as u64, Ordering::Relaxed);
        Some(Ok(columns(row, Some(&self.schema), DEPTH)))
    }
}

fn columns(row: Row, schema: Option<&Type>, depth: usize) -> Vec<(String, Typed)> {
    let kinds = schema.filter(|schema| schema.is_group()).map(Type::get_fields);
    let kind = |name: &str| kinds?.iter().find(|kind| kind.name() == name).map(|kind| &**kind);
    row.into_columns()
        .into_iter()
        .map(|(name, field)| {
            let typed = value(field, kind(&name), depth);
            (name, typed)
        })
        .collect()
}

/// A value, with the type that the schema states for it.
fn value(field: Field, kind: Option<&Type>, depth: usize) -> Typed {
    let logical = kind.and_then(|kind| kind.get_basic_info().logical_type_ref());
    let stamp = match logical {
        Some(LogicalType::Timestamp(stamp)) => Some(stamp),
        _ => None,
    };
    // The older form of a time is always in UTC, except INT96, which says nothing.
    let is_int96 =
        kind.is_some_and(|kind| kind.is_primitive() && kind.get_physical_type() == Physical::INT96);
    let is_utc = !is_int96 && stamp.is_none_or(|stamp| stamp.is_adjusted_to_u_t_c);
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| format!("nested deeper than {DEPTH}"))?;
    match field {
        Field::Null => Ok(Value::Null),
        Field::Bool(value) => Ok(value.into()),
        Field::Byte(number) => Ok(number.into()),
        Field::Short(number) => Ok(number.into()),
        Field::Int(number) | Field::TimeMillis(number) => Ok(number.into()),
        Field::Long(number) if stamp.is_some_and(|stamp| stamp.unit == TimeUnit::NANOS) => {
            time(i128::from(number), is_utc)
        }
        Field::Long(number) | Field::TimeMicros(number) => Ok(number.into()),
        Field::UByte(number) => Ok(number.into()),
        Field::UShort(number) => Ok(number.into()),
        Field::UInt(number) => Ok(number.into()),
        Field::ULong(number) => Ok(number.into()),
        Field::Float16(number) => float(number.into()),
        Field::Float(number) => float(number.into()),
        Field::Double(number) => float(number),
        Field::Decimal(number) => {
            let scale = usize::try_from(number.scale()).map_err(|_| "a decimal with a negative scale")?;
            decimal(number.data(), scale)
        }
        Field::Str(text) => Ok(text.into()),
        Field::Bytes(bytes) if matches!(logical, Some(LogicalType::Uuid)) => Ok(uuid(bytes.data()).into()),
        Field::Bytes(bytes) => text(bytes.data().to_vec()),
        Field::Date(days) => date(days.into()),
        Field::TimestampMillis(millis) => time(i128::from(millis) * 1_000_000, is_utc),
        Field::TimestampMicros(micros) => time(i128::from(micros) * 1_000, is_utc),
        Field::Group(row) => {
            let fields = columns(row, kind, depth).into_iter();
            let fields = fields.map(|(name, value)| Ok((name, value?)));
            fields.collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        Field::ListInternal(list) => {
            let kind = kind.and_then(element);
            let items = list.elements().iter();
            let items = items.map(|item| value(item.clone(), kind, depth));
            items.collect::<Result<Vec<_>, String>>().map(Value::Array)
        }
        Field::MapInternal(map) => {
            let pair = kind
                .filter(|kind| kind.is_group())
                .and_then(|kind| kind.get_fields().first());
            let kinds = pair.filter(|pair| pair.is_group()).map(|pair| pair.get_fields());
            let kind = kinds.and_then(|kinds| kinds.get(1)).map(|kind| &**kind);
            let entries = map.entries().iter().map(|(key, of)| {
                let key = match value(key.clone(), None, depth)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Ok((key, value(of.clone(), kind, depth)?))
            });
            entries.collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
    }
}

/// The type of the elements of a list.
fn element(list: &Type) -> Option<&Type> {
    if !list.is_group() {
        return Some(list);
    }
    let repeated = list.get_fields().first()?;
    if repeated.is_group() && repeated.get_fields().len() == 1 {
        return repeated.get_fields().first().map(|element| &**element);
    }
    Some(repeated)
}

fn uuid(bytes: &[u8]) -> String {
    let digits = bytes
        .iter()
        .fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
    match digits.len() {
        32 => [
            &digits[..8],
            &digits[8..12],
            &digits[12..16],
            &digits[16..20],
            &digits[20..],
        ]
        .join("-"),
        _ => digits,
    }
}
