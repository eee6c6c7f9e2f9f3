//! NEON with dot products of bytes (`sdot`, Armv8.2: Neoverse, Apple M1 and later, Cortex-A55 and A75 and later).
//!
//! `sdot` multiplies signed bytes, so activations have seven bits. Sums have 32 bits from the start, and weights have
//! eight.
#![expect(unsafe_code, reason = "instructions; see the invariants in the parent module")]

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vaddq_s32, vbslq_f32, vcgtq_f32, vcltq_f32, vcombine_u8, vcombine_u16,
    vcvtnq_s32_f32, vcvtnq_u32_f32, vcvtq_f32_s32, vdivq_f32, vdupq_n_f32, vdupq_n_s32, vfmaq_f32, vld1q_f32,
    vld1q_s32, vmovn_u16, vmovn_u32, vmulq_f32, vreinterpretq_f32_s32, vrndnq_f32, vshlq_n_s32, vst1q_f32,
    vst1q_u8, vsubq_f32,
};
use std::arch::is_aarch64_feature_detected;

use super::portable::fold;
use super::{COLUMNS, Path, Scheme, check_products};

mod products;

/// Proof that this machine has NEON and its dot products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn detect() -> Option<Neon> {
        (is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod")).then_some(Neon(()))
    }
}

/// Applies an intrinsic to all four quarters.
macro_rules! each {
    ($op:ident($($x:expr),*)) => {
        // SAFETY: `self` proves NEON.
        unsafe { [$op($($x[0]),*), $op($($x[1]),*), $op($($x[2]),*), $op($($x[3]),*)] }
    };
}

impl Neon {
    /// Folds all lanes into one, in the same order as the other paths.
    #[inline(always)]
    fn fold(self, x: [float32x4_t; 4], op: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0; 16];
        self.store(x, &mut lanes);
        fold(lanes, op)
    }
}

impl Path for Neon {
    type F = [float32x4_t; 4];
    const SCHEME: Scheme = Scheme {
        activation_max: 127,
        narrow_steps: 0,
    };
    const BLOCK: usize = 64;
    const ROWS: usize = products::ROWS;
    type Multiplier = ();

    #[inline(always)]
    fn vectorise<R>(self, op: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "neon")]
        fn inner<R>(op: impl FnOnce() -> R) -> R {
            op()
        }
        // SAFETY: `self` proves NEON.
        unsafe { inner(op) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: `self` proves NEON.
        unsafe { [vdupq_n_f32(x); 4] }
    }
    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> Self::F {
        let from = from.as_chunks::<4>().0;
        // SAFETY: `self` proves NEON; each load is a quarter of the array.
        std::array::from_fn(|i| unsafe { vld1q_f32(from[i].as_ptr()) })
    }
    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; 16]) {
        for (x, to) in x.into_iter().zip(to.as_chunks_mut::<4>().0) {
            // SAFETY: `self` proves NEON; the store is a quarter of the array.
            unsafe { vst1q_f32(to.as_mut_ptr(), x) };
        }
    }
    #[inline(always)]
    fn load_i32(self, from: &[i32; 16]) -> Self::F {
        let from = from.as_chunks::<4>().0;
        // SAFETY: `self` proves NEON; each load is a quarter of the array.
        std::array::from_fn(|i| unsafe { vcvtq_f32_s32(vld1q_s32(from[i].as_ptr())) })
    }
    #[inline(always)]
    fn store_u8(self, x: Self::F, to: &mut [u8; 16]) {
        // SAFETY: `self` proves NEON; the store is sixteen bytes, as is the array.
        unsafe {
            let words = x.map(|x| vmovn_u32(vcvtnq_u32_f32(x)));
            let left = vmovn_u16(vcombine_u16(words[0], words[1]));
            let right = vmovn_u16(vcombine_u16(words[2], words[3]));
            vst1q_u8(to.as_mut_ptr(), vcombine_u8(left, right));
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        each!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        each!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        // As on the other paths: the second operand if the two cannot be compared.
        let less = each!(vcltq_f32(a, b));
        each!(vbslq_f32(less, a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        let more = each!(vcgtq_f32(a, b));
        each!(vbslq_f32(more, a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn round(self, x: Self::F) -> Self::F {
        each!(vrndnq_f32(x))
    }
    #[inline(always)]
    fn power_of_two(self, n: Self::F) -> Self::F {
        n.map(|n| {
            // SAFETY: `self` proves NEON.
            unsafe {
                let biased = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
            }
        })
    }
    #[inline(always)]
    fn sum(self, x: Self::F) -> f32 {
        self.fold(x, |a, b| a + b)
    }
    #[inline(always)]
    fn largest(self, x: Self::F) -> f32 {
        self.fold(x, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn least(self, x: Self::F) -> f32 {
        self.fold(x, |a, b| if a < b { a } else { b })
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
        let out = out.as_mut_ptr().cast::<i32>();
        for (panel, weights) in weights.chunks_exact(16 * k).enumerate() {
            for row in (0..rows).step_by(products::ROWS) {
                // SAFETY: `self` proves the dot products. The check found space in `activations` and `out` for the rows
                // rounded up to whole groups, and two panels of 16·k weights.
                unsafe {
                    products::multiply(
                        activations.as_ptr().add(row * k),
                        k,
                        weights.as_ptr(),
                        out.add(row * COLUMNS + panel * 16),
                    );
                }
            }
        }
    }
}
