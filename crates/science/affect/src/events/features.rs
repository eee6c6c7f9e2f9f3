//! The features of a text: hashes of its words, pairs of words, and parts of words.

use super::EventRoom;

/// Number of weights: 2¹⁷ = 131,072.
pub(super) const BUCKETS: usize = 1 << 17;
/// Number of bytes of a text that are examined.
const LOOKED_AT: usize = 1_024;
/// Lengths of the parts of words, in bytes of the normal form.
const PARTS: std::ops::RangeInclusive<usize> = 3..=5;

/// The divisor of a sum over this number of features. Without it, long texts would have more extreme probabilities than short
/// ones.
pub(super) fn norm(features: usize) -> f64 {
    (features as f64).sqrt()
}

/// Fills `room.features` with the features of a text in normal form. Mentions and links are skipped, and all digits are equal.
pub(super) fn of(normal: &str, room: &mut EventRoom) {
    room.features.clear();
    let normal = &normal[..normal.floor_char_boundary(LOOKED_AT)];
    let mut before = 0_u32;
    for chunk in normal.split(' ') {
        if (chunk.len() > 1 && chunk.starts_with('@')) || chunk.contains("://") || chunk.starts_with("www.") {
            continue;
        }
        for word in chunk.split(|c: char| !(c.is_alphanumeric() || c == '\'') && c.is_ascii()) {
            if !word.is_empty() {
                before = add_word(word, before, room);
            }
        }
        for mark in chunk.chars().filter(|c| matches!(c, '!' | '?')) {
            add(&mut room.features, b"mark", &[mark as u8]);
        }
    }
}

/// Adds a word, its parts, and its pair with the previous word, whose hash is `before`. Returns the hash of the word.
fn add_word(word: &str, before: u32, room: &mut EventRoom) -> u32 {
    room.word.clear();
    room.word.push(b'<');
    for byte in word.bytes().filter(|&byte| byte != b'\'') {
        room.word.push(if byte.is_ascii_digit() { b'0' } else { byte });
    }
    room.word.push(b'>');
    let hash = hash(b"word", &room.word);
    room.features.push(hash % BUCKETS as u32);
    let pair = hash.rotate_left(7) ^ before.wrapping_mul(0x9e37_79b1);
    room.features.push(pair % BUCKETS as u32);
    for length in PARTS {
        for part in room.word.windows(length) {
            if part.len() < room.word.len() {
                add(&mut room.features, b"part", part);
            }
        }
    }
    hash
}

fn add(features: &mut Vec<u32>, kind: &[u8], bytes: &[u8]) {
    features.push(hash(kind, bytes) % BUCKETS as u32);
}

/// FNV-1a, with a final mixing step, so that the lowest bits depend on all bytes.
fn hash(kind: &[u8], bytes: &[u8]) -> u32 {
    let hash = kind.iter().chain(bytes).fold(0x811c_9dc5_u32, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x7feb_352d);
    hash ^ (hash >> 15)
}
