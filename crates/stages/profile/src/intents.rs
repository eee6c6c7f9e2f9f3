//! Intentions in state, and how many posts have each.

use std::collections::BTreeMap;

use limbic_domain::IntentKind;
use limbic_stream::{DecodeProblem, Decoder, Encoder};

/// How many posts have each intention, in the order of [`IntentKind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IntentCounts([u64; IntentKind::ALL.len()]);

impl IntentCounts {
    pub(crate) fn add(&mut self, intent: Option<IntentKind>) {
        if let Some(intent) = intent {
            self.0[place(intent)] += 1;
        }
    }

    /// The intentions that a post has.
    pub(crate) fn by_kind(&self) -> BTreeMap<IntentKind, u64> {
        let counts = IntentKind::ALL.into_iter().zip(self.0);
        counts.filter(|(_, count)| *count > 0).collect()
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        for count in self.0 {
            to.unsigned(count);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut counts = Self::default();
        for count in &mut counts.0 {
            *count = from.unsigned()?;
        }
        Ok(counts)
    }
}

/// The places are stored: a new intention comes last.
const fn place(intent: IntentKind) -> usize {
    match intent {
        IntentKind::Churn => 0,
        IntentKind::Complaint => 1,
        IntentKind::Purchase => 2,
        IntentKind::Praise => 3,
        IntentKind::Question => 4,
        IntentKind::None => 5,
    }
}

pub(crate) fn write(intent: IntentKind, to: &mut Encoder) {
    to.length(place(intent));
}

pub(crate) fn read(from: &mut Decoder<'_>) -> Result<IntentKind, DecodeProblem> {
    let stored = from.unsigned()?;
    let place = usize::try_from(stored).unwrap_or(usize::MAX);
    IntentKind::ALL.get(place).copied().ok_or(DecodeProblem::Damaged)
}
