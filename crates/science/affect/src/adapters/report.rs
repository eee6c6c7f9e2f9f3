//! What a cross-validation says of an adapter, in numbers, in a table, and as a card.

use std::fmt::Write as _;

use limbic_domain::Slug;
use serde::Serialize;

use super::examples::LeftOut;
use super::{CLASSES, PerClass, name_of};
use crate::evaluation::{Draws, Score, measures, score};

/// Bins of the calibration error.
const BINS: usize = 15;

/// A measure of the general model and of the adapter on the same posts, from 0 to 1, with 95 % intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the measure.
    pub measure: &'static str,
    /// The general model.
    pub general: Score,
    /// The general model, if it knows how frequent the classes are in the file: what of the gain needs no adapter.
    pub shares: Score,
    /// The adapter, on posts that it did not learn from.
    pub adapted: Score,
    /// The adapter less the general model: the interval is of the difference on the same draws of posts (paired).
    pub gain: Score,
}

/// The posts of a class, and which share of them each side finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// `negative`, `neutral` or `positive`.
    pub class: &'static str,
    /// Its posts.
    pub posts: usize,
    /// The share that the general model finds.
    pub general: f64,
    /// The share that the adapter finds.
    pub adapted: f64,
}

/// The result of a cross-validation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Posts that were learnt from.
    pub posts: usize,
    /// By class.
    pub classes: Vec<ClassReport>,
    /// The measures. The first decides.
    pub measures: Vec<Comparison>,
    /// Expected calibration error of the general model and of the adapter, over 15 bins of confidence.
    pub calibration_error: [f64; 2],
    /// Mean log-loss of both, in nats.
    pub log_loss: [f64; 2],
    /// The penalty of the adapter itself.
    pub penalty: f64,
    /// Its temperature.
    pub temperature: f64,
    /// Posts that were not learnt from.
    #[serde(skip)]
    pub(super) left_out: LeftOut,
    #[serde(skip)]
    draws: Draws,
}

/// The probabilities of a post by each side, and the truth.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    pub(super) class: usize,
    pub(super) general: PerClass<f64>,
    /// The general model with the shares of the classes.
    pub(super) shares: PerClass<f64>,
    pub(super) adapted: PerClass<f64>,
}

/// The probabilities of one side.
type Side = fn(&Read) -> PerClass<f64>;

/// A measure of true and predicted classes.
type Measure = fn(&[usize], &[usize]) -> f64;

/// Names and measures. The first decides whether an adapter helps.
const MEASURES: [(&str, Measure); 3] = [
    ("macro-F1", |truth, predicted| {
        measures::macro_f1(truth, predicted, CLASSES.len())
    }),
    ("accuracy", accuracy),
    ("macro-recall", |truth, predicted| {
        measures::macro_recall(truth, predicted, CLASSES.len())
    }),
];

impl Report {
    pub(super) fn new(
        reads: &[Read],
        left_out: LeftOut,
        draws: Draws,
        penalty: f64,
        temperature: f64,
    ) -> Self {
        let truth: Vec<usize> = reads.iter().map(|read| read.class).collect();
        let general: Vec<usize> = reads.iter().map(|read| likeliest(read.general)).collect();
        let shares: Vec<usize> = reads.iter().map(|read| likeliest(read.shares)).collect();
        let adapted: Vec<usize> = reads.iter().map(|read| likeliest(read.adapted)).collect();
        let measures = MEASURES.iter().map(|(name, measure)| {
            let pairs: Vec<(usize, usize)> = general.iter().copied().zip(adapted.iter().copied()).collect();
            let difference = |truth: &[usize], pairs: &[(usize, usize)]| {
                let (general, adapted): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
                measure(truth, &adapted) - measure(truth, &general)
            };
            Comparison {
                measure: name,
                general: score(&truth, &general, draws, measure),
                shares: score(&truth, &shares, draws, measure),
                adapted: score(&truth, &adapted, draws, measure),
                gain: score(&truth, &pairs, draws, difference),
            }
        });
        let classes = CLASSES.iter().enumerate().map(|(class, label)| {
            let found = |predicted: &[usize]| {
                let own = truth.iter().zip(predicted).filter(|(truth, _)| **truth == class);
                let (found, all) = own.fold((0, 0), |(found, all), (_, predicted)| {
                    (found + usize::from(*predicted == class), all + 1)
                });
                found as f64 / f64::from(all.max(1))
            };
            ClassReport {
                class: name_of(*label),
                posts: truth.iter().filter(|truth| **truth == class).count(),
                general: found(&general),
                adapted: found(&adapted),
            }
        });
        let classes = classes.collect();
        let sides: [Side; 2] = [|read| read.general, |read| read.adapted];
        Self {
            posts: reads.len(),
            classes,
            measures: measures.collect(),
            calibration_error: sides.map(|side| calibration_error(reads, side)),
            log_loss: sides.map(|side| log_loss(reads, side)),
            penalty,
            temperature,
            left_out,
            draws,
        }
    }

