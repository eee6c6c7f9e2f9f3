//! From a context and an arm to the weights they use: hashed features and the interactions of their namespaces.
//!
//! The context's factors of an interaction are multiplied once per decision. Each arm then multiplies only its own
//! factors with these partial products.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined into a dispatched loop is compiled for the oldest processor"
)]

use super::Model;
use crate::Arm;
use crate::Features;
use crate::features::{Feature, join, namespace, scramble};

/// Index of a weight, and the value of its feature.
pub(crate) type Term = (u32, f32);

/// The namespace that stands for all features of the context.
const EVERYTHING: u32 = namespace("*");

/// Hash of the intercept, which all decisions share.
const BIAS: u32 = 0x5bd1_e995;

/// A context, prepared for the terms of its arms.
pub(crate) struct PreparedContext<'a> {
    shift: u32,
    context: &'a Features,
    /// Partial products of the context's factors, for all interactions in turn: the hash, ready for [`join`], and the
    /// value.
    partials: Vec<(u32, f32)>,
    interactions: Vec<Interaction>,
}

/// An interaction in this context.
struct Interaction {
    /// Range of its products in [`PreparedContext::partials`].
    partials: (usize, usize),
    /// The namespaces that the context lacks and the arm may have, and their number.
    missing: [u32; 8],
    count: usize,
}

/// Index of the weight of a hash. `shift` is 32 minus the model's bits.
const fn index(hash: u32, shift: u32) -> u32 {
    hash.wrapping_mul(0x9e37_79b1) >> shift
}

/// Appends `count` empty terms and returns them.
#[inline(always)]
fn extend(terms: &mut Vec<Term>, count: usize) -> &mut [Term] {
    let start = terms.len();
    terms.resize(start + count, (0, 0.0));
    &mut terms[start..]
}

impl Model {
    /// Prepares a decision in `context`.
    pub(crate) fn prepare<'a>(&self, context: &'a Features) -> PreparedContext<'a> {
        let mut prepared = PreparedContext {
            shift: 32 - u32::from(self.config.bits),
            context,
            partials: Vec::with_capacity(64),
            interactions: Vec::with_capacity(self.interactions.len()),
        };
        for (number, names) in (0_u32..).zip(&self.interactions) {
            prepared.add_interaction(number, names);
        }
        prepared
    }
}

impl PreparedContext<'_> {
    fn add_interaction(&mut self, number: u32, names: &[u32]) {
        let start = self.partials.len();
        self.partials
            .push((scramble(number.wrapping_add(0x27d4_eb2f)), 1.0));
        let (mut missing, mut count) = ([0; 8], 0);
        for &name in names {
            let features = if name == EVERYTHING {
                self.context.as_slice()
            } else {
                self.context.in_namespace(name)
            };
            if features.is_empty() {
                missing[count] = name;
                count += 1;
            } else {
                self.cross(start, features);
            }
        }
        self.interactions.push(Interaction {
            partials: (start, self.partials.len()),
            missing,
            count,
        });
    }

    /// Multiplies the partial products since `start` with `features`.
    fn cross(&mut self, start: usize, features: &[Feature]) {
        let before: Vec<(u32, f32)> = self.partials.drain(start..).collect();
        for feature in features {
            let joined = before
                .iter()
                .map(|&(hash, value)| (scramble(join(hash, feature.0)), value * feature.1));
            self.partials.extend(joined);
        }
    }

    /// Appends the terms that distinguish an arm in this context: its own features and the interactions with them.
    #[inline(always)]
    pub(crate) fn arm_terms(&self, arm: &Arm, terms: &mut Vec<Term>) {
        let shift = self.shift;
        let own = arm.features.as_slice();
        for (term, feature) in extend(terms, own.len()).iter_mut().zip(own) {
            *term = (index(feature.0, shift), feature.1);
        }
        for interaction in &self.interactions {
            let partials = &self.partials[interaction.partials.0..interaction.partials.1];
            match &interaction.missing[..interaction.count] {
                [] => {}
                [last] => self.finish(partials, arm.features.in_namespace(*last), terms),
                [first, rest @ ..] => self.multiply(partials, *first, rest, arm, terms),
            }
        }
    }

    /// Appends the terms that all arms share in this context. They do not change a choice, but explain part of the
    /// reward.
    pub(super) fn shared_terms(&self, terms: &mut Vec<Term>) {
        let shift = self.shift;
        terms.push((index(BIAS, shift), 1.0));
        let features = self.context.as_slice().iter();
        terms.extend(features.map(|feature| (index(feature.0, shift), feature.1)));
        for interaction in self
            .interactions
            .iter()
            .filter(|interaction| interaction.count == 0)
        {
            let partials = &self.partials[interaction.partials.0..interaction.partials.1];
            terms.extend(partials.iter().map(|&(hash, value)| (index(hash, shift), value)));
        }
    }

    /// Appends the products of the partial products and the last factor.
    #[inline(always)]
    fn finish(&self, partials: &[(u32, f32)], last: &[Feature], terms: &mut Vec<Term>) {
        let shift = self.shift;
        let products = extend(terms, partials.len() * last.len()).chunks_exact_mut(partials.len());
        for (products, &Feature(name, amount)) in products.zip(last) {
            for (term, &(hash, value)) in products.iter_mut().zip(partials) {
                *term = (index(join(hash, name), shift), value * amount);
            }
        }
    }

    /// The same for an arm that has several of the factors.
    fn multiply(&self, partials: &[(u32, f32)], first: u32, rest: &[u32], arm: &Arm, terms: &mut Vec<Term>) {
        for feature in arm.features.in_namespace(first) {
            let joined = |&(hash, value): &(u32, f32)| (scramble(join(hash, feature.0)), value * feature.1);
            let partials: Vec<(u32, f32)> = partials.iter().map(joined).collect();
            match rest {
                [] => {}
                [last] => self.finish(&partials, arm.features.in_namespace(*last), terms),
                [next, rest @ ..] => self.multiply(&partials, *next, rest, arm, terms),
            }
        }
    }
}
