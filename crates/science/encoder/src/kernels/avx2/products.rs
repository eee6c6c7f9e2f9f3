//! The inner loop of the AVX2 path, in assembly.
//!
//! It needs all sixteen registers: six sums in sixteen bits, six in 32, two of weights, one activation and one product.
//! From intrinsics, the compiler generates a loop that keeps half of the sums in memory and runs at half the speed
//! (`docs/decisions`, 0061). So the registers are assigned here.

use std::arch::asm;

use super::{COLUMNS, STEPS};

/// Rows that are multiplied together.
pub(super) const ROWS: usize = 3;

/// All products of a step's weights (ymm12, ymm13) with the four activations of each row, added to ymm0–5.
///
/// The offset of the step from the pointers is in steps: four activations, 64 weights.
macro_rules! step {
    ($step:literal) => {
        concat!(
            weights!($step),
            row!($step, "", 0, 1),
            row!($step, " + {k}", 2, 3),
            row!($step, " + 2*{k}", 4, 5),
        )
    };
}

/// The same for the first step, which sets the sums instead of adding to them.
macro_rules! first_step {
    () => {
        concat!(
            weights!(0),
            "vpbroadcastd ymm14, dword ptr [{activations}]\n",
            "vpmaddubsw ymm0, ymm14, ymm12\n",
            "vpmaddubsw ymm1, ymm14, ymm13\n",
            "vpbroadcastd ymm15, dword ptr [{activations} + {k}]\n",
            "vpmaddubsw ymm2, ymm15, ymm12\n",
            "vpmaddubsw ymm3, ymm15, ymm13\n",
            "vpbroadcastd ymm14, dword ptr [{activations} + 2*{k}]\n",
            "vpmaddubsw ymm4, ymm14, ymm12\n",
            "vpmaddubsw ymm5, ymm14, ymm13\n",
        )
    };
}

macro_rules! weights {
    ($step:literal) => {
        concat!(
            "vmovdqu ymm12, ymmword ptr [{weights} + 64*",
            $step,
            "]\n",
            "vmovdqu ymm13, ymmword ptr [{weights} + 64*",
            $step,
            " + 32]\n",
        )
    };
}

/// One row of a step: copies its activations to all lanes, multiplies them with both registers of weights, and adds the
/// products to two sums.
macro_rules! row {
    ($step:literal, $row:literal, $left:literal, $right:literal) => {
        concat!(
            "vpbroadcastd ymm14, dword ptr [{activations}",
            $row,
            " + 4*",
            $step,
            "]\n",
            "vpmaddubsw ymm15, ymm14, ymm12\n",
            "vpaddw ymm",
            $left,
            ", ymm",
            $left,
            ", ymm15\n",
            "vpmaddubsw ymm14, ymm14, ymm13\n",
            "vpaddw ymm",
            $right,
            ", ymm",
            $right,
            ", ymm14\n",
        )
    };
}

/// Adds neighbouring sums of sixteen bits in pairs to the sums of 32 bits.
macro_rules! widen {
    () => { widen!(0 => 6, 1 => 7, 2 => 8, 3 => 9, 4 => 10, 5 => 11) };
    ($($narrow:literal => $wide:literal),*) => {
        concat!($(
            "vpmaddwd ymm", $narrow, ", ymm", $narrow, ", ymmword ptr [{ones}]\n",
            "vpaddd ymm", $wide, ", ymm", $wide, ", ymm", $narrow, "\n",
        )*)
    };
}

macro_rules! clear {
    ($($register:literal)*) => {
        concat!($("vpxor xmm", $register, ", xmm", $register, ", xmm", $register, "\n"),*)
    };
}

/// Multiplies three rows with one panel.
///
/// # Safety
/// The processor has AVX2. `activations` points to [`ROWS`] rows of `k` bytes, where `k` is a multiple of four. `weights`
/// points to 16·k bytes. `out` points to [`ROWS`] rows of [`COLUMNS`] numbers, and the first sixteen of each row are
/// written.
#[inline]
pub(super) unsafe fn multiply(activations: *const u8, k: usize, weights: *const i8, out: *mut i32) {
    static ONES: [i16; 16] = [1; 16];
    const { assert!(STEPS == 6 && COLUMNS == 32, "the loop is written for these") };
    let steps = k / 4;
    // SAFETY: every load reads the next step of the activations or weights, and both have `steps`. The stores write the
    // sixteen numbers of each row, 128 bytes apart. All written registers are declared, and no stack is used.
    unsafe {
        asm!(
            clear!(6 7 8 9 10 11),
            "test {groups}, {groups}",
            "jz 3f",
            ".p2align 5",
            "2:",
            first_step!(),
            step!(1),
            step!(2),
            step!(3),
            step!(4),
            step!(5),
            widen!(),
            "add {activations}, 24",
            "add {weights}, 384",
            "dec {groups}",
            "jnz 2b",
            "3:",
            "test {rest}, {rest}",
            "jz 5f",
            clear!(0 1 2 3 4 5),
            "4:",
            step!(0),
            "add {activations}, 4",
            "add {weights}, 64",
            "dec {rest}",
            "jnz 4b",
            widen!(),
            "5:",
            "vmovdqu ymmword ptr [{out}], ymm6",
            "vmovdqu ymmword ptr [{out} + 32], ymm7",
            "vmovdqu ymmword ptr [{out} + 128], ymm8",
            "vmovdqu ymmword ptr [{out} + 160], ymm9",
            "vmovdqu ymmword ptr [{out} + 256], ymm10",
            "vmovdqu ymmword ptr [{out} + 288], ymm11",
            groups = inout(reg) steps / STEPS => _,
            rest = inout(reg) steps % STEPS => _,
            activations = inout(reg) activations => _,
            weights = inout(reg) weights => _,
            k = in(reg) k,
            ones = in(reg) ONES.as_ptr(),
            out = in(reg) out,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
            out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(nostack),
        );
    }
}
