//! Encryption of personal data before it is written to a store.
//!
//! ```text
//!  bytes ──DataKeys::seal──▶ version │ key id │ nonce │ ciphertext and tag ──store──▶ DataKeys::open ──▶ bytes
//!           newest key         1 byte   4 bytes  24 bytes                       the key that the id names
//! ```
//!
//! It protects what lies on a disk or in a backup from a reader who does not have the key. It does not protect against a program that
//! runs with the key, and it does not hide how long a text is, when it was written, and how many there are.
//!
//! The cipher is `XChaCha20-Poly1305` (draft-irtf-cfrg-xchacha-03), from the crate `chacha20poly1305`. Its nonce has 24 bytes, so a random
//! one can be chosen for every value without a limit on their number. The *place* of a value, for instance the id of its row, is
//! authenticated with it: a value that is moved to another place cannot be opened there.
//!
//! ```
//! use limbic_data_key::DataKeys;
//! use limbic_domain::Secret;
//!
//! # let [old, new] = ["3f", "9c"].map(|digits| format!("{digits}0d8e7c6b5a49382716059f8e7d6c5b4a39281706f5e4d3c2b1a0918273645f").into());
//! # let secrets: [Secret; 2] = [old, new].map(|text: String| Secret::new(text));
//! # let [old, new] = secrets;
//! let keys = DataKeys::new(&[old.clone()])?.expect("there is a key");
//! let sealed = keys.seal(b"post 1", b"What a goal!")?;
//!
//! // Rotation: the new key seals, and the old one still opens.
//! let keys = DataKeys::new(&[new, old])?.expect("there are keys");
//! assert_eq!(keys.open(b"post 1", &sealed)?, b"What a goal!");
//! assert!(keys.open(b"post 2", &sealed).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Laws
//!
//! * Bytes that were changed, cut or moved are never returned.
//! * No key is in a log line, an error or a debug text.
//! * Without keys, nothing is sealed, and a store pays nothing.

use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use limbic_domain::Secret;

/// The first byte of a sealed value.
const VERSION: u8 = 1;
const ID: usize = 4;
const NONCE: usize = 24;
/// Bytes before the ciphertext.
const HEAD: usize = 1 + ID + NONCE;
const TAG: usize = 16;
/// Fewest different bytes of a key. 32 random bytes have fewer with a probability below one in a billion.
const DIFFERENT: usize = 16;

/// Bytes by which a sealed value is longer.
pub const OVERHEAD: usize = HEAD + TAG;

/// The keys for personal data: the first one seals, all of them open. Cheap to clone.
#[derive(Clone)]
pub struct DataKeys(Arc<[DataKey]>);

struct DataKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

/// Names a key without revealing it: the first 4 bytes of a hash of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; ID]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for DataKeys {
    /// Prints the ids of the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| key.id)).finish()
    }
}

/// A key that cannot be used. `place` is its place in the setting, from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDataKey {
    /// Not 32 bytes in hexadecimal.
    #[error(
        "data_keys[{place}]: should be 32 random bytes as 64 hexadecimal digits: make one with `limbic secret`"
    )]
    Form {
        /// Its place.
        place: usize,
    },
    /// The bytes are not random.
    #[error(
        "data_keys[{place}]: can be guessed, because few of its bytes differ: make one with `limbic secret`"
    )]
    Weak {
        /// Its place.
        place: usize,
    },
    /// It is there twice, or two keys have the same id.
    #[error("data_keys[{place}]: is the same as data_keys[{other}]: remove one of them")]
    Twice {
        /// Its place.
        place: usize,
        /// The place of the other one.
        other: usize,
    },
}

/// Why a value cannot be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random numbers: {0}")]
pub struct NoRandomness(String);

/// Why a sealed value cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// None of the keys sealed it.
    #[error("it is sealed with the data key {0}, which is not in the setting data_keys: add that key")]
    UnknownKey(KeyId),
    /// A later version of the program sealed it.
    #[error("it is sealed in the format {0}, which this program does not know: upgrade it")]
    UnknownForm(u8),
    /// The bytes, or their place, differ from those that were sealed.
    #[error("it is damaged, or belongs to another place")]
    Damaged,
}

impl DataKeys {
    /// The keys of these secrets, the newest first. `None` if there are none.
    pub fn new(secrets: &[Secret]) -> Result<Option<Self>, InvalidDataKey> {
        let mut keys: Vec<DataKey> = Vec::with_capacity(secrets.len());
        for (place, secret) in secrets.iter().enumerate() {
            let key = DataKey::new(place, secret)?;
            if let Some(other) = keys.iter().position(|known| known.id == key.id) {
                return Err(InvalidDataKey::Twice { place, other });
            }
            keys.push(key);
        }
        Ok((!keys.is_empty()).then(|| Self(keys.into())))
    }

