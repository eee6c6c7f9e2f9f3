//! The ids are in the vocabulary, at most as many as requested, and the same with reused buffers.
#![no_main]

use std::cell::RefCell;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use limbic_affect::tokens::{Tokeniser, Tokens, Vocabulary};

static TOKENISER: LazyLock<Tokeniser> = LazyLock::new(|| {
    // The vocabulary that `LIMBIC_VOCABULARY` names, otherwise letters and a few words.
    let text = std::env::var("LIMBIC_VOCABULARY").ok().and_then(|path| std::fs::read_to_string(path).ok());
    let text = text.unwrap_or_else(|| {
        let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).into();
        pieces.extend((33_u8..127).map(|b| char::from(b).to_string()).filter(|p| !p.chars().all(|c| c.is_ascii_uppercase())));
        pieces.extend((b'a'..=b'z').map(|b| format!("##{}", char::from(b))));
        pieces.extend(["user", "http", "flag", "good", "the", "##ing", "😂", "❤", "é"].map(str::to_owned));
        pieces.join("\n")
    });
    Tokeniser::new(Vocabulary::new(&text).expect("a vocabulary"))
});

thread_local! {
    static ROOM: RefCell<Tokens> = RefCell::default();
}

fuzz_target!(|input: (u8, &str)| {
    let (most, text) = (usize::from(input.0), input.1);
    ROOM.with_borrow_mut(|room| {
        let used = TOKENISER.tokenise(text, most, room).to_vec();
        assert_eq!(TOKENISER.tokenise(text, most, &mut Tokens::default()), used);
        assert!((2..=most.max(2)).contains(&used.len()));
        assert!(used.iter().all(|id| (*id as usize) < TOKENISER.vocabulary().len()));
        let all = TOKENISER.tokenise(text, usize::MAX, room);
        assert_eq!(all[..used.len() - 1], used[..used.len() - 1], "a smaller maximum gives a prefix");
    });
});
