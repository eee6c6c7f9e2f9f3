//! Multinomial logistic regression with an offset and an L2 penalty: the weights of an adapter.
//!
//! The logit of a class is the general model's, plus a bias, plus weights times the standardised features. The objective is
//! `mean log-loss + ½·penalty·‖weights‖²`, without a penalty on the biases. So a strong penalty gives the general model with other
//! biases, and a weak one gives what the posts say. The objective is convex; L-BFGS with backtracking (Nocedal & Wright, *Numerical
//! Optimization*, 2nd edition, algorithms 3.1 and 7.5) finds the optimum.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{CLASSES, Input, PerClass, dot, softmax};

/// Steps of L-BFGS at most, for one penalty.
const STEPS: usize = 100;
/// Pairs of differences that L-BFGS remembers.
const MEMORY: usize = 8;
/// The optimum is found where no part of the gradient is larger.
const FLAT: f64 = 2e-4;
/// A step must improve the objective by this share of what the slope promises.
const SUFFICIENT: f64 = 1e-4;
/// Halvings of a step at most.
const HALVINGS: usize = 30;
/// A feature with a smaller standard deviation is constant.
const CONSTANT: f64 = 1e-6;

/// The linear part of an adapter, for features as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// For each class, a weight for each feature.
    pub(super) weights: PerClass<Vec<f32>>,
    pub(super) biases: PerClass<f32>,
}

impl Head {
    /// The logits of a post: the general model's, moved by the features.
    pub(super) fn logits(&self, features: &[f32], general: PerClass<f32>) -> PerClass<f64> {
        std::array::from_fn(|class| {
            let moved = general[class] + self.biases[class] + dot(&self.weights[class], features);
            f64::from(moved)
        })
    }
}

/// Weights of standardised features and biases, while they are fitted: for each class its weights, then for each class its bias.
pub(super) type Parameters = Vec<f64>;

/// Posts with standardised features, to be fitted with one penalty after another.
pub(super) struct Problem {
    /// Of each feature, the mean over the posts.
    means: Vec<f64>,
    /// Of each feature, 1 / standard deviation; 0 for a constant feature.
    factors: Vec<f64>,
    /// A row for each post.
    standardised: Vec<f32>,
    general: Vec<PerClass<f32>>,
    classes: Vec<usize>,
}

impl Problem {
    /// The posts and their classes, as places in [`CLASSES`]. All posts have the same number of features.
    pub(super) fn new(inputs: &[&Input], classes: &[usize]) -> Self {
        let width = inputs.first().map_or(0, |input| input.features.len());
        let count = inputs.len().max(1) as f64;
        let mut means = vec![0.0_f64; width];
        for input in inputs {
            means
                .iter_mut()
                .zip(&input.features)
                .for_each(|(sum, x)| *sum += f64::from(*x));
        }
        for sum in &mut means {
            *sum /= count;
        }
        let mut factors = vec![0.0_f64; width];
        for input in inputs {
            for ((sum, mean), x) in factors.iter_mut().zip(&means).zip(&input.features) {
                *sum += (f64::from(*x) - mean).powi(2);
            }
        }
        for factor in &mut factors {
            let deviation = (*factor / count).sqrt();
            *factor = if deviation > CONSTANT {
                1.0 / deviation
            } else {
                0.0
            };
        }
        let mut standardised = Vec::with_capacity(inputs.len() * width);
        for input in inputs {
            let row = input.features.iter().zip(&means).zip(&factors);
            standardised.extend(row.map(|((x, mean), factor)| ((f64::from(*x) - mean) * factor) as f32));
        }
        Self {
            means,
            factors,
            standardised,
            general: inputs.iter().map(|input| input.general).collect(),
            classes: classes.to_vec(),
        }
    }

    /// Where a fit starts that has no better place: the general model.
    pub(super) fn start(&self) -> Parameters {
        vec![0.0; (self.width() + 1) * CLASSES.len()]
    }

    /// The optimum for a penalty, from the optimum of a stronger one.
    pub(super) fn fit(&self, penalty: f64, start: &Parameters) -> Parameters {
        minimise(start.clone(), |parameters| self.objective(parameters, penalty))
    }

