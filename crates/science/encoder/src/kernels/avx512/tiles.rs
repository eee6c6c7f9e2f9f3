//! Products with tiles (Intel AMX): `tdpbusd` multiplies 16 rows of 64 bytes with 64 × 16 weights in one instruction.
//!
//! A panel of weights already has the layout of a tile: sixteen rows of sixteen columns of four inputs. Two tiles of
//! activations and two of weights give four tiles of sums, so each load serves two multiplications (Intel's optimisation
//! manual, 248966, §20.5). Shapes are loaded once for each matrix, because loading them costs about as much as a dozen
//! multiplications.
//!
//! The instructions are in assembly, because the intrinsics are not stable. They have run on emulators and on one
//! processor only (an Intel Xeon of the fifth generation), so each machine must first show that its tiles give the same results as plain Rust.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::super::{Path, portable::Portable};
use super::{COLUMNS, Multiply, prefetch_next_panels};
use crate::buffer::Buffer;

/// Rows of a tile.
const ROWS: usize = 16;
/// Bytes of a row of a tile.
const WIDTH: usize = 64;

/// Proof that this machine has tiles of bytes, and that the operating system lets this process use them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiles(());

impl Multiply for Tiles {
    // Twice as large as on the other paths, because loading the shapes takes a visible share of the time of a block.
    const BLOCK: usize = 128;
    const ROWS: usize = ROWS;
    type Multiplier = Shaped;

    fn detect() -> Option<Tiles> {
        static BELIEVED: OnceLock<bool> = OnceLock::new();
        (*BELIEVED.get_or_init(|| has_tiles() && permitted() && multiplies(Tiles(())))).then_some(Tiles(()))
    }

    fn multiplier(self) -> Shaped {
        Shaped::new(self)
    }

    unsafe fn products(
        _: &mut Shaped,
        activations: *const u8,
        rows: usize,
        k: usize,
        weights: *const i8,
        out: *mut i32,
    ) {
        let groups = rows.div_ceil(ROWS);
        for pair in 0..groups / 2 {
            let row = pair * 2 * ROWS;
            prefetch_next_panels(weights, k, pair, groups / 2);
            // SAFETY: the caller's promise, for the two groups of rows that start here. `Shaped` has shaped the tiles.
            unsafe { multiply_two(activations.add(row * k), k, weights, out.add(row * COLUMNS)) };
        }
        if groups % 2 == 1 {
            let row = (groups - 1) * ROWS;
            // SAFETY: the same, for the last group.
            unsafe { multiply_one(activations.add(row * k), k, weights, out.add(row * COLUMNS)) };
        }
    }
}

/// Whether the processor has tiles of bytes and the operating system saves them for each thread (Intel's manual, volume
/// 1, §18.2).
fn has_tiles() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;
    const TILE_STATE: u64 = 0b11 << 17;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    if __cpuid_count(7, 0).edx & (AMX_TILE | AMX_INT8) != AMX_TILE | AMX_INT8 {
        return false;
    }
    let (low, high): (u32, u32);
    // SAFETY: OSXSAVE permits the instruction.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
    let enabled = u64::from(high) << 32 | u64::from(low);
    enabled & TILE_STATE == TILE_STATE
}

