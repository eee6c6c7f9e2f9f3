//! Selects a path by name, or the fastest that this machine supports.

use std::fmt;
use std::str::FromStr;

use super::Path;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use super::neon;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// The code that runs the forward pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kernels {
    /// The fastest that this machine supports.
    #[default]
    Auto,
    /// Integer tiles (Intel AMX) and AVX-512, x86-64 on Linux.
    Amx,
    /// AVX-512 with integer dot products, x86-64.
    Avx512Vnni,
    /// AVX2 and FMA, x86-64.
    Avx2,
    /// NEON with integer dot products (Armv8.2 and newer), aarch64.
    Neon,
    /// The same integer arithmetic in plain Rust, on any processor.
    Portable,
    /// libtorch, in 32 bits, on a GPU if there is one. Only in builds with the feature `torch`.
    Torch,
    /// Plain 32-bit floating point, one post at a time: slow; all others are tested against it.
    Reference,
}

/// The selected kernels are not available.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KernelsError {
    /// The name is unknown.
    #[error("unknown kernels {0:?}: one of auto, amx, avx512-vnni, avx2, neon, portable, torch, reference")]
    Unknown(String),
    /// The program was built without the feature `torch`.
    #[error("this build has no torch kernels: build it with --features torch where libtorch is (docs/torch.md says how), or choose auto, which takes the fastest that runs here ({best})", best = Kernels::best())]
    NoTorch,
    /// The program was built for another kind of processor.
    #[error("this build has no {0} kernels: choose auto, which takes the fastest that runs here ({best})", best = Kernels::best())]
    NotBuilt(Kernels),
    /// The processor lacks their instructions.
    #[error("this processor cannot run the {0} kernels: choose auto, which takes the fastest that runs here ({best})", best = Kernels::best())]
    Unavailable(Kernels),
}

impl Kernels {
    const NAMES: [(Kernels, &'static str); 8] = [
        (Kernels::Auto, "auto"),
        (Kernels::Amx, "amx"),
        (Kernels::Avx512Vnni, "avx512-vnni"),
        (Kernels::Avx2, "avx2"),
        (Kernels::Neon, "neon"),
        (Kernels::Portable, "portable"),
        (Kernels::Torch, "torch"),
        (Kernels::Reference, "reference"),
    ];

    /// The fastest kernels that this machine supports.
    #[must_use]
    pub fn best() -> Kernels {
        [Kernels::Amx, Kernels::Avx512Vnni, Kernels::Avx2, Kernels::Neon]
            .into_iter()
            .find(|kernels| kernels.available())
            .unwrap_or(Kernels::Portable)
    }

    /// Whether this machine supports these kernels.
    #[must_use]
    pub fn available(self) -> bool {
        self.check().is_ok()
    }

    /// Returns an error with the reason if this machine does not support these kernels.
    pub fn check(self) -> Result<(), KernelsError> {
        match self {
            Kernels::Auto | Kernels::Portable | Kernels::Reference => Ok(()),
            #[cfg(target_arch = "x86_64")]
            Kernels::Amx => self.if_any(avx512::Amx::detect()),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512Vnni => self.if_any(avx512::Avx512Vnni::detect()),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => self.if_any(avx2::Avx2::detect()),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Kernels::Neon => self.if_any(neon::Neon::detect()),
            Kernels::Torch if cfg!(feature = "torch") => Ok(()),
            Kernels::Torch => Err(KernelsError::NoTorch),
            _ => Err(KernelsError::NotBuilt(self)),
        }
    }

    fn if_any(self, path: Option<impl Path>) -> Result<(), KernelsError> {
        match path {
            Some(_) => Ok(()),
            None => Err(KernelsError::Unavailable(self)),
        }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Kernels::NAMES.iter().find(|(kernels, _)| kernels == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Kernels {
    type Err = KernelsError;

    fn from_str(name: &str) -> Result<Kernels, KernelsError> {
        Kernels::NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(kernels, _)| *kernels)
            .ok_or_else(|| KernelsError::Unknown(name.to_owned()))
    }
}
