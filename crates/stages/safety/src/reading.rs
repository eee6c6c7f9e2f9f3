//! Reading a text as the rules do: folded, so that spelling tricks do not slip through.

use limbic_affect::{is_invisible, normalise};
use percent_encoding::percent_decode_str;

/// A text as the rules read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The words of each sentence, in each way to read them.
    pub(crate) sentences: Vec<Vec<String>>,
    /// The first letter or number that is not Latin, and so is in no word list.
    pub(crate) unreadable: Option<char>,
}

impl Reading {
    /// A link, with its percent-encoding decoded.
    pub(crate) fn of_link(link: &str) -> Self {
        Self::of(&percent_decode_str(link).decode_utf8_lossy())
    }

    pub(crate) fn of(text: &str) -> Self {
        let folded = fold(text);
        Self {
            unreadable: folded.chars().find(|&c| c.is_alphanumeric() && !c.is_ascii()),
            sentences: sentences_of(&folded),
        }
    }
}

/// The words of each sentence of a text, folded.
///
/// `Ｓád`, `sad`, `S.A.D` and `saaaad` give `sad`; `d3pressed` gives `depressed` as well as itself, and so do single letters in
/// a row.
pub(crate) fn sentences(text: &str) -> Vec<Vec<String>> {
    sentences_of(&fold(text))
}

/// The normal form of `limbic-affect`, with Latin letters that Unicode does not decompose (`ł`, `ø`), and with letters in boxes and
/// flags as letters.
fn fold(text: &str) -> String {
    let opened: String = text.chars().map(open).collect();
    normalise(&opened)
        .chars()
        .map(|c| latin(c).unwrap_or(c))
        .collect::<String>()
        .replace('ß', "ss")
        .replace('æ', "ae")
        .replace('œ', "oe")
        .replace('þ', "th")
}

/// The letter in a box, a circle or half of a flag, which Unicode does not decompose.
fn open(c: char) -> char {
    let first = match u32::from(c) {
        0x1_F150..=0x1_F169 => 0x1_F150,
        0x1_F170..=0x1_F189 => 0x1_F170,
        0x1_F1E6..=0x1_F1FF => 0x1_F1E6,
        _ => return c,
    };
    char::from_u32(u32::from('a') + u32::from(c) - first).unwrap_or(c)
}

/// The plain letter for a Latin letter with a stroke, a hook or without its dot.
const fn latin(c: char) -> Option<char> {
    Some(match c {
        'ⱥ' | 'ɐ' => 'a',
        'ƀ' | 'ɓ' | 'ƃ' => 'b',
        'ƈ' | 'ȼ' => 'c',
        'đ' | 'ð' | 'ɗ' | 'ƌ' | 'ȡ' => 'd',
        'ɇ' | 'ǝ' => 'e',
        'ƒ' => 'f',
        'ǥ' | 'ɠ' => 'g',
        'ħ' | 'ⱨ' => 'h',
        'ı' | 'ɨ' => 'i',
        'ɉ' | 'ȷ' => 'j',
        'ĸ' | 'ƙ' | 'ⱪ' => 'k',
        'ł' | 'ƚ' | 'ⱡ' | 'ȴ' => 'l',
        'ŋ' | 'ƞ' | 'ɲ' | 'ȵ' => 'n',
        'ø' | 'ɵ' => 'o',
        'ƥ' => 'p',
        'ɋ' => 'q',
        'ɍ' => 'r',
        'ȿ' => 's',
        'ŧ' | 'ƭ' | 'ƫ' | 'ʈ' | 'ⱦ' | 'ȶ' => 't',
        'ʉ' => 'u',
        'ʋ' => 'v',
        'ƴ' | 'ɏ' => 'y',
        'ƶ' | 'ȥ' | 'ⱬ' | 'ɀ' => 'z',
        _ => return None,
    })
}

