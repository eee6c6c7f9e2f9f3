//! Guesses the language of a text from its script, its stop words and its character n-grams.
//!
//! The result is `und` without enough evidence: an unknown or a mixed language. The steps, in this order:
//!
//! 1. **Script**: Japanese, Chinese, Korean, Thai, Greek, Hebrew, Hindi, Arabic, Persian, Russian and Ukrainian by letters that their
//!    relatives lack, or by stop words.
//! 2. **Stop words**, for Latin letters: English, Spanish, French, German, Portuguese, Italian, Dutch, Turkish,
//!    Indonesian, Swedish and Polish. If character n-grams clearly say a relative without a list (Danish, Afrikaans, Tagalog …), the
//!    text is not named after the language that it resembles.
//! 3. **Character n-grams**, if stop words do not decide: the crate `whichlang` (a linear model of sixteen languages, very fast, and
//!    right for English), and for a text that does not look English `whatlang` (trigrams of seventy languages) as a second opinion.
//! 4. Everything else in plain Latin letters is **English, unless evidence says otherwise**: a foreign stop word, an accent, or
//!    n-grams that are clearly those of another language. Headlines have few stop words.
//!
//! `tests/language.rs` measures the accuracy.

use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt as _};

/// The tag for an undetermined language.
pub(crate) const UNDETERMINED: &str = "und";

/// The tag of the language that the engines read.
pub(crate) const READ: &str = "en";

/// Every language that [`language_of`] can name, as BCP 47 tags.
pub const LANGUAGES: [&str; 23] = [
    "ar", "de", "el", "en", "es", "fa", "fr", "he", "hi", "id", "it", "ja", "ko", "nl", "pl", "pt", "ru",
    "sv", "th", "tr", "uk", "vi", "zh",
];

/// The probable language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// BCP 47 tag: one of [`LANGUAGES`], or `und` for a language that cannot be told.
    pub tag: &'static str,
    /// Whether an undetermined text can be read all the same: it has no words, as a text of emoji, names and links.
    pub has_no_words: bool,
}

/// The probable language of a text. A text in plain Latin letters without evidence counts as English.
pub fn language_of(text: &str) -> Language {
    guess(text, &mut Room::default())
}

impl Language {
    const fn of(tag: &'static str) -> Self {
        Self {
            tag,
            has_no_words: false,
        }
    }

    /// Whether an engine for English reads the text.
    pub(crate) fn is_read(self) -> bool {
        self.has_no_words || self.tag == READ
    }
}

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
         mais ça cest jai jadore mon ma mes ses cette sont été très tout bien être fait aux ou où",
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

/// Frequent English words that no other language here has, and that are neither stop words nor in VADER's lexicon. Headlines and short posts are
/// made of them.
const COMMON_ENGLISH: &str = "manager goal goals league players keeper striker signs beats wins loses draw scores \
    council mayor sack sacks approves holds rises falls says warns plans hits faces joins returns about above across after again against ahead almost alone along already always another anyone anything around away back battery \
    because before behind being below between beyond black board body book both bought bread bridge brother brought build building \
    business buys call called calls came change check child children church city class close coffee coming company council country \
    daily daughter days deal dinner does doing done down drink drive during each early eating else enough evening every everyone \
    everything eyes face father feel feels feet field fight finds finally five floor food foot found four free friday full game \
    games gets getting girl girls give given gives goes gone gonna government great ground guys hands head hear heard hearing help \
    high hold home hope hour hours house huge husband inside instead into just keep keeps kids kind kitchen knew know known laptop \
    lead leader leave leaves less life line list little lives living long look looking looks lunch made make makes making market \
    maybe meet meeting might minutes monday money month months morning mother move moves movie much must near need needs never next \
    night north nothing number office often only opens order other outside parking part people person phone pick picture plans play \
    played player playing plays power price prices probably public quiet rained raining read ready really report right road room \
    running said saturday saying says school season seat seen sell send seven several shoes short should show shows side signed \
    sister sleep small snack snacks some someone song soon south spread spreads spring stand started starts state station stay \
    steady stop storm street strike student stuck such summer sunday sure swollen take takes taking talk tell than their them then \
    these they thing things think third this those thought three through thursday till time times together told tomorrow tonight \
    took toward town train tree tried trying tuesday turn turns twice until upon using very wait waiting wake walk walking wall want \
    wants watch watching wednesday weekend weeks well went were west what wheel where which while white whole whose wife wildfires \
    window with without woman women wood word words work worker workers working works world worth would write wrong yard year years \
    yesterday young your yours lets round boxing underway rematch";

static COMMON: LazyLock<std::collections::HashSet<&'static str>> = LazyLock::new(|| {
    COMMON_ENGLISH
        .split_ascii_whitespace()
        .filter(|word| word.len() >= 4)
        .collect()
});

