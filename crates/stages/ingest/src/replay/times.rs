//! The time of a row, in the forms that are common in files of posts.
//!
//! A time that can mean two instants is refused, with what would make it clear: a date without a time zone, `03/04/2017`, a zone
//! abbreviation that several countries use.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use limbic_domain::Utc;

/// Zone abbreviations with one meaning in the files of posts: those of RFC 5322, section 4.3, which Twitter's files used.
const ABBREVIATIONS: [(&str, &str); 12] = [
    ("UT", "+0000"),
    ("UTC", "+0000"),
    ("GMT", "+0000"),
    ("Z", "+0000"),
    ("EST", "-0500"),
    ("EDT", "-0400"),
    ("CST", "-0600"),
    ("CDT", "-0500"),
    ("MST", "-0700"),
    ("MDT", "-0600"),
    ("PST", "-0800"),
    ("PDT", "-0700"),
];

/// Forms with an offset. A fraction of a second is optional.
const WITH_OFFSET: [&str; 5] = [
    "%a %b %d %H:%M:%S%.f %z %Y",
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%a, %d %b %Y %H:%M:%S%.f %z",
];

/// Forms without one.
const WITHOUT_OFFSET: [&str; 9] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%a %b %d %H:%M:%S%.f %Y",
];

/// The same without a time of day: midnight.
const DATES: [&str; 3] = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y"];

/// What may stand behind the date in `03/04/2017`.
const CLOCKS: [&str; 5] = [" %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p", ""];

/// How the times of a file are read.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// The zone of times that name none.
    zone: Option<(String, TimeZone)>,
    /// The only form of a time, as in `strftime`.
    form: Option<String>,
}

/// A wrong option for times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimesError {
    /// No such zone.
    #[error("`{0}` is not a time zone: give a name of the IANA database, for instance UTC or Europe/Berlin")]
    Zone(String),
    /// Not a form of `strftime`.
    #[error("`{form}` is not a form of a time: {problem}; for instance %d/%m/%Y %H:%M")]
    Form {
        /// What was given.
        form: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Times {
    /// Reads times with the zone `zone`, where they name none, and in the form `form` only, if there is one.
    pub fn new(zone: Option<&str>, form: Option<&str>) -> Result<Self, TimesError> {
        let zone = zone.map(|name| match TimeZone::get(name) {
            Ok(zone) => Ok((name.to_owned(), zone)),
            Err(_) => Err(TimesError::Zone(name.to_owned())),
        });
        if let Some(form) = form {
            // Written once, so that a wrong directive is found before the file is read.
            let zoned = jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, TimeZone::UTC);
            let mut written = String::new();
            BrokenDownTime::from(&zoned)
                .format(form, &mut written)
                .map_err(|error| TimesError::Form {
                    form: form.to_owned(),
                    problem: error.to_string(),
                })?;
        }
        Ok(Self {
            zone: zone.transpose()?,
            form: form.map(str::to_owned),
        })
    }

    /// What decides how a time is read, for the checkpoint.
    pub(super) fn name(&self) -> String {
        let zone = self.zone.as_ref().map_or("", |(name, _)| name);
        format!("{zone} {}", self.form.as_deref().unwrap_or_default())
    }

    /// The instant that `text` names, or why it does not name one.
    pub(super) fn read(&self, text: &str) -> Result<Utc, String> {
        let text = text.trim();
        if let Some(form) = &self.form {
            return self.in_form(form, text);
        }
        if let Ok(at) = text.parse::<Utc>() {
            return Ok(at);
        }
        if let Some(at) = epoch(text) {
            return Ok(at);
        }
        let zoned = with_numeric_zone(text)?;
        let with_offset = WITH_OFFSET
            .iter()
            .find_map(|form| jiff::Timestamp::strptime(form, &zoned).ok());
        if let Some(at) = with_offset {
            return Ok(utc(at));
        }
        let local = WITHOUT_OFFSET
            .iter()
            .find_map(|form| DateTime::strptime(form, text).ok())
            .or_else(|| {
                DATES
                    .iter()
                    .find_map(|form| Date::strptime(form, text).ok())
                    .map(|date| date.at(0, 0, 0, 0))
            });
        match local {
            Some(local) => self.of_local(text, local),
            None => self.of_local(text, slashed(text)?),
        }
    }

    fn in_form(&self, form: &str, text: &str) -> Result<Utc, String> {
        let wrong =
            |error: jiff::Error| format!("`{}` is not a time in the form {form}: {error}", clip(text));
        let parts = BrokenDownTime::parse(form, text).map_err(wrong)?;
        if let Ok(at) = parts.to_timestamp() {
            return Ok(utc(at));
        }
        let local = parts
            .to_datetime()
            .or_else(|_| parts.to_date().map(|date| date.at(0, 0, 0, 0)))
            .map_err(wrong)?;
        self.of_local(text, local)
    }

    /// The instant of a time without an offset.
    fn of_local(&self, text: &str, local: DateTime) -> Result<Utc, String> {
        let Some((_, zone)) = &self.zone else {
            return Err(format!(
                "`{}` names no time zone: give the zone it was written in, for instance --timezone UTC",
                clip(text)
            ));
        };
        let zoned = local
            .to_zoned(zone.clone())
            .map_err(|error| format!("`{}` is not a time: {error}", clip(text)))?;
        Ok(utc(zoned.timestamp()))
    }
}