fn sentences_of(folded: &str) -> Vec<Vec<String>> {
    let chars: Vec<char> = folded.chars().collect();
    let mut sentences = Vec::new();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let is_symbol_letter = matches!(c, '@' | '$' | '!')
            && (c == '$' || !word.is_empty())
            && chars.get(at + 1).is_some_and(|next| next.is_alphabetic());
        if c.is_alphanumeric() || is_symbol_letter {
            word.push(c);
            continue;
        }
        // An apostrophe ends no word: `you're`. [`close`] removes it.
        if c == '\'' {
            if !word.is_empty() {
                word.push(c);
            }
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
        // Neither do signs between two words (`shop.sad`, `shop...sad`).
        let after = chars[at..].iter().find(|&&c| !ends_sentence(c));
        let joins = c != '。' && after.is_some_and(|next| next.is_alphanumeric());
        if ends_sentence(c) && !spells && !joins {
            close(&mut sentences, &mut words);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    close(&mut sentences, &mut words);
    sentences
}

const fn ends_sentence(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | ';' | '。')
}

/// Ends a sentence: adds it in each way to read it that differs from the others.
fn close(sentences: &mut Vec<Vec<String>>, words: &mut Vec<String>) {
    let words = std::mem::take(words);
    if words.is_empty() {
        return;
    }
    let apart_at = |is_joint: fn(char) -> bool| -> Vec<String> {
        let parts = words.iter().flat_map(|word| word.split(is_joint));
        let parts = parts.filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    // `cancer!Call`, `cancer'Call` and `cancer4Call` are two words, and `s@d`, `you're` and `s4d` are one.
    let at_signs_and_digits = apart_at(|c| !c.is_alphabetic());
    let at_signs = apart_at(|c| !c.is_alphanumeric());
    let spoken: Vec<String> = words.iter().map(|word| word.replace('\'', "")).collect();
    let mut ways = vec![at_signs_and_digits, at_signs, spoken];
    ways.dedup();
    for words in ways.into_iter().filter(|words| !words.is_empty()) {
        let joined = join_letters(&words);
        let unmasked: Vec<String> = joined.iter().map(|word| unmask(word)).collect();
        let squeezed = |most| unmasked.iter().map(|word| squeeze(word, most)).collect();
        let mut readings = vec![squeezed(1), squeezed(2), unmasked, joined, words];
        readings.dedup();
        sentences.append(&mut readings);
    }
}

/// Three or more single letters in a row are one word.
fn join_letters(words: &[String]) -> Vec<String> {
    let is_letter = |word: &String| word.chars().count() == 1 && word.chars().all(char::is_alphanumeric);
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

/// A letter that stands three times or more in a row only `most` times: no English word has it three times.
fn squeeze(word: &str, most: usize) -> String {
    let chars: Vec<char> = word.chars().collect();
    let runs = chars.chunk_by(|one, next| one == next);
    runs.flat_map(|run| if run.len() >= 3 { &run[..most] } else { run })
        .collect()
}

/// The first character that a person cannot see, or that belongs to no text: controls, zero-width and bidirectional characters, tags,
/// fillers, private use. Joiners and selectors of emoji count only beside a letter.
pub(crate) fn hidden_character(text: &str) -> Option<char> {
    let mut before = ' ';
    for c in text.chars() {
        let is_part_of_emoji = matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE0E}' | '\u{FE0F}');
        let is_private = matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}');
        let is_separator = matches!(c, '\u{2028}' | '\u{2029}');
        let is_filler = c == '\u{34F}' || (is_invisible(c) && !is_part_of_emoji);
        if is_filler || is_private || is_separator || (is_part_of_emoji && before.is_alphabetic()) {
            return Some(c);
        }
        before = c;
    }
    None
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
            "S. A. D.",
            "s a d",
            "s4d",
            "s 4 d",
            "s@d",
            "5ad",
            "$ad",
            "saaaaad",
            "ssssad",
            "𝐬𝐚𝐝",
            "ˢᵃᵈ",
            "🅂🄰🄳",
            "🅢🅐🅓",
            "🆂🅰🅳",
            "🇸🇦🇩",
            "s\u{200B}ad",
            "s\u{AD}ad",
            "s\u{336}a\u{336}d\u{336}",
        ] {
            assert!(reads(trick, "sad"), "{trick}: {:?}", sentences(trick));
        }
        assert!(reads("You’re here", "youre"));
        assert!(!reads("a b", "ab"), "two letters are two letters");
        assert!(reads("kiłł", "kill") && reads("Ðeath", "death") && reads("Straße", "strasse"));
        assert!(
            reads("killlll", "kill")
                && reads("cooool", "col")
                && reads("cool", "cool")
                && !reads("cool", "col")
        );
        assert!(reads("2026", "2026"), "a number is a number");
    }

    #[test]
    fn every_letter_with_a_stroke_becomes_a_plain_one() {
        let all = "ⱥɐƀɓƃƈȼđðɗƌȡɇǝƒǥɠħⱨıɨɉȷĸƙⱪłƚⱡȴŋƞɲȵøɵƥɋɍȿŧƭƫʈⱦȶʉʋƴɏƶȥⱬɀæœþß";
        assert_eq!(
            sentences(all)
                .last()
                .and_then(|words| words.first())
                .map(String::as_str),
            Some("aabbbccdddddeefgghhiijjkkkllllnnnnoopqrsttttttuvyyzzzzaeoethss")
        );
        assert_eq!(Reading::of(all).unreadable, None);
    }

    #[test]
    fn sentences_end_where_they_end() {
        assert_eq!(sentences("One two. Three! "), [vec!["one", "two"], vec!["three"]]);
        assert_eq!(
            sentences("One; two? three… four。five"),
            [["one"], ["two"], ["three"], ["four"], ["five"]]
        );
        assert!(sentences(" …!? ").is_empty());
    }

    #[test]
    fn letters_that_are_not_latin_are_named() {
        for readable in ["Größe & crème brûlée 5 €", "🎉 2026", "½ price ①", "Þórður", ""] {
            assert_eq!(Reading::of(readable).unreadable, None, "{readable}");
        }
        for (unreadable, first) in [
            ("no p\u{0430}in", '\u{430}'),
            ("Sushi 寿司 tonight", '寿'),
            ("こんにちは", 'こ'),
            ("Грустно?", 'г'),
            ("٣ boots", '٣'),
            ("ʇɐs", 'ʇ'),
            ("ᴅᴇᴀᴛʜ", 'ᴅ'),
        ] {
            assert_eq!(Reading::of(unreadable).unreadable, Some(first), "{unreadable}");
        }
    }

    #[test]
    fn hidden_characters_are_found_and_emoji_are_not() {
        for seen in ["👨‍👩‍👧‍👦 day", "❤️ 1️⃣", "naïve e\u{301}", "Boots\u{a0}5"] {
            assert_eq!(hidden_character(seen), None, "{seen:?}");
        }
        for hidden in [
            '\u{0}',
            '\n',
            '\t',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{206f}',
            '\u{3164}',
            '\u{e000}',
            '\u{f8ff}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffb}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{f0000}',
            '\u{10ffff}',
        ] {
            assert_eq!(
                hidden_character(&format!("Bo{hidden}ots")),
                Some(hidden),
                "{hidden:?}"
            );
        }
    }
}
