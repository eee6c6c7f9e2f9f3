//! The engine that the settings select.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod small;

use limbic_affect::{Engine, LexiconReader, Settings};

fn error_of(settings: &Settings) -> String {
    let error = settings.open().err().unwrap();
    let cause = std::error::Error::source(&error)
        .map(ToString::to_string)
        .unwrap_or_default();
    format!("{error}: {cause}")
}

#[test]
fn a_missing_model_is_an_error_unless_the_settings_ask_for_the_lexicon() {
    let folder = small::model();
    let mut settings = Settings {
        model: folder.path().to_owned(),
        ..Settings::default()
    };
    let opened = settings.open().unwrap();
    assert!(opened.engine.version().starts_with("small-1/") && opened.remark.is_none());
    assert!(
        opened.description.contains("model small-1 (in "),
        "{}",
        opened.description
    );
    settings.model = folder.path().join("nowhere");
    let error = error_of(&settings);
    assert!(
        error.contains("nowhere") && error.contains("affect.engine = \"lexicon\""),
        "{error}"
    );
    // This program contains no model.
    settings.model = "".into();
    let error = error_of(&settings);
    assert!(error.contains("affect.model is empty"), "{error}");
    settings.engine = Engine::Lexicon;
    let opened = settings.open().unwrap();
    assert_eq!(opened.engine.version(), LexiconReader::VERSION);
    assert!(opened.remark.is_none());
}

#[test]
fn an_invalid_model_is_an_error_unless_fallback_is_set() {
    let folder = small::model();
    std::fs::write(folder.path().join("model.safetensors"), "not a model").unwrap();
    for engine in [Engine::Auto, Engine::Model] {
        let mut settings = Settings {
            engine,
            model: folder.path().to_owned(),
            ..Settings::default()
        };
        let error = error_of(&settings);
        assert!(
            error.contains("model.safetensors") && error.contains("affect.fallback"),
            "{error}"
        );
        settings.fallback = true;
        let opened = settings.open().unwrap();
        assert_eq!(opened.engine.version(), LexiconReader::VERSION);
        assert!(opened.remark.unwrap().contains("model.safetensors"));
        assert_eq!(opened.engine.read(&["good"])[0].model, LexiconReader::VERSION);
    }
    let missing = Settings {
        engine: Engine::Model,
        model: folder.path().join("nowhere"),
        ..Settings::default()
    };
    assert!(
        error_of(&missing).contains("config.json"),
        "{}",
        error_of(&missing)
    );
}

#[test]
fn unknown_kernels_are_refused_by_name() {
    let settings = Settings {
        kernels: "abacus".to_owned(),
        ..Settings::default()
    };
    let error = error_of(&settings);
    assert!(
        error.contains("affect.kernels = abacus") && error.contains("portable"),
        "{error}"
    );
}

#[test]
fn brands_are_found_by_either_engine_and_are_part_of_the_version() {
    let folder = small::model();
    let mut settings = Settings {
        model: folder.path().to_owned(),
        ..Settings::default()
    };
    settings
        .brands
        .insert("Crunch Bowl".to_owned(), vec!["crunchbowl".to_owned()]);
    for engine in [Engine::Model, Engine::Lexicon] {
        settings.engine = engine;
        let opened = settings.start().unwrap();
        assert!(
            opened.engine.version().contains("+brands-"),
            "{}",
            opened.engine.version()
        );
        let reading = &opened.engine.read(&["the crunchbowl is late"])[0];
        assert_eq!(reading.entities[0].name.as_deref(), Some("Crunch Bowl"));
        assert_eq!(reading.model, opened.engine.version());
    }
}
