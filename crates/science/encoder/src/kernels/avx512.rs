//! AVX-512: sixteen numbers in one register, and products by dot products of bytes (VNNI) or by tiles (AMX).
//!
//! Both kinds add in 32 bits from the start. So activations have all eight bits, and the scale of weights is not limited.
//! Every processor with AMX also has VNNI and the rest of AVX-512.
#![expect(unsafe_code, reason = "instructions; see the invariants in the parent module")]

use std::arch::x86_64::{
    __m128i, __m512, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T1, _mm_add_ps, _mm_add_ss,
    _mm_cvtss_f32, _mm_max_ps, _mm_max_ss, _mm_min_ps, _mm_min_ss, _mm_movehl_ps, _mm_prefetch,
    _mm_shuffle_ps, _mm_storeu_si128, _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps,
    _mm256_max_ps, _mm256_min_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd,
    _mm512_castps512_ps256, _mm512_castsi512_ps, _mm512_cvtepi32_ps, _mm512_cvtps_epi32,
    _mm512_cvtusepi32_epi8, _mm512_div_ps, _mm512_extractf32x8_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_roundscale_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_shuffle_f32x4, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::{COLUMNS, Path, Scheme, check_products};

mod tiles;
mod vnni;

/// AVX-512 with dot products of bytes.
pub(crate) type Avx512Vnni = Avx512<vnni::Vnni>;
/// AVX-512 with tiles.
pub(crate) type Amx = Avx512<tiles::Tiles>;

/// Proof that this machine has AVX-512 (F, BW, DQ, VL, VNNI) with AVX2 and FMA, and what `M` proves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512<M>(M);

impl<M: Multiply> Avx512<M> {
    pub(crate) fn detect() -> Option<Avx512<M>> {
        let lanes = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        if lanes { M::detect().map(Avx512) } else { None }
    }
}

/// Prefetches some lines of the next pair of panels. Each group of rows prefetches its share, so that the lines are in
/// the cache when they are needed.
#[inline(always)]
fn prefetch_next_panels(weights: *const i8, k: usize, group: usize, groups: usize) {
    const LINE: usize = 64;
    let lines = (COLUMNS * k / LINE).div_ceil(groups);
    let next = weights.wrapping_add(COLUMNS * k);
    for line in group * lines..(group + 1) * lines {
        // SAFETY: a prefetch of any address is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line * LINE)) };
    }
}

/// How rows of small integers are multiplied with AVX-512.
pub(crate) trait Multiply: Copy + Send + Sync + 'static {
    /// See [`Path::BLOCK`].
    const BLOCK: usize;
    /// See [`Path::ROWS`].
    const ROWS: usize;
    /// See [`Path::Multiplier`].
    type Multiplier;

    /// Proof of what it needs in addition to AVX-512 with VNNI, which the caller has already checked.
    fn detect() -> Option<Self>;

    /// See [`Path::multiplier`].
    fn multiplier(self) -> Self::Multiplier;

    /// See [`Path::products`].
    ///
    /// # Safety
    /// The processor has AVX-512 with VNNI. `activations` points to `rows` rows of `k` bytes, where `rows` is rounded up
    /// to [`Multiply::ROWS`] and `k` is a multiple of 64 and not zero. `weights` points to 32·k bytes. `out` points to as
    /// many rows of [`COLUMNS`] numbers.
    unsafe fn products(
        multiplier: &mut Self::Multiplier,
        activations: *const u8,
        rows: usize,
        k: usize,
        weights: *const i8,
        out: *mut i32,
    );
}

/// Applies an intrinsic whose instruction `self` proves.
macro_rules! one {
    ($op:ident($($x:expr),*)) => {
        // SAFETY: `self` proves AVX-512.
        unsafe { $op($($x),*) }
    };
}

