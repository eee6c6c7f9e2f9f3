//! Plain Rust: for processors without their own path, and as the reference of the integer kernels.

use super::{COLUMNS, Path, Scheme, check_products};

/// The path that every machine supports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

#[inline(always)]
fn each(a: [f32; 16], b: [f32; 16], op: impl Fn(f32, f32) -> f32) -> [f32; 16] {
    std::array::from_fn(|i| op(a[i], b[i]))
}

/// Sums sixteen lanes in the same order as the other paths: halves onto halves.
#[inline(always)]
pub(super) fn fold(x: [f32; 16], op: impl Fn(f32, f32) -> f32) -> f32 {
    let x: [f32; 8] = std::array::from_fn(|i| op(x[i], x[i + 8]));
    let x: [f32; 4] = std::array::from_fn(|i| op(x[i], x[i + 4]));
    op(op(x[0], x[2]), op(x[1], x[3]))
}

impl Path for Portable {
    type F = [f32; 16];
    const SCHEME: Scheme = Scheme {
        activation_max: 255,
        narrow_steps: 0,
    };
    const BLOCK: usize = 64;
    const ROWS: usize = 1;
    type Multiplier = ();

    #[inline(always)]
    fn vectorise<R>(self, op: impl FnOnce() -> R) -> R {
        op()
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; 16]
    }
    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; 16]) {
        *to = x;
    }
    #[inline(always)]
    fn load_i32(self, from: &[i32; 16]) -> Self::F {
        from.map(|x| x as f32)
    }
    #[inline(always)]
    fn store_u8(self, x: Self::F, to: &mut [u8; 16]) {
        *to = x.map(|x| x.round_ties_even() as u8);
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // Not `f32::mul_add`: without the instruction it calls the mathematics library.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn round(self, x: Self::F) -> Self::F {
        x.map(f32::round_ties_even)
    }
    #[inline(always)]
    fn power_of_two(self, n: Self::F) -> Self::F {
        n.map(|n| f32::from_bits(((n as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    fn sum(self, x: Self::F) -> f32 {
        fold(x, |a, b| a + b)
    }
    #[inline(always)]
    fn largest(self, x: Self::F) -> f32 {
        fold(x, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn least(self, x: Self::F) -> f32 {
        fold(x, |a, b| if a < b { a } else { b })
    }

    fn multiplier(self) {}

    fn products(
        self,
        (): &mut (),
        activations: &[u8],
        rows: usize,
        k: usize,
        weights: &[i8],
        out: &mut [[i32; COLUMNS]],
    ) {
        check_products(Self::ROWS, activations, rows, k, weights, out);
        let (left, right) = weights.split_at(16 * k);
        for (row, out) in activations.chunks_exact(k).zip(out).take(rows) {
            for (panel, out) in [left, right].into_iter().zip(out.as_chunks_mut::<16>().0) {
                let mut sums = [0_i32; 16];
                for (four, step) in row.as_chunks::<4>().0.iter().zip(panel.as_chunks::<64>().0) {
                    let four = four.map(i32::from);
                    for (sum, w) in sums.iter_mut().zip(step.as_chunks::<4>().0) {
                        for (a, w) in four.iter().zip(w) {
                            *sum += a * i32::from(*w);
                        }
                    }
                }
                *out = sums;
            }
        }
    }
}