    /// Whether the adapter surely reads better: the interval of the deciding measure's gain is above 0.
    pub fn helps(&self) -> bool {
        self.measures
            .first()
            .is_some_and(|deciding| deciding.gain.low > 0.0)
    }

    /// The deciding measure.
    pub fn deciding(&self) -> Option<&Comparison> {
        self.measures.first()
    }

    /// The measures as lines of a table, in hundredths.
    pub fn table(&self) -> String {
        let mut out = format!(
            "  {:<18}{:>22}{:>22}{:>22}{:>24}\n",
            "", "general model", "knowing the shares", "adapter", "gain"
        );
        for Comparison {
            measure,
            general,
            shares,
            adapted,
            gain,
        } in &self.measures
        {
            let _ = writeln!(
                out,
                "  {measure:<18}{:>22}{:>22}{:>22}{:>24}",
                interval(*general, false),
                interval(*shares, false),
                interval(*adapted, false),
                interval(*gain, true)
            );
        }
        let [general, adapted] = self.calibration_error.map(|error| 100.0 * error);
        let _ = writeln!(
            out,
            "  {:<18}{general:>22.1}{:>22}{adapted:>22.1}",
            "calibration error", ""
        );
        for ClassReport {
            class,
            posts,
            general,
            adapted,
        } in &self.classes
        {
            let _ = writeln!(
                out,
                "  {:<18}{:>22.1}{:>22}{:>22.1}{:>24}",
                format!("found, {class}"),
                100.0 * general,
                "",
                100.0 * adapted,
                format!("{posts} posts")
            );
        }
        out
    }

    /// The classes of which the adapter finds less than half of what the general model finds, each as a sentence.
    pub fn forgotten(&self) -> impl Iterator<Item = String> + '_ {
        let forgotten = self.classes.iter().filter(|one| one.adapted < 0.5 * one.general);
        forgotten.map(|one| {
            format!(
                "The adapter finds {:.1} % of the posts that are {}, the general model {:.1} %: if those matter, label more of them.",
                100.0 * one.adapted,
                one.class,
                100.0 * one.general
            )
        })
    }

    /// How the numbers came about, in a sentence or two.
    pub fn method(&self) -> String {
        let Draws { rounds, seed } = self.draws;
        format!(
            "In hundredths, with 95 % intervals ({rounds} bootstrap draws over posts, seed {seed}; the gain is paired). Each post is read by \
             an adapter that was fitted without it, in five parts; penalty and temperature were chosen without it too. \"Knowing the shares\" is \
             the general model with three more numbers, which say how frequent the classes are. {}.",
            capital(&self.left_out.to_string())
        )
    }

    /// The card of the adapter, in Markdown. `data` names the file of labelled posts, `model` the model's version.
    pub fn card(&self, name: &Slug, version: &str, model: &str, data: &str) -> String {
        let mut out = format!(
            "# Adapter `{name}`\n\n\
             This adapter reads the sentiment of one kind of posts: those that resemble the posts of `{data}`. It is a linear head over the \
             encoder of `{model}`, and replaces that model's sentiment, compound and valence. It changes nothing else of a reading.\n\n\
             | | |\n|---|---|\n| version | `{version}` |\n| model | `{model}`; another model refuses it |\n| posts | {} |\n\
             | penalty, temperature | {}, {:.3} |\n\n## Data\n\n| class | posts |\n|---|---|\n",
            self.posts, self.penalty, self.temperature
        );
        for class in &self.classes {
            let _ = writeln!(out, "| {} | {} |", class.class, class.posts);
        }
        let _ = write!(
            out,
            "\n{}. Copies are posts with the same words, whatever their case, links, mentions and numbers. The adapter has weights, not \
             texts.\n\n## Scores\n\n| measure | general model | knowing the shares | adapter | gain |\n|---|---|---|---|---|\n",
            capital(&self.left_out.to_string())
        );
        for comparison in &self.measures {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                comparison.measure,
                interval(comparison.general, false),
                interval(comparison.shares, false),
                interval(comparison.adapted, false),
                interval(comparison.gain, true)
            );
        }
        let [general, adapted] = self.calibration_error.map(|error| 100.0 * error);
        let _ = writeln!(out, "| calibration error | {general:.1} | | {adapted:.1} | |");
        let [general, adapted] = self.log_loss;
        let _ = writeln!(out, "| log-loss, nats | {general:.3} | | {adapted:.3} | |");
        for class in &self.classes {
            let _ = writeln!(
                out,
                "| found, of {} | {:.1} | | {:.1} | |",
                class.class,
                100.0 * class.general,
                100.0 * class.adapted
            );
        }
        let _ = write!(
            out,
            "\n{}\n\n## Limits\n\n\
             - The scores hold for posts like those of the file: the same sources, the same time, the same way of labelling. They say nothing \
             of other posts; there, the general model is the better choice. Choose the adapter by network, subject or language.\n\
             - The adapter has learnt how frequent the classes are in the file. If the file is not a fair sample of the posts that it will \
             read, its probabilities are not calibrated for them.\n\
             - It must not be used to judge single people, nor to find distress, hate or offence. It changes none of these.\n\
             - It repeats the errors of its labels. If several people labelled the posts, compare their labels before it is used.\n",
            self.method()
        );
        for sentence in self.forgotten() {
            let _ = writeln!(out, "- {sentence}");
        }
        out
    }
}

