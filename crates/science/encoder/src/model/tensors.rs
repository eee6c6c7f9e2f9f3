//! `model.safetensors`: named matrices of 16 or 32 bits, each of them checked.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::ModelError;

/// The tensors of one file.
pub(super) struct Tensors<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    pub(super) fn parse(path: &Path, bytes: &'a [u8]) -> Result<Tensors<'a>, ModelError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|source| ModelError::Tensors {
            path: path.to_owned(),
            source,
        })?;
        Ok(Tensors {
            path: path.to_owned(),
            tensors,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// The sizes of a tensor.
    pub(super) fn shape(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        let tensor = self.tensors.tensor(name).map_err(|_| self.missing(name))?;
        Ok(tensor.shape().to_vec())
    }

    /// The numbers of a tensor with exactly this shape, row by row.
    pub(super) fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = self.tensors.tensor(name).map_err(|_| self.missing(name))?;
        if tensor.shape() != shape {
            return Err(ModelError::Shape {
                path: self.path.clone(),
                tensor: name.to_owned(),
                found: tensor.shape().to_vec(),
                wanted: shape.to_vec(),
            });
        }
        let bytes = tensor.data();
        let numbers: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
            Dtype::F16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| half(u16::from_le_bytes(*b)))
                .collect(),
            other => {
                return Err(ModelError::Type {
                    path: self.path.clone(),
                    tensor: name.to_owned(),
                    found: format!("{other:?}"),
                });
            }
        };
        if !numbers.iter().all(|x| x.is_finite()) {
            return Err(ModelError::NotFinite {
                path: self.path.clone(),
                tensor: name.to_owned(),
            });
        }
        Ok(numbers)
    }

    fn missing(&self, name: &str) -> ModelError {
        ModelError::Missing {
            path: self.path.clone(),
            tensor: name.to_owned(),
        }
    }
}

/// The value of a half-precision number (IEEE 754 binary16).
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match exponent {
        // Zero and subnormal: the fraction counts units of 2⁻²⁴.
        0 => f32::from_bits(sign | (fraction as f32 * 2.0_f32.powi(-24)).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn half_precision_is_read_exactly() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan() && half(0x7c00).is_infinite());
    }
}
