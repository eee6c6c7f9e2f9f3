//! The text of a post.

use std::cell::RefCell;
use std::sync::LazyLock;

use limbic_affect::tokens::{Tokeniser, Tokens, Vocabulary};
use limbic_affect::{AffectEngine, LexiconReader, SubjectTagger, Vader, VaderScratch};

/// Normalising the normal form changes nothing, and no invisible character is left.
pub fn normalise(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let once = limbic_affect::normalise(text);
    assert_eq!(limbic_affect::normalise(&once), once);
    assert!(!once.contains(['\u{200b}', '\u{202e}', '\0', '\n']));
}

static TOKENISER: LazyLock<Tokeniser> = LazyLock::new(|| {
    // The vocabulary that `LIMBIC_VOCABULARY` names, otherwise letters and a few words.
    let text = std::env::var("LIMBIC_VOCABULARY").ok().and_then(|path| std::fs::read_to_string(path).ok());
    let text = text.unwrap_or_else(|| {
        let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).into();
        pieces.extend(
            (33_u8..127).map(|b| char::from(b).to_string()).filter(|p| !p.chars().all(|c| c.is_ascii_uppercase())),
        );
        pieces.extend((b'a'..=b'z').map(|b| format!("##{}", char::from(b))));
        pieces.extend(["user", "http", "flag", "good", "the", "##ing", "😂", "❤", "é"].map(str::to_owned));
        pieces.join("\n")
    });
    Tokeniser::new(Vocabulary::new(&text).expect("a vocabulary"))
});

thread_local! {
    static TOKENS: RefCell<Tokens> = RefCell::default();
    static SCRATCH: RefCell<VaderScratch> = RefCell::default();
}

/// The ids are in the vocabulary, at most as many as requested, and the same with reused buffers.
pub fn tokenise(bytes: &[u8]) {
    let Some((&[most], text)) = bytes.split_first_chunk() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let most = usize::from(most);
    TOKENS.with_borrow_mut(|room| {
        let used = TOKENISER.tokenise(text, most, room).to_vec();
        assert_eq!(TOKENISER.tokenise(text, most, &mut Tokens::default()), used);
        assert!((2..=most.max(2)).contains(&used.len()));
        assert!(used.iter().all(|id| (*id as usize) < TOKENISER.vocabulary().len()));
        let all = TOKENISER.tokenise(text, usize::MAX, room);
        assert_eq!(all[..used.len() - 1], used[..used.len() - 1], "a smaller maximum gives a prefix");
    });
}

/// Scores are within their ranges, and a reused scratch gives the same scores as a new one.
pub fn vader(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let vader = Vader::new();
    let scores = SCRATCH.with_borrow_mut(|room| vader.score_in(text, room));
    assert_eq!(vader.score(text), scores);
    assert!((-1.0..=1.0).contains(&scores.compound));
    for share in [scores.neg, scores.neu, scores.pos] {
        assert!((0.0..=1.0).contains(&share), "{scores:?}");
    }
    let sum = scores.neg + scores.neu + scores.pos;
    assert!(sum == 0.0 || (sum - 1.0).abs() < 0.0021, "{scores:?}");
}

static READER: LazyLock<LexiconReader> = LazyLock::new(LexiconReader::new);

/// The lexicon engine, with language, entities, distress and intent: numbers are within their ranges, spans are valid, and a batch
/// gives the same readings as single texts.
pub fn lexicon(bytes: &[u8]) {
    let Ok(both) = std::str::from_utf8(bytes) else { return };
    let (first, second) = both.split_once('\0').unwrap_or((both, ""));
    let readings = READER.read(&[first, second]);
    assert_eq!(READER.read(&[second])[0], readings[1]);
    for (text, reading) in [first, second].into_iter().zip(&readings) {
        assert!((0.0..=1.0).contains(&reading.arousal) && (-1.0..=1.0).contains(&reading.valence));
        assert!(reading.emotions.values().all(|score| (0.0..=1.0).contains(score)));
        let mut end = 0;
        for entity in &reading.entities {
            assert!(entity.start >= end, "entities overlap");
            end = entity.end;
            assert_eq!(&text[entity.start as usize..end as usize], entity.text);
        }
    }
}

/// Words of a subject, which the settings give, find the subject in a text of these words.
pub fn subjects(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (word, text) = text.split_once('\n').unwrap_or((text, ""));
    let subject: limbic_domain::Slug = "subject".parse().expect("a name");
    let lists = [(subject.clone(), vec![word.to_owned()])].into();
    let Ok(tagger) = SubjectTagger::new(&lists) else { return };
    let _ = tagger.tag(text, &[]);
    assert_eq!(tagger.tag(word, &[]), [subject], "{word:?}");
}
