//! From a context and an arm to the weights that speak: hashed features, and the interactions of their namespaces.
//!
//! The factors of an interaction that come from the context are multiplied once for a decision; each arm then only has
//! to multiply its own to what was begun.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined into a dispatched loop is compiled for the oldest processor"
)]

use super::Model;
use crate::Arm;
use crate::Features;
use crate::features::{Feature, join, namespace, ready};

/// A feature of the model: index of its weight, value.
pub(crate) type Term = (u32, f32);

/// The namespace that means everything known of the context.
const EVERYTHING: u32 = namespace("*");

/// The weight that all decisions share.
const BIAS: u32 = 0x5bd1_e995;

/// A context, asked about its arms.
pub(crate) struct Asked<'a> {
    shift: u32,
    context: &'a Features,
    /// Products of the context's factors, of all interactions one after the other: hash, [`ready`] to be joined, and value.
    begun: Vec<(u32, f32)>,
    crossings: Vec<Crossing>,
}

/// An interaction in a context.
struct Crossing {
    /// Where its products begin and end in [`Asked::begun`].
    begun: (usize, usize),
    /// The namespaces that the context does not have, and how many they are: an arm may have them.
    wanted: [u32; 8],
    count: usize,
}

/// The weight of a hash, where `shift` is what the model's bits leave of 32.
const fn index(hash: u32, shift: u32) -> u32 {
    hash.wrapping_mul(0x9e37_79b1) >> shift
}

/// Room for `count` terms more.
#[inline(always)]
fn more(terms: &mut Vec<Term>, count: usize) -> &mut [Term] {
    let start = terms.len();
    terms.resize(start + count, (0, 0.0));
    &mut terms[start..]
}

impl Model {
    /// Prepares a decision in `context`.
    pub(crate) fn ask<'a>(&self, context: &'a Features) -> Asked<'a> {
        let mut asked = Asked {
            shift: 32 - u32::from(self.config.bits),
            context,
            begun: Vec::with_capacity(64),
            crossings: Vec::with_capacity(self.interactions.len()),
        };
        for (number, names) in (0_u32..).zip(&self.interactions) {
            asked.begin(number, names);
        }
        asked
    }
}

impl Asked<'_> {
    fn begin(&mut self, number: u32, names: &[u32]) {
        let start = self.begun.len();
        self.begun.push((ready(number.wrapping_add(0x27d4_eb2f)), 1.0));
        let (mut wanted, mut count) = ([0; 8], 0);
        for &name in names {
            let features = if name == EVERYTHING {
                self.context.as_slice()
            } else {
                self.context.in_namespace(name)
            };
            if features.is_empty() {
                wanted[count] = name;
                count += 1;
            } else {
                self.cross(start, features);
            }
        }
        self.crossings.push(Crossing {
            begun: (start, self.begun.len()),
            wanted,
            count,
        });
    }

    /// Multiplies what was begun since `start` with `features`.
    fn cross(&mut self, start: usize, features: &[Feature]) {
        let before: Vec<(u32, f32)> = self.begun.drain(start..).collect();
        for feature in features {
            let joined = before
                .iter()
                .map(|&(hash, value)| (ready(join(hash, feature.0)), value * feature.1));
            self.begun.extend(joined);
        }
    }

    /// Appends what distinguishes an arm in this context: its own features and the interactions it is part of.
    #[inline(always)]
    pub(crate) fn arm_terms(&self, arm: &Arm, terms: &mut Vec<Term>) {
        let shift = self.shift;
        let own = arm.features.as_slice();
        for (term, feature) in more(terms, own.len()).iter_mut().zip(own) {
            *term = (index(feature.0, shift), feature.1);
        }
        for crossing in &self.crossings {
            let begun = &self.begun[crossing.begun.0..crossing.begun.1];
            match &crossing.wanted[..crossing.count] {
                [] => {}
                [last] => self.end(begun, arm.features.in_namespace(*last), terms),
                [first, rest @ ..] => self.multiply(begun, *first, rest, arm, terms),
            }
        }
    }

    /// Appends what all arms share in this context: it cannot change a choice, but explains part of a reward.
    pub(super) fn shared_terms(&self, terms: &mut Vec<Term>) {
        let shift = self.shift;
        terms.push((index(BIAS, shift), 1.0));
        let features = self.context.as_slice().iter();
        terms.extend(features.map(|feature| (index(feature.0, shift), feature.1)));
        for crossing in self.crossings.iter().filter(|crossing| crossing.count == 0) {
            let begun = &self.begun[crossing.begun.0..crossing.begun.1];
            terms.extend(begun.iter().map(|&(hash, value)| (index(hash, shift), value)));
        }
    }

    /// Appends the products of what was begun and the last factor.
    #[inline(always)]
    fn end(&self, begun: &[(u32, f32)], last: &[Feature], terms: &mut Vec<Term>) {
        let shift = self.shift;
        let products = more(terms, begun.len() * last.len()).chunks_exact_mut(begun.len());
        for (products, &Feature(name, amount)) in products.zip(last) {
            for (term, &(hash, value)) in products.iter_mut().zip(begun) {
                *term = (index(join(hash, name), shift), value * amount);
            }
        }
    }

    /// The same where an arm has several of the factors.
    fn multiply(&self, begun: &[(u32, f32)], first: u32, rest: &[u32], arm: &Arm, terms: &mut Vec<Term>) {
        for feature in arm.features.in_namespace(first) {
            let joined = |&(hash, value): &(u32, f32)| (ready(join(hash, feature.0)), value * feature.1);
            let begun: Vec<(u32, f32)> = begun.iter().map(joined).collect();
            match rest {
                [] => {}
                [last] => self.end(&begun, arm.features.in_namespace(*last), terms),
                [next, rest @ ..] => self.multiply(&begun, *next, rest, arm, terms),
            }
        }
    }
}
