//! The peak rate of a kernel's integer instructions without loads and stores.

use std::time::{Duration, Instant};

use limbic_encoder::Kernels;

use super::{ROUNDS, SLICE, WORKERS, median, processor_time};

/// Operations per second: multiplications and additions.
pub(super) struct Peak {
    pub(super) alone: f64,
    pub(super) both: f64,
}

/// A loop of a kernel's instructions: the number of rounds, and the operations of one round.
type Loop = (fn(u64), u64);

/// The peak of kernels that this machine can run. `None` for kernels without integer arithmetic.
pub(super) fn measure(kernels: Kernels) -> Option<Peak> {
    if !kernels.available() {
        return None;
    }
    let instructions: Loop = match kernels {
        #[cfg(target_arch = "x86_64")]
        Kernels::Amx => (intel::tiles, 4 * 2 * 16 * 16 * 64),
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512Vnni => (intel::vnni, 16 * 2 * 64),
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx2 => (intel::avx2, 6 * 6 * 2 * 32),
        #[cfg(target_arch = "aarch64")]
        Kernels::Neon => (arm::neon, 16 * 2 * 16),
        _ => return None,
    };
    let slice = SLICE.min(Duration::from_millis(200));
    let alone = median((0..ROUNDS).map(|_| run(instructions, slice).1));
    let both = median((0..ROUNDS).map(|_| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| scope.spawn(|| run(instructions, slice).0))
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or(f64::NAN))
                .sum()
        })
    }));
    Some(Peak { alone, both })
}

/// Operations per second, by the processor's time.
fn run((instructions, operations): Loop, slice: Duration) -> (f64, f64) {
    const COUNT: u64 = 20_000;
    let (began, processor) = (Instant::now(), processor_time());
    let mut count = 0;
    while began.elapsed() < slice {
        instructions(COUNT);
        count += COUNT;
    }
    let operations = (count * operations) as f64;
    let spent = processor_time()
        .zip(processor)
        .and_then(|(now, then)| now.checked_sub(then));
    (
        operations / began.elapsed().as_secs_f64(),
        operations / spent.unwrap_or(began.elapsed()).as_secs_f64(),
    )
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the speed of these instructions is measured")]
mod intel {
    use std::arch::asm;

    /// Groups of the kernel: six products in sixteen bits added up, then widened; six such sums at a time.
    pub(super) fn avx2(count: u64) {
        macro_rules! step {
            ($($sum:literal)*) => {
                concat!($("vpmaddubsw ymm13, ymm14, ymm15\n", "vpaddw ymm", $sum, ", ymm", $sum, ", ymm13\n"),*)
            };
        }
        macro_rules! first {
            ($($sum:literal)*) => { concat!($("vpmaddubsw ymm", $sum, ", ymm14, ymm15\n"),*) };
        }
        macro_rules! widen {
            ($($sum:literal $wide:literal)*) => {
                concat!($(
                    "vpmaddwd ymm", $sum, ", ymm", $sum, ", ymm12\n",
                    "vpaddd ymm", $wide, ", ymm", $wide, ", ymm", $sum, "\n"
                ),*)
            };
        }
        // SAFETY: only registers, all of them declared. `measure` has checked that the instructions are available.
        unsafe {
            asm!(
                "vpxor ymm12, ymm12, ymm12",
                "vpxor ymm14, ymm14, ymm14",
                "vpxor ymm15, ymm15, ymm15",
                "2:",
                first!(0 1 2 3 4 5),
                step!(0 1 2 3 4 5),
                step!(0 1 2 3 4 5),
                step!(0 1 2 3 4 5),
                step!(0 1 2 3 4 5),
                step!(0 1 2 3 4 5),
                widen!(0 6 1 7 2 8 3 9 4 10 5 11),
                "dec {count}",
                "jnz 2b",
                count = inout(reg) count => _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nomem, nostack),
            );
        }
    }

    /// The kernel's sixteen sums.
    pub(super) fn vnni(count: u64) {
        macro_rules! step {
            ($($sum:literal)*) => { concat!($("vpdpbusd zmm", $sum, ", zmm16, zmm17\n"),*) };
        }
        // SAFETY: as above.
        unsafe {
            asm!(
                "vpxord zmm16, zmm16, zmm16",
                "vpxord zmm17, zmm17, zmm17",
                "2:",
                step!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
                "dec {count}",
                "jnz 2b",
                count = inout(reg) count => _,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _,
                options(nomem, nostack),
            );
        }
    }

    /// The kernel's four sums.
    pub(super) fn tiles(count: u64) {
        #[repr(align(64))]
        struct Shapes([u8; 64]);
        // Palette 1; eight tiles of sixteen rows of 64 bytes.
        let mut shapes = Shapes([0; 64]);
        shapes.0[0] = 1;
        for tile in 0..8 {
            shapes.0[16 + 2 * tile] = 64;
            shapes.0[48 + tile] = 16;
        }
        // SAFETY: as above, and the shapes are 64 bytes of a valid description.
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                "2:",
                "tdpbusd tmm0, tmm4, tmm6",
                "tdpbusd tmm1, tmm4, tmm7",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "dec {count}",
                "jnz 2b",
                "tilerelease",
                shapes = in(reg) shapes.0.as_ptr(),
                count = inout(reg) count => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(readonly, nostack),
            );
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "the speed of these instructions is measured")]
mod arm {
    use std::arch::asm;

    /// The kernel's sixteen sums.
    pub(super) fn neon(count: u64) {
        #[target_feature(enable = "neon,dotprod")]
        fn inner(count: u64) {
            macro_rules! step {
                ($($sum:literal)*) => { concat!($("sdot v", $sum, ".4s, v4.16b, v0.4b[0]\n"),*) };
            }
            // SAFETY: only registers, all of them declared.
            unsafe {
                asm!(
                    "2:",
                    step!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31),
                    "subs {count}, {count}, #1",
                    "b.ne 2b",
                    count = inout(reg) count => _,
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
                    out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nomem, nostack),
                );
            }
        }
        // SAFETY: `measure` has checked that the instructions are available.
        unsafe { inner(count) }
    }
}