/// Frequent words of languages without a list of stop words, that the languages with a list lack: Danish, Norwegian, Afrikaans, Catalan,
/// Galician, Tagalog, Swahili, Somali, Basque, Haitian, Romanian, Croatian, Czech, Hungarian, Finnish.
const OTHERS: &str = "og ikke jeg hvem hvor hvad hva mig meg af fra nye bliver blir være når efter etter lige ek nie vir baie sy alweer ons \
    hierdie amb els aquesta aquest molt tinc unha moi agardar outra prezo ang ng mga ako ay kang sino pagod kwa katika ya hii waa ayaa waan \
    iyo eta dut dago naiz mwen pou nan yo ap și nu că sunt este pentru din mai je nije sam što kako sve jsem že když jako proč jsou hogy nem \
    egy vagyok ez az olen niin että joka mutta";

static OTHER_WORDS: LazyLock<std::collections::HashSet<&'static str>> = LazyLock::new(|| {
    OTHERS
        .split_ascii_whitespace()
        .filter(|word| !LANGUAGES_OF.contains_key(word))
        .collect()
});

/// The letters outside ASCII that a language writes its own words with. A text with another one is in another language.
fn letters_of(tag: &str) -> Option<&'static str> {
    Some(match tag {
        "es" => "áéíóúüñªº",
        "fr" => "àâæçéèêëîïôœùûüÿ",
        "de" => "äöüß",
        "pt" => "áâãàçéêíóôõúüªº",
        "it" => "àèéìíîòóùú",
        "nl" => "áéëèêïíóöúüĳ",
        "tr" => "çğıİiöşüâîû\u{307}",
        "id" => "é",
        "sv" => "åäöé",
        "pl" => "ąćęłńóśźż",
        // The letters with two marks are a block of their own: see `is_written_in`.
        "vi" => "àáâãèéêìíòóôõùúýăđĩũơư",
        _ => return None,
    })
}

/// Whether a text can be in a language by its letters.
fn is_written_in(prose: &str, tag: &str) -> bool {
    letters_of(tag).is_none_or(|own| {
        let mut foreign = prose
            .chars()
            .flat_map(char::to_lowercase)
            .filter(|c| !c.is_ascii() && c.is_alphabetic());
        foreign.all(|c| own.contains(c) || (tag == "vi" && ('\u{1ea0}'..='\u{1ef9}').contains(&c)))
    })
}

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

/// The probable language of a text.
pub(crate) fn guess(text: &str, room: &mut Room) -> Language {
    let text = &text[..text.floor_char_boundary(LOOKED_AT)];
    let letters = count_letters(text);
    let all = letters.total();
    if all == 0 {
        return Language {
            tag: UNDETERMINED,
            has_no_words: !text.chars().any(char::is_alphabetic),
        };
    }
    let most = |count: usize| count * 2 > all;
    if most(letters.latin) {
        return guess_latin(text, room);
    }
    Language::of(by_script(text, &letters, most).unwrap_or(UNDETERMINED))
}

/// The language of a text whose letters are mostly of one script other than Latin.
fn by_script(text: &str, letters: &Letters, most: impl Fn(usize) -> bool) -> Option<&'static str> {
    let has = |some: &[char]| text.contains(some);
    if most(letters.kana + letters.han) {
        // A kana alone is decoration in a Chinese text. A Japanese headline has few.
        return if letters.kana * 8 >= letters.kana + letters.han {
            Some("ja")
        } else {
            (letters.kana == 0).then_some("zh")
        };
    }
    if most(letters.hangul) {
        Some("ko")
    } else if most(letters.thai) {
        Some("th")
    } else if most(letters.greek) {
        Some("el")
    } else if most(letters.hebrew) {
        // Yiddish writes its vowels with these, and its articles so.
        let is_yiddish =
            has(&['\u{5b7}', '\u{5b8}', 'ײ', 'װ']) || has_word(text, &["דער", "און", "איז", "האט"]);
        (!is_yiddish).then_some("he")
    } else if most(letters.cyrillic) {
        cyrillic(text)
    } else if most(letters.arabic) {
        arabic(text)
    } else if most(letters.devanagari) {
        let is_hindi = has_word(
            text,
            &[
                "है",
                "हैं",
                "के",
                "का",
                "में",
                "से",
                "और",
                "हो",
                "ने",
                "था",
                "थी",
                "गई",
                "गया",
            ],
        );
        let is_relative = has(&['ळ']) || has_word(text, &["आहे", "आणि", "मी", "छ", "र", "गर्‍यो"]);
        (is_hindi && !is_relative).then_some("hi")
    } else {
        None
    }
}

