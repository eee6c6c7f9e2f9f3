//! `limbic secret`.

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;

/// Bytes of a secret.
const BYTES: usize = 32;

/// Prints 32 random bytes in hexadecimal.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut bytes = [0; BYTES];
    let mut source = std::fs::File::open("/dev/urandom").context("no source of randomness")?;
    source.read_exact(&mut bytes).context("no source of randomness")?;
    let mut text = String::with_capacity(2 * BYTES);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    say!("{text}")?;
    Ok(ExitCode::SUCCESS)
}
