//! Guesses the language of a text from its script, its stop words and its character n-grams.
//!
//! The result is `und` without enough evidence: a name, an exclamation, an unknown or a mixed language. The steps, in
//! this order:
//!
//! 1. **Script**: Japanese, Chinese, Korean, Thai, Greek, Hebrew, Hindi, Arabic, Persian, Russian and Ukrainian by
//!    their letters (some also need a stop word).
//! 2. **Stop words**, for Latin letters: English, Spanish, French, German, Portuguese, Italian, Dutch, Turkish,
//!    Indonesian, Swedish and Polish.
//! 3. **Character n-grams**, if these do not decide (crate `whichlang`, a linear model for sixteen languages).
//!    English is accepted. Another language is accepted only if no English stop word speaks against it, and a word or
//!    an accent supports it.
//! 4. A text that is too short for both is English if it has a word of VADER's lexicon (`lovely`, `ugh`).
//!
//! `tests/language.rs` measures the accuracy.

use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt as _};

/// The tag for an undetermined language.
pub(crate) const UNDETERMINED: &str = "und";

/// Languages in Latin letters, and their most frequent stop words.
const STOP_WORDS: [(&str, &str); 11] = [
    (
        "en",
        "the and to of is in that it you for on was with are this have be not i my me we so but what they at your just \
         all do im its dont can he she his her will if about how when who out up get from no like love an as has been \
         or had were now more why there would than then our them their been really today good know think thats youre again wait \
         late rain thanks please need want going happy people never year new look little something someone",
    ),
    (
        "es",
        "el la los las de que y en un una es no por con para se lo como pero me su al del más muy yo está este esta ya \
         todo hay mi si porque cuando te le qué son ser tiene eso sin también hoy donde nos sobre ni",
    ),
    (
        "fr",
        "le la les de des et est un une en que qui pas pour dans ce il elle je tu vous nous sur avec plus au du ne se \
         mais ça c'est j'ai mon ma mes ses cette sont été très tout bien être fait aux ou où",
    ),
    (
        "de",
        "der die das und ist nicht ich du wir sie es ein eine einen zu mit auf für von dem den im auch aber wie so was \
         bei aus nach noch nur wenn mir mich hat haben sind war über dass heute schon kein keine mal",
    ),
    (
        "pt",
        "o os as de que e em um uma é não por com para se eu ele ela mas mais muito meu minha você está isso como tem \
         foi ao da do dos das na no nos nas também hoje só já ser quando vou pra sem",
    ),
    (
        "it",
        "il lo gli di che e è un una in non per con si sono ma mi ti ci anche più come questo questa della del nel \
         alla al da ho ha io tu noi molto tutto perché quando oggi cosa sei bene",
    ),
    (
        "nl",
        "de het een en van is dat ik je niet in op te zijn met voor maar er aan ook als bij om wat nog naar dan zo \
         heb hebben wel uit die mijn deze hoe ze we over geen",
    ),
    (
        "tr",
        "ve bir bu da de için çok ne ben sen o mi mı var yok ama gibi daha kadar değil en ile olarak şu her bana sana \
         benim biz siz ki hiç sonra diye",
    ),
    (
        "id",
        "yang dan di ini itu aku kamu tidak ada untuk dengan dari saya bisa ya juga akan sudah lagi mau kalau sama \
         nya gak banget jadi ke apa kita",
    ),
    (
        "sv",
        "och att det är som en på jag inte för med av till den har vi du om ett men var så kan från nu bara mig han hon",
    ),
    (
        "pl",
        "i w nie na się że to z jest do jak co ale po tak za od mnie mi ja już tylko czy jego był przez dla",
    ),
];

static LANGUAGES_OF: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let mut languages: HashMap<&'static str, Vec<usize>> = HashMap::new();
    for (index, (_, words)) in STOP_WORDS.iter().enumerate() {
        for word in words.split_ascii_whitespace() {
            languages.entry(word).or_default().push(index);
        }
    }
    languages
});

/// Buffers that are reused between texts.
#[derive(Debug, Default)]
pub(crate) struct Room {
    word: String,
    prose: String,
}

