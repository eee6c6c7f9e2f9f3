//! Values of typed columns as JSON.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Number, Value};

use super::super::rows::RowsError;
use super::Typed;

/// The deepest nesting of groups and lists.
pub(super) const DEPTH: usize = 64;

/// A time since 1970, in nanoseconds, as text: with `Z` if the schema states it in UTC, and otherwise without a zone.
pub(super) fn time(nanos: i128, is_utc: bool) -> Typed {
    let at = Timestamp::from_nanosecond(nanos)
        .map_err(|_| format!("{nanos} ns since 1970 is a time that no calendar has"))?;
    Ok(if is_utc {
        at.to_string().into()
    } else {
        TimeZone::UTC.to_datetime(at).to_string().into()
    })
}

/// A date, in days since 1970.
pub(super) fn date(days: i64) -> Typed {
    let nanos = i128::from(days) * 86_400_000_000_000;
    let at = Timestamp::from_nanosecond(nanos)
        .map_err(|_| format!("{days} days since 1970 is a date that no calendar has"))?;
    Ok(TimeZone::UTC.to_datetime(at).date().to_string().into())
}

/// A floating-point number. NaN is a missing value.
pub(super) fn float(number: f64) -> Typed {
    if number.is_nan() {
        return Ok(Value::Null);
    }
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| format!("{number} is not a number that can be kept"))
}

/// A decimal number: its digits without the point, as a big-endian integer in two's complement, and the number of digits behind the
/// point.
pub(super) fn decimal(bytes: &[u8], scale: usize) -> Typed {
    let (is_negative, mut digits) = digits(bytes)?;
    if scale > 0 {
        if digits.len() <= scale {
            digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
        }
        digits.insert(digits.len() - scale, '.');
    }
    Ok(if is_negative { format!("-{digits}") } else { digits }.into())
}

/// The sign and the digits of an integer.
fn digits(bytes: &[u8]) -> Result<(bool, String), String> {
    if bytes.len() > 16 {
        return Err(format!(
            "a decimal of {} bytes has more digits than are read",
            bytes.len()
        ));
    }
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut whole = [if is_negative { 0xff } else { 0 }; 16];
    whole[16 - bytes.len()..].copy_from_slice(bytes);
    Ok((is_negative, i128::from_be_bytes(whole).unsigned_abs().to_string()))
}

/// Bytes, if they are text.
pub(super) fn text(bytes: Vec<u8>) -> Typed {
    String::from_utf8(bytes)
        .map(Value::String)
        .map_err(|_| "it has bytes that are not text".to_owned())
}

/// Refuses columns of one name.
pub(super) fn checked_names(path: &Path, names: Vec<String>) -> Result<Vec<String>, RowsError> {
    let mut known = BTreeSet::new();
    match names.iter().find(|name| !known.insert(*name)) {
        None => Ok(names),
        Some(twice) => Err(RowsError::Header {
            path: path.to_owned(),
            problem: format!("two columns are called `{twice}`: rename one of them"),
        }),
    }
}

/// The error of a file that its library cannot read.
pub(super) fn damaged(path: &Path, format: &str, problem: impl std::fmt::Display) -> RowsError {
    RowsError::Io {
        path: path.to_owned(),
        source: io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is not a {format} file that can be read: {problem}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_keeps_every_digit() {
        let read = |number: i128, scale| decimal(&number.to_be_bytes(), scale).unwrap();
        assert_eq!(read(12_345_678_901_234_567_890_123, 0), "12345678901234567890123");
        assert_eq!(
            (read(-5, 3), read(1_234, 2), read(0, 2)),
            ("-0.005".into(), "12.34".into(), "0.00".into())
        );
        assert_eq!(decimal(&[0xff], 0).unwrap(), "-1");
        assert!(decimal(&[1; 17], 0).is_err());
    }

    #[test]
    fn a_time_names_its_zone_only_if_the_schema_does() {
        let nanos = 1_796_034_896_789_000_001;
        assert_eq!(time(nanos, true).unwrap(), "2026-11-30T10:34:56.789000001Z");
        assert_eq!(time(nanos, false).unwrap(), "2026-11-30T10:34:56.789000001");
        assert_eq!(date(-1).unwrap(), "1969-12-31");
        assert!(time(i128::MAX, true).is_err() && date(i64::MAX).is_err());
    }

    #[test]
    fn nan_is_missing_and_infinity_is_refused() {
        assert_eq!(float(f64::NAN), Ok(Value::Null));
        assert!(float(f64::INFINITY).unwrap_err().contains("inf"));
    }
}
