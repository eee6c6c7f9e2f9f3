//! AVX2 and FMA: products of seven-bit activations and weights of up to eight bits, added up in sixteen bits.
//!
//! `vpmaddubsw` multiplies 32 pairs of bytes and adds them two by two into sixteen bits. Widening each such sum at once
//! (`vpmaddwd` with ones) would spend as many multiplications on widening as on multiplying. So [`STEPS`] of them are
//! added in sixteen bits first. That this never overflows is not hoped for but arranged: when weights are packed, each
//! column's scale is chosen so that no activations of seven bits could reach the sixteenth bit (`quantise`).
#![expect(unsafe_code, reason = "instructions; see the invariants in the parent module")]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "the loads and stores are those that take any alignment"
)]

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm_add_ps, _mm_add_ss,
    _mm_cvtss_f32, _mm_max_ps, _mm_max_ss, _mm_min_ps, _mm_min_ss, _mm_movehl_ps, _mm_packus_epi16,
    _mm_shuffle_ps, _mm_storeu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cvtepi32_ps,
    _mm256_cvtps_epi32, _mm256_div_ps, _mm256_extractf128_ps, _mm256_extracti128_si256, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_packs_epi32, _mm256_permute4x64_epi64, _mm256_round_ps,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_slli_epi32,
    _mm256_storeu_ps, _mm256_storeu_si256, _mm256_sub_ps,
};

use super::{COLUMNS, Path, Scheme, check_products};

/// Steps of four inputs that are added in sixteen bits.
const STEPS: usize = 6;

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
        n.map(|n| unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        })
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

    fn products(self, activations: &[u8], rows: usize, k: usize, weights: &[i8], out: &mut [[i32; COLUMNS]]) {
        check_products(activations, rows, k, weights, out);
        let out = out.as_mut_ptr().cast::<i32>();
        for panel in 0..2 {
            let mut row = 0;
            // SAFETY: `self` proves AVX2. Rows `row..row + R` are below `rows`, for which the check found room in
            // `activations` and `out`; a panel is 16·k weights, of which there are two.
            unsafe {
                let weights = weights.as_ptr().add(panel * 16 * k);
                let out = out.add(panel * 16);
                while row + 3 <= rows {
                    multiply::<3>(
                        activations.as_ptr().add(row * k),
                        k,
                        weights,
                        out.add(row * COLUMNS),
                    );
                    row += 3;
                }
                match rows - row {
                    1 => multiply::<1>(
                        activations.as_ptr().add(row * k),
                        k,
                        weights,
                        out.add(row * COLUMNS),
                    ),
                    2 => multiply::<2>(
                        activations.as_ptr().add(row * k),
                        k,
                        weights,
                        out.add(row * COLUMNS),
                    ),
                    _ => {}
                }
            }
        }
    }
}

/// `R` rows by one panel. With three rows all sums live in registers: 6 of sixteen bits, 6 of 32, two of weights.
///
/// # Safety
/// `activations` points to `R` rows of `k` bytes, `weights` to 16·k, `out` to `R` rows of [`COLUMNS`] numbers of which the
/// first sixteen are written.
#[target_feature(enable = "avx2")]
unsafe fn multiply<const R: usize>(activations: *const u8, k: usize, weights: *const i8, out: *mut i32) {
    let ones = _mm256_set1_epi16(1);
    let mut wide = [[_mm256_setzero_si256(); 2]; R];
    let steps = k / 4;
    let mut step = 0;
    // SAFETY: a step reads four bytes of each row and 64 weights, and there are k / 4 of them in both; the stores are
    // within the sixteen numbers of each row.
    unsafe {
        while step + STEPS <= steps {
            let sums = narrow::<R>(activations, k, weights, step, STEPS);
            for r in 0..R {
                for c in 0..2 {
                    wide[r][c] = _mm256_add_epi32(wide[r][c], _mm256_madd_epi16(sums[r][c], ones));
                }
            }
            step += STEPS;
        }
        if step < steps {
            let sums = narrow::<R>(activations, k, weights, step, steps - step);
            for r in 0..R {
                for c in 0..2 {
                    wide[r][c] = _mm256_add_epi32(wide[r][c], _mm256_madd_epi16(sums[r][c], ones));
                }
            }
        }
        for (r, wide) in wide.iter().enumerate() {
            let to = out.add(r * COLUMNS).cast::<__m256i>();
            _mm256_storeu_si256(to, wide[0]);
            _mm256_storeu_si256(to.add(1), wide[1]);
        }
    }
}

/// The sums of `count` steps from `step` on, in sixteen bits.
///
/// # Safety
/// As for [`multiply`], with `step + count` steps there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn narrow<const R: usize>(
    activations: *const u8,
    k: usize,
    weights: *const i8,
    step: usize,
    count: usize,
) -> [[__m256i; 2]; R] {
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    for s in step..step + count {
        // SAFETY: see the caller.
        unsafe {
            let weights = weights.add(s * 64).cast::<__m256i>();
            let weights = [_mm256_loadu_si256(weights), _mm256_loadu_si256(weights.add(1))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let four = activations.add(r * k + s * 4).cast::<i32>().read_unaligned();
                let four = _mm256_set1_epi32(four);
                for c in 0..2 {
                    sums[c] = _mm256_add_epi16(sums[c], _mm256_maddubs_epi16(four, weights[c]));
                }
            }
        }
    }
    sums
}
