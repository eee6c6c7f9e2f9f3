//! Products with `vpdpbusd`: four products of bytes in each of sixteen lanes, added in 32 bits.

use std::arch::x86_64::{
    _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
};

use super::{COLUMNS, Multiply, prefetch_next_panels};

/// Rows that are multiplied together. The sixteen sums cover the latency of the instruction on two ports, and leave
/// registers for the weights and activations.
const ROWS: usize = 8;

/// The processor has VNNI, which every [`super::Avx512`] proves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vnni(());

impl Multiply for Vnni {
    const BLOCK: usize = 64;
    const ROWS: usize = ROWS;
    type Multiplier = ();

    fn detect() -> Option<Vnni> {
        is_x86_feature_detected!("avx512vnni").then_some(Vnni(()))
    }

    fn multiplier(self) {}

    unsafe fn products(
        (): &mut (),
        activations: *const u8,
        rows: usize,
        k: usize,
        weights: *const i8,
        out: *mut i32,
    ) {
        let groups = rows.div_ceil(ROWS);
        for group in 0..groups {
            let row = group * ROWS;
            prefetch_next_panels(weights, k, group, groups);
            // SAFETY: the caller's promise, for the group of rows that starts here.
            unsafe {
                multiply(activations.add(row * k), k, weights, out.add(row * COLUMNS));
            }
        }
    }
}

/// Multiplies one group of rows with two panels.
///
/// # Safety
/// As [`Multiply::products`], for [`ROWS`] rows.
#[target_feature(enable = "avx512f,avx512vnni")]
#[expect(
    clippy::cast_ptr_alignment,
    reason = "the loads and stores take any alignment"
)]
unsafe fn multiply(activations: *const u8, k: usize, weights: *const i8, out: *mut i32) {
    const { assert!(COLUMNS == 32, "two panels of sixteen columns") };
    let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
    for step in 0..k / 4 {
        // SAFETY: both panels have k / 4 steps of 64 weights, and each row has as many steps of four activations.
        unsafe {
            let left = _mm512_loadu_si512(weights.add(64 * step).cast());
            let right = _mm512_loadu_si512(weights.add(16 * k + 64 * step).cast());
            for (row, sums) in sums.iter_mut().enumerate() {
                let four = activations.add(row * k + 4 * step).cast::<i32>();
                let four = _mm512_set1_epi32(four.read_unaligned());
                sums[0] = _mm512_dpbusd_epi32(sums[0], four, left);
                sums[1] = _mm512_dpbusd_epi32(sums[1], four, right);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: each row of `out` has 32 numbers.
        unsafe {
            _mm512_storeu_si512(out.add(row * COLUMNS).cast(), sums[0]);
            _mm512_storeu_si512(out.add(row * COLUMNS + 16).cast(), sums[1]);
        }
    }
}
