//! Trains the dictionary for the compression of the view's bodies, from files of bodies with one JSON object per line.
//!
//! `cargo run -p limbic-views --example train_dictionary -- OUTPUT FILE…`. The bodies must come from the simulation,
//! never from people, because parts of them become part of the program. A new dictionary needs a new format in
//! `src/compression.rs`.
#![expect(clippy::print_stdout, reason = "a program talks to its user")]

/// Bytes of the dictionary.
const SIZE: usize = 16 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let output = arguments.next().ok_or("usage: train_dictionary OUTPUT FILE…")?;
    let mut samples = Vec::new();
    for file in arguments {
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        samples.extend(text.lines().map(|line| line.as_bytes().to_vec()));
    }
    let dictionary = zstd::dict::from_samples(&samples, SIZE)?;
    std::fs::write(&output, &dictionary)?;
    println!(
        "{} bytes from {} bodies in {output}",
        dictionary.len(),
        samples.len()
    );
    Ok(())
}
