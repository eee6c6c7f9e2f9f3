//! The lexicon engine: numbers are within their ranges, spans are valid, and a batch gives the same readings as single texts.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use limbic_affect::{AffectEngine, LexiconReader};

static READER: LazyLock<LexiconReader> = LazyLock::new(LexiconReader::new);

fuzz_target!(|texts: (&str, &str)| {
    let readings = READER.read(&[texts.0, texts.1]);
    assert_eq!(READER.read(&[texts.1])[0], readings[1]);
    for (text, reading) in [texts.0, texts.1].into_iter().zip(&readings) {
        assert!((0.0..=1.0).contains(&reading.arousal) && (-1.0..=1.0).contains(&reading.valence));
        assert!(reading.emotions.values().all(|score| (0.0..=1.0).contains(score)));
        let mut end = 0;
        for entity in &reading.entities {
            assert!(entity.start >= end, "entities overlap");
            end = entity.end;
            assert_eq!(&text[entity.start as usize..end as usize], entity.text);
        }
    }
});
