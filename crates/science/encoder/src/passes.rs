//! The operations between the products: normalisation, quantisation, exponentials. Safe code on sixteen lanes,
//! compiled for each path. The result of a row depends on that row only.

use crate::kernels::Path;
use crate::model::Norm;

/// Converts a row of quantised activations back: x ≈ least + scale·q.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Rounding {
    pub(crate) scale: f32,
    pub(crate) least: f32,
}

/// The sixteen-lane units of a row. Its length is a multiple of sixteen.
#[inline(always)]
pub(crate) fn units(row: &[f32]) -> &[[f32; 16]] {
    row.as_chunks::<16>().0
}

/// The same, mutable.
#[inline(always)]
pub(crate) fn units_mut(row: &mut [f32]) -> &mut [[f32; 16]] {
    row.as_chunks_mut::<16>().0
}

/// Layer normalisation of one row, in place.
#[inline(always)]
pub(crate) fn normalise<P: Path>(p: P, row: &mut [f32], norm: &Norm, epsilon: f32) {
    let n = row.len() as f32;
    let row = units_mut(row);
    let mut sum = p.splat(0.0);
    for x in row.iter() {
        sum = p.add(sum, p.load(x));
    }
    let mean = p.splat(p.sum(sum) / n);
    let mut squares = p.splat(0.0);
    for x in row.iter() {
        let x = p.sub(p.load(x), mean);
        squares = p.mul_add(x, x, squares);
    }
    let inverse = p.splat(1.0 / (p.sum(squares) / n + epsilon).sqrt());
    for ((x, scale), shift) in row.iter_mut().zip(units(&norm.scale)).zip(units(&norm.shift)) {
        let z = p.mul(p.sub(p.load(x), mean), inverse);
        p.store(p.mul_add(z, p.load(scale), p.load(shift)), x);
    }
}

/// Rounds (row − shifts)·factors to 0..=largest, scaled by the minimum and maximum of the row.
#[inline(always)]
pub(crate) fn round_row<P: Path>(
    p: P,
    row: &[f32],
    shifts: &[f32],
    factors: &[f32],
    to: &mut [u8],
) -> Rounding {
    let numbers = [units(row), units(shifts), units(factors)];
    let mut least = smoothed(p, numbers, 0);
    let mut largest = least;
    for i in 1..row.len() / 16 {
        let x = smoothed(p, numbers, i);
        least = p.min(least, x);
        largest = p.max(largest, x);
    }
    let (rounding, inverse) = rounding::<P>(p.least(least), p.largest(largest));
    let (least, inverse) = (p.splat(rounding.least), p.splat(inverse));
    let top = p.splat(P::SCHEME.activation_max as f32);
    for (i, to) in to
        .as_chunks_mut::<16>()
        .0
        .iter_mut()
        .enumerate()
        .take(row.len() / 16)
    {
        let x = p.sub(smoothed(p, numbers, i), least);
        p.store_u8(p.min(p.mul(x, inverse), top), to);
    }
    rounding
}

/// Sixteen elements of (row − shifts)·factors. A function, because a closure that is not inlined is compiled without
/// the path's instructions.
#[inline(always)]
fn smoothed<P: Path>(p: P, [row, shifts, factors]: [&[[f32; 16]]; 3], i: usize) -> P::F {
    p.mul(p.sub(p.load(&row[i]), p.load(&shifts[i])), p.load(&factors[i]))
}

/// The same for a row without shifts and factors.
#[inline(always)]
pub(crate) fn round_plain_row<P: Path>(p: P, row: &[f32], to: &mut [u8]) -> Rounding {
    let row = units(row);
    let (mut least, mut largest) = (p.load(&row[0]), p.load(&row[0]));
    for x in &row[1..] {
        let x = p.load(x);
        least = p.min(least, x);
        largest = p.max(largest, x);
    }
    let (rounding, inverse) = rounding::<P>(p.least(least), p.largest(largest));
    let (least, inverse) = (p.splat(rounding.least), p.splat(inverse));
    let top = p.splat(P::SCHEME.activation_max as f32);
    for (x, to) in row.iter().zip(to.as_chunks_mut::<16>().0) {
        p.store_u8(p.min(p.mul(p.sub(p.load(x), least), inverse), top), to);
    }
    rounding
}

