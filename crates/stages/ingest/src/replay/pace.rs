//! The speed of a replay.

use std::str::FromStr;
use std::time::Duration;

use limbic_domain::Utc;

/// The speed of a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as the target accepts.
    Max,
    /// A multiple of the original speed.
    Times(f64),
}

/// The text is not a speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a speed: give `max`, or a number above 0 (1 = as it was written, 60 = a minute a second)"
)]
pub struct PaceError(String);

impl FromStr for Pace {
    type Err = PaceError;

    fn from_str(text: &str) -> Result<Self, PaceError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.trim_end_matches('x').parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(PaceError(text.to_owned())),
        }
    }
}

impl Pace {
    /// The time from the first row to a row that was written at `at`. Rows without a time are due immediately.
    pub fn due(self, first: Utc, at: Option<Utc>) -> Duration {
        match (self, at) {
            (Self::Times(times), Some(at)) => {
                Duration::from_secs_f64(at.millis_since(first).max(0) as f64 / 1e3 / times)
            }
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_speed_is_half_the_wait() {
        let (first, at) = (Utc::from_millis(1_000), Some(Utc::from_millis(5_000)));
        assert_eq!(
            "2".parse::<Pace>().unwrap().due(first, at),
            Duration::from_secs(2)
        );
        assert_eq!("max".parse::<Pace>().unwrap().due(first, at), Duration::ZERO);
        for wrong in ["0", "-1", "fast", "nan", "inf"] {
            assert!(wrong.parse::<Pace>().is_err(), "{wrong}");
        }
    }
}
