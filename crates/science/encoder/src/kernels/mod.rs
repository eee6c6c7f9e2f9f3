//! The paths through the forward pass: what each path must provide (here), and which paths this machine supports
//! (`choice`).
//!
//! All code for a particular processor is behind [`Path`]: sixteen lanes of numbers, and products of small integers.
//! The passes (`passes`, `attention`, `forward`) are safe code over this trait and are compiled once per path, so a
//! test of one path tests the shared code.
//!
//! # Why the unsafe code of this module is sound
//!
//! 1. A value of a path proves that this machine supports its instructions: the types have private fields, and only
//!    `detect` creates them, after asking the processor. Their methods may therefore use the instructions.
//! 2. Every function that takes raw pointers first asserts, in safe code, the lengths of the slices behind them.
//! 3. No pointer is stored: none outlives the call that created it.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod choice;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub(crate) mod neon;
pub(crate) mod portable;

pub use choice::{Kernels, KernelsError};

/// How activations and weights become small integers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheme {
    /// Largest activation: 127 (seven bits) or 255 (eight).
    pub(crate) activation_max: i32,
    /// Number of steps of four inputs that a kernel adds in sixteen bits before it widens the sum; 0 if it always
    /// adds in 32 bits. Weights are scaled so that no activations can overflow these sums.
    pub(crate) narrow_steps: usize,
}

/// Sixteen lanes of `f32` and products of small integers, on one kind of processor.
pub(crate) trait Path: Copy + Send + Sync + 'static {
    /// Sixteen `f32`.
    type F: Copy;
    /// How numbers become integers on this path.
    const SCHEME: Scheme;
    /// Tokens that go through a layer together, so that their data stays in the second-level cache.
    const BLOCK: usize;
    /// Rows of activations that are multiplied together. Buffers hold whole groups. Some paths also compute the rows
    /// past the last one; nothing reads them.
    const ROWS: usize;
    /// State of a thread while it multiplies, for instance the shapes of its tiles.
    type Multiplier;

    /// Runs `op` compiled with this path's instructions; `op` must be `#[inline(always)]`.
    fn vectorise<R>(self, op: impl FnOnce() -> R) -> R;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, from: &[f32; 16]) -> Self::F;
    fn store(self, x: Self::F, to: &mut [f32; 16]);
    fn load_i32(self, from: &[i32; 16]) -> Self::F;
    /// Rounds to the nearest integer, ties to even. Every lane must be within 0..=255.
    fn store_u8(self, x: Self::F, to: &mut [u8; 16]);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// a·b + c
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    fn round(self, x: Self::F) -> Self::F;
    /// 2ⁿ for integral n within −126..=127.
    fn power_of_two(self, n: Self::F) -> Self::F;
    fn sum(self, x: Self::F) -> f32;
    fn largest(self, x: Self::F) -> f32;
    fn least(self, x: Self::F) -> f32;

    /// Sixteen rows of sixteen numbers as columns.
    #[inline(always)]
    fn transpose(self, rows: [Self::F; 16]) -> [Self::F; 16] {
        let mut from = [[0.0; 16]; 16];
        for (row, from) in rows.into_iter().zip(&mut from) {
            self.store(row, from);
        }
        let mut columns = rows;
        for (i, column) in columns.iter_mut().enumerate() {
            *column = self.load(&from.map(|row| row[i]));
        }
        columns
    }

    /// Prepares this thread for products; called once per matrix.
    fn multiplier(self) -> Self::Multiplier;

    /// The products of `rows` rows of activations (`k` each) with [`COLUMNS`] columns of weights: `out[row][column]`.
    ///
    /// `weights` is two panels of sixteen columns, each in steps of four inputs: `[panel][k / 4][column][4]`. `k` is a
    /// multiple of [`STEP`]. `activations` and `out` have space for `rows` rounded up to [`Path::ROWS`].
    fn products(
        self,
        multiplier: &mut Self::Multiplier,
        activations: &[u8],
        rows: usize,
        k: usize,
        weights: &[i8],
        out: &mut [[i32; COLUMNS]],
    );
}

/// Columns of weights that are multiplied together: two panels of sixteen.
pub(crate) const COLUMNS: usize = 32;
/// The number of inputs of a product is a multiple of this: a cache line.
pub(crate) const STEP: usize = 64;

/// Checks the conditions of every kernel before it uses pointers. `group` is the number of rows that it multiplies
/// together.
#[inline(always)]
fn check_products(
    group: usize,
    activations: &[u8],
    rows: usize,
    k: usize,
    weights: &[i8],
    out: &[[i32; COLUMNS]],
) {
    let room = rows.next_multiple_of(group);
    assert!(
        k > 0 && k.is_multiple_of(STEP),
        "inputs come in multiples of {STEP}, and there are some"
    );
    let (wanted, weighed) = (room.checked_mul(k), k.checked_mul(COLUMNS));
    assert!(
        wanted.is_some_and(|wanted| activations.len() >= wanted),
        "room for the activations"
    );
    assert!(weighed == Some(weights.len()), "two panels of weights");
    assert!(out.len() >= room, "room for the products");
}

#[cfg(test)]
mod tests;