/// Asks the operating system for permission to use tiles. Linux grants it on demand
/// (`Documentation/arch/x86/xstate.rst`).
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let mut answer = ARCH_PRCTL as isize;
    // SAFETY: this call reads and writes no memory of this process. The kernel changes rcx and r11.
    unsafe {
        asm!("syscall", inout("rax") answer, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    answer == 0
}

/// Always `false`: how other systems grant the permission is not implemented.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// Whether this machine's tiles give the same results as plain Rust, with the largest activations and every weight, for
/// whole groups and a partial one.
fn multiplies(tiles: Tiles) -> bool {
    const SOME_ROWS: usize = 3 * ROWS;
    const K: usize = 2 * WIDTH;
    let (mut activations, mut weights) = (Buffer::<u8>::new(), Buffer::<i8>::new());
    let activations = activations.room_for(SOME_ROWS * K);
    for (i, a) in activations.iter_mut().enumerate() {
        *a = 255 - (i * i / 7 % 251) as u8;
    }
    let weights = weights.room_for(COLUMNS * K);
    for (i, w) in weights.iter_mut().enumerate() {
        *w = (i * 29 % 255) as u8 as i8;
    }
    let mut found = [[0; COLUMNS]; SOME_ROWS];
    let mut wanted = found;
    // SAFETY: only a processor with tiles and VNNI reaches this. The buffers have the promised rows, weights and sums.
    unsafe {
        let out = found.as_mut_ptr().cast();
        Tiles::products(
            &mut tiles.multiplier(),
            activations.as_ptr(),
            SOME_ROWS,
            K,
            weights.as_ptr(),
            out,
        );
    }
    Portable.products(&mut (), activations, SOME_ROWS, K, weights, &mut wanted);
    found == wanted
}

/// While this value exists, the tiles of this thread have their shapes. It stays on its thread, and a thread has at most
/// one.
pub(crate) struct Shaped(PhantomData<*mut ()>);

thread_local! {
    /// Whether this thread has a [`Shaped`].
    static IS_SHAPED: Cell<bool> = const { Cell::new(false) };
}

/// What `ldtilecfg` reads (Intel's manual, volume 2, LDTILECFG).
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles, all of the largest shape.
static SHAPES: Shapes = {
    let mut shapes = Shapes {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        bytes: [0; 16],
        rows: [0; 16],
    };
    let mut tile = 0;
    while tile < 8 {
        shapes.bytes[tile] = WIDTH as u16;
        shapes.rows[tile] = ROWS as u8;
        tile += 1;
    }
    shapes
};

impl Shaped {
    fn new(_: Tiles) -> Shaped {
        assert!(
            !IS_SHAPED.replace(true),
            "a thread multiplies one matrix at a time"
        );
        // SAFETY: `Tiles` proves the instruction. It reads the 64 bytes of a valid description.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly));
        }
        Shaped(PhantomData)
    }
}

impl Drop for Shaped {
    fn drop(&mut self) {
        // SAFETY: a `Shaped` exists, which proves the instruction.
        unsafe {
            asm!("tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem));
        }
        IS_SHAPED.set(false);
    }
}

/// Multiplies 32 rows with two panels.
///
/// # Safety
/// As [`Multiply::products`], for two groups of [`ROWS`] rows, with all tiles of the largest shape.
unsafe fn multiply_two(activations: *const u8, k: usize, weights: *const i8, out: *mut i32) {
    const {
        assert!(
            COLUMNS * size_of::<i32>() == 2 * WIDTH,
            "rows of `out` are two widths apart"
        );
    };
    // SAFETY: each load reads the next 64 bytes of sixteen rows of activations, of which each row has k, or the next
    // kilobyte of a panel, which has k / 64. The stores write sixteen numbers of each row, 128 bytes apart. No stack is
    // used.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {k}*1]",
            "tileloadd tmm6, [{left} + {width}*1]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{right} + {width}*1]",
            "tdpbusd tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {k}*1]",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {left}, 1024",
            "add {right}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {width}*2], tmm0",
            "tilestored [{out} + {width}*2 + 64], tmm1",
            "tilestored [{below} + {width}*2], tmm2",
            "tilestored [{below} + {width}*2 + 64], tmm3",
            upper = inout(reg) activations => _,
            lower = inout(reg) activations.add(ROWS * k) => _,
            left = inout(reg) weights => _,
            right = inout(reg) weights.add(16 * k) => _,
            steps = inout(reg) k / WIDTH => _,
            k = in(reg) k,
            width = in(reg) WIDTH,
            out = in(reg) out,
            below = in(reg) out.add(ROWS * COLUMNS),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Multiplies 16 rows with two panels.
///
/// # Safety
/// As [`Multiply::products`], for one group of [`ROWS`] rows, with all tiles of the largest shape.
unsafe fn multiply_one(activations: *const u8, k: usize, weights: *const i8, out: *mut i32) {
    // SAFETY: as in `multiply_two`.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm4, [{rows} + {k}*1]",
            "tileloadd tmm6, [{left} + {width}*1]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{right} + {width}*1]",
            "tdpbusd tmm1, tmm4, tmm7",
            "add {rows}, 64",
            "add {left}, 1024",
            "add {right}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {width}*2], tmm0",
            "tilestored [{out} + {width}*2 + 64], tmm1",
            rows = inout(reg) activations => _,
            left = inout(reg) weights => _,
            right = inout(reg) weights.add(16 * k) => _,
            steps = inout(reg) k / WIDTH => _,
            k = in(reg) k,
            width = in(reg) WIDTH,
            out = in(reg) out,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
