//! Time zones, and the calendar days in them.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Utc;

/// A time zone of the IANA database: `"Europe/Berlin"`, `"UTC"`. Default `UTC`.
///
/// The database is part of the program, so every machine computes the same days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(jiff::tz::TimeZone);

/// A calendar day. It has 23 or 25 hours if the clock changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalendarDay {
    /// Its first instant.
    pub begin: Utc,
    /// The first instant of the next day.
    pub end: Utc,
    /// The day of the week, from 0 (Monday) to 6 (Sunday).
    pub weekday: u8,
}

impl TimeZone {
    /// The calendar day that contains `at`. Times beyond the years −9999 to 9999 are treated as UTC.
    pub fn day_of(&self, at: Utc) -> CalendarDay {
        self.day(at).unwrap_or_else(|_| {
            const DAY: i64 = 86_400_000;
            let number = at.as_millis().div_euclid(DAY);
            CalendarDay {
                begin: Utc::from_millis(number.saturating_mul(DAY)),
                end: Utc::from_millis(number.saturating_add(1).saturating_mul(DAY)),
                // 1970-01-01 was a Thursday.
                weekday: number.saturating_add(3).rem_euclid(7) as u8,
            }
        })
    }

    fn day(&self, at: Utc) -> Result<CalendarDay, jiff::Error> {
        let local = jiff::Timestamp::from_millisecond(at.as_millis())?.to_zoned(self.0.clone());
        let millis = |zoned: &jiff::Zoned| Utc::from_millis(zoned.timestamp().as_millisecond());
        Ok(CalendarDay {
            begin: millis(&local.start_of_day()?),
            end: millis(&local.tomorrow()?.start_of_day()?),
            weekday: local.weekday().to_monday_zero_offset().unsigned_abs(),
        })
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// The text is not the name of a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a time zone: write a name of the IANA database, for instance \"Europe/Berlin\" or \"UTC\""
)]
pub struct InvalidTimeZone(String);

impl FromStr for TimeZone {
    type Err = InvalidTimeZone;

    fn from_str(text: &str) -> Result<Self, InvalidTimeZone> {
        if text == "UTC" {
            return Ok(Self::default());
        }
        let zone = jiff::tz::TimeZone::get(text);
        zone.map(Self)
            .map_err(|_| InvalidTimeZone(text.chars().take(40).collect()))
    }
}

impl Serialize for TimeZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for TimeZone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeZone".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "time-zone", "examples": ["Europe/Berlin", "UTC"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(zone: &str, at: &str) -> (String, String, u8) {
        let zone: TimeZone = zone.parse().unwrap();
        let day = zone.day_of(at.parse().unwrap());
        (day.begin.to_string(), day.end.to_string(), day.weekday)
    }

    #[test]
    fn a_day_begins_at_local_midnight_and_has_an_hour_less_when_the_clock_goes_forward() {
        let berlin = |at| day("Europe/Berlin", at);
        let owned = |begin: &str, end: &str, weekday| (begin.to_owned(), end.to_owned(), weekday);
        assert_eq!(
            berlin("2026-11-29T23:30:00Z"),
            owned("2026-11-29T23:00:00.000Z", "2026-11-30T23:00:00.000Z", 0)
        );
        assert_eq!(
            berlin("2026-03-29T12:00:00Z"),
            owned("2026-03-28T23:00:00.000Z", "2026-03-29T22:00:00.000Z", 6)
        );
        assert_eq!(
            day("UTC", "1970-01-01T00:00:00Z"),
            owned("1970-01-01T00:00:00.000Z", "1970-01-02T00:00:00.000Z", 3)
        );
        let far = TimeZone::default().day_of(Utc::MAX);
        assert!(far.begin <= far.end);
    }

    #[test]
    fn what_is_printed_reads_back_and_an_unknown_zone_is_refused() {
        for name in ["Europe/Berlin", "America/Sao_Paulo", "UTC"] {
            let zone: TimeZone = name.parse().unwrap();
            assert_eq!(zone.to_string(), name);
            assert_eq!(zone.to_string().parse::<TimeZone>().unwrap(), zone);
        }
        for text in ["", "Berlin", "+01:00"] {
            let error = text.parse::<TimeZone>().unwrap_err().to_string();
            assert!(error.contains("Europe/Berlin"), "{error}");
        }
    }
}
