//! Reads probabilities of a policy that runs elsewhere: JSON Lines, one decision a line, in any order.
//!
//! ```text
//! {"decision": "corner-bakery.0123", "probabilities": {"creative-a": 0.7, "creative-b": 0.3}}
//! ```
//!
//! `decision` is the id of the row: the decision's id in Limbic's log, `EventId` in DSJSON, the line number (of the
//! header: 1) in an Open Bandit log. `probabilities` has one probability per candidate, by the name of the arm; a
//! candidate that is not listed has none. Instead, a list gives them in the order of the candidates.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::lines::{LineReader, Start, read_lines};
use crate::log::{BanditLog, MixMap, RejectedRows};
use crate::score::index_in;
use crate::{EvaluateError, EvaluationOptions};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    decision: Cow<'a, str>,
    probabilities: Listed,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    ByName(HashMap<String, f64>),
    InOrder(Vec<f64>),
}

/// The key of a row's id.
pub(super) fn key_of(id: &str) -> u128 {
    xxh3_128(id.as_bytes())
}

/// Probabilities as the file lists them, with their lines.
#[derive(Default)]
struct Part {
    lines: Vec<(u64, u128, Listed)>,
    rejections: RejectedRows,
}

#[derive(Default)]
struct Reader(Part);

impl LineReader for Reader {
    type Part = Part;

    fn read(&mut self, line: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match serde_json::from_slice::<Line<'_>>(bytes) {
            Ok(found) => {
                let key = key_of(&found.decision);
                self.0.lines.push((line, key, found.probabilities));
            }
            Err(error) => self
                .0
                .rejections
                .add(line, "not a line of probabilities", &error.to_string()),
        }
    }

    fn finish(self) -> Part {
        self.0
    }
}

/// One probability per candidate for every row that stays in the log, row after row. Rows without probabilities are
/// removed, and the log notes their number.
pub(super) fn read(
    path: &Path,
    log: &mut BanditLog,
    options: &EvaluationOptions,
) -> Result<Vec<f64>, EvaluateError> {
    let keys = std::mem::take(&mut log.keys);
    let row_of: MixMap<u128, u32> = keys.into_iter().zip(0..).collect();
    let arms: HashMap<&str, u32> = log.arms.iter().map(String::as_str).zip(0..).collect();
    let set_of = |row: usize| log.sets[log.situation_of(&log.rows[row]).set as usize].as_slice();
    let mut places = Vec::with_capacity(log.rows.len());
    let mut total = 0;
    for row in 0..log.rows.len() {
        places.push(total..total + set_of(row).len());
        total += set_of(row).len();
    }
    let mut values = vec![0.0; total];
    let mut given = vec![false; log.rows.len()];
    let mut rejections = RejectedRows::default();
    let merge = |part: Part, lines_before| {
        rejections.absorb(part.rejections, lines_before);
        for (line, key, listed) in part.lines {
            let row = row_of.get(&key).map(|&row| row as usize);
            let filled = match row {
                None => Err((
                    "probabilities of a decision that is not in the log",
                    String::new(),
                )),
                Some(row) if given[row] => Err(("probabilities of a decision twice", String::new())),
                Some(row) => fill(&mut values[places[row].clone()], set_of(row), listed, &arms),
            };
            match (filled, row) {
                (Ok(()), Some(row)) => given[row] = true,
                (Err((kind, detail)), _) => rejections.add(line + lines_before, kind, &detail),
                (Ok(()), None) => {}
            }
        }
    };
    let reader = Reader::default;
    read_lines(path, Start::default(), options.threads, reader, merge, |_, _| {})?;
    let without = given.iter().filter(|&&given| !given).count();
    if without == given.len() {
        let first = rejections.examples.first();
        let first = first.map_or_else(String::new, |e| format!(": line {}: {}", e.line, e.reason));
        return Err(EvaluateError::malformed(
            path,
            format!("no decision of the log has usable probabilities{first}"),
        ));
    }
    if without > 0 {
        let kept = places.into_iter().zip(&given).filter(|(_, given)| **given);
        values = kept.flat_map(|(places, _)| values[places].to_vec()).collect();
        log.retain(|row| given[row]);
        log.notes.push(format!(
            "{without} decisions have no supplied probabilities and are left out: the estimates are of the others"
        ));
    }
    log.rejections.absorb(rejections, 0);
    Ok(values)
}

/// Writes what a line lists into the places of a row's candidates.
fn fill(
    places: &mut [f64],
    set: &[u32],
    listed: Listed,
    arms: &HashMap<&str, u32>,
) -> Result<(), (&'static str, String)> {
    let listed = match listed {
        Listed::InOrder(list) if list.len() == set.len() => list,
        Listed::InOrder(list) => {
            let lengths = format!("{} instead of {}", list.len(), set.len());
            return Err(("supplied probabilities: not one per candidate", lengths));
        }
        Listed::ByName(by_name) => {
            let mut list = vec![0.0; set.len()];
            for (name, probability) in by_name {
                let place = arms.get(name.as_str()).and_then(|&arm| index_in(set, arm));
                match place {
                    Some(place) => list[place] = probability,
                    None if probability == 0.0 => {}
                    None => return Err(("supplied probabilities: not a candidate", format!("`{name}`"))),
                }
            }
            list
        }
    };
    let total: f64 = listed.iter().sum();
    if listed.iter().any(|p| !(0.0..=1.0).contains(p)) || (total - 1.0).abs() > 1e-6 {
        return Err(("supplied probabilities do not add up to 1", total.to_string()));
    }
    places.copy_from_slice(&listed);
    Ok(())
}
