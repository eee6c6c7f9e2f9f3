//! Fingerprints of texts: texts that differ in few words have nearly the same bits.

use limbic_domain::{TextFingerprint, random};

/// A text with fewer words has no fingerprint: people shout the same two words without having copied them.
const LEAST_WORDS: usize = 3;

/// The fingerprint of a text: a `SimHash` (Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002) over its
/// words and pairs of neighbouring words.
///
/// Links, mentions, digits, punctuation, case and the mark of a repost do not count, because copies differ in them. An emoji counts as
/// a word. `None` for a text of fewer than three words.
///
/// ```
/// use limbic_affect::fingerprint;
///
/// let text = fingerprint("Great offer at the market today, do not miss it! https://a.example/1").unwrap();
/// let copy = fingerprint("RT @someone great offer at the market today, do not miss it https://b.example/2").unwrap();
/// let other = fingerprint("The band was late and the sound was awful").unwrap();
/// assert!(text.is_near(copy) && !text.is_near(other));
/// assert_eq!(fingerprint("Gooal!!!"), None);
/// ```
pub fn fingerprint(text: &str) -> Option<TextFingerprint> {
    let mut votes = Votes::default();
    let mut word = String::new();
    for token in text.split_whitespace() {
        if token.starts_with('@') || token.contains("://") || token.starts_with("www.") || token == "RT" {
            continue;
        }
        for c in token.chars().flat_map(char::to_lowercase) {
            if c.is_alphabetic() || is_mark(c) {
                word.push(c);
            } else if is_symbol(c) {
                votes.word(&mut word);
                word.push(c);
                votes.word(&mut word);
            }
        }
        votes.word(&mut word);
    }
    (votes.words >= LEAST_WORDS).then(|| votes.outcome())
}

/// Signs that belong to the letter before them, in scripts that have them.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && !c.is_alphanumeric() && !c.is_whitespace() && (c as u32) < 0x2000
}

/// Emoji and other pictures, without joiners and variation selectors.
const fn is_symbol(c: char) -> bool {
    matches!(c as u32, 0x2190..=0x2bff | 0x1f000..=0x1faff)
}

/// The votes of all words and pairs for each bit.
#[derive(Default)]
struct Votes {
    /// For each byte of a hash, eight counts of one byte: how often each of its bits was 1.
    recent: [u64; 8],
    /// How many hashes are in [`Self::recent`], at most 255.
    in_recent: u8,
    /// For each byte of a hash, the earlier counts of its bits.
    earlier: [[u32; 8]; 8],
    /// How many hashes are in [`Self::earlier`].
    in_earlier: u32,
    words: usize,
    /// The hash of the word before.
    before: Option<u64>,
}

/// For each byte, its bits as eight bytes, the lowest first.
const BITS: [u64; 256] = {
    let mut bits = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            bits[byte] |= ((byte as u64 >> bit) & 1) << (8 * bit);
            bit += 1;
        }
        byte += 1;
    }
    bits
};

impl Votes {
    /// Counts a word, and the pair that it ends; clears it.
    fn word(&mut self, word: &mut String) {
        if word.is_empty() {
            return;
        }
        let hash = random::hash(word.as_bytes());
        self.vote(hash);
        if let Some(before) = self.before {
            let mut pair = [0; 16];
            pair[..8].copy_from_slice(&before.to_le_bytes());
            pair[8..].copy_from_slice(&hash.to_le_bytes());
            self.vote(random::hash(&pair));
        }
        self.before = Some(hash);
        self.words += 1;
        word.clear();
    }

    fn vote(&mut self, hash: u64) {
        if self.in_recent == u8::MAX {
            self.settle();
        }
        for (counts, byte) in self.recent.iter_mut().zip(hash.to_le_bytes()) {
            *counts += BITS[usize::from(byte)];
        }
        self.in_recent += 1;
    }

    /// Moves the recent counts to the earlier ones, before a count needs more than a byte.
    fn settle(&mut self) {
        for (sums, counts) in self.earlier.iter_mut().zip(self.recent) {
            for (sum, count) in sums.iter_mut().zip(counts.to_le_bytes()) {
                *sum = sum.saturating_add(count.into());
            }
        }
        self.in_earlier = self.in_earlier.saturating_add(self.in_recent.into());
        self.recent = [0; 8];
        self.in_recent = 0;
    }

    /// Each bit that more than half of the hashes have.
    fn outcome(&mut self) -> TextFingerprint {
        self.settle();
        let half = self.in_earlier / 2;
        let bits = self.earlier.as_flattened().iter().enumerate();
        TextFingerprint::from_bits(bits.fold(0, |all, (bit, &count)| all | (u64::from(count > half) << bit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_with_another_link_mention_number_or_case_are_the_same() {
        let text = fingerprint("What a match, we are going to the final 😂 https://t.co/1").unwrap();
        for copy in [
            "what a match we are going to the final 😂",
            "RT @fan: What a match, we are going to the FINAL!!! 😂 https://t.co/2",
            "@a @b What a match, we are going to the final 😂 3",
        ] {
            assert_eq!(fingerprint(copy), Some(text), "{copy}");
        }
    }

    #[test]
    fn other_texts_about_the_same_are_not_copies() {
        let texts = [
            "What a match, we are going to the final",
            "We lost the match and the final is gone",
            "Going to watch the final with my brother tonight",
            "The final was the best match of the season",
            "मैच बहुत अच्छा था आज",
            "आज का मैच बहुत खराब रहा",
            "🔥 🔥 🔥 what",
            "😭 😭 😭 what",
        ];
        let all = texts.map(|text| fingerprint(text).unwrap());
        for (place, one) in all.iter().enumerate() {
            for (other, two) in all.iter().enumerate().skip(place + 1) {
                assert!(!one.is_near(*two), "{} {}", texts[place], texts[other]);
            }
        }
    }

    #[test]
    fn each_bit_is_what_most_words_and_pairs_have() {
        for words in [3_u64, 4, 127, 128, 129, 700] {
            let letters = |mut number: u64| {
                let mut word = String::from("w");
                while number > 0 {
                    word.push(char::from(b'a' + (number % 26) as u8));
                    number /= 26;
                }
                word
            };
            let words: Vec<String> = (1..=words).map(letters).collect();
            let of_words: Vec<u64> = words.iter().map(|word| random::hash(word.as_bytes())).collect();
            let of_pairs = of_words.windows(2).map(|pair| {
                let bytes: Vec<u8> = pair.iter().flat_map(|hash| hash.to_le_bytes()).collect();
                random::hash(&bytes)
            });
            let all: Vec<u64> = of_words.iter().copied().chain(of_pairs).collect();
            let expected = (0..64).fold(0, |bits, bit| {
                let ones = all.iter().filter(|hash| **hash >> bit & 1 == 1).count();
                bits | (u64::from(2 * ones > all.len()) << bit)
            });
            assert_eq!(fingerprint(&words.join(" ")).unwrap().bits(), expected);
        }
    }

    #[test]
    fn a_shout_has_no_fingerprint() {
        for text in ["", "GOAL!!!", "@a https://a.example what a", "😂😂"] {
            assert_eq!(fingerprint(text), None, "{text}");
        }
    }
}