fn utc(at: jiff::Timestamp) -> Utc {
    Utc::from_millis(at.as_millisecond())
}

fn clip(text: &str) -> String {
    text.chars().take(40).filter(|c| !c.is_control()).collect()
}

/// A number of seconds, milliseconds, microseconds or nanoseconds since 1970. The unit follows from the size: 10¹¹ seconds are the
/// year 5138, and so on.
fn epoch(text: &str) -> Option<Utc> {
    if let Ok(number) = text.parse::<i128>() {
        let millis = match number.unsigned_abs() {
            0..100_000_000_000 => number * 1_000,
            100_000_000_000..100_000_000_000_000 => number,
            100_000_000_000_000..100_000_000_000_000_000 => number / 1_000,
            _ => number / 1_000_000,
        };
        return i64::try_from(millis).ok().and_then(in_calendar);
    }
    let number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'))
        .then(|| text.parse::<f64>().ok())??;
    let millis = match number.abs() {
        size if size < 1e11 => number * 1e3,
        size if size < 1e14 => number,
        size if size < 1e17 => number / 1e3,
        _ => number / 1e6,
    };
    in_calendar(millis as i64).filter(|_| number.is_finite())
}

/// The instant, if a calendar has it. A larger number is no time, and what waits for it would wait without an end.
fn in_calendar(millis: i64) -> Option<Utc> {
    jiff::Timestamp::from_millisecond(millis).ok().map(utc)
}

/// `text` with the offset in place of a zone's abbreviation.
fn with_numeric_zone(text: &str) -> Result<String, String> {
    let mut words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    for word in &mut words {
        let is_abbreviation = (2..=5).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_uppercase())
            && !matches!(*word, "AM" | "PM")
            && !is_day_or_month(word);
        if !is_abbreviation {
            continue;
        }
        let known = ABBREVIATIONS.iter().find(|(name, _)| name == word);
        *word = known.map(|(_, offset)| *offset).ok_or_else(|| {
            format!(
                "`{}`: {word} is the name of more than one time zone: give --timezone, and --time-format with {word} written out",
                clip(text)
            )
        })?;
    }
    Ok(words.join(" "))
}

fn is_day_or_month(word: &str) -> bool {
    const NAMES: [&str; 19] = [
        "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
        "AUG", "SEP", "OCT", "NOV", "DEC",
    ];
    NAMES.contains(&word)
}

