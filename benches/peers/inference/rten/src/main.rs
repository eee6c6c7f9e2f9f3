//! rten's side of the comparison: `peer-rten MODEL.onnx IDS.json LABELS.json`.
//!
//! Like `peer.py` for the others: posts of equal length in batches, for as many seconds as each line of the input says.
//! The answer is the number of posts per second of the clock and of processor time. LABELS has PyTorch's results for
//! every twentieth batch. One thread: set `RTEN_NUM_THREADS=1`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use rten::{Model, ModelOptions};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

const BATCH: usize = 32;
const COMPARED: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, ids, labels] = &arguments[..] else {
        return Err("usage: peer-rten MODEL.onnx IDS.json LABELS.json".into());
    };
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(model)?;
    let batches = batches(serde_json::from_slice(&std::fs::read(ids)?)?);
    let wanted: Vec<usize> = serde_json::from_slice(&std::fs::read(labels)?)?;
    let mut found = Vec::new();
    for batch in batches.iter().step_by(COMPARED) {
        found.extend(labels_of(&model, batch)?);
    }
    assert_eq!(found.len(), wanted.len(), "labels of other posts");
    let same = found.iter().zip(&wanted).filter(|(found, wanted)| found == wanted).count();
    eprintln!("rten: {:.1} % of labels as in PyTorch", 100.0 * same as f64 / wanted.len() as f64);

    // A stride that visits all of them, with lengths in no order.
    let stride = (1..).map(|n| 7919 + n).find(|n| gcd(*n, batches.len()) == 1).unwrap_or(1);
    let mut place = 0;
    for line in std::io::stdin().lock().lines() {
        let slice = Duration::from_secs_f64(line?.trim().parse()?);
        let (began, processor, mut count) = (Instant::now(), processor_time()?, 0);
        while began.elapsed() < slice {
            count += labels_of(&model, &batches[place])?.len();
            place = (place + stride) % batches.len();
        }
        let (clock, processor) = (began.elapsed(), processor_time()? - processor);
        println!("{} {}", count as f64 / clock.as_secs_f64(), count as f64 / processor.as_secs_f64());
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn batches(posts: Vec<Vec<i32>>) -> Vec<NdTensor<i32, 2>> {
    let mut by_length = BTreeMap::<usize, Vec<Vec<i32>>>::new();
    for post in posts {
        by_length.entry(post.len()).or_default().push(post);
    }
    let of = |(length, posts): (usize, Vec<Vec<i32>>)| -> Vec<_> {
        posts
            .chunks(BATCH)
            .map(|posts| NdTensor::from_data([posts.len(), length], posts.concat()))
            .collect()
    };
    by_length.into_iter().flat_map(of).collect()
}

fn labels_of(model: &Model, ids: &NdTensor<i32, 2>) -> Result<Vec<usize>, Box<dyn Error>> {
    let logits: NdTensor<f32, 2> = model.run_one(ids.view().into(), None)?.try_into()?;
    let largest = |row: usize| (0..3).max_by(|a, b| logits[[row, *a]].total_cmp(&logits[[row, *b]])).unwrap_or(0);
    Ok((0..logits.size(0)).map(largest).collect())
}

/// The processor time of this process (Linux, hundredths of a second).
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let times = std::fs::read_to_string("/proc/self/stat")?;
    let after = times.rsplit_once(')').ok_or("a line of /proc/self/stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(10 * ticks))
}
