//! Word pieces for training a model, from the same tokeniser that serves it.
//!
//! ```sh
//! cargo run --release -p limbic-affect --example tokenise -- models/affect-l6/vocab.txt 128 < texts.jsonl > ids.jsonl
//! ```
//!
//! Each line of the input is a JSON string. Each line of the output is the JSON array of its token ids. With `--speed`
//! instead of the number, it prints the texts per second of one thread instead of the ids.

use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use limbic_affect::tokens::{Tokeniser, Tokens};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(vocabulary), Some(most)) = (arguments.next(), arguments.next()) else {
        return Err("usage: tokenise VOCABULARY MOST_TOKENS|--speed < JSON strings, one a line".into());
    };
    let tokeniser = Tokeniser::open(Path::new(&vocabulary))?;
    let mut room = Tokens::default();
    let mut texts = Vec::new();
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let text: String =
            serde_json::from_str(&line?).map_err(|error| format!("line {}: {error}", number + 1))?;
        texts.push(text);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if most == "--speed" {
        let mut rounds: Vec<f64> = (0..7)
            .map(|_| {
                let started = Instant::now();
                for text in &texts {
                    std::hint::black_box(tokeniser.tokenise(text, 128, &mut room));
                }
                texts.len() as f64 / started.elapsed().as_secs_f64()
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        writeln!(
            out,
            "{} texts, median of 7: {:.0} texts/s",
            texts.len(),
            rounds[3]
        )?;
        return Ok(());
    }
    let most = most.parse()?;
    for text in &texts {
        serde_json::to_writer(&mut out, tokeniser.tokenise(text, most, &mut room))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
