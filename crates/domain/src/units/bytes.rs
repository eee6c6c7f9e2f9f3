//! Sizes with a unit.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes with its unit: `"64MiB"`, `"512KiB"`, `"10GB"` (decimal), `"100B"`.
///
/// It is printed in the largest binary unit that represents it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size in bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size in mebibytes (2²⁰ bytes), saturating.
    pub const fn from_mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes.saturating_mul(1 << 20))
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a size in memory. Saturates if addresses have fewer than 64 bits.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let exact = units
            .into_iter()
            .find(|(_, bits)| self.0 > 0 && self.0.is_multiple_of(1 << bits));
        let (unit, bits) = exact.unwrap_or(("B", 0));
        write!(f, "{}{unit}", self.0 >> bits)
    }
}

/// The text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidByteSize {
    /// No unit.
    #[error("`{0}` has no unit: write a size such as \"{0}B\", \"{0}KiB\" or \"{0}MiB\"")]
    NoUnit(String),
    /// Nothing that can be read as a size.
    #[error("`{0}` is not a size: write for instance \"512KiB\", \"64MiB\" or \"2GiB\"")]
    Malformed(String),
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let text = text.trim();
        let shown = || text.chars().take(40).collect::<String>();
        if text.parse::<f64>().is_ok() {
            return Err(InvalidByteSize::NoUnit(shown()));
        }
        if text.starts_with('-') {
            return Err(InvalidByteSize::Malformed(shown()));
        }
        text.parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| InvalidByteSize::Malformed(shown()))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"512KiB\", \"64MiB\" or \"2GiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ByteSize, E> {
                Err(E::custom(InvalidByteSize::NoUnit(number.to_string())))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ByteSize, E> {
                Err(E::custom(InvalidByteSize::NoUnit(number.to_string())))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "size-with-unit", "examples": ["512KiB", "64MiB", "2GiB"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_size_parses_to_the_same_size() {
        for (text, bytes, printed) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("64 mib", 64 << 20, "64MiB"),
            ("1.5GiB", 3 << 29, "1536MiB"),
            ("10MB", 10_000_000, "10000000B"),
            ("77B", 77, "77B"),
            ("0B", 0, "0B"),
        ] {
            let read: ByteSize = text.parse().unwrap();
            assert_eq!(
                (read.get(), read.to_string().as_str()),
                (bytes, printed),
                "{text}"
            );
            assert_eq!(printed.parse::<ByteSize>().unwrap(), read, "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_the_way_to_write_it() {
        for json in ["64", "\"64\""] {
            let error = serde_json::from_str::<ByteSize>(json).unwrap_err().to_string();
            assert!(
                error.contains("has no unit") && error.contains("64MiB"),
                "{error}"
            );
        }
        for text in ["", "big", "-1MiB", "3 parsecs"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
