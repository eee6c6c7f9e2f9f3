//! Python's `round(x, digits)`: the nearest decimal to the exact binary value, ties to even.

/// Rounds a number in `[-1, 1]` to 3 or 4 decimals. Never returns -0.
pub(super) fn round(value: f64, digits: usize) -> f64 {
    let scale = if digits == 3 { 1e3 } else { 1e4 };
    let scaled = value * scale;
    let is_near_a_tie = (scaled.abs().fract() - 0.5).abs() < 1e-6;
    let rounded = if is_near_a_tie {
        // The product above is rounded too, so the exact digits decide.
        format!("{value:.digits$}").parse().unwrap_or(value)
    } else {
        scaled.round() / scale
    };
    rounded + 0.0
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    #[expect(clippy::float_cmp, reason = "rounding is exact or it is wrong")]
    fn ties_go_to_even_and_near_ties_to_the_nearest() {
        // Ties that are exactly representable.
        assert_eq!(round(0.0625, 3), 0.062);
        assert_eq!(round(0.1875, 3), 0.188);
        assert_eq!(round(-0.03125, 4), -0.0312);
        assert_eq!(round(0.09375, 4), 0.0938);
        // Ties in decimal that are above or below in binary.
        assert_eq!(round(0.0005, 3), 0.001);
        assert_eq!(round(0.0015, 3), 0.002);
        assert_eq!(round(0.0025, 3), 0.003);
        assert_eq!(round(0.4405, 3), 0.441);
        assert_eq!(round(0.57865, 4), 0.5786);
        assert!(round(-0.000_01, 4).is_sign_positive());
    }
}