/// The quantisation for a range, and the inverse of its scale.
#[inline(always)]
fn rounding<P: Path>(least: f32, largest: f32) -> (Rounding, f32) {
    let top = P::SCHEME.activation_max as f32;
    let range = largest - least;
    // A row of equal numbers has no scale: every element is `least`.
    let inverse = if range > f32::MIN_POSITIVE {
        top / range
    } else {
        0.0
    };
    let scale = range.max(0.0) / top;
    (Rounding { scale, least }, inverse)
}

/// GELU: x·Φ(x), with the normal distribution function Φ as 1/2 and an odd polynomial, clamped at ±4.
///
/// It is within 2e-4 of the exact value. Its result becomes an integer of eight bits right after it, and one step of such
/// an integer is about thirty times as large, for a row with a range of 1.5. A quotient of polynomials that is exact to 4e-7 takes four times as long, most of
/// it for the division.
///
/// The coefficients minimise the largest error of x·Φ(x) (Lawson's algorithm), with the value 1 at the clamp.
#[inline(always)]
pub(crate) fn gelu<P: Path>(p: P, x: P::F) -> P::F {
    const CLAMP: f32 = 4.0;
    const PHI: [f32; 7] = [
        2.258_815_4e-8,
        -1.588_824_1e-6,
        4.776_382_4e-5,
        -8.121_868e-4,
        8.763_688e-3,
        -6.455_44e-2,
        0.397_870_27,
    ];
    let clamped = p.max(p.min(x, p.splat(CLAMP)), p.splat(-CLAMP));
    let odd = polynomial(p, p.mul(clamped, clamped), &PHI);
    p.mul(x, p.mul_add(clamped, odd, p.splat(0.5)))
}

/// The value at `x` of a polynomial. The coefficient of the highest power is first.
#[inline(always)]
fn polynomial<P: Path>(p: P, x: P::F, coefficients: &[f32]) -> P::F {
    let mut sum = p.splat(coefficients[0]);
    for c in &coefficients[1..] {
        sum = p.mul_add(sum, x, p.splat(*c));
    }
    sum
}

/// eˣ for x ≤ 88; below −87, the value at −87.
#[inline(always)]
pub(crate) fn exponential<P: Path>(p: P, x: P::F) -> P::F {
    // ln 2 in two parts, so that n·ln 2 is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = p.max(x, p.splat(-87.0));
    let n = p.round(p.mul(x, p.splat(std::f32::consts::LOG2_E)));
    let r = p.mul_add(n, p.splat(-LN_2_HIGH), x);
    let r = p.mul_add(n, p.splat(-LN_2_LOW), r);
    let mut sum = p.splat(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        sum = p.mul_add(sum, r, p.splat(c));
    }
    let sum = p.mul_add(p.mul(sum, r), r, p.add(r, p.splat(1.0)));
    p.mul(sum, p.power_of_two(n))
}

/// The scalar product of two rows.
#[inline(always)]
pub(crate) fn dot<P: Path>(p: P, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = p.splat(0.0);
    for (a, b) in units(a).iter().zip(units(b)) {
        sum = p.mul_add(p.load(a), p.load(b), sum);
    }
    p.sum(sum)
}

/// The hyperbolic tangent, in place.
#[inline(always)]
pub(crate) fn tanh<P: Path>(p: P, row: &mut [f32]) {
    let one = p.splat(1.0);
    for x in units_mut(row) {
        let clamped = p.max(p.min(p.load(x), p.splat(15.0)), p.splat(-15.0));
        let e = exponential(p, p.mul(clamped, p.splat(-2.0)));
        p.store(p.div(p.sub(one, e), p.add(one, e)), x);
    }
}
