//! Durations with a unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::fmt::friendly::{Designator, SpanPrinter};
use jiff::{Span, SpanRelativeTo};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time with its unit: `"100ms"`, `"30s"`, `"5min"`, `"1h 30min"`, `"7d"`.
///
/// Weeks and days have fixed lengths. Months and years are refused, because their lengths vary. A duration is not
/// negative, at most 1,000 years, and in whole nanoseconds. It is printed in the largest units that represent it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(Duration);

/// The longest duration that can be written, in milliseconds: 1,000 years of 365 days.
const LONGEST_MILLIS: u64 = 1_000 * 365 * 86_400 * 1_000;

impl HumanDuration {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A duration of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A duration of whole minutes.
    pub const fn from_mins(minutes: u64) -> Self {
        Self(Duration::from_secs(60 * minutes))
    }

    /// A duration of whole hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self(Duration::from_secs(3_600 * hours))
    }

    /// A duration of whole days of 24 hours.
    pub const fn from_days(days: u64) -> Self {
        Self(Duration::from_secs(86_400 * days))
    }

    /// The duration for the standard library.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whole milliseconds, rounded down, in the type of event time; saturates at `i64::MAX`.
    pub const fn as_millis(self) -> i64 {
        let seconds = self.0.as_secs().saturating_mul(1_000);
        let millis = seconds.saturating_add(self.0.subsec_millis() as u64);
        if millis > i64::MAX as u64 {
            return i64::MAX;
        }
        millis as i64
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0.as_secs()
    }

    /// Whether it is 0.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::Compact);
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let seconds = self.0.as_secs();
        let parts = || {
            Span::new()
                .try_days((seconds / 86_400).cast_signed())?
                .try_hours((seconds % 86_400 / 3_600).cast_signed())?
                .try_minutes((seconds % 3_600 / 60).cast_signed())?
                .try_seconds((seconds % 60).cast_signed())?
                .try_milliseconds(i64::from(self.0.subsec_millis()))?
                .try_microseconds(i64::from(self.0.subsec_micros() % 1_000))?
                .try_nanoseconds(i64::from(self.0.subsec_nanos() % 1_000))
        };
        match parts() {
            Ok(span) => f.write_str(&PRINTER.span_to_string(&span)),
            // Longer than settings can express. Only code can create it.
            Err(_) => write!(f, "{seconds}s"),
        }
    }
}

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// No unit.
    #[error("`{0}` has no unit: write a duration such as \"{0}s\", \"{0}min\" or \"{0}h\"")]
    NoUnit(String),
    /// Nothing that can be read as a duration.
    #[error("`{0}` is not a duration: write for instance \"100ms\", \"30s\", \"5min\", \"1h\" or \"7d\"")]
    Malformed(String),
    /// Negative, or longer than 1,000 years.
    #[error("`{0}` is out of range: a duration is at least 0s and at most 1,000 years of 365 days")]
    OutOfRange(String),
}

impl FromStr for HumanDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let text = text.trim();
        let shown = || text.chars().take(40).collect::<String>();
        if text.parse::<f64>().is_ok() {
            return Err(InvalidDuration::NoUnit(shown()));
        }
        let span: Span = text.parse().map_err(|_| InvalidDuration::Malformed(shown()))?;
        let duration = span
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .map_err(|_| InvalidDuration::Malformed(shown()))?;
        let duration = Duration::try_from(duration).map_err(|_| InvalidDuration::OutOfRange(shown()))?;
        if duration > Duration::from_millis(LONGEST_MILLIS) {
            return Err(InvalidDuration::OutOfRange(shown()));
        }
        Ok(Self(duration))
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"100ms\", \"30s\", \"5min\", \"1h\" or \"7d\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<HumanDuration, E> {
                Err(E::custom(InvalidDuration::NoUnit(number.to_string())))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<HumanDuration, E> {
                Err(E::custom(InvalidDuration::NoUnit(number.to_string())))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<HumanDuration, E> {
                Err(E::custom(InvalidDuration::NoUnit(number.to_string())))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "duration-with-unit", "examples": ["100ms", "30s", "5min", "1h", "7d"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_duration_parses_to_the_same_duration() {
        for (text, duration, printed) in [
            ("100ms", HumanDuration::from_millis(100), "100ms"),
            ("30 s", HumanDuration::from_secs(30), "30s"),
            ("5min", HumanDuration::from_mins(5), "5m"),
            ("5 minutes", HumanDuration::from_mins(5), "5m"),
            ("90min", HumanDuration::from_mins(90), "1h 30m"),
            ("90d", HumanDuration::from_days(90), "90d"),
            ("2w", HumanDuration::from_days(14), "14d"),
            ("1.5s", HumanDuration::from_millis(1_500), "1s 500ms"),
            ("250us", HumanDuration(Duration::from_micros(250)), "250µs"),
            ("0s", HumanDuration::ZERO, "0s"),
        ] {
            let read: HumanDuration = text.parse().unwrap();
            assert_eq!((read, read.to_string().as_str()), (duration, printed), "{text}");
            assert_eq!(printed.parse::<HumanDuration>().unwrap(), read, "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_the_way_to_write_it() {
        for json in ["30", "\"30\"", "30.0"] {
            let error = serde_json::from_str::<HumanDuration>(json)
                .unwrap_err()
                .to_string();
            assert!(error.contains("has no unit") && error.contains("30s"), "{error}");
        }
    }

    #[test]
    fn units_without_a_fixed_length_and_impossible_lengths_are_refused() {
        for text in ["", "soon", "1 month", "2y", "-5s", "5s ago", "400000d", "30 x"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }
}
