//! Offsets of clocks from UTC.

use std::fmt;
use std::str::FromStr;

use jiff::fmt::temporal::DateTimeParser;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How far a clock is ahead of UTC, in whole minutes: `"+01:00"`, `"-03:30"`, `"Z"`. Without daylight-saving time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct UtcOffset(i16);

impl UtcOffset {
    /// An offset of whole minutes, positive east of Greenwich.
    pub const fn from_minutes(minutes: i16) -> Self {
        Self(minutes)
    }

    /// Minutes to add to UTC.
    pub const fn as_minutes(self) -> i64 {
        self.0 as i64
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// The text is not an offset from UTC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an offset from UTC: write for instance \"+01:00\", \"-03:30\" or \"Z\"")]
pub struct InvalidOffset(String);

impl FromStr for UtcOffset {
    type Err = InvalidOffset;

    fn from_str(text: &str) -> Result<Self, InvalidOffset> {
        let invalid = || InvalidOffset(text.chars().take(40).collect());
        if text == "Z" {
            return Ok(Self(0));
        }
        let zone = DateTimeParser::new()
            .parse_time_zone(text)
            .map_err(|_| invalid())?;
        let seconds = zone.to_fixed_offset().map_err(|_| invalid())?.seconds();
        if seconds % 60 != 0 {
            return Err(invalid());
        }
        i16::try_from(seconds / 60).map(Self).map_err(|_| invalid())
    }
}

impl Serialize for UtcOffset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcOffset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for UtcOffset {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UtcOffset".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "utc-offset", "examples": ["+01:00", "-03:30", "Z"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_offset_parses_to_the_same_offset() {
        for (text, minutes, printed) in [
            ("+01:00", 60, "+01:00"),
            ("-03:30", -210, "-03:30"),
            ("Z", 0, "+00:00"),
        ] {
            let offset: UtcOffset = text.parse().unwrap();
            assert_eq!(
                (offset.as_minutes(), offset.to_string().as_str()),
                (minutes, printed)
            );
            assert_eq!(printed.parse::<UtcOffset>().unwrap(), offset);
        }
        for text in ["", "60", "Europe/Berlin", "+99:00"] {
            assert!(text.parse::<UtcOffset>().is_err(), "{text}");
        }
    }
}