/// Folds all lanes into one: the upper half onto the lower half, repeatedly.
macro_rules! fold {
    ($x:expr, $whole:ident, $half:ident, $one:ident) => {
        // SAFETY: `self` proves AVX-512 with DQ, which includes the narrower instructions.
        unsafe {
            let x = $whole(_mm512_castps512_ps256($x), _mm512_extractf32x8_ps::<1>($x));
            let x = $half(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = $half(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32($one(x, _mm_shuffle_ps::<1>(x, x)))
        }
    };
}

impl<M: Multiply> Path for Avx512<M> {
    type F = __m512;
    const SCHEME: Scheme = Scheme {
        activation_max: 255,
        narrow_steps: 0,
    };
    const BLOCK: usize = M::BLOCK;
    const ROWS: usize = M::ROWS;
    type Multiplier = M::Multiplier;

    #[inline(always)]
    fn vectorise<R>(self, op: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn inner<R>(op: impl FnOnce() -> R) -> R {
            op()
        }
        // SAFETY: `self` proves all of these features.
        unsafe { inner(op) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        one!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> __m512 {
        // SAFETY: `self` proves AVX-512; the load is the array.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32; 16]) {
        // SAFETY: `self` proves AVX-512; the store is the array.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
    }
    #[inline(always)]
    fn load_i32(self, from: &[i32; 16]) -> __m512 {
        // SAFETY: `self` proves AVX-512; the load, which takes any alignment, is the array.
        unsafe { _mm512_cvtepi32_ps(_mm512_loadu_si512(from.as_ptr().cast())) }
    }
    #[inline(always)]
    #[expect(clippy::cast_ptr_alignment, reason = "the store takes any alignment")]
    fn store_u8(self, x: __m512, to: &mut [u8; 16]) {
        // SAFETY: `self` proves AVX-512; the store is sixteen bytes, as is the array.
        unsafe {
            let bytes = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(x));
            _mm_storeu_si128(to.as_mut_ptr().cast::<__m128i>(), bytes);
        }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        one!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        one!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        one!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        one!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        one!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        one!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        one!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_roundscale_ps::<NEAREST>(x) }
    }
    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        }
    }
    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        fold!(x, _mm256_add_ps, _mm_add_ps, _mm_add_ss)
    }
    #[inline(always)]
    fn largest(self, x: __m512) -> f32 {
        fold!(x, _mm256_max_ps, _mm_max_ps, _mm_max_ss)
    }
    #[inline(always)]
    fn least(self, x: __m512) -> f32 {
        fold!(x, _mm256_min_ps, _mm_min_ps, _mm_min_ss)
    }

    #[inline(always)]
    fn transpose(self, rows: [__m512; 16]) -> [__m512; 16] {
        // Within each quarter of a register, 4 × 4 numbers of four rows change places; then the quarters do.
        let mut quarters = rows;
        for four in 0..4 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| rows[4 * four + i]);
            // SAFETY: `self` proves AVX-512.
            unsafe {
                let [ab, cd] =
                    [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)].map(|x| _mm512_castps_pd(x));
                quarters[4 * four] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                quarters[4 * four + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
                let [ab, cd] =
                    [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)].map(|x| _mm512_castps_pd(x));
                quarters[4 * four + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                quarters[4 * four + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
            }
        }
        let mut columns = rows;
        for i in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|four| quarters[four + i]);
            // SAFETY: the same.
            unsafe {
                let even = [
                    _mm512_shuffle_f32x4::<0x88>(a, b),
                    _mm512_shuffle_f32x4::<0x88>(c, d),
                ];
                let odd = [
                    _mm512_shuffle_f32x4::<0xdd>(a, b),
                    _mm512_shuffle_f32x4::<0xdd>(c, d),
                ];
                columns[i] = _mm512_shuffle_f32x4::<0x88>(even[0], even[1]);
                columns[4 + i] = _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]);
                columns[8 + i] = _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]);
                columns[12 + i] = _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]);
            }
        }
        columns
    }

    fn multiplier(self) -> M::Multiplier {
        self.0.multiplier()
    }

    fn products(
        self,
        multiplier: &mut M::Multiplier,
        activations: &[u8],
        rows: usize,
        k: usize,
        weights: &[i8],
        out: &mut [[i32; COLUMNS]],
    ) {
        check_products(M::ROWS, activations, rows, k, weights, out);
        let out = out.as_mut_ptr().cast::<i32>();
        // SAFETY: `self` proves AVX-512 with VNNI. The check found space for the rows rounded up to whole groups, a `k`
        // that is a multiple of 64 and not zero, and 32·k weights.
        unsafe {
            M::products(multiplier, activations.as_ptr(), rows, k, weights.as_ptr(), out);
        }
    }
}