/// Number of bytes that are examined.
const LOOKED_AT: usize = 4096;

#[derive(Debug, Default)]
struct Letters {
    latin: usize,
    cyrillic: usize,
    greek: usize,
    hebrew: usize,
    arabic: usize,
    devanagari: usize,
    thai: usize,
    hangul: usize,
    kana: usize,
    han: usize,
}

/// BCP 47 tag of the probable language of a text, or `und`.
pub(crate) fn guess(text: &str, room: &mut Room) -> &'static str {
    let text = &text[..text.floor_char_boundary(LOOKED_AT)];
    let letters = count_letters(text);
    let all = letters.total();
    if all == 0 {
        return UNDETERMINED;
    }
    let most = |count: usize| count * 2 > all;
    if most(letters.latin) {
        return guess_latin(text, room);
    }
    if letters.kana > 0 && most(letters.kana + letters.han) {
        return "ja";
    }
    let has = |some: &[char]| text.contains(some);
    if most(letters.han) {
        "zh"
    } else if most(letters.hangul) {
        "ko"
    } else if most(letters.thai) {
        "th"
    } else if most(letters.greek) {
        "el"
    } else if most(letters.hebrew) {
        "he"
    } else if most(letters.cyrillic) {
        if has(&['і', 'ї', 'є', 'ґ']) {
            "uk"
        } else if has(&['ы', 'э', 'ё'])
            || has_word(
                text,
                &[
                    "и",
                    "не",
                    "что",
                    "это",
                    "я",
                    "как",
                    "так",
                    "на",
                    "с",
                    "же",
                    "ты",
                    "мне",
                    "меня",
                    "сегодня",
                    "очень",
                    "опять",
                    "доброе",
                    "утро",
                    "день",
                ],
            )
        {
            "ru"
        } else {
            UNDETERMINED
        }
    } else if most(letters.arabic) {
        if has(&['پ', 'چ', 'ژ', 'گ']) && !has(&['ٹ', 'ڈ', 'ں', 'ے']) {
            "fa"
        } else if has_word(text, &["في", "من", "على", "الله", "لا", "ما", "هذا", "انا", "يا"])
        {
            "ar"
        } else {
            UNDETERMINED
        }
    } else if most(letters.devanagari) && has_word(text, &["है", "के", "का", "की", "में", "से", "हैं", "और"])
    {
        "hi"
    } else {
        UNDETERMINED
    }
}

fn has_word(text: &str, some: &[&str]) -> bool {
    text.split(|c: char| c.is_whitespace() || c.is_ascii_punctuation())
        .any(|word| some.contains(&word))
}

fn count_letters(text: &str) -> Letters {
    let mut letters = Letters::default();
    for c in text.chars() {
        let count = match u32::from(c) {
            0x41..=0x5a | 0x61..=0x7a | 0xc0..=0x24f | 0x1e00..=0x1eff => &mut letters.latin,
            0x370..=0x3ff | 0x1f00..=0x1fff => &mut letters.greek,
            0x400..=0x52f => &mut letters.cyrillic,
            0x590..=0x5ff => &mut letters.hebrew,
            0x600..=0x77f | 0xfb50..=0xfdff | 0xfe70..=0xfefc => &mut letters.arabic,
            0x900..=0x97f => &mut letters.devanagari,
            0xe00..=0xe7f => &mut letters.thai,
            0x1100..=0x11ff | 0xac00..=0xd7af => &mut letters.hangul,
            0x3040..=0x30ff => &mut letters.kana,
            0x3400..=0x4dbf | 0x4e00..=0x9fff => &mut letters.han,
            _ => continue,
        };
        *count += 1;
    }
    letters
}

impl Letters {
    fn total(&self) -> usize {
        self.latin
            + self.cyrillic
            + self.greek
            + self.hebrew
            + self.arabic
            + self.devanagari
            + self.thai
            + self.hangul
            + self.kana
            + self.han
    }
}

