//! Splits a hashtag into words.

use super::vocabulary::Vocabulary;

/// Characters of the longest tag that is split. A longer tag stays whole.
const LONGEST: usize = 48;

/// Calls `word` for each word of `tag` (letters, digits and `_`, without `#`), in lower case.
///
/// Capitals separate words if the tag has both cases (`ThrowBackThursday`). Other parts are split into the most
/// likely words, if each were drawn independently: a vocabulary of word pieces is ordered by frequency, and by Zipf's
/// law the word of rank *r* costs ln (*r* · ln *N*). A tag that is not completely made of words stays whole.
pub(super) fn words(tag: &str, vocabulary: &Vocabulary, mut word: impl FnMut(&str)) {
    let characters: Vec<char> = tag.chars().collect();
    let mut start = 0;
    let mut flush = |part: &[char]| {
        let part: String = part.iter().flat_map(|c| c.to_lowercase()).collect();
        if !part.is_empty() {
            divide(&part, vocabulary, &mut word);
        }
    };
    for at in 0..characters.len() {
        let here = characters[at];
        if here == '_' {
            flush(&characters[start..at]);
            start = at + 1;
        } else if at > start && begins_a_word(&characters, at) {
            flush(&characters[start..at]);
            start = at;
        }
    }
    flush(&characters[start..]);
}

/// Whether a new word begins at `at`: between digits and letters, at a capital after a small letter, and at the last
/// of several capitals before a small letter (`NYCMarathon`).
fn begins_a_word(characters: &[char], at: usize) -> bool {
    let (before, here) = (characters[at - 1], characters[at]);
    let next_is_small = characters.get(at + 1).is_some_and(|c| c.is_lowercase());
    before.is_numeric() != here.is_numeric()
        || (before.is_lowercase() && here.is_uppercase())
        || (before.is_uppercase() && here.is_uppercase() && next_is_small)
}

/// Splits a run of small letters.
fn divide(part: &str, vocabulary: &Vocabulary, word: &mut impl FnMut(&str)) {
    if !part.is_ascii() || part.len() > LONGEST || vocabulary.word(part).is_some() {
        word(part);
        return;
    }
    // best[end]: the lowest cost of part[..end], and the start of its last word.
    let mut best = [(f32::INFINITY, 0usize); LONGEST + 1];
    best[0] = (0.0, 0);
    for end in 1..=part.len() {
        for begin in 0..end {
            let Some(cost) = cost(&part[begin..end], vocabulary) else {
                continue;
            };
            let total = best[begin].0 + cost;
            if total < best[end].0 {
                best[end] = (total, begin);
            }
        }
    }
    if best[part.len()].0.is_infinite() {
        word(part);
        return;
    }
    let mut ends = Vec::new();
    let mut end = part.len();
    while end > 0 {
        ends.push(end);
        end = best[end].1;
    }
    let mut begin = 0;
    for end in ends.into_iter().rev() {
        word(&part[begin..end]);
        begin = end;
    }
}

/// The cost of a word, or `None` if it is not a word. Most single letters and many pairs in a vocabulary are not
/// words.
fn cost(candidate: &str, vocabulary: &Vocabulary) -> Option<f32> {
    /// Index of the first word in `BERT`'s vocabulary. Frequent words come first.
    const FIRST_WORD: u32 = 1996;
    const PAIRS: [&str; 36] = [
        "ad", "ah", "am", "an", "as", "at", "be", "by", "do", "ex", "fa", "go", "ha", "he", "hi", "if", "im",
        "in", "is", "it", "la", "lo", "me", "my", "no", "of", "oh", "ok", "on", "or", "so", "to", "tv", "up",
        "us", "we",
    ];
    let is_a_word = match candidate.len() {
        1 => matches!(candidate, "a" | "i"),
        2 => PAIRS.contains(&candidate),
        _ => true,
    };
    let rank = vocabulary.word(candidate).filter(|_| is_a_word)?;
    let rank = rank.saturating_sub(FIRST_WORD) as f32 + 1.0;
    Some((rank * (vocabulary.len() as f32).ln()).ln())
}
