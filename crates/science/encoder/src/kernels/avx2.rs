//! AVX2 and FMA: products of seven-bit activations and weights of up to eight bits, added in sixteen bits.
//!
//! `vpmaddubsw` multiplies 32 pairs of bytes and adds them in pairs into sixteen bits. Widening each such sum immediately
//! (`vpmaddwd` with ones) would take as many multiplications as the products themselves. So [`STEPS`] of them are first
//! added in sixteen bits. An overflow is impossible: when weights are packed, each column's scale is chosen so that no
//! activations of seven bits can exceed sixteen bits (`quantise`).
//!
//! The weights of a layer do not fit the second-level cache together with the activations, so each block of tokens reads
//! them from the third-level cache. While one panel is multiplied, the next one is prefetched, a few lines with each
//! group of rows. This is a tenth faster.
#![expect(unsafe_code, reason = "instructions; see the invariants in the parent module")]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "the loads and stores are those that take any alignment"
)]

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _mm_add_ps,
    _mm_add_ss, _mm_cvtss_f32, _mm_max_ps, _mm_max_ss, _mm_min_ps, _mm_min_ss, _mm_movehl_ps,
    _mm_packus_epi16, _mm_prefetch, _mm_shuffle_ps, _mm_storeu_si128, _mm256_add_epi32, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cvtepi32_ps,
    _mm256_cvtps_epi32, _mm256_div_ps, _mm256_extractf128_ps, _mm256_extracti128_si256, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_packs_epi32,
    _mm256_permute4x64_epi64, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32,
    _mm256_storeu_ps, _mm256_sub_ps,
};

use super::{COLUMNS, Path, Scheme, check_products};

mod products;

/// Steps of four inputs that are added in sixteen bits.
const STEPS: usize = 6;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// Applies an intrinsic to both halves.
macro_rules! both {
    ($op:ident($($x:expr),*)) => {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { [$op($($x[0]),*), $op($($x[1]),*)] }
    };
}

/// Folds both halves into one lane.
macro_rules! fold {
    ($x:expr, $whole:ident, $half:ident, $one:ident) => {
        // SAFETY: `self` proves AVX2; the rest is SSE, which every x86-64 has.
        unsafe {
            let x = $whole($x[0], $x[1]);
            let x = $half(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = $half(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32($one(x, _mm_shuffle_ps::<1>(x, x)))
        }
    };
}

impl Path for Avx2 {
    type F = [__m256; 2];
    const SCHEME: Scheme = Scheme {
        activation_max: 127,
        narrow_steps: STEPS,
    };
    const BLOCK: usize = 64;
    const ROWS: usize = products::ROWS;
    type Multiplier = ();

    #[inline(always)]
    fn vectorise<R>(self, op: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma")]
        fn inner<R>(op: impl FnOnce() -> R) -> R {
            op()
        }
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { inner(op) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_set1_ps(x); 2] }
    }
    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> Self::F {
        // SAFETY: `self` proves AVX2; both halves are within the array.
        unsafe {
            [
                _mm256_loadu_ps(from.as_ptr()),
                _mm256_loadu_ps(from.as_ptr().add(8)),
            ]
        }
    }
    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; 16]) {
        // SAFETY: `self` proves AVX2; both halves are within the array.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
        }
    }
    #[inline(always)]
    fn load_i32(self, from: &[i32; 16]) -> Self::F {
        let from = from.as_ptr().cast::<__m256i>();
        // SAFETY: `self` proves AVX2; both halves are within the array.
        unsafe {
            [
                _mm256_cvtepi32_ps(_mm256_loadu_si256(from)),
                _mm256_cvtepi32_ps(_mm256_loadu_si256(from.add(1))),
            ]
        }
    }
    #[inline(always)]
    fn store_u8(self, x: Self::F, to: &mut [u8; 16]) {
        // SAFETY: `self` proves AVX2; the store is sixteen bytes, as is the array.
        unsafe {
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1]));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = _mm_packus_epi16(
                _mm256_castsi256_si128(words),
                _mm256_extracti128_si256::<1>(words),
            );
            _mm_storeu_si128(to.as_mut_ptr().cast::<__m128i>(), bytes);
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        both!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn round(self, x: Self::F) -> Self::F {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_round_ps::<NEAREST>(x[0]), _mm256_round_ps::<NEAREST>(x[1])] }
    }
    #[inline(always)]
    fn power_of_two(self, n: Self::F) -> Self::F {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let bias = _mm256_set1_epi32(127);
            let left = _mm256_add_epi32(_mm256_cvtps_epi32(n[0]), bias);
            let right = _mm256_add_epi32(_mm256_cvtps_epi32(n[1]), bias);
            [
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(left)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(right)),
            ]
        }
    }
    #[inline(always)]
    fn sum(self, x: Self::F) -> f32 {
        fold!(x, _mm256_add_ps, _mm_add_ps, _mm_add_ss)
    }
    #[inline(always)]
    fn largest(self, x: Self::F) -> f32 {
        fold!(x, _mm256_max_ps, _mm_max_ps, _mm_max_ss)
    }
    #[inline(always)]
    fn least(self, x: Self::F) -> f32 {
        fold!(x, _mm256_min_ps, _mm_min_ps, _mm_min_ss)
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
        let panel_len = 16 * k;
        // After the second panel comes the next pair, which is needed next.
        let lines_a_group = (panel_len / LINE).div_ceil(rows.div_ceil(products::ROWS).max(1));
        for panel in 0..2 {
            let columns = panel * 16;
            let panel = weights.as_ptr().wrapping_add(panel * panel_len);
            for (group, row) in (0..rows).step_by(products::ROWS).enumerate() {
                for line in group * lines_a_group..(group + 1) * lines_a_group {
                    // SAFETY: a prefetch of any address is allowed.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(panel_len + line * LINE)) };
                }
                // SAFETY: `self` proves AVX2. The check found space in `activations` and `out` for the rows rounded up to
                // whole groups, and two panels of 16·k weights.
                unsafe {
                    products::multiply(
                        activations.as_ptr().add(row * k),
                        k,
                        panel,
                        out.add(row * COLUMNS + columns),
                    );
                }
            }
        }
    }
}