    /// The optimum of the biases alone: the general model, if it knows how frequent the classes are.
    pub(super) fn fit_biases(&self) -> Parameters {
        let weights = self.width() * CLASSES.len();
        let with = |biases: &[f64]| -> Parameters {
            let zeros = std::iter::repeat_n(0.0, weights);
            zeros.chain(biases.iter().copied()).collect()
        };
        let biases = minimise(vec![0.0; CLASSES.len()], |biases| {
            let (value, gradient) = self.objective(&with(biases), 0.0);
            (value, gradient[weights..].to_vec())
        });
        with(&biases)
    }

    /// The head with these parameters, for features as they are.
    pub(super) fn head(&self, parameters: &Parameters) -> Head {
        let width = self.width();
        let (all, biases) = parameters.split_at(width * CLASSES.len());
        let mut head = Head {
            weights: Default::default(),
            biases: [0.0; CLASSES.len()],
        };
        for (class, weights) in all.chunks_exact(width.max(1)).enumerate() {
            let own = weights.iter().zip(&self.factors);
            let own: Vec<f64> = own.map(|(weight, factor)| weight * factor).collect();
            let shift: f64 = own
                .iter()
                .zip(&self.means)
                .map(|(weight, mean)| weight * mean)
                .sum();
            head.biases[class] = (biases[class] - shift) as f32;
            head.weights[class] = own.into_iter().map(|weight| weight as f32).collect();
        }
        head
    }

    fn width(&self) -> usize {
        self.means.len()
    }

    /// The objective and its gradient.
    fn objective(&self, parameters: &[f64], penalty: f64) -> (f64, Vec<f64>) {
        let width = self.width();
        let (weights, biases) = parameters.split_at(width * CLASSES.len());
        let as_f32: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
        let mut slopes = vec![0.0_f32; as_f32.len()];
        let mut bias_slopes = [0.0_f64; CLASSES.len()];
        let mut loss = 0.0;
        let share = 1.0 / self.classes.len().max(1) as f64;
        let rows = self.standardised.chunks_exact(width.max(1));
        for ((row, general), &truth) in rows.zip(&self.general).zip(&self.classes) {
            let logits = std::array::from_fn(|class| {
                let moved = dot(&as_f32[class * width..][..width], row);
                f64::from(general[class] + moved) + biases[class]
            });
            let probabilities = softmax(logits);
            loss -= probabilities[truth].max(f64::MIN_POSITIVE).ln();
            for (class, probability) in probabilities.into_iter().enumerate() {
                let error = (probability - f64::from(u8::from(class == truth))) * share;
                bias_slopes[class] += error;
                let error = error as f32;
                let slopes = &mut slopes[class * width..][..width];
                slopes
                    .iter_mut()
                    .zip(row)
                    .for_each(|(slope, x)| *slope += error * x);
            }
        }
        let norm: f64 = weights.iter().map(|weight| weight * weight).sum();
        let of_weights = slopes.iter().zip(weights);
        let gradient = of_weights
            .map(|(slope, weight)| f64::from(*slope) + penalty * weight)
            .chain(bias_slopes);
        (loss * share + 0.5 * penalty * norm, gradient.collect())
    }
}

/// A step of the parameters and the change of the gradient along it.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// Their product, above 0.
    product: f64,
}

/// L-BFGS with backtracking.
fn minimise(mut at: Vec<f64>, mut objective: impl FnMut(&[f64]) -> (f64, Vec<f64>)) -> Vec<f64> {
    let (mut value, mut gradient) = objective(&at);
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    for _ in 0..STEPS {
        if gradient.iter().all(|slope| slope.abs() < FLAT) {
            break;
        }
        let direction = direction(&gradient, &pairs);
        let slope = product(&direction, &gradient);
        let mut length = 1.0;
        let mut found = None;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = at.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let (next_value, next_gradient) = objective(&next);
            if next_value <= value + SUFFICIENT * length * slope {
                found = Some((next, next_value, next_gradient));
                break;
            }
            length *= 0.5;
        }
        // No better place: the numbers are as exact as 32 bits allow.
        let Some((next, next_value, next_gradient)) = found else {
            break;
        };
        let difference = |after: &[f64], before: &[f64]| -> Vec<f64> {
            after.iter().zip(before).map(|(a, b)| a - b).collect()
        };
        let (step, change) = (difference(&next, &at), difference(&next_gradient, &gradient));
        let product = product(&step, &change);
        if product > f64::MIN_POSITIVE {
            pairs.push_back(Pair {
                step,
                change,
                product,
            });
            if pairs.len() > MEMORY {
                pairs.pop_front();
            }
        }
        (at, value, gradient) = (next, next_value, next_gradient);
    }
    at
}

