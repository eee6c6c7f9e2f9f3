//! The accuracy that the integer kernels lose: their results compared with 32 bits, on the test posts of `TweetEval`.
//!
//! ```sh
//! cargo run --release -p limbic-affect --example agreement -- models/affect-l6 [KERNELS [SETS…]]
//! ```
//!
//! For each task: the mean and the largest difference of its numbers (calibrated probabilities; valence in its range),
//! and the share of posts with the same label (for a task with several labels, the share of equal labels).
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::path::Path;

use limbic_affect::{Kernels, ModelOptions, ModelReader, Numbers, Task, TaskKind};

const SETS: [&str; 5] = ["emotion", "irony", "offensive", "hate", "sentiment"];
/// Texts that are read together.
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments
        .next()
        .ok_or("usage: agreement MODEL [KERNELS [SETS…]]")?;
    let kernels: Kernels = arguments.next().as_deref().unwrap_or("auto").parse()?;
    let mut sets: Vec<String> = arguments.collect();
    if sets.is_empty() {
        sets = SETS.map(str::to_owned).into();
    }
    let data = limbic_domain::testing::data_dir().ok_or("the data folder is not there: set LIMBIC_DATA")?;
    let open = |kernels| {
        let options = ModelOptions {
            kernels,
            cache: 0,
            ..ModelOptions::default()
        };
        ModelReader::open(Path::new(&model), &options)
    };
    let (reader, reference) = (open(kernels)?, open(Kernels::Reference)?);
    let mut texts = Vec::new();
    for set in &sets {
        let path = data.join("tweeteval").join(set).join("test_text.txt");
        texts.extend(std::fs::read_to_string(path)?.lines().map(str::to_owned));
    }
    let mut tallies: Vec<Tally> = reader.tasks().iter().map(|_| Tally::default()).collect();
    std::thread::scope(|scope| {
        let (reader, reference) = (&reader, &reference);
        let halves: Vec<_> = texts
            .chunks(texts.len().div_ceil(2).max(1))
            .map(|half| scope.spawn(move || compare(reader, reference, half)))
            .collect();
        for half in halves {
            for (sum, tally) in tallies.iter_mut().zip(half.join().unwrap_or_default()) {
                sum.add(&tally);
            }
        }
    });
    println!(
        "{} posts, {} compared with 32 bits\n",
        texts.len(),
        reader.kernels()
    );
    println!("task         mean difference  largest  same label");
    for (task, tally) in reader.tasks().iter().zip(&tallies) {
        let same = match task.kind {
            TaskKind::Regression => String::new(),
            _ => format!("{:9.2} %", 100.0 * tally.same / tally.labels),
        };
        println!(
            "{:<12} {:>15.5}  {:7.4} {same}",
            task.name,
            tally.sum / tally.count,
            tally.largest
        );
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    sum: f64,
    count: f64,
    largest: f64,
    same: f64,
    labels: f64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.sum += other.sum;
        self.count += other.count;
        self.largest = self.largest.max(other.largest);
        self.same += other.same;
        self.labels += other.labels;
    }

    fn compare(&mut self, task: &Task, found: &[f32], wanted: &[f32]) {
        for (found, wanted) in found.iter().zip(wanted) {
            let difference = f64::from((found - wanted).abs());
            self.sum += difference;
            self.count += 1.0;
            self.largest = self.largest.max(difference);
        }
        if task.kind == TaskKind::Softmax {
            self.labels += 1.0;
            self.same += f64::from(u8::from(likeliest(found) == likeliest(wanted)));
        } else {
            for (place, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                let threshold = task
                    .thresholds
                    .as_ref()
                    .map_or(0.5, |thresholds| thresholds[place]);
                self.labels += 1.0;
                self.same += f64::from(u8::from((*found >= threshold) == (*wanted >= threshold)));
            }
        }
    }
}

fn likeliest(numbers: &[f32]) -> Option<usize> {
    (0..numbers.len()).max_by(|a, b| numbers[*a].total_cmp(&numbers[*b]))
}

fn compare(reader: &ModelReader, reference: &ModelReader, texts: &[String]) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = reader.tasks().iter().map(|_| Tally::default()).collect();
    for batch in texts.chunks(BATCH) {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        let pairs: Vec<(Numbers, Numbers)> = reader
            .numbers(&batch)
            .into_iter()
            .zip(reference.numbers(&batch))
            .collect();
        for (found, wanted) in &pairs {
            for (place, (task, tally)) in reader.tasks().iter().zip(&mut tallies).enumerate() {
                if let (Some(found), Some(wanted)) = (found.task(place), wanted.task(place)) {
                    tally.compare(task, found, wanted);
                }
            }
        }
    }
    tallies
}
