//! Weights as small integers, packed once in the order in which the kernels read them.
//!
//! A product of activations x and weights w becomes a product of integers. Each row of activations is x ≈ least +
//! scale·q, with `least` and `scale` from that row only, so that a result does not depend on other rows. Each column
//! of weights is w ≈ scale·v. Then x·w = scale·scale·Σ q·v + least·scale·Σ v, and Σ v is computed when the weights
//! are packed.
//!
//! After a layer normalisation, the sizes of the channels differ by its scale. Before quantisation, the activations
//! are divided by a factor per channel, and the weights are multiplied by it, so that both lose about the same
//! precision (`SmoothQuant`, arXiv:2211.10438, §4). No calibration texts are needed: the scale of the normalisation
//! approximates the deviation of the activations. Its shift is subtracted first, because it is a constant that
//! belongs to the bias.

use crate::buffer::Buffer;
use crate::kernels::{COLUMNS, Scheme};
use crate::model::{Dense, Norm};

/// A packed matrix, with everything that converts integers back to floats.
pub(crate) struct Linear {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// `[outputs / 16][inputs / 4][16][4]`
    panels: Buffer<i8>,
    /// Per output: the scale of its weights, the scale times the sum of its integers, and the bias.
    pub(crate) scales: Vec<f32>,
    pub(crate) offsets: Vec<f32>,
    pub(crate) biases: Vec<f32>,
    /// Per input: the number subtracted before quantisation, and the factor after it.
    pub(crate) shifts: Vec<f32>,
    pub(crate) factors: Vec<f32>,
}

impl Linear {
    /// Packs a matrix. `norm` is the normalisation that produces its inputs, if any.
    pub(crate) fn pack(scheme: Scheme, dense: &Dense, norm: Option<&Norm>) -> Linear {
        let outputs = dense.bias.len();
        let inputs = dense.weight.len() / outputs;
        let smoothing = norm.map(|norm| smoothing(dense, norm, inputs));
        let shifts = norm.map_or_else(|| vec![0.0; inputs], |norm| norm.shift.clone());

        let padded = outputs.next_multiple_of(COLUMNS);
        let mut panels = Buffer::new();
        let packed = panels.room_for(padded * inputs);
        let mut linear = Linear {
            inputs,
            outputs,
            panels: Buffer::new(),
            scales: Vec::with_capacity(outputs),
            offsets: Vec::with_capacity(outputs),
            biases: Vec::with_capacity(outputs),
            shifts,
            factors: smoothing.as_ref().map_or_else(
                || vec![1.0; inputs],
                |smoothing| smoothing.iter().map(|s| 1.0 / s).collect(),
            ),
        };
        let mut column = vec![0.0_f32; inputs];
        let mut integers = vec![0_i8; inputs];
        for (output, (weights, bias)) in dense.weight.chunks_exact(inputs).zip(&dense.bias).enumerate() {
            let constant: f64 = weights
                .iter()
                .zip(&linear.shifts)
                .map(|(w, shift)| f64::from(*w) * f64::from(*shift))
                .sum();
            column.copy_from_slice(weights);
            if let Some(smoothing) = &smoothing {
                column.iter_mut().zip(smoothing).for_each(|(w, s)| *w *= s);
            }
            let scale = round_column(scheme, &column, &mut integers);
            let sum: i32 = integers.iter().map(|v| i32::from(*v)).sum();
            linear.scales.push(scale);
            linear.offsets.push(scale * sum as f32);
            linear.biases.push((f64::from(*bias) + constant) as f32);
            let panel = &mut packed[output / 16 * 16 * inputs..][..16 * inputs];
            for (step, four) in integers.as_chunks::<4>().0.iter().enumerate() {
                panel[step * 64 + output % 16 * 4..][..4].copy_from_slice(four);
            }
        }
        linear.panels = panels;
        linear
    }

    /// The panels in pairs, as the kernels take them: `COLUMNS` outputs each.
    #[inline(always)]
    pub(crate) fn pairs(&self) -> std::slice::ChunksExact<'_, i8> {
        self.panels.get().chunks_exact(COLUMNS * self.inputs)
    }
}

/// Per input, the factor that multiplies its weights and divides its activations.
fn smoothing(dense: &Dense, norm: &Norm, inputs: usize) -> Vec<f32> {
    let mut squares = vec![0.0_f32; inputs];
    for row in dense.weight.chunks_exact(inputs) {
        squares.iter_mut().zip(row).for_each(|(sum, w)| *sum += w * w);
    }
    let outputs = dense.bias.len() as f32;
    squares
        .iter()
        .zip(&norm.scale)
        .map(|(sum, scale)| {
            let (weight, activation) = ((sum / outputs).sqrt(), scale.abs());
            let factor = (activation / weight).sqrt();
            if factor.is_finite() && factor > 0.0 {
                factor
            } else {
                1.0
            }
        })
        .collect()
}

/// Writes a column as integers and returns the value of one unit.
///
/// If a kernel adds in sixteen bits, the unit is large enough that neither the positive nor the negative weights of
/// any such sum can overflow with the largest activation.
fn round_column(scheme: Scheme, column: &[f32], integers: &mut [i8]) -> f32 {
    let largest = column.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
    if largest == 0.0 {
        integers.fill(0);
        return 0.0;
    }
    let mut scale = largest / 127.0;
    let limit = i32::from(i16::MAX) / scheme.activation_max;
    if scheme.narrow_steps > 0 {
        scale = heaviest(scheme, column, |w| w).max(scale * limit as f32) / limit as f32;
    }
    loop {
        for (integer, w) in integers.iter_mut().zip(column) {
            *integer = (w / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
        }
        // Rounding may have added up to half a unit to each weight.
        if scheme.narrow_steps == 0 || heaviest(scheme, integers, f32::from) <= limit as f32 {
            return scale;
        }
        scale *= 1.003;
    }
}

/// The largest sum of the positive, or of the negative, weights within one sixteen-bit sum.
fn heaviest<T: Copy>(scheme: Scheme, column: &[T], number: impl Fn(T) -> f32) -> f32 {
    let mut heaviest = 0.0_f32;
    for steps in column.chunks(scheme.narrow_steps * 4) {
        // Two sums per column: inputs 0 and 1 of each step of four, and inputs 2 and 3.
        for half in [0, 2] {
            let (mut above, mut below) = (0.0, 0.0);
            for four in steps.as_chunks::<4>().0 {
                for w in &four[half..half + 2] {
                    let w = number(*w);
                    above += w.max(0.0);
                    below -= w.min(0.0);
                }
            }
            heaviest = heaviest.max(above).max(below);
        }
    }
    heaviest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_activations_overflow_sixteen_bits(
            column in prop::collection::vec(-1.0_f32..1.0, 64 * 4),
            peak in 0_usize..256,
            steps in 1_usize..9,
        ) {
            let mut column = column;
            column[peak] *= 7.0;
            let scheme = Scheme { activation_max: 127, narrow_steps: steps };
            let mut integers = vec![0; column.len()];
            let scale = round_column(scheme, &column, &mut integers);
            for group in integers.chunks(steps * 4) {
                for half in [0, 2] {
                    let of = |sign: i32| -> i32 {
                        group.as_chunks::<4>().0.iter().flat_map(|four| &four[half..half + 2])
                            .map(|v| (i32::from(*v) * sign).max(0) * 127).sum()
                    };
                    prop_assert!(of(1) <= 32767 && of(-1) <= 32767);
                }
            }
            for (w, v) in column.iter().zip(&integers) {
                prop_assert!((w - scale * f32::from(*v)).abs() <= scale * 0.5001);
            }
        }
    }
}