/// A date with strokes, whose first number can be the day or the month. It is read where only one of the two is possible.
fn slashed(text: &str) -> Result<DateTime, String> {
    let unknown = || {
        format!(
            "`{}` is not a time that can be read: give RFC 3339 (2026-11-29T12:00:00Z), or its form with --time-format",
            clip(text)
        )
    };
    let (date, _) = text.split_once(' ').unwrap_or((text, ""));
    let numbers: Vec<u32> = date.split('/').map_while(|part| part.parse().ok()).collect();
    let &[first, second, year] = numbers.as_slice() else {
        return Err(unknown());
    };
    let year_form = if year < 100 { "%y" } else { "%Y" };
    if first <= 12 && second <= 12 && first != second {
        return Err(format!(
            "`{}` can be two days, because the month may stand first or second: give --time-format \"%d/%m/{year_form} %H:%M\" \
             or \"%m/%d/{year_form} %H:%M\"",
            clip(text)
        ));
    }
    let date_form = if first > 12 { "%d/%m/" } else { "%m/%d/" };
    CLOCKS
        .iter()
        .find_map(|clock| {
            let form = format!("{date_form}{year_form}{clock}");
            if clock.is_empty() {
                return Date::strptime(&form, text).ok().map(|date| date.at(0, 0, 0, 0));
            }
            DateTime::strptime(&form, text).ok()
        })
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let times = Times::new(Some("UTC"), None).unwrap();
        times
            .read(text)
            .map_or_else(|problem| problem, |at| at.to_string())
    }

    #[test]
    fn a_number_that_no_calendar_has_is_no_time() {
        let times = Times::default();
        for text in [
            "3592000000359200000000000001",
            "-3592000000359200000000000001",
            "1e300",
            "9e22",
        ] {
            assert!(times.read(text).is_err(), "{text}");
        }
        assert_eq!(
            times.read("1796000000").unwrap(),
            Utc::from_millis(1_796_000_000_000)
        );
    }

    #[test]
    fn times_in_common_forms_are_read() {
        for (text, expected) in [
            ("2017-08-27 00:05:34", "2017-08-27T00:05:34.000Z"),
            ("10/16/17 22:59", "2017-10-16T22:59:00.000Z"),
            ("16/10/2017 22:59:30", "2017-10-16T22:59:30.000Z"),
            ("10/10/2017 10:59:30 PM", "2017-10-10T22:59:30.000Z"),
            ("27.08.2017 00:05", "2017-08-27T00:05:00.000Z"),
            ("2017/08/27 00:05", "2017-08-27T00:05:00.000Z"),
            ("Wed Oct 27 16:00:05 +0000 2010", "2010-10-27T16:00:05.000Z"),
            ("Mon Apr 06 22:19:45 PDT 2009", "2009-04-07T05:19:45.000Z"),
            ("Tue, 24 Feb 2015 11:35:52 GMT", "2015-02-24T11:35:52.000Z"),
            ("2015-02-24 11:35:52 -0800", "2015-02-24T19:35:52.000Z"),
            ("2015-02-24 11:35:52.25+0100", "2015-02-24T10:35:52.250Z"),
            ("2015-02-24T11:35:52.123456789123Z", "2015-02-24T11:35:52.123Z"),
            ("1503792334", "2017-08-27T00:05:34.000Z"),
            ("1503792334.5", "2017-08-27T00:05:34.500Z"),
            ("1503792334000", "2017-08-27T00:05:34.000Z"),
            ("1503792334000000", "2017-08-27T00:05:34.000Z"),
            ("1503792334000000000", "2017-08-27T00:05:34.000Z"),
            ("2017-08-27", "2017-08-27T00:00:00.000Z"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_time_that_can_mean_two_instants_is_refused_with_what_makes_it_clear() {
        assert!(
            read("03/04/2017 10:00").contains("--time-format"),
            "{}",
            read("03/04/2017 10:00")
        );
        assert!(read("Mon Apr 06 22:19:45 IST 2009").contains("IST"));
        assert!(read("soon").contains("--time-format"));
        let without_zone = Times::default().read("2017-08-27 00:05:34").unwrap_err();
        assert!(without_zone.contains("--timezone UTC"), "{without_zone}");
    }

    #[test]
    fn a_stated_form_and_zone_decide() {
        let times = Times::new(Some("Europe/Berlin"), Some("%d/%m/%Y %H:%M")).unwrap();
        assert_eq!(
            times.read("03/04/2017 10:00").unwrap().to_string(),
            "2017-04-03T08:00:00.000Z"
        );
        assert!(times.read("2017-04-03T10:00:00Z").is_err());
        let with_offset = Times::new(None, Some("%Y%m%d %H%M %z")).unwrap();
        assert_eq!(
            with_offset.read("20170403 1000 +0200").unwrap().to_string(),
            "2017-04-03T08:00:00.000Z"
        );
        assert!(matches!(
            Times::new(Some("Berlin"), None),
            Err(TimesError::Zone(_))
        ));
        assert!(matches!(
            Times::new(None, Some("%!")),
            Err(TimesError::Form { .. })
        ));
    }
}
