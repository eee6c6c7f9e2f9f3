//! Event time.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::TextVisitor;

/// An instant in UTC, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// On the wire it is RFC 3339 with milliseconds and `Z`; any RFC 3339 offset is accepted and converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Utc(i64);

impl Utc {
    /// The earliest instant. As a watermark: no record was read.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant. As a watermark: the stream has ended.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The wall clock. Only edges call it; stages receive the time as an argument.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// This instant plus `millis`, saturating at [`Self::MIN`] and [`Self::MAX`].
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this instant (negative if it is later), saturating.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = canonical::write(self.0) {
            return f.write_str(std::str::from_utf8(&text).expect("digits and separators are ASCII"));
        }
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// The text is not an RFC 3339 date-time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 date-time such as 2026-11-21T09:00:00Z")]
pub struct InvalidTime(String);

impl FromStr for Utc {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(millis) = canonical::read(text.as_bytes()) {
            return Ok(Self(millis));
        }
        text.parse::<jiff::Timestamp>()
            .or_else(|error| nine_digits(text).ok_or(error)?.parse())
            .map(|t| Self(t.as_millisecond()))
            .map_err(|_| InvalidTime(text.chars().take(40).collect()))
    }
}

/// `text` with at most nine digits behind the decimal point. RFC 3339, section 5.6, allows any number; the parser reads nine.
fn nine_digits(text: &str) -> Option<String> {
    let (before, fraction) = text.split_once('.')?;
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 9).then(|| format!("{before}.{}{}", &fraction[..9], &fraction[digits..]))
}

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = canonical::write(self.0) {
            return serializer
                .serialize_str(std::str::from_utf8(&text).expect("digits and separators are ASCII"));
        }
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Utc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(Self::from_str))
    }
}

impl JsonSchema for Utc {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Utc".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// The canonical form, `2026-11-21T09:00:00.000Z`, in which this program writes times. It is read and written without the
/// general parser, because every record has one or two times, and each stage reads them. The general parser reads all
/// other forms.
mod canonical {
    const MILLIS_IN_DAY: i64 = 86_400_000;
    /// `0000-03-01`, the first day of the count. With it, February, the short month, is the last month of a year.
    const DAYS_TO_EPOCH: i64 = 719_468;
    /// The last year that is read and written here, because the general parser's range ends in the next one.
    const LAST_YEAR: i64 = 9_998;
    /// Days in 400 years.
    const DAYS_IN_ERA: i64 = 146_097;

    /// The milliseconds since 1970 of `text`, if it has the canonical form and names a day that exists.
    pub(super) fn read(text: &[u8]) -> Option<i64> {
        let text: &[u8; 24] = text.try_into().ok()?;
        let is_separated = [
            (4, b'-'),
            (7, b'-'),
            (10, b'T'),
            (13, b':'),
            (16, b':'),
            (19, b'.'),
            (23, b'Z'),
        ]
        .into_iter()
        .all(|(place, separator)| text[place] == separator);
        if !is_separated {
            return None;
        }
        let number = |from: usize, to: usize| {
            text[from..to].iter().try_fold(0_i64, |number, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| number * 10 + i64::from(digit - b'0'))
            })
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        // A leap second needs the general parser.
        if year > LAST_YEAR || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_of(year, month, day);
        if date_of(days) != (year, month, day) {
            return None;
        }
        Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + number(20, 23)?)
    }

    /// The canonical form of a time in milliseconds since 1970, if its year is one from 0 to [`LAST_YEAR`].
    pub(super) fn write(millis: i64) -> Option<[u8; 24]> {
        let (year, month, day) = date_of(millis.div_euclid(MILLIS_IN_DAY));
        if !(0..=LAST_YEAR).contains(&year) {
            return None;
        }
        let of_day = millis.rem_euclid(MILLIS_IN_DAY);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let numbers = [
            (0, 4, year),
            (5, 7, month),
            (8, 10, day),
            (11, 13, of_day / 3_600_000),
            (14, 16, of_day / 60_000 % 60),
            (17, 19, of_day / 1_000 % 60),
            (20, 23, of_day % 1_000),
        ];
        for (from, to, mut number) in numbers {
            for digit in text[from..to].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        Some(text)
    }

    /// Days from 1970-01-01 to a date of the proleptic Gregorian calendar. A day that does not exist gives another one.
    const fn days_of(year: i64, month: i64, day: i64) -> i64 {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = (month + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + day - 1;
        era * DAYS_IN_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - DAYS_TO_EPOCH
    }

    /// Year, month and day of the day that is `days` after 1970-01-01.
    const fn date_of(days: i64) -> (i64, i64, i64) {
        let days = days + DAYS_TO_EPOCH;
        let (era, day_of_era) = (days.div_euclid(DAYS_IN_ERA), days.rem_euclid(DAYS_IN_ERA));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year_of_era;
        (if month <= 2 { year + 1 } else { year }, month, day)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_canonical_form_is_that_of_the_general_parser(
            millis in prop_oneof![-63_000_000_000_000..253_500_000_000_000_i64, any::<i64>()],
        ) {
            let general = jiff::Timestamp::from_millisecond(millis).map(|time| format!("{time:.3}"));
            if let Some(written) = canonical::write(millis) {
                let written = std::str::from_utf8(&written).unwrap();
                prop_assert_eq!(written, general.unwrap());
                prop_assert_eq!(canonical::read(written.as_bytes()), Some(millis));
            } else if let Ok(general) = general {
                prop_assert_eq!(general.parse::<Utc>().unwrap(), Utc(millis));
            }
        }

        #[test]
        fn times_that_the_general_parser_refuses_are_refused(
            text in "[0-2][0-9]{3}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9][.][0-9]{3}Z",
        ) {
            let general = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
            prop_assert_eq!(text.parse::<Utc>().map(Utc::as_millis).ok(), general.ok());
        }
    }

    #[test]
    fn an_offset_is_converted_and_printed_in_utc() {
        let t: Utc = "2017-08-26T22:00:00.5+02:00".parse().unwrap();
        assert_eq!(t.to_string(), "2017-08-26T20:00:00.500Z");
        assert_eq!(serde_json::to_string(&t).unwrap(), "\"2017-08-26T20:00:00.500Z\"");
    }

    #[test]
    fn a_fraction_may_have_any_number_of_digits() {
        let t: Utc = "2017-08-26T22:00:00.1234567891234+02:00".parse().unwrap();
        assert_eq!(t.to_string(), "2017-08-26T20:00:00.123Z");
        assert!("2017-08-26T22:00:00.1234567891234".parse::<Utc>().is_err());
    }

    #[test]
    fn a_date_without_a_time_is_refused() {
        assert!("2017-08-26".parse::<Utc>().is_err());
    }
}
