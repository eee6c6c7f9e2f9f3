//! Reading a text as the rules do: folded, so that spelling tricks do not slip through.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The words of each sentence: compatibility-decomposed (NFKD), without marks and apostrophes, in lower case.
///
/// `Ｓád`, `sad` and `S.A.D` give `sad`; `d3pressed` gives `depressed` as well as itself, and so do single letters in
/// a row.
pub(crate) fn sentences(text: &str) -> Vec<Vec<String>> {
    let folded: String = text
        .nfkd()
        .filter(|&c| !is_combining_mark(c) && !is_ignorable(c))
        .flat_map(char::to_lowercase)
        .collect();
    let chars: Vec<char> = folded.chars().collect();
    let mut sentences = Vec::new();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let is_symbol_letter = matches!(c, '@' | '$' | '!')
            && !word.is_empty()
            && chars.get(at + 1).is_some_and(|next| next.is_alphabetic());
        if c.is_alphanumeric() || is_symbol_letter {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        // A full stop between single letters (`s.a.d`) ends no sentence.
        let spells = c == '.'
            && words
                .last()
                .is_some_and(|last: &String| last.chars().count() == 1);
        if matches!(c, '.' | '!' | '?' | '…' | ';' | '\n' | '。' | '！' | '？') && !spells {
            close(&mut sentences, &mut words);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    close(&mut sentences, &mut words);
    sentences
}

fn close(sentences: &mut Vec<Vec<String>>, words: &mut Vec<String>) {
    let spoken = std::mem::take(words);
    if spoken.is_empty() {
        return;
    }
    let joined = join_letters(&spoken);
    let unmasked: Vec<String> = spoken.iter().map(|word| unmask(word)).collect();
    let is_new = |reading: &Vec<String>, known: &[&Vec<String>]| !known.contains(&reading);
    if is_new(&joined, &[&spoken]) {
        sentences.push(joined.clone());
    }
    if is_new(&unmasked, &[&spoken, &joined]) {
        sentences.push(unmasked);
    }
    sentences.push(spoken);
}

/// Apostrophes, soft hyphens, joiners and zero-width characters: inside a word they are nothing.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\'' | '’' | '‘' | 'ʼ' | '`' | '\u{00AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}'
    )
}

/// Three or more single letters in a row are one word.
fn join_letters(words: &[String]) -> Vec<String> {
    let is_letter = |word: &String| word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let mut joined = Vec::new();
    let mut rest = words;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|word| is_letter(word)).count();
        if run >= 3 {
            joined.push(rest[..run].concat());
            rest = &rest[run..];
        } else {
            joined.push(first.clone());
            rest = &rest[1..];
        }
    }
    joined
}

/// Digits and symbols that stand for letters, where they stand among letters.
fn unmask(word: &str) -> String {
    if !word.chars().any(char::is_alphabetic) {
        return word.to_owned();
    }
    word.chars()
        .map(|c| match c {
            '0' => 'o',
            '1' | '!' => 'i',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '7' => 't',
            other => other,
        })
        .collect()
}

/// Whether these rules can read a text at all: letters mostly Latin, and no word that mixes scripts (`pаin` with a
/// Cyrillic а reads as `pain` to a person and as nothing to a word list).
pub(crate) fn is_readable(text: &str) -> bool {
    let folded: String = text.nfkd().filter(|&c| !is_combining_mark(c)).collect();
    let (mut latin, mut foreign) = (0_usize, 0_usize);
    for word in folded.split(|c: char| !c.is_alphabetic()) {
        let of_word = word.chars().filter(|&c| is_latin(c)).count();
        let others = word.chars().count() - of_word;
        if of_word > 0 && others > 0 {
            return false;
        }
        latin += of_word;
        foreign += others;
    }
    foreign <= latin
}

fn is_latin(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | 'ª' | 'º' | '\u{00C0}'..='\u{024F}' | '\u{1E00}'..='\u{1EFF}' | '\u{2C60}'..='\u{2C7F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str, word: &str) -> bool {
        sentences(text).iter().flatten().any(|read| read == word)
    }

    #[test]
    fn spelling_tricks_are_read() {
        for trick in [
            "Sad",
            "ＳＡＤ",
            "sád",
            "s.a.d",
            "s a d",
            "s4d",
            "s@d",
            "𝐬𝐚𝐝",
            "s\u{200B}ad",
            "s\u{AD}ad",
        ] {
            assert!(reads(trick, "sad"), "{trick}: {:?}", sentences(trick));
        }
        assert!(reads("You’re here", "youre"));
        assert!(!reads("a b", "ab"), "two letters are two letters");
    }

    #[test]
    fn sentences_end_where_they_end() {
        assert_eq!(sentences("One two. Three! "), [vec!["one", "two"], vec!["three"]]);
        assert!(sentences(" …!? ").is_empty());
    }

    #[test]
    fn mixed_and_foreign_scripts_are_not_readable() {
        assert!(is_readable("Größe & crème brûlée 5 €"));
        assert!(is_readable("Sushi 寿司 tonight"));
        assert!(is_readable("🎉 2026"));
        assert!(!is_readable("no p\u{0430}in"));
        assert!(!is_readable("こんにちは"));
        assert!(!is_readable("Грустно?"));
    }
}
