//! Readings of texts with a model from a folder, without the rest of the program.
//!
//! ```sh
//! cargo run --release -p limbic-affect --example read -- models/affect-l6 < texts.jsonl > readings.jsonl
//! ```
//!
//! Each line of the input is a JSON object with `text`. Each line of the output is a reading, as `limbic read --json`
//! prints it. `scripts/behaviour/run --program` measures a model with it that the program does not contain.

use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;

use limbic_affect::{AffectEngine, ModelOptions, ModelReader};
use serde::Deserialize;

#[derive(Deserialize)]
struct Post {
    text: String,
}

/// Texts of one call of the reader.
const BATCH: usize = 512;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(folder) = std::env::args().nth(1) else {
        return Err("usage: read MODEL_FOLDER < JSON objects with `text`, one a line".into());
    };
    let reader = ModelReader::open(Path::new(&folder), &ModelOptions::default())?;
    let mut texts = Vec::new();
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let post: Post =
            serde_json::from_str(&line?).map_err(|error| format!("line {}: {error}", number + 1))?;
        texts.push(post.text);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for batch in texts.chunks(BATCH) {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        for reading in reader.read(&batch) {
            writeln!(out, "{}", serde_json::to_string(&reading)?)?;
        }
    }
    out.flush()?;
    Ok(())
}