/// The direction of the next step: the two loops of L-BFGS.
fn direction(gradient: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = product(&pair.step, &direction) / pair.product;
        add(&mut direction, -share, &pair.change);
        shares.push(share);
    }
    if let Some(last) = pairs.back() {
        let scale = last.product / product(&last.change, &last.change);
        for d in &mut direction {
            *d *= scale;
        }
    }
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let other = product(&pair.change, &direction) / pair.product;
        add(&mut direction, share - other, &pair.step);
    }
    direction
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, other: &[f64]) {
    to.iter_mut().zip(other).for_each(|(x, o)| *x += factor * o);
}

#[cfg(test)]
mod tests {
    use limbic_domain::random::Random;

    use super::*;

    /// Posts whose class follows from a sum of the first two of four features; the last is constant.
    fn posts(count: usize) -> (Vec<Input>, Vec<usize>) {
        let mut random = Random::new(5);
        let inputs: Vec<Input> = (0..count)
            .map(|_| Input {
                features: vec![
                    10.0 + 3.0 * random.normal() as f32,
                    0.1 * random.normal() as f32,
                    random.normal() as f32,
                    7.0,
                ],
                general: [1.0_f32 / 3.0; 3].map(f32::ln),
            })
            .collect();
        let classes = inputs
            .iter()
            .map(|input| {
                let sum = (input.features[0] - 10.0) / 3.0 + input.features[1] / 0.1;
                usize::from(sum > -0.6) + usize::from(sum > 0.6)
            })
            .collect();
        (inputs, classes)
    }

    fn right(head: &Head, inputs: &[Input], classes: &[usize]) -> usize {
        let pairs = inputs.iter().zip(classes);
        pairs
            .filter(|(input, class)| {
                let logits = head.logits(&input.features, input.general);
                let best = (0..3).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
                best == Some(**class)
            })
            .count()
    }

    #[test]
    fn it_learns_what_features_say_and_ignores_a_constant_one() {
        let (inputs, classes) = posts(600);
        let rows: Vec<&Input> = inputs.iter().collect();
        let problem = Problem::new(&rows, &classes);
        let head = problem.head(&problem.fit(1e-3, &problem.start()));
        let right = right(&head, &inputs, &classes);
        assert!(right > 560, "{right} of 600");
        assert!(head.weights.iter().all(|weights| weights[3] == 0.0));
    }

    #[test]
    fn without_weights_only_the_frequencies_of_the_classes_are_learnt() {
        let (inputs, mut classes) = posts(600);
        classes
            .iter_mut()
            .enumerate()
            .for_each(|(at, class)| *class = usize::from(at % 4 == 0));
        let rows: Vec<&Input> = inputs.iter().collect();
        let problem = Problem::new(&rows, &classes);
        let head = problem.head(&problem.fit_biases());
        assert!(head.weights.iter().flatten().all(|weight| *weight == 0.0));
        let probabilities = softmax(head.logits(&inputs[0].features, inputs[0].general));
        for (probability, share) in probabilities.into_iter().zip([0.75, 0.25, 0.0]) {
            assert!((probability - share).abs() < 0.01, "{probabilities:?}");
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_objective() {
        let (inputs, classes) = posts(50);
        let rows: Vec<&Input> = inputs.iter().collect();
        let problem = Problem::new(&rows, &classes);
        let mut random = Random::new(9);
        let at: Vec<f64> = problem.start().iter().map(|_| 0.3 * random.normal()).collect();
        let (_, gradient) = problem.objective(&at, 0.1);
        for place in 0..at.len() {
            let moved = |by: f64| {
                let mut moved = at.clone();
                moved[place] += by;
                problem.objective(&moved, 0.1).0
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!(
                (slope - gradient[place]).abs() < 1e-3,
                "{place}: {slope} {}",
                gradient[place]
            );
        }
    }

    #[test]
    fn the_optimum_does_not_depend_on_the_start() {
        let (inputs, classes) = posts(300);
        let rows: Vec<&Input> = inputs.iter().collect();
        let problem = Problem::new(&rows, &classes);
        let from_zero = problem.fit(0.05, &problem.start());
        let from_elsewhere = problem.fit(0.05, &vec![0.5; from_zero.len()]);
        let width = problem.width() * 3;
        for (one, other) in from_zero[..width].iter().zip(&from_elsewhere[..width]) {
            assert!((one - other).abs() < 1e-2, "{one} {other}");
        }
    }
}