/// Russian or Ukrainian. Belarusian, Bulgarian, Serbian, Macedonian and the Turkic languages have letters, or a use of letters, of their own.
fn cyrillic(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let has = |some: &[char]| lower.contains(some);
    if has(&[
        'ў', 'ј', 'љ', 'њ', 'ђ', 'ћ', 'џ', 'ќ', 'ѓ', 'ѕ', 'ә', 'ғ', 'қ', 'ң', 'ө', 'ұ', 'ү', 'һ',
    ]) {
        return None;
    }
    if has(&['і', 'ї', 'є', 'ґ']) {
        return (!has(&['ы', 'э', 'ё', 'ъ'])).then_some("uk");
    }
    if has(&['ы', 'э', 'ё']) {
        return Some("ru");
    }
    let said = whatlang::detect_lang(text);
    // In Bulgarian ъ is a vowel between consonants, and frequent; in Russian it is rare.
    (said == Some(whatlang::Lang::Rus) && !has(&['ъ'])).then_some("ru")
}

/// Arabic or Persian. Persian, Urdu, Pashto and Kurdish write some letters otherwise than Arabic.
fn arabic(text: &str) -> Option<&'static str> {
    let has = |some: &[char]| text.contains(some);
    if has(&[
        'ٹ', 'ڈ', 'ڑ', 'ں', 'ے', 'ہ', 'ھ', 'ە', 'ێ', 'ڕ', 'ۆ', 'ڵ', 'ښ', 'ځ', 'څ', 'ړ', 'ږ', 'ې', 'ټ', 'ډ',
        'ڼ',
    ]) {
        return None;
    }
    if has(&['پ', 'چ', 'ژ', 'گ', 'ی', 'ک']) || has_word(text, &["از", "را", "این", "است", "که", "در"])
    {
        return Some("fa");
    }
    Some("ar")
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
    /// Number of words in VADER's lexicon or among the frequent English words, with four letters or more.
    rated: usize,
    has_accents: bool,
    /// Number of words of languages without a list.
    others: usize,
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
            let is_known = room.len() >= 4 && (COMMON.contains(room.as_str()) || crate::vader::rates(room));
            seen.rated += usize::from(is_known);
            seen.others += usize::from(OTHER_WORDS.contains(room.as_str()));
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

    /// Whether a word speaks for a language other than English and none for English.
    fn is_foreign(&self) -> bool {
        let foreign = self.votes.iter().skip(1).any(|&votes| votes > 0);
        (foreign || self.has_accents || self.others > 0) && !self.is_english()
    }

    /// Whether any word speaks for English.
    fn is_english(&self) -> bool {
        self.votes[ENGLISH] > 0 || self.rated > 0
    }
}

/// The language by character n-grams, of sixteen; `None` for a text that is too short. It is right for 98 % of English posts.
fn by_letters(seen: &Latin, prose: &str) -> Option<&'static str> {
    const FEWEST_LETTERS: usize = 10;
    const FEWEST_WORDS: usize = 2;
    use whichlang::Lang;
    if seen.letters < FEWEST_LETTERS || seen.words < FEWEST_WORDS {
        return None;
    }
    Some(match whichlang::detect_language(prose) {
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
        _ => UNDETERMINED,
    })
}

/// A second opinion, from trigrams of seventy languages. It knows the relatives that have no list of stop words here (Danish, Afrikaans,
/// Tagalog …), but is weak on short English posts and costs more time: only texts that do not look English are asked about.
struct SecondOpinion {
    tag: &'static str,
    is_reliable: bool,
}

impl SecondOpinion {
    fn on(prose: &str) -> Option<Self> {
        /// Bytes that are examined. More do not change the answer, and cost time.
        const LOOKED_AT: usize = 512;
        use whatlang::Lang;
        let prose = &prose[..prose.floor_char_boundary(LOOKED_AT)];
        let said = whatlang::detect(prose)?;
        let tag = match said.lang() {
            Lang::Eng => "en",
            Lang::Spa => "es",
            Lang::Fra => "fr",
            Lang::Deu => "de",
            Lang::Por => "pt",
            Lang::Ita => "it",
            Lang::Nld => "nl",
            Lang::Tur => "tr",
            Lang::Ind => "id",
            Lang::Swe => "sv",
            Lang::Pol => "pl",
            Lang::Vie => "vi",
            _ => UNDETERMINED,
        };
        Some(Self {
            tag,
            is_reliable: said.is_reliable(),
        })
    }

    /// Whether the text is in a language without a list of stop words.
    fn is_of_relative(&self) -> bool {
        self.tag == UNDETERMINED
    }
}

