//! The features of a text: hashes of its words, pairs of words, and parts of words.

use std::ops::RangeInclusive;

use super::ClassifierRoom;

/// Number of weights: 2¹⁷ = 131,072.
pub(super) const BUCKETS: usize = 1 << 17;
/// Number of bytes of a text that are examined.
const LOOKED_AT: usize = 1_024;
/// Lengths of the parts of words, in bytes of the normal form.
const PARTS: RangeInclusive<usize> = 3..=5;
/// The hashes of the kinds of features, before the bytes of a feature.
const WORD: u32 = begun(b"word");
const PART: u32 = begun(b"part");
const MARK: u32 = begun(b"mark");

/// The divisor of a sum over this number of features. Without it, long texts would have more extreme probabilities than short
/// ones.
pub(super) fn norm(features: usize) -> f64 {
    (features as f64).sqrt()
}

/// Fills `room.features` with the features of a text in normal form. Mentions and links are skipped, and all digits are equal.
pub(super) fn of(normal: &str, room: &mut ClassifierRoom) {
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
            room.features.push(bucket(ended(with(MARK, mark as u8))));
        }
    }
}

/// Adds a word, its parts, and its pair with the previous word, whose hash is `before`. Returns the hash of the word.
fn add_word(word: &str, before: u32, room: &mut ClassifierRoom) -> u32 {
    room.word.clear();
    room.word.push(b'<');
    for byte in word.bytes().filter(|&byte| byte != b'\'') {
        room.word.push(if byte.is_ascii_digit() { b'0' } else { byte });
    }
    room.word.push(b'>');
    let hash = ended(room.word.iter().fold(WORD, |hash, &byte| with(hash, byte)));
    room.features.push(bucket(hash));
    let pair = hash.rotate_left(7) ^ before.wrapping_mul(0x9e37_79b1);
    room.features.push(bucket(pair));
    add_parts(room);
    hash
}

/// Adds the parts of the word that are shorter than the word. The hash of a part begins with that of the shorter one at the same
/// place.
fn add_parts(room: &mut ClassifierRoom) {
    let ClassifierRoom {
        features,
        word,
        parts,
    } = room;
    parts.clear();
    parts.resize(word.len(), PART);
    for length in 1..=*PARTS.end() {
        if length >= word.len() {
            return;
        }
        for (hash, &last) in parts.iter_mut().zip(&word[length - 1..]) {
            *hash = with(*hash, last);
        }
        if PARTS.contains(&length) {
            let places = word.len() - length + 1;
            features.extend(parts[..places].iter().map(|&hash| bucket(ended(hash))));
        }
    }
}

const fn bucket(hash: u32) -> u32 {
    hash % BUCKETS as u32
}

/// FNV-1a.
const fn with(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

/// The hash of a kind, to be continued with the bytes of a feature.
const fn begun(kind: &[u8]) -> u32 {
    let mut hash = 0x811c_9dc5;
    let mut place = 0;
    while place < kind.len() {
        hash = with(hash, kind[place]);
        place += 1;
    }
    hash
}

/// A final mixing step, so that the lowest bits depend on all bytes.
const fn ended(hash: u32) -> u32 {
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x7feb_352d);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_three_to_five_bytes_that_are_shorter_than_the_word() {
        let hash_of = |part: &[u8]| ended(part.iter().fold(PART, |hash, &byte| with(hash, byte)));
        for word in [
            "",
            "<>",
            "<a>",
            "<be>",
            "<the>",
            "<fire>",
            "<wildfires>",
            "<größer>",
        ] {
            let mut room = ClassifierRoom {
                word: word.as_bytes().to_vec(),
                ..ClassifierRoom::default()
            };
            add_parts(&mut room);
            let parts = PARTS
                .filter(|length| *length < word.len())
                .flat_map(|length| word.as_bytes().windows(length));
            let expected: Vec<u32> = parts.map(|part| bucket(hash_of(part))).collect();
            assert_eq!(room.features, expected, "{word}");
        }
    }
}
