//! Tests of every path against plain Rust.

use proptest::prelude::*;

use super::portable::Portable;
use super::{COLUMNS, Path};
use crate::buffer::Buffer;
use crate::passes::gelu;

/// The content of `out` outside the elements that a path may write.
const UNTOUCHED: [i32; COLUMNS] = [i32::MIN; COLUMNS];

/// Fails if `LIMBIC_KERNELS` names kernels that do not run here.
fn check_requested_kernels() {
    for name in std::env::var("LIMBIC_KERNELS")
        .iter()
        .flat_map(|names| names.split(','))
    {
        let kernels: super::Kernels = name.parse().expect("a name of kernels");
        kernels.check().expect("kernels that run here");
    }
}

/// Runs a check on every path of this machine.
macro_rules! on_every_path {
    ($check:ident($($argument:expr),*)) => {
        check_requested_kernels();
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(path) = super::avx2::Avx2::detect() {
                $check(path $(, $argument)*)?;
            }
            if let Some(path) = super::avx512::Avx512Vnni::detect() {
                $check(path $(, $argument)*)?;
            }
            if let Some(path) = super::avx512::Amx::detect() {
                $check(path $(, $argument)*)?;
            }
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        if let Some(path) = super::neon::Neon::detect() {
            $check(path $(, $argument)*)?;
        }
    };
}

fn products_are_exact<P: Path>(
    path: P,
    rows: usize,
    k: usize,
    seed: u64,
    extreme: bool,
) -> Result<(), TestCaseError> {
    let mut state = seed;
    let mut below = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let largest = P::SCHEME.activation_max as u64;
    // If a sum of sixteen bits adds this many weights, no weight may be larger than this.
    let heaviest = match P::SCHEME.narrow_steps as i64 {
        0 => 127,
        steps => i64::from(i16::MAX) / (largest as i64 * 2 * steps),
    };
    let room = rows.next_multiple_of(P::ROWS);
    let (mut activations, mut weights) = (Buffer::<u8>::new(), Buffer::<i8>::new());
    let activations = activations.room_for(room * k);
    for a in activations.iter_mut() {
        *a = if extreme {
            largest as u8
        } else {
            below(largest + 1) as u8
        };
    }
    let sign = [1, -1][below(2) as usize];
    let weights = weights.room_for(COLUMNS * k);
    for w in weights.iter_mut() {
        *w = if extreme {
            sign * heaviest
        } else {
            below(2 * heaviest as u64 + 1) as i64 - heaviest
        } as i8;
    }
    let mut found = vec![UNTOUCHED; room + 2];
    let mut wanted = found.clone();
    path.products(
        &mut path.multiplier(),
        activations,
        rows,
        k,
        weights,
        &mut found[1..=room],
    );
    Portable.products(&mut (), activations, rows, k, weights, &mut wanted[1..]);
    prop_assert_eq!(&found[1..=rows], &wanted[1..=rows]);
    prop_assert!(found[0] == UNTOUCHED && found[room + 1] == UNTOUCHED);
    Ok(())
}

/// Checks everything that is exact or correctly rounded on every path.
fn lanes_agree<P: Path>(
    path: P,
    a: [f32; 16],
    b: [f32; 16],
    bytes: [f32; 16],
    whole: [i32; 16],
) -> Result<(), TestCaseError> {
    let stored = |x: P::F| {
        let mut to = [0.0; 16];
        path.store(x, &mut to);
        bits(to)
    };
    let (x, y) = (path.load(&a), path.load(&b));
    prop_assert_eq!(stored(x), bits(a));
    prop_assert_eq!(stored(path.splat(a[3])), bits([a[3]; 16]));
    prop_assert_eq!(stored(path.add(x, y)), bits(Portable.add(a, b)));
    prop_assert_eq!(stored(path.sub(x, y)), bits(Portable.sub(a, b)));
    prop_assert_eq!(stored(path.mul(x, y)), bits(Portable.mul(a, b)));
    prop_assert_eq!(stored(path.div(x, y)), bits(Portable.div(a, b)));
    prop_assert_eq!(stored(path.min(x, y)), bits(Portable.min(a, b)));
    prop_assert_eq!(stored(path.max(x, y)), bits(Portable.max(a, b)));
    prop_assert_eq!(stored(path.round(x)), bits(Portable.round(a)));
    prop_assert_eq!(stored(path.load_i32(&whole)), bits(Portable.load_i32(&whole)));
    // With or without a fused instruction: a multiplication by a power of two does not round.
    prop_assert_eq!(
        stored(path.mul_add(x, path.splat(4.0), y)),
        bits(Portable.mul_add(a, [4.0; 16], b))
    );
    let powers = whole.map(|n| (n % 127) as f32);
    prop_assert_eq!(
        stored(path.power_of_two(path.load(&powers))),
        bits(Portable.power_of_two(powers))
    );
    prop_assert_eq!(path.sum(x).to_bits(), Portable.sum(a).to_bits());
    prop_assert_eq!(path.largest(x).to_bits(), Portable.largest(a).to_bits());
    prop_assert_eq!(path.least(x).to_bits(), Portable.least(a).to_bits());
    let (mut found, mut wanted) = ([0; 16], [0; 16]);
    path.store_u8(path.load(&bytes), &mut found);
    Portable.store_u8(bytes, &mut wanted);
    prop_assert_eq!(found, wanted);
    Ok(())
}

