//! The texts that an audience wrote last, to notice copies.

use limbic_domain::{TextFingerprint, Utc};
use limbic_stream::{DecodeProblem, Decoder, Encoder};

/// Most texts that are remembered: the newest ones.
const MOST_TEXTS: usize = 128;

/// The newest texts, oldest first, each once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Texts {
    known: Vec<Text>,
}

/// A text that was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Text {
    fingerprint: TextFingerprint,
    /// When it was written last.
    pub(crate) at: Utc,
    /// The number of the audience's post that wrote it last.
    pub(crate) number: u64,
}

impl Texts {
    pub(crate) const fn new() -> Self {
        Self { known: Vec::new() }
    }

    /// The newest text that is nearly the same.
    pub(crate) fn find(&self, fingerprint: TextFingerprint) -> Option<Text> {
        let mut newest_first = self.known.iter().rev();
        newest_first
            .find(|known| known.fingerprint.is_near(fingerprint))
            .copied()
    }

    /// Remembers a text, in place of the one that it nearly repeats.
    pub(crate) fn note(&mut self, fingerprint: TextFingerprint, at: Utc, number: u64) {
        let text = Text {
            fingerprint,
            at,
            number,
        };
        let place = self
            .known
            .iter()
            .rposition(|known| known.fingerprint.is_near(fingerprint));
        if let Some(place) = place {
            self.known.remove(place);
        } else if self.known.len() >= MOST_TEXTS {
            self.known.remove(0);
        }
        self.known.push(text);
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        to.length(self.known.len());
        for text in &self.known {
            to.unsigned(text.fingerprint.bits());
            to.time(text.at);
            to.unsigned(text.number);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut texts = Self::new();
        for _ in 0..from.length()? {
            texts.known.push(Text {
                fingerprint: TextFingerprint::from_bits(from.unsigned()?),
                at: from.time()?,
                number: from.unsigned()?,
            });
        }
        Ok(texts)
    }
}
