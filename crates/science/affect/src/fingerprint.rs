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
    let mut votes = Votes {
        of_bits: [0; 64],
        words: 0,
        before: None,
    };
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
struct Votes {
    of_bits: [i32; 64],
    words: usize,
    /// The hash of the word before.
    before: Option<u64>,
}

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
        for (bit, votes) in self.of_bits.iter_mut().enumerate() {
            *votes += ((hash >> bit) & 1) as i32 * 2 - 1;
        }
    }

    fn outcome(&self) -> TextFingerprint {
        let bits = self.of_bits.iter().enumerate();
        TextFingerprint::from_bits(bits.fold(0, |all, (bit, &votes)| all | (u64::from(votes > 0) << bit)))
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
    fn a_shout_has_no_fingerprint() {
        for text in ["", "GOAL!!!", "@a https://a.example what a", "😂😂"] {
            assert_eq!(fingerprint(text), None, "{text}");
        }
    }
}