fn guess_latin(text: &str, room: &mut Room) -> Language {
    let seen = Latin::read(text, &mut room.word, &mut room.prose);
    if seen.words == 0 {
        return Language {
            tag: UNDETERMINED,
            has_no_words: true,
        };
    }
    Language::of(decide(&seen, &room.prose).unwrap_or(UNDETERMINED))
}

/// Weighs stop words and n-grams.
fn decide(seen: &Latin, prose: &str) -> Option<&'static str> {
    const MANY_WORDS: usize = 3;
    let english = STOP_WORDS[ENGLISH].0;
    let best = seen.votes.iter().copied().max().unwrap_or(0);
    if seen.others > 0 && seen.others >= best.max(seen.rated) {
        return None;
    }
    let by_letters = by_letters(seen, prose);
    if let Some(named) = seen.by_stop_words().filter(|tag| is_written_in(prose, tag)) {
        if by_letters.is_none_or(|tag| tag == named && tag == english) {
            return Some(named);
        }
        // "we met a couple in February" has three Dutch words.
        if by_letters == Some(english) && seen.is_english() {
            return Some(english);
        }
        let second = SecondOpinion::on(prose)?;
        // "jeg er så træt" has two Swedish words, and is Danish. English words are in many languages, and English posts look like many.
        let is_relative =
            second.is_of_relative() && second.is_reliable && (named != english || seen.rated == 0);
        return (!is_relative).then_some(named);
    }
    let Some(likeliest) = by_letters else {
        return (!seen.is_foreign()).then_some(english);
    };
    if likeliest == english {
        // A text of several words, none of which is a frequent English one, may be Welsh or Somali.
        let is_doubtful = !seen.is_english() && seen.words >= MANY_WORDS;
        let is_relative =
            is_doubtful && SecondOpinion::on(prose).is_some_and(|second| second.is_of_relative());
        return (!seen.is_foreign() && !is_relative).then_some(english);
    }
    let votes = STOP_WORDS
        .iter()
        .position(|(name, _)| *name == likeliest)
        .map_or(0, |place| seen.votes[place]);
    let for_english = seen.votes[ENGLISH] + seen.rated;
    if seen.is_english() && for_english > votes {
        return Some(english);
    }
    let second = SecondOpinion::on(prose)?;
    // As many foreign words as English ones, and only one of the two says that it is foreign.
    if for_english > 0 && for_english == votes && second.tag != likeliest && !seen.has_accents {
        return Some(english);
    }
    if second.tag == english && !seen.is_foreign() {
        return Some(english);
    }
    // An accent that the language has is evidence for it; one that it lacks is evidence against it.
    let is_possible = likeliest != UNDETERMINED && is_written_in(prose, likeliest);
    if !is_possible || (second.is_of_relative() && (second.is_reliable || (votes == 0 && !seen.has_accents)))
    {
        return None;
    }
    let is_supported = second.tag == likeliest || votes > 0 || seen.has_accents || seen.words >= MANY_WORDS;
    is_supported.then_some(likeliest)
}

#[cfg(test)]
mod tests {
    use super::{Room, guess};

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
            assert_eq!(guess(text, &mut Room::default()).tag, language, "{text}");
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
            assert_eq!(guess(text, &mut Room::default()).tag, language, "{text}");
        }
    }

    #[test]
    fn only_english_and_texts_without_words_are_read() {
        for (text, expected) in [
            ("😂😂😂", true),
            ("", true),
            ("@ada https://example.org", true),
            ("Bazinga", true),
            ("а б в г д", false),
            ("Der Zug ist schon wieder zu spät", false),
            ("großartig", false),
            ("jeg er så træt af at vente på bussen", false),
            ("42", true),
            ("ఆమోదించింది", false),
        ] {
            let language = guess(text, &mut Room::default());
            assert_eq!(language.is_read(), expected, "{text} {language:?}");
        }
    }

    #[test]
    fn short_latin_text_is_english_unless_evidence_says_otherwise() {
        for text in [
            "we met a Chilean couple in February",
            "Bazinga",
            "Tigers 4, Mets 2",
            "Leeds beat Burnley 2-0",
            "pancakes",
            "Rovers sack manager Diaz",
            "Lets go Floyd 🇺🇸 #TMT",
            "Let's go McGregor!!! ❤️🇮🇪",
            "ROUND 5 UNDERWAY",
        ] {
            assert_eq!(guess(text, &mut Room::default()).tag, "en", "{text}");
        }
    }

    #[test]
    fn too_little_evidence_gives_und() {
        for text in [
            "",
            "😀😀",
            "Malmö 1-0",
            "12345 !!!",
            "@the_and_of",
            "https://example.org/the/and",
        ] {
            assert_eq!(guess(text, &mut Room::default()).tag, "und", "{text}");
        }
    }
}
