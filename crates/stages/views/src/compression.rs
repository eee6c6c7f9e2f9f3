//! Compression of the rows' bodies. A body is JSON of a few hundred bytes, and most of it is field names that every row
//! repeats.
//!
//! The first byte of a stored body gives its format: [`PLAIN`] JSON, or Zstandard with the dictionary in
//! `data/bodies.dict` ([`ZSTD_1`]; RFC 8878, section 5). The dictionary is part of the format: a new dictionary gets a
//! new byte, and the old one stays readable. `examples/train_dictionary.rs` trained it on posts of the simulation.

use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// The body follows without compression.
const PLAIN: u8 = 0;
/// The body follows, compressed with the first dictionary.
const ZSTD_1: u8 = 1;
/// Level 3 takes a third longer and saves 4 % of the bytes (20,000 simulated posts and readings).
const LEVEL: i32 = 1;
/// The maximum bytes of a decompressed body: far above the largest record that a log accepts.
const LARGEST: usize = 16 << 20;

const DICTIONARY: &[u8] = include_bytes!("../data/bodies.dict");
static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// Compresses bodies, one after another.
pub(crate) struct BodyWriter(Option<Compressor<'static>>);

impl BodyWriter {
    pub(crate) fn new() -> Self {
        Self(Compressor::with_prepared_dictionary(&ENCODER).ok())
    }

    /// `body` in its stored format: compressed if that makes it smaller.
    pub(crate) fn write(&mut self, body: &str) -> Vec<u8> {
        let packed = self
            .0
            .as_mut()
            .and_then(|writer| writer.compress(body.as_bytes()).ok());
        let (kind, bytes) = match &packed {
            Some(packed) if packed.len() < body.len() => (ZSTD_1, packed.as_slice()),
            _ => (PLAIN, body.as_bytes()),
        };
        let mut stored = Vec::with_capacity(bytes.len() + 1);
        stored.push(kind);
        stored.extend_from_slice(bytes);
        stored
    }
}

/// Why a stored body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A later version of the program wrote it.
    #[error("it is stored in the format {0}, which this program does not know: upgrade it")]
    UnknownForm(u8),
    /// The bytes differ from those that were written.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// The body from its stored format.
pub(crate) fn read(stored: &[u8]) -> Result<String, BodyError> {
    let damaged = |problem: &dyn std::fmt::Display| BodyError::Damaged(problem.to_string());
    let (kind, rest) = stored.split_first().ok_or_else(|| damaged(&"it is empty"))?;
    let bytes = match *kind {
        PLAIN => rest.to_vec(),
        ZSTD_1 => {
            let mut reader =
                Decompressor::with_prepared_dictionary(&DECODER).map_err(|error| damaged(&error))?;
            let size = zstd::zstd_safe::get_frame_content_size(rest).ok().flatten();
            let size = size
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(LARGEST);
            reader
                .decompress(rest, size.min(LARGEST))
                .map_err(|error| damaged(&error))?
        }
        other => return Err(BodyError::UnknownForm(other)),
    };
    String::from_utf8(bytes).map_err(|error| damaged(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: &str = r#"{"post":{"network":"townsquare","id":"t000000"},"author":"2a0d0e98b6bfe2fc46beb390d1eb1052","sentiment":{"label":"neutral","scores":{"negative":0.0,"neutral":1.0,"positive":0.0},"compound":0.0},"emotions":{"anger":0.0,"anticipation":0.0},"valence":0.0,"arousal":0.1,"intensity":0.0,"intent":{"kind":"none","score":1.0},"distress":{"score":0.0,"cues":[]},"language":"en","model":"lexicon-2-vader-3.3.2","subjects":["market"],"consent":"denied","minor":false}"#;

    #[test]
    fn a_body_is_unchanged_after_compression_and_decompression() {
        let mut writer = BodyWriter::new();
        for body in ["", "{}", READING, "\u{0}\u{1f600}", &READING.repeat(300)] {
            assert_eq!(read(&writer.write(body)).unwrap(), body);
        }
    }

    #[test]
    fn a_reading_takes_a_third_of_its_bytes_at_most() {
        let stored = BodyWriter::new().write(READING);
        assert!(
            stored.len() * 3 < READING.len(),
            "{} of {}",
            stored.len(),
            READING.len()
        );
    }

    #[test]
    fn a_body_that_cannot_be_read_is_an_error_with_the_reason() {
        assert_eq!(read(&[9, 1]), Err(BodyError::UnknownForm(9)));
        assert!(matches!(read(&[]), Err(BodyError::Damaged(_))));
        let mut stored = BodyWriter::new().write(READING);
        stored.truncate(stored.len() / 2);
        assert!(matches!(read(&stored), Err(BodyError::Damaged(_))));
    }
}
