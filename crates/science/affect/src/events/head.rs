//! What the hidden state of the model adds to the words: whether a text tells of an event, or only sounds like it.

use limbic_domain::random::Random;

use crate::cues::rounded;

/// A linear head over the model's pooled hidden state, added to the logit of the [classifier of words](crate::TextClassifier).
#[derive(Debug, Clone, PartialEq)]
pub struct EventHead {
    model: String,
    /// Factor of the words' logit.
    words: f32,
    bias: f32,
    /// One for each number of the pooled state.
    weights: Vec<f32>,
}

/// A labelled text for [`EventHead::train`].
#[derive(Debug, Clone, PartialEq)]
pub struct HeadExample {
    /// The model's pooled state of the text.
    pub state: Vec<f32>,
    /// The probability that a classifier of words gives, which was trained without this text.
    pub words: f64,
    /// Whether it is about a sensitive event.
    pub is_event: bool,
    /// How much it counts, above 0.
    pub weight: f64,
}

/// How a file of weights begins: name and version.
const MAGIC: &[u8] = b"limbic-event-head-1\n";
/// Passes over the examples.
const EPOCHS: usize = 12;
/// `AdaGrad`'s step.
const STEP: f64 = 0.05;
/// Pull of every weight of the state towards 0 with each example.
const DECAY: f64 = 1e-4;
/// Seed of the order of examples.
const SEED: u64 = 1;
/// The head's logits are shifted and scaled, so that as many texts about no event reach each threshold as do by the words alone: about
/// 5 % of the training posts reach 0.5, and 1 % reach 0.7 (cross-validation, English).
const SHIFT: f64 = -0.405;
const SCALE: f64 = 0.534;
/// Logits of the words are cut here, because their probabilities are rounded.
const MOST_LOGIT: f64 = 8.0;

impl EventHead {
    /// Its file in the folder of a model.
    pub const FILE: &'static str = "sensitive-events.bin";

    /// The model whose states it was trained on.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How many numbers a pooled state has.
    pub(crate) fn width(&self) -> usize {
        self.weights.len()
    }

    /// A part of the engine's version: with another head, readings are different.
    pub(crate) fn suffix(&self) -> String {
        let hash = self.to_bytes().iter().fold(0x811c_9dc5_u32, |hash, &byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        format!("+events-{hash:08x}")
    }

    /// The state's part of the logit.
    pub(crate) fn of_state(&self, state: &[f32]) -> f32 {
        let products = self
            .weights
            .iter()
            .zip(state)
            .map(|(weight, number)| weight * number);
        products.sum::<f32>() + self.bias
    }

    /// The probability of an event, by the classifier of words and the state's part.
    pub(crate) fn probability(&self, words: f64, state: f32) -> f64 {
        rounded(logistic(f64::from(self.words) * logit(words) + f64::from(state)))
    }

    /// The probability of an event, in `[0, 1]`, by the probability that the classifier of words gives, and the model's pooled state.
    pub fn judge(&self, words: f64, state: &[f32]) -> f64 {
        self.probability(words, self.of_state(state))
    }

    /// The head that these examples give: logistic regression by `AdaGrad`, deterministic. `model` is the model's version.
    pub fn train(model: &str, examples: &[HeadExample]) -> Self {
        let width = examples.first().map_or(0, |example| example.state.len());
        // The last weights are those of the words and of the bias.
        let mut weights = vec![0.0_f64; width + 2];
        let mut squares = vec![1e-6_f64; width + 2];
        weights[width] = 1.0;
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut random = Random::new(SEED);
        for _ in 0..EPOCHS {
            for last in (1..order.len()).rev() {
                order.swap(last, random.below(last + 1));
            }
            for &place in &order {
                let example = &examples[place];
                let words = [logit(example.words), 1.0];
                let inputs = || example.state.iter().map(|number| f64::from(*number)).chain(words);
                let sum: f64 = inputs().zip(&weights).map(|(input, weight)| input * weight).sum();
                let error = (logistic(sum) - f64::from(u8::from(example.is_event))) * example.weight;
                for (number, input) in inputs().enumerate() {
                    let decay = if number < width {
                        DECAY * weights[number]
                    } else {
                        0.0
                    };
                    let slope = error * input + decay;
                    squares[number] += slope * slope;
                    weights[number] -= STEP * slope / squares[number].sqrt();
                }
            }
        }
        Self {
            model: model.to_owned(),
            words: (SCALE * weights[width]) as f32,
            bias: (SCALE * (weights[width + 1] + SHIFT)) as f32,
            weights: weights[..width]
                .iter()
                .map(|weight| (SCALE * weight) as f32)
                .collect(),
        }
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` if it is not that.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let model = std::str::from_utf8(&rest[..end]).ok()?.to_owned();
        let (numbers, rest) = rest[end + 1..].as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
        let [words, bias, weights @ ..] = numbers.as_slice() else {
            return None;
        };
        let is_whole = rest.is_empty() && numbers.iter().all(|number| number.is_finite());
        is_whole.then(|| Self {
            model,
            words: *words,
            bias: *bias,
            weights: weights.to_vec(),
        })
    }

    /// The head as a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(self.model.as_bytes());
        bytes.push(b'\n');
        for number in [self.words, self.bias].iter().chain(&self.weights) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}

fn logit(probability: f64) -> f64 {
    (probability / (1.0 - probability))
        .ln()
        .clamp(-MOST_LOGIT, MOST_LOGIT)
}

fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events have a positive first number, whatever the words say.
    fn examples() -> Vec<HeadExample> {
        let mut random = Random::new(3);
        (0..400)
            .map(|number| {
                let is_event = number % 2 == 0;
                let sign = if is_event { 1.0 } else { -1.0 };
                HeadExample {
                    state: vec![sign * random.unit() as f32, random.unit() as f32 - 0.5],
                    words: random.unit(),
                    is_event,
                    weight: 1.0,
                }
            })
            .collect()
    }

    #[test]
    fn it_learns_what_the_words_do_not_say_and_survives_being_written() {
        let head = EventHead::train("small-1", &examples());
        let wrong = examples()
            .iter()
            .filter(|example| (head.judge(example.words, &example.state) >= 0.5) != example.is_event)
            .count();
        // Numbers near zero say little. Without the numbers, half are wrong.
        assert!(wrong <= 40, "{wrong} of 400 are wrong");
        assert_eq!(EventHead::from_bytes(&head.to_bytes()), Some(head.clone()));
        assert_eq!(head.model(), "small-1");
        let mut cut = head.to_bytes();
        cut.pop();
        assert_eq!(EventHead::from_bytes(&cut), None);
        assert_eq!(EventHead::from_bytes(b"limbic-event-head-1\nx\n"), None);
    }

    #[test]
    fn probabilities_at_the_ends_are_finite() {
        let head = EventHead::train("small-1", &examples());
        for words in [0.0, 1.0] {
            let judged = head.judge(words, &[0.1, 0.2]);
            assert!((0.0..=1.0).contains(&judged), "{judged}");
        }
    }
}
