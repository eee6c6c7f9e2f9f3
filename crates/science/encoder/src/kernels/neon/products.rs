//! The inner loop of the NEON path, in assembly, because the intrinsics of the dot products are not stable.
//!
//! It uses sixteen registers for sums (v16–v31: four rows by sixteen columns), four for activations (v0–v3: sixteen
//! inputs of each row) and four for weights (v4–v7). Twenty loads serve 64 multiplications of sixteen bytes. Processors
//! rename registers, so the next weights are loaded while the current ones are multiplied.

use std::arch::asm;

use super::COLUMNS;

/// Rows that are multiplied together.
pub(super) const ROWS: usize = 4;

/// One row of a step: multiplies its four activations (a lane of v0–v3) with 64 weights and adds the products to its four
/// sums.
macro_rules! row {
    ($lane:literal, $activations:literal => $($sums:literal $weights:literal),*) => {
        concat!($(
            "sdot v", $sums, ".4s, v", $weights, ".16b, v", $activations, ".4b[", $lane, "]\n",
        )*)
    };
}

/// A step of four inputs: one lane of the activations, for all rows.
macro_rules! step {
    ($lane:literal) => {
        concat!(
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{weights}], #64\n",
            row!($lane, 0 => 16 4, 17 5, 18 6, 19 7),
            row!($lane, 1 => 20 4, 21 5, 22 6, 23 7),
            row!($lane, 2 => 24 4, 25 5, 26 6, 27 7),
            row!($lane, 3 => 28 4, 29 5, 30 6, 31 7),
        )
    };
}

macro_rules! clear {
    ($($register:literal)*) => {
        concat!($("movi v", $register, ".4s, #0\n"),*)
    };
}

/// Multiplies four rows with one panel.
///
/// # Safety
/// The processor has dot products. `activations` points to [`ROWS`] rows of `k` bytes of at most 127, where `k` is a
/// multiple of sixteen and not zero. `weights` points to 16·k bytes. `out` points to [`ROWS`] rows of [`COLUMNS`]
/// numbers, and the first sixteen of each row are written.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn multiply(activations: *const u8, k: usize, weights: *const i8, out: *mut i32) {
    const { assert!(COLUMNS == 32, "rows of `out` are 128 bytes apart") };
    // SAFETY: every load reads the next sixteen activations of a row or the next 64 weights, of which there are k / 16
    // and k / 4. The stores write the sixteen numbers of each row. All written registers are declared, and no stack is
    // used.
    unsafe {
        asm!(
            clear!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31),
            "2:",
            "ldr q0, [{a0}], #16",
            "ldr q1, [{a1}], #16",
            "ldr q2, [{a2}], #16",
            "ldr q3, [{a3}], #16",
            step!(0),
            step!(1),
            step!(2),
            step!(3),
            "subs {groups}, {groups}, #1",
            "b.ne 2b",
            "st1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{out}], {row}",
            "st1 {{v20.4s, v21.4s, v22.4s, v23.4s}}, [{out}], {row}",
            "st1 {{v24.4s, v25.4s, v26.4s, v27.4s}}, [{out}], {row}",
            "st1 {{v28.4s, v29.4s, v30.4s, v31.4s}}, [{out}]",
            groups = inout(reg) k / 16 => _,
            a0 = inout(reg) activations => _,
            a1 = inout(reg) activations.add(k) => _,
            a2 = inout(reg) activations.add(2 * k) => _,
            a3 = inout(reg) activations.add(3 * k) => _,
            weights = inout(reg) weights => _,
            out = inout(reg) out => _,
            row = in(reg) COLUMNS * size_of::<i32>(),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack),
        );
    }
}