/// Whether the word is an English stop word, in lower case and without apostrophes.
pub(crate) fn is_little_word(word: &str) -> bool {
    LANGUAGES_OF
        .get(word)
        .is_some_and(|languages| languages.contains(&ENGLISH))
}

/// Index of English in [`STOP_WORDS`].
const ENGLISH: usize = 0;

/// The evidence in a text of Latin letters.
#[derive(Default)]
struct Latin {
    votes: [usize; STOP_WORDS.len()],
    /// Whether the text has a stop word that belongs to this language only.
    own: [bool; STOP_WORDS.len()],
    words: usize,
    letters: usize,
    /// Number of words in VADER's lexicon: English, with four letters or more.
    rated: usize,
    has_accents: bool,
}

impl Latin {
    /// Reads the words. `prose` receives them without mentions, hashtags and links.
    fn read(text: &str, room: &mut String, prose: &mut String) -> Self {
        let mut seen = Self::default();
        prose.clear();
        for chunk in text.split_whitespace() {
            if chunk.starts_with(['@', '#', '＠', '＃']) || chunk.contains("://") || chunk.starts_with("www.")
            {
                continue;
            }
            let word = chunk.trim_matches(|c: char| !c.is_alphabetic());
            if word.is_empty() {
                continue;
            }
            prose.push_str(word);
            prose.push(' ');
            seen.words += 1;
            if word.len() > 16 {
                continue;
            }
            room.clear();
            room.extend(
                word.chars()
                    .filter(|c| !matches!(c, '\'' | '’'))
                    .flat_map(char::to_lowercase),
            );
            seen.letters += room.chars().count();
            seen.has_accents |= room.chars().any(|c| !c.is_ascii() && c.is_alphabetic());
            seen.rated += usize::from(room.len() >= 4 && crate::vader::rates(room));
            if let Some(languages) = LANGUAGES_OF.get(room.as_str()) {
                for &language in languages {
                    seen.votes[language] += 1;
                    seen.own[language] |= languages.len() == 1;
                }
            }
        }
        seen
    }

    /// The language with the most stop words. It needs at least two of them, or one that belongs to no other
    /// language, and strictly more than any other language.
    fn by_stop_words(&self) -> Option<&'static str> {
        let best = self.votes.iter().copied().max().unwrap_or(0);
        let mut winners = (0..self.votes.len()).filter(|&l| self.votes[l] == best);
        match (winners.next(), winners.next()) {
            // One stop word in twenty can be a coincidence.
            (Some(winner), None) if (best >= 2 || self.own[winner]) && best * 10 >= self.words => {
                Some(STOP_WORDS[winner].0)
            }
            _ => None,
        }
    }

    /// The language by character n-grams, if other evidence supports it.
    fn by_letters(&self, prose: &str) -> Option<&'static str> {
        const FEWEST_LETTERS: usize = 10;
        const FEWEST_WORDS: usize = 2;
        const MANY_WORDS: usize = 3;
        if self.letters < FEWEST_LETTERS || self.words < FEWEST_WORDS {
            return None;
        }
        let tag = tag(whichlang::detect_language(prose))?;
        if tag == STOP_WORDS[ENGLISH].0 {
            return (!self.has_accents || self.votes[ENGLISH] > 0).then_some(tag);
        }
        let votes = STOP_WORDS
            .iter()
            .position(|(name, _)| *name == tag)
            .map_or(0, |place| self.votes[place]);
        let for_it = votes > 0 || self.has_accents || self.words >= MANY_WORDS;
        let against_it = self.votes[ENGLISH] > votes || self.rated > votes;
        (for_it && !against_it).then_some(tag)
    }
}

/// The tag of a language in Latin letters; `None` for others.
fn tag(lang: whichlang::Lang) -> Option<&'static str> {
    use whichlang::Lang;
    Some(match lang {
        Lang::Eng => "en",
        Lang::Spa => "es",
        Lang::Fra => "fr",
        Lang::Deu => "de",
        Lang::Por => "pt",
        Lang::Ita => "it",
        Lang::Nld => "nl",
        Lang::Tur => "tr",
        Lang::Swe => "sv",
        Lang::Vie => "vi",
        _ => return None,
    })
}