/// The most likely class. Among equals, the more neutral, then the less favourable, as in a reading.
fn likeliest(probabilities: PerClass<f64>) -> usize {
    let [negative, neutral, positive] = probabilities;
    if neutral >= negative && neutral >= positive {
        1
    } else if negative >= positive {
        0
    } else {
        2
    }
}

fn accuracy(truth: &[usize], predicted: &[usize]) -> f64 {
    let right = truth
        .iter()
        .zip(predicted)
        .filter(|(truth, predicted)| truth == predicted);
    right.count() as f64 / truth.len().max(1) as f64
}

fn calibration_error(reads: &[Read], side: Side) -> f64 {
    let pairs = reads.iter().map(|read| {
        let probabilities = side(read);
        let likeliest = likeliest(probabilities);
        (probabilities[likeliest], likeliest == read.class)
    });
    measures::calibration_error(pairs, BINS)
}

fn log_loss(reads: &[Read], side: Side) -> f64 {
    let losses = reads
        .iter()
        .map(|read| -side(read)[read.class].max(f64::MIN_POSITIVE).ln());
    losses.sum::<f64>() / reads.len().max(1) as f64
}

/// A score in hundredths.
fn interval(score: Score, is_difference: bool) -> String {
    let [value, low, high] = [score.value, score.low, score.high].map(|share| 100.0 * share);
    if is_difference {
        format!("{value:+.1} ({low:+.1} to {high:+.1})")
    } else {
        format!("{value:.1} ({low:.1} to {high:.1})")
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 300 posts, the general model is right in six of ten and the adapter in `adapted` of ten, each with a confidence of 0.8.
    fn reads(adapted: usize) -> Vec<Read> {
        let says = |class: usize| {
            let mut probabilities = [0.1; 3];
            probabilities[class] = 0.8;
            probabilities
        };
        let class = |at: usize, right: bool| if right { at % 3 } else { (at + 1) % 3 };
        (0..300)
            .map(|at| Read {
                class: at % 3,
                general: says(class(at, at / 3 % 10 < 6)),
                shares: says(class(at, at / 3 % 10 < 7)),
                adapted: says(class(at, at / 3 % 10 < adapted)),
            })
            .collect()
    }

    fn report(adapted: usize) -> Report {
        Report::new(&reads(adapted), LeftOut::default(), Draws::default(), 1.0, 1.0)
    }

    #[test]
    fn an_adapter_helps_if_the_whole_interval_of_its_gain_is_above_zero() {
        let good = report(8);
        let gain = good.deciding().unwrap().gain;
        assert!(
            good.helps() && (gain.value - 0.2).abs() < 1e-9 && gain.low > 0.1,
            "{gain:?}"
        );
        // The same posts are right: a paired difference of 0 has no spread.
        let same = report(6).deciding().unwrap().gain;
        assert_eq!((same.low, same.high), (0.0, 0.0));
        assert!(!report(6).helps() && !report(5).helps());
    }

    #[test]
    fn the_calibration_error_and_the_recall_of_classes_are_those_of_the_posts() {
        let report = report(8);
        let [general, adapted] = report.calibration_error;
        assert!(
            (general - 0.2).abs() < 1e-9 && adapted.abs() < 1e-9,
            "{general} {adapted}"
        );
        for class in &report.classes {
            assert_eq!((class.posts, class.general, class.adapted), (100, 0.6, 0.8));
        }
    }

    #[test]
    fn a_class_that_the_adapter_forgets_is_named() {
        let mut reads = reads(8);
        for read in reads.iter_mut().filter(|read| read.class == 0) {
            read.adapted = [0.1, 0.8, 0.1];
        }
        let report = Report::new(&reads, LeftOut::default(), Draws::default(), 1.0, 1.0);
        let forgotten: Vec<String> = report.forgotten().collect();
        assert_eq!(forgotten.len(), 1);
        assert!(
            forgotten[0].contains("finds 0.0 % of the posts that are negative, the general model 60.0 %"),
            "{forgotten:?}"
        );
        let card = report.card(&Slug::new("x").unwrap(), "x-1", "small-1", "x.csv");
        assert!(card.ends_with(&format!("- {}\n", forgotten[0])), "{card}");
        assert_eq!(self::report(8).forgotten().count(), 0);
    }

    #[test]
    fn the_card_says_what_was_learnt_what_it_gains_and_where_it_must_not_be_used() {
        let name = Slug::new("finance").unwrap();
        let card = report(8).card(&name, "finance-1a2b3c4d", "small-1", "labelled.csv");
        for part in [
            "finance-1a2b3c4d",
            "small-1",
            "`labelled.csv`",
            "| negative | 100 |",
            "| accuracy | 60.0",
            "+20.0 (",
            "calibration error | 20.0 | | 0.0",
            "| 70.0 (",
            "must not be used",
        ] {
            assert!(card.contains(part), "{part} is missing in\n{card}");
        }
    }
}
