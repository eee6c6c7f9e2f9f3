//! Numbers and times in sentences.

use limbic_domain::{Direction, Utc};

/// `2026-03-01 10:00:05 UTC`.
pub(crate) fn clock(at: Utc) -> String {
    let text = at.to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    let time = time.split(['.', 'Z', '+']).next().unwrap_or("");
    format!("{day} {time} UTC")
}

/// A valence with its sign: `+0.25`, `−0.10`, `0.00`.
pub(crate) fn signed(value: f64) -> String {
    let text = format!("{:.2}", value.abs());
    match value {
        _ if text == "0.00" => text,
        value if value < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// A share in percent, with as many digits as it takes to tell it from 0.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        percent if percent <= 0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => "less than 0.01 %".to_owned(),
        percent if percent < 1.0 => format!("{percent:.2} %"),
        percent if percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// `1 post`, `1,200 posts`.
pub(crate) fn plural(count: u64, one: &str, many: &str) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {}", if count == 1 { one } else { many })
}

pub(crate) const fn up_or_down(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

/// The 95 % interval of a share of `hits` in `trials` (Wilson, "Probable inference", JASA 1927). `None` without trials, or if there
/// are more hits than trials: then it is not a share.
pub(crate) fn interval(hits: u64, trials: u64) -> Option<(f64, f64)> {
    const Z: f64 = 1.959_963_984_540_054;
    if trials == 0 || hits > trials {
        return None;
    }
    let (n, share) = (trials as f64, hits as f64 / trials as f64);
    let spread = Z * Z / n;
    let centre = (share + spread / 2.0) / (1.0 + spread);
    let half = Z / (1.0 + spread) * (share * (1.0 - share) / n + spread / (4.0 * n)).sqrt();
    Some(((centre - half).max(0.0), (centre + half).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let at: Utc = "2026-03-01T10:00:05.250Z".parse().unwrap();
        assert_eq!(clock(at), "2026-03-01 10:00:05 UTC");
        assert_eq!(
            [0.251, -0.1, 0.001, -0.001].map(signed),
            ["+0.25", "−0.10", "0.00", "0.00"]
        );
        assert_eq!(
            [0.0, 0.000_01, 0.001_2, 0.034, 0.36, 1.0].map(percent),
            ["0 %", "less than 0.01 %", "0.12 %", "3.4 %", "36 %", "100 %"]
        );
        assert_eq!(plural(1, "post", "posts"), "1 post");
        assert_eq!(plural(1_234_567, "post", "posts"), "1,234,567 posts");
        assert_eq!(plural(999, "post", "posts"), "999 posts");
    }

    #[test]
    fn the_interval_is_wilsons() {
        // Wilson's interval of 10 in 100, as R's prop.test(10, 100, correct = FALSE) gives it.
        let (low, high) = interval(10, 100).unwrap();
        assert!(
            (low - 0.055_229_14).abs() < 1e-7 && (high - 0.174_365_66).abs() < 1e-7,
            "{low} {high}"
        );
        assert_eq!(interval(0, 0), None);
        assert_eq!(interval(2, 1), None);
        let (low, high) = interval(0, 5).unwrap();
        assert!(low.abs() < 1e-12 && high < 0.5);
    }
}
