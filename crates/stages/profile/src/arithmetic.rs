//! Arithmetic that gives the same bits on every machine.
//!
//! `f64::exp2` and `f64::ln` call the platform's mathematical library, and libraries differ in the last bit. State that
//! is kept for months and compared between machines is computed here from additions, multiplications and divisions, which
//! IEEE 754 defines exactly (as it defines the square root).

/// `2^(-elapsed / half_life)`: the remaining share of a weight after `elapsed`. Both have the same unit; `half_life` is
/// at least 1.
///
/// Exactly 1 for `elapsed <= 0`, exactly halved at every half-life; within 2 units of the last place of the true value.
pub(crate) fn decay(elapsed: i64, half_life: i64) -> f64 {
    if elapsed <= 0 {
        return 1.0;
    }
    let halvings = elapsed / half_life;
    if halvings > 1_000 {
        return 0.0;
    }
    let rest = (elapsed % half_life) as f64 / half_life as f64;
    let power = f64::from_bits((1_023 - halvings as u64) << 52);
    power * exp_small(-rest * std::f64::consts::LN_2)
}

/// `e^x` for `|x| <= 0.7`: the Taylor series by Horner's rule; its first neglected term is below 1e-18.
fn exp_small(x: f64) -> f64 {
    let mut sum = 1.0;
    for term in (1..=17_u32).rev() {
        sum = 1.0 + x * sum / f64::from(term);
    }
    sum
}

/// The natural logarithm of a normal `x > 0`: `k ln 2 + 2 artanh((m - 1) / (m + 1))` with `x = m 2^k`, `1 <= m < 2`.
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32 - 1_023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1_023 << 52));
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut sum = 0.0;
    for odd in (0..20_u32).rev() {
        sum = sum * square + 1.0 / f64::from(2 * odd + 1);
    }
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * z * sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_half_life_halves_exactly() {
        assert_eq!(decay(0, 60).to_bits(), 1.0_f64.to_bits());
        assert_eq!(decay(-5, 60).to_bits(), 1.0_f64.to_bits());
        assert_eq!(decay(180, 60).to_bits(), 0.125_f64.to_bits());
        assert_eq!(decay(i64::MAX, 1).to_bits(), 0.0_f64.to_bits());
    }

    /// The values that Python's implementation of IEEE 754 computes for the same steps.
    #[test]
    fn the_bits_are_the_same_everywhere() {
        assert_eq!(decay(1, 3).to_bits(), 0x3fe9_65fe_a53d_6e3d);
        assert_eq!(ln(10.0).to_bits(), 0x4002_6bb1_bbb5_5515);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_mathematical_library(elapsed in 0_i64..1_000_000_000_000, half_life in 1_000_000_i64..10_000_000_000) {
            let expected = (-(elapsed as f64) / half_life as f64).exp2();
            prop_assume!(expected > 1e-290);
            prop_assert!((decay(elapsed, half_life) / expected - 1.0).abs() < 1e-9);
        }

        #[test]
        fn the_logarithm_agrees_too(x in 1e-9_f64..1e12) {
            prop_assert!((ln(x) - x.ln()).abs() < 1e-13 * x.ln().abs().max(1.0));
        }
    }
}