    /// Seals a value for this place.
    pub fn seal(&self, place: &[u8], value: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let [newest, ..] = &*self.0 else {
            unreachable!("there is at least one key");
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| NoRandomness(error.to_string()))?;
        let payload = Payload {
            msg: value,
            aad: place,
        };
        let sealed = newest.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("a value in memory is shorter than 256 GiB");
        let mut bytes = Vec::with_capacity(HEAD + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&newest.id.0);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// The value that was sealed for this place.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        let (version, rest) = sealed.split_first().ok_or(Unopened::Damaged)?;
        if *version != VERSION {
            return Err(Unopened::UnknownForm(*version));
        }
        let (id, rest) = rest.split_first_chunk::<ID>().ok_or(Unopened::Damaged)?;
        let (nonce, msg) = rest.split_first_chunk::<NONCE>().ok_or(Unopened::Damaged)?;
        let id = KeyId(*id);
        let key = self.0.iter().find(|key| key.id == id);
        let key = key.ok_or(Unopened::UnknownKey(id))?;
        let payload = Payload { msg, aad: place };
        let opened = key.cipher.decrypt(&XNonce::from(*nonce), payload);
        opened.map_err(|_| Unopened::Damaged)
    }
}

impl DataKey {
    fn new(place: usize, secret: &Secret) -> Result<Self, InvalidDataKey> {
        let bytes = from_hexadecimal(secret.reveal()).ok_or(InvalidDataKey::Form { place })?;
        let mut sorted = bytes;
        sorted.sort_unstable();
        let different = sorted.chunk_by(|a, b| a == b).count();
        if different < DIFFERENT {
            return Err(InvalidDataKey::Weak { place });
        }
        let [a, b, c, d, ..] = blake3::derive_key("limbic 2026-11 id of a data key", &bytes);
        Ok(Self {
            id: KeyId([a, b, c, d]),
            cipher: XChaCha20Poly1305::new(&bytes.into()),
        })
    }
}

fn from_hexadecimal(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits: [u8; 64] = digits?.try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const B: &str = "f0e1d2c3b4a5968778695a4b3c2d1e0fffeeddccbbaa99887766554433221100";

    fn keys(secrets: &[&str]) -> DataKeys {
        let secrets: Vec<Secret> = secrets.iter().copied().map(Secret::new).collect();
        DataKeys::new(&secrets).unwrap().unwrap()
    }

    #[test]
    fn a_sealed_value_is_opened_at_its_place_only_and_no_byte_of_it_can_change() {
        let keys = keys(&[A]);
        let sealed = keys.seal(b"here", b"What a goal!").unwrap();
        assert_eq!(sealed.len(), 12 + OVERHEAD);
        assert!(!sealed.windows(4).any(|part| part == b"goal"));
        assert_eq!(keys.open(b"here", &sealed).unwrap(), b"What a goal!");
        assert_eq!(keys.open(b"there", &sealed), Err(Unopened::Damaged));
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(keys.open(b"here", &changed).is_err(), "byte {place}");
            assert!(keys.open(b"here", &sealed[..place]).is_err(), "{place} bytes");
        }
        // The same value twice gives other bytes.
        assert_ne!(keys.seal(b"here", b"What a goal!").unwrap(), sealed);
    }

    #[test]
    fn a_new_key_seals_and_the_old_one_opens_until_it_is_removed() {
        let old = keys(&[A]).seal(b"x", b"old").unwrap();
        let both = keys(&[B, A]);
        assert_eq!(both.open(b"x", &old).unwrap(), b"old");
        let new = both.seal(b"x", b"new").unwrap();
        let only_new = keys(&[B]);
        assert_eq!(only_new.open(b"x", &new).unwrap(), b"new");
        let error = only_new.open(b"x", &old).unwrap_err();
        assert!(matches!(error, Unopened::UnknownKey(_)), "{error}");
        assert!(error.to_string().contains("data_keys"), "{error}");
        assert_eq!(keys(&[A]).open(b"x", &[9]), Err(Unopened::UnknownForm(9)));
    }

    #[test]
    fn a_key_is_32_random_bytes_that_are_there_once_and_is_not_printed() {
        let new = |secrets: &[&str]| {
            let secrets: Vec<Secret> = secrets.iter().copied().map(Secret::new).collect();
            DataKeys::new(&secrets).map(drop).unwrap_err()
        };
        for wrong in ["", "secret", &A[1..], &format!("{A}0"), &A.replace('0', "g")] {
            assert_eq!(new(&[wrong]), InvalidDataKey::Form { place: 0 });
        }
        assert_eq!(new(&[A, &"ab".repeat(32)]), InvalidDataKey::Weak { place: 1 });
        assert_eq!(
            new(&[A, B, &A.to_uppercase()]),
            InvalidDataKey::Twice { place: 2, other: 0 }
        );
        assert!(DataKeys::new(&[]).unwrap().is_none());
        let shown = format!("{:?}", keys(&[A, B]));
        assert!(!shown.contains("00010203") && shown.contains("KeyId"), "{shown}");
    }

    /// The bytes are of another implementation (`HChaCha20` by the draft, and ChaCha20-Poly1305 of OpenSSL). A change of the format must still
    /// open them.
    #[test]
    fn a_value_of_an_earlier_version_is_opened() {
        let sealed = include_bytes!("../tests/data/sealed-1.bin");
        assert_eq!(keys(&[A]).open(b"place", sealed).unwrap(), "Grüße".as_bytes());
    }
}
