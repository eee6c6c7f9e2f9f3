//! How the rows' bodies are stored: compressed and, if the settings have data keys, sealed. A body is JSON of a few hundred bytes, and
//! most of it is field names that every row repeats.
//!
//! **This is the one place through which personal fields pass on their way into the view and out of it**: texts, authors and readings are
//! in the bodies, and in nothing else but `entity` (of a post: its network and id).
//!
//! The first byte of a stored body gives its format: [`PLAIN`] JSON, or Zstandard with the dictionary in
//! `data/bodies.dict` ([`ZSTD_1`]; RFC 8878, section 5), or one of these two sealed with a data key ([`SEALED`]). The dictionary is part of the format: a new dictionary gets a
//! new byte, and the old one stays readable. `examples/train_dictionary.rs` trained it on posts of the simulation.

use std::sync::LazyLock;

use limbic_data_key::{DataKeys, NoRandomness, Unopened};
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// The body follows without compression.
const PLAIN: u8 = 0;
/// The body follows, compressed with the first dictionary.
const ZSTD_1: u8 = 1;
/// A body in one of the other formats follows, sealed for the id of its row.
const SEALED: u8 = 2;
/// Level 3 takes a third longer and saves 4 % of the bytes (20,000 simulated posts and readings).
const LEVEL: i32 = 1;
/// The maximum bytes of a decompressed body: far above the largest record that a log accepts.
const LARGEST: usize = 16 << 20;

const DICTIONARY: &[u8] = include_bytes!("../data/bodies.dict");
static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// Compresses bodies, one after another, and seals them if there are keys.
pub(crate) struct BodyWriter<'a> {
    compressor: Option<Compressor<'static>>,
    keys: Option<&'a DataKeys>,
}

impl<'a> BodyWriter<'a> {
    pub(crate) fn new(keys: Option<&'a DataKeys>) -> Self {
        Self {
            compressor: Compressor::with_prepared_dictionary(&ENCODER).ok(),
            keys,
        }
    }

    /// The body of the row `id` in its stored format.
    pub(crate) fn store(&mut self, id: &str, body: &str) -> Result<Vec<u8>, NoRandomness> {
        let stored = self.write(body);
        let Some(keys) = self.keys else {
            return Ok(stored);
        };
        let mut sealed = keys.seal(id.as_bytes(), &stored)?;
        sealed.insert(0, SEALED);
        Ok(sealed)
    }

    /// `body` in its stored format: compressed if that makes it smaller.
    fn write(&mut self, body: &str) -> Vec<u8> {
        let packed = self
            .compressor
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
    /// It is sealed, and cannot be opened.
    #[error(transparent)]
    Unopened(#[from] Unopened),
    /// It is sealed, and the settings have no data key.
    #[error("it is sealed, and the setting data_keys is empty: add the key with which it was written")]
    NoKeys,
}

/// The body of the row `id` from its stored format.
pub(crate) fn read(keys: Option<&DataKeys>, id: &str, stored: &[u8]) -> Result<String, BodyError> {
    let Some((&SEALED, sealed)) = stored.split_first() else {
        return decompressed(stored);
    };
    let keys = keys.ok_or(BodyError::NoKeys)?;
    decompressed(&keys.open(id.as_bytes(), sealed)?)
}

fn decompressed(stored: &[u8]) -> Result<String, BodyError> {
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
    use limbic_domain::Secret;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn keys(secret: &str) -> DataKeys {
        DataKeys::new(&[Secret::new(secret)]).unwrap().unwrap()
    }

    const READING: &str = r#"{"post":{"network":"townsquare","id":"t000000"},"author":"2a0d0e98b6bfe2fc46beb390d1eb1052","sentiment":{"label":"neutral","scores":{"negative":0.0,"neutral":1.0,"positive":0.0},"compound":0.0},"emotions":{"anger":0.0,"anticipation":0.0},"valence":0.0,"arousal":0.1,"intensity":0.0,"intent":{"kind":"none","score":1.0},"distress":{"score":0.0,"cues":[]},"language":"en","model":"lexicon-2-vader-3.3.2","subjects":["market"],"consent":"denied","minor":false}"#;

    #[test]
    fn a_body_is_unchanged_after_compression_and_decompression() {
        let keys = keys(KEY);
        for keys in [None, Some(&keys)] {
            let mut writer = BodyWriter::new(keys);
            for body in ["", "{}", READING, "\u{0}\u{1f600}", &READING.repeat(300)] {
                let stored = writer.store("id", body).unwrap();
                assert_eq!(read(keys, "id", &stored).unwrap(), body);
            }
        }
    }

    #[test]
    fn a_sealed_body_needs_its_key_and_its_row() {
        let right = keys(KEY);
        let stored = BodyWriter::new(Some(&right)).store("id", READING).unwrap();
        assert_eq!(read(None, "id", &stored), Err(BodyError::NoKeys));
        let other = keys(&KEY.replace("00", "77"));
        assert!(matches!(
            read(Some(&other), "id", &stored),
            Err(BodyError::Unopened(Unopened::UnknownKey(_)))
        ));
        assert_eq!(
            read(Some(&right), "other", &stored),
            Err(BodyError::Unopened(Unopened::Damaged))
        );
        // What was stored before there was a key is still read.
        let plain = BodyWriter::new(None).store("id", READING).unwrap();
        assert_eq!(read(Some(&right), "id", &plain).unwrap(), READING);
    }

    #[test]
    fn a_reading_takes_a_third_of_its_bytes_at_most() {
        let stored = BodyWriter::new(None).write(READING);
        assert!(
            stored.len() * 3 < READING.len(),
            "{} of {}",
            stored.len(),
            READING.len()
        );
    }

    #[test]
    fn a_body_that_cannot_be_read_is_an_error_with_the_reason() {
        let read = |stored: &[u8]| read(None, "id", stored);
        assert_eq!(read(&[9, 1]), Err(BodyError::UnknownForm(9)));
        assert!(matches!(read(&[]), Err(BodyError::Damaged(_))));
        let mut stored = BodyWriter::new(None).write(READING);
        stored.truncate(stored.len() / 2);
        assert!(matches!(read(&stored), Err(BodyError::Damaged(_))));
    }
}