fn gelu_is_near_the_exact_value<P: Path>(path: P, x: [f32; 16]) -> Result<(), TestCaseError> {
    let mut found = [0.0; 16];
    path.vectorise(
        #[inline(always)]
        || path.store(gelu(path, path.load(&x)), &mut found),
    );
    for (x, found) in x.into_iter().zip(found) {
        let exact = 0.5 * f64::from(x) * (1.0 + libm::erf(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2));
        let error = (f64::from(found) - exact).abs();
        // Past the clamp, the polynomial is 1 up to its rounding.
        let allowed = 2e-4 + f64::from(x.abs()) * 2e-6;
        prop_assert!(error <= allowed, "gelu({x}) = {found}, {error} away");
    }
    Ok(())
}

fn rows_become_columns<P: Path>(path: P) -> Result<(), TestCaseError> {
    let rows: [[f32; 16]; 16] = std::array::from_fn(|r| std::array::from_fn(|c| (16 * r + c) as f32));
    let mut found = [[0.0; 16]; 16];
    path.vectorise(
        #[inline(always)]
        || {
            let columns = path.transpose(rows.map(|row| path.load(&row)));
            for (column, to) in columns.into_iter().zip(&mut found) {
                path.store(column, to);
            }
        },
    );
    let wanted: [[f32; 16]; 16] = std::array::from_fn(|c| rows.map(|row| row[c]));
    prop_assert_eq!(found, wanted);
    Ok(())
}

fn bits(x: [f32; 16]) -> [u32; 16] {
    x.map(f32::to_bits)
}

fn sixteen(range: std::ops::Range<f32>) -> impl Strategy<Value = [f32; 16]> {
    prop::array::uniform16(range)
}

#[test]
fn rows_become_columns_on_every_path() -> Result<(), TestCaseError> {
    on_every_path!(rows_become_columns());
    Ok(())
}

proptest! {
    /// Also with the largest activations and the heaviest weights that a sum allows.
    #[test]
    fn products_are_exact_on_every_path(
        rows in 1_usize..70,
        k in prop::sample::select(vec![64_usize, 128, 192, 384]),
        seed in any::<u64>(),
        extreme in any::<bool>(),
    ) {
        on_every_path!(products_are_exact(rows, k, seed, extreme));
    }

    /// Small and large arguments, and those around the clamp of the polynomial.
    #[test]
    fn gelu_is_within_its_error_on_every_path(x in prop_oneof![sixteen(-6.0..6.0), sixteen(-90.0..90.0)]) {
        on_every_path!(gelu_is_near_the_exact_value(x));
    }

    #[test]
    fn lanes_are_the_same_on_every_path(
        a in sixteen(-300.0..300.0),
        b in sixteen(0.01..300.0),
        // Values with the fraction one half test the rounding to even.
        halves in prop::array::uniform16(0_u16..=510),
        whole in prop::array::uniform16(-100_000_i32..100_000),
    ) {
        on_every_path!(lanes_agree(a, b, halves.map(|x| f32::from(x) / 2.0), whole));
    }
}