fn guess_latin(text: &str, room: &mut Room) -> &'static str {
    let seen = Latin::read(text, &mut room.word, &mut room.prose);
    seen.by_stop_words()
        .or_else(|| seen.by_letters(&room.prose))
        .or_else(|| {
            let speaks_against = seen.votes.iter().skip(1).any(|&votes| votes > 0) || seen.has_accents;
            (seen.rated > 0 && !speaks_against).then_some(STOP_WORDS[ENGLISH].0)
        })
        .unwrap_or(UNDETERMINED)
}

/// Whether an English model can read the text: the language is English, or it is undetermined and the text has no
/// letters that English does not use. A text of emoji qualifies.
pub(crate) fn may_be_english(language: &str, text: &str) -> bool {
    language == STOP_WORDS[ENGLISH].0
        || (language == UNDETERMINED && {
            let letters = count_letters(&text[..text.floor_char_boundary(LOOKED_AT)]);
            letters.latin * 2 >= letters.total()
        })
}

#[cfg(test)]
mod tests {
    use super::{Room, guess, may_be_english};

    #[test]
    fn the_language_of_plain_sentences_is_found() {
        for (language, text) in [
            ("en", "The train is late again and I am not happy about it"),
            ("en", "I don't know what to say"),
            ("en", "@someone the cake was lovely 🎂 #birthday"),
            ("es", "No sé qué decir, el tren llega tarde otra vez"),
            ("fr", "Le train est encore en retard et je ne suis pas contente"),
            ("de", "Der Zug ist schon wieder zu spät und ich bin nicht froh"),
            ("pt", "O trem está atrasado e eu não sei o que fazer"),
            ("it", "Il treno è in ritardo e non sono contento per niente"),
            ("nl", "De trein is weer te laat en ik ben niet blij"),
            ("tr", "Tren yine geç kaldı ve bu çok kötü bir şey"),
            ("ja", "電車がまた遅れています"),
            ("zh", "火车又晚点了"),
            ("ko", "기차가 또 늦었어요"),
            ("ru", "Поезд опять опаздывает, и это не радует"),
            ("uk", "Потяг знову запізнюється, мені сумно"),
            ("ar", "القطار متأخر في كل يوم"),
            ("el", "Το τρένο άργησε πάλι"),
            ("he", "הרכבת שוב מאחרת"),
            ("th", "รถไฟมาสายอีกแล้ว"),
            ("hi", "ट्रेन फिर से देर से आई है"),
        ] {
            assert_eq!(guess(text, &mut Room::default()), language, "{text}");
        }
    }

    #[test]
    fn the_language_of_short_texts_is_found_from_their_letters() {
        for (language, text) in [
            ("en", "lovely cake"),
            ("en", "ugh Mondays"),
            ("en", "amazing"),
            ("en", "Watching television tonight"),
            ("es", "mañana llueve"),
            ("de", "schönes Wochenende"),
            ("fr", "déjà fatiguée ce matin"),
            ("pt", "saudades da minha avó"),
            ("tr", "günaydın arkadaşlar"),
            ("vi", "hôm nay trời đẹp quá"),
        ] {
            assert_eq!(guess(text, &mut Room::default()), language, "{text}");
        }
    }

    #[test]
    fn an_undetermined_text_may_be_english_unless_its_letters_exclude_it() {
        for (text, expected) in [
            ("😂😂😂", true),
            ("", true),
            ("Bazinga", true),
            ("а б в г д", false),
            ("Der Zug ist schon wieder zu spät", false),
            ("42", true),
        ] {
            let language = guess(text, &mut Room::default());
            assert_eq!(may_be_english(language, text), expected, "{text} {language}");
        }
    }

    #[test]
    fn too_little_evidence_gives_und() {
        for text in [
            "",
            "😀😀",
            "Bazinga",
            "Malmö 1-0",
            "12345 !!!",
            "@the_and_of",
            "https://example.org/the/and",
            "Lorem xyzzy",
        ] {
            assert_eq!(guess(text, &mut Room::default()), "und", "{text}");
        }
    }
}
