//! What the engines read in the invented evenings of `tests/data/evenings.tsv`.
//!
//! ```sh
//! cargo run --release -p limbic-affect --example evenings -- models/affect-l6 development [grief]
//! ```
//!
//! For each kind of post and language: the share that names a sensitive event, that shows distress, that cannot be read, and the
//! mean valence. With a kind, its posts one by one.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::path::Path;

use limbic_affect::{AffectEngine, LexiconReader, ModelOptions, ModelReader};
use limbic_domain::Probability;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: evenings MODEL|lexicon development|held_out [KIND]";
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or(usage)?;
    let split = arguments.next().ok_or(usage)?;
    let shown = arguments.next();
    let reader: Box<dyn AffectEngine> = if model == "lexicon" {
        Box::new(LexiconReader::new())
    } else {
        Box::new(ModelReader::open(Path::new(&model), &ModelOptions::default())?)
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/data/evenings.tsv");
    let text = std::fs::read_to_string(file)?;
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|row| row[0] == split)
        .collect();
    let texts: Vec<&str> = rows.iter().map(|row| row[4]).collect();
    let mut sums: BTreeMap<(&str, &str), [f64; 6]> = BTreeMap::new();
    for (row, affect) in rows.iter().zip(reader.read(&texts)) {
        let irony = affect.irony.map_or(0.0, Probability::get);
        let sum = sums.entry((row[1], row[3])).or_default();
        let flag = |holds: bool| f64::from(u8::from(holds));
        let of_post = [
            1.0,
            flag(affect.distress.is_about_sensitive_event()),
            flag(affect.distress.score.get() >= 0.5),
            flag(affect.distress.unread),
            affect.valence,
            flag(irony >= 0.8 && affect.valence > 0.0),
        ];
        for (sum, number) in sum.iter_mut().zip(of_post) {
            *sum += number;
        }
        if shown.as_deref() == Some(row[1]) {
            let mut emotions: Vec<_> = affect
                .emotions
                .iter()
                .filter(|(_, score)| **score > 0.1)
                .collect();
            emotions.sort_by(|a, b| b.1.total_cmp(a.1));
            println!(
                "{:<7} {} {:?} {:.2} valence {:+.2} irony {irony:.2} {emotions:.2?}\n        {}",
                row[3],
                if affect.distress.is_about_sensitive_event() {
                    "EVENT"
                } else {
                    "     "
                },
                affect.distress.cues,
                affect.distress.score.get(),
                affect.valence,
                row[4]
            );
        }
    }
    println!("kind  language posts  event  distress  unread  valence  ironic");
    for ((kind, language), [posts, event, distress, unread, valence, ironic]) in sums {
        let share = |sum: f64| 100.0 * sum / posts;
        println!(
            "{kind:<6} {language:<7} {posts:>5} {:>5.0}% {:>8.0}% {:>6.0}% {:>+8.2} {:>6.0}%",
            share(event),
            share(distress),
            share(unread),
            valence / posts,
            share(ironic)
        );
    }
    Ok(())
}
