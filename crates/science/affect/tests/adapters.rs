//! Adapters of a small model of random weights: properties that hold for every model.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod small;

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use limbic_affect::adapters::{
    AdapterChoice, Adapters, ExamplesError, LabelledPost, Report, Step, Trained, WithAdapters, train,
};
use limbic_affect::evaluation::Draws;
use limbic_affect::{
    AdapterSet, AffectEngine, ModelOptions, ModelReader, Readers, ReadersOptions, Settings, explain,
};
use limbic_domain::{Label, Slug};

const DRAWS: Draws = Draws { rounds: 200, seed: 1 };

fn open(folder: &Path) -> ModelReader {
    ModelReader::open(folder, &ModelOptions::default()).unwrap()
}

/// Posts whose sentiment follows from one word: a train is bad and a cake is good.
fn posts() -> Vec<LabelledPost> {
    let mut posts = Vec::new();
    for (word, label) in [
        ("train", Label::Negative),
        ("road", Label::Neutral),
        ("cake", Label::Positive),
    ] {
        for place in [
            "home", "school", "church", "town", "market", "garden", "station", "office",
        ] {
            for time in [
                "today",
                "again",
                "this morning",
                "last night",
                "on monday",
                "in june",
                "at noon",
                "all week",
            ] {
                posts.push(LabelledPost {
                    text: format!("we saw the {word} near the {place} {time} and that was it"),
                    label,
                });
            }
        }
    }
    posts
}

fn trained(reader: &ModelReader, posts: &[LabelledPost]) -> Trained {
    train(reader, &Slug::new("transport").unwrap(), posts, DRAWS, |_| ()).unwrap()
}

/// An adapter that knows trains and cakes: what was measured, and its file. Every model of [`small`] is the same.
static FITTED: LazyLock<(Report, String)> = LazyLock::new(|| {
    let Trained { report, adapter } = trained(&open(small::model().path()), &posts());
    (report, adapter.unwrap().to_text())
});

/// The adapter as a file in the folder of a model.
fn fitted(folder: &Path) -> AdapterChoice {
    let file = folder.join("transport.adapter");
    std::fs::write(&file, &FITTED.1).unwrap();
    AdapterChoice {
        file,
        networks: Vec::new(),
        subjects: Vec::new(),
        languages: Vec::new(),
    }
}

#[test]
fn an_adapter_learns_what_the_general_model_does_not_know_and_says_how_much_it_gains() {
    let folder = small::model();
    let (report, choice) = (&FITTED.0, fitted(folder.path()));
    let gain = report.deciding().unwrap();
    assert!(report.helps() && gain.adapted.value > 0.9, "{gain:?}");
    let adapters = Adapters::open(&[choice]).unwrap();
    let all = adapters.named("transport").unwrap();
    let reader = open(folder.path()).adapted_by(adapters).unwrap();
    let texts = [
        "they saw the train near the river and that was it",
        "they saw the cake near the river and that was it",
    ];
    let [train, cake] = &reader.read_adapted(&texts, &[all; 2])[..] else {
        panic!("two readings");
    };
    assert_eq!(
        (train.sentiment.label, cake.sentiment.label),
        (Label::Negative, Label::Positive)
    );
    let general = reader.read(&texts);
    for (adapted, general) in [train, cake].into_iter().zip(&general) {
        // Only sentiment, and what follows from it, is the adapter's.
        assert!(
            adapted
                .model
                .starts_with(&format!("{}+adapter-transport-", general.model)),
            "{}",
            adapted.model
        );
        assert_eq!(adapted.emotions, general.emotions);
        assert_eq!(adapted.distress, general.distress);
        assert_eq!(
            (adapted.hate, adapted.offence, adapted.irony),
            (general.hate, general.offence, general.irony)
        );
        let moved = adapted.sentiment.compound - general.sentiment.compound;
        let valence = (general.valence + moved).clamp(-1.0, 1.0);
        assert!(
            (adapted.valence - valence).abs() < 2e-4,
            "{} {valence}",
            adapted.valence
        );
    }
}

#[test]
fn a_reading_is_a_function_of_text_version_and_adapter() {
    let folder = small::model();
    let choice = fitted(folder.path());
    let adapters = Adapters::open(std::slice::from_ref(&choice)).unwrap();
    let all = adapters.named("transport").unwrap();
    let plain = open(folder.path());
    let reader = Arc::new(open(folder.path()).adapted_by(adapters).unwrap());
    let texts = [
        "the good cake",
        "",
        "der Zug ist schon wieder zu spät",
        "the good cake",
        "😂",
    ];
    let sets = [all, all, all, AdapterSet::NONE, all];
    let first = reader.read_adapted(&texts, &sets);
    assert_eq!(
        reader.read_adapted(&texts, &sets),
        first,
        "the cache changes nothing"
    );
    let readers = Readers::start(
        Arc::clone(&reader) as Arc<dyn AffectEngine>,
        ReadersOptions::default(),
    )
    .unwrap();
    assert_eq!(
        readers.read_adapted(&texts, &sets),
        first,
        "threads change nothing"
    );
    assert_ne!(first[0].model, first[3].model);
    assert_eq!(
        first[3],
        plain.read(&["the good cake"])[0],
        "other posts are read as without adapters"
    );
    assert_eq!(
        first[2],
        plain.read(&[texts[2]])[0],
        "no adapter reads what the model does not"
    );
}

#[test]
fn the_same_posts_give_the_same_adapter_to_the_byte() {
    let folder = small::model();
    let again = trained(&open(folder.path()), &posts()).adapter.unwrap();
    assert_eq!(again.to_text(), FITTED.1);
    let seen = Mutex::new(Vec::new());
    let few: Vec<LabelledPost> = posts().into_iter().take(10).collect();
    let name = Slug::new("few").unwrap();
    train(&open(folder.path()), &name, &few, DRAWS, |step| {
        seen.lock().unwrap().push(step);
    })
    .unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [Step::Read(10)]);
}

#[test]
fn an_explanation_can_be_of_the_adapter() {
    let folder = small::model();
    let choice = fitted(folder.path());
    let adapters = Adapters::open(&[choice]).unwrap();
    let set = adapters.named("transport").unwrap();
    let reader = open(folder.path()).adapted_by(adapters).unwrap();
    let engine = WithAdapters {
        engine: &reader,
        adapters: set,
    };
    let text = "we saw the train near the river";
    let explained = explain(&engine, text);
    assert_eq!(explained.reading, reader.read_adapted(&[text], &[set])[0]);
    let lowest = explained
        .words
        .iter()
        .min_by(|a, b| a.compound.total_cmp(&b.compound))
        .unwrap();
    assert_eq!(&text[lowest.span.clone()], "train");
}

#[test]
fn labels_that_say_nothing_give_no_adapter() {
    let folder = small::model();
    let mut posts = posts();
    let labels: Vec<Label> = posts.iter().map(|post| post.label).collect();
    // Every label is that of another post, far away in another class or in the same.
    for (at, post) in posts.iter_mut().enumerate() {
        post.label = labels[(at * 67 + 13) % labels.len()];
    }
    let reader = open(folder.path());
    let Trained { report, adapter } = trained(&reader, &posts);
    let general = report.deciding().unwrap().general.value;
    assert!(adapter.is_none() || general < 0.3, "{report:?}");
}

#[test]
fn posts_that_are_too_few_are_refused_by_class() {
    let folder = small::model();
    let reader = open(folder.path());
    let name = Slug::new("few").unwrap();
    let few: Vec<LabelledPost> = posts().into_iter().skip(20).collect();
    let error = train(&reader, &name, &few, DRAWS, |_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            ExamplesError::TooFew {
                class: Label::Negative,
                posts: 44,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("`negative` has 44 posts"), "{error}");
    // Copies do not count, and neither do posts that the model does not read.
    let mut copies = few.clone();
    copies.extend(few.iter().take(44).cloned());
    copies.push(LabelledPost {
        text: "der Zug ist schon wieder zu spät und ich bin nicht froh".to_owned(),
        label: Label::Negative,
    });
    let error = train(&reader, &name, &copies, DRAWS, |_| ()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("44 posts") && text.contains("44 copies") && text.contains("1 in a language"),
        "{text}"
    );
    assert!(train(&reader, &name, &[], DRAWS, |_| ()).is_err());
}

fn settings_with(folder: &Path, choice: AdapterChoice) -> Settings {
    Settings {
        model: folder.to_owned(),
        adapters: vec![choice],
        ..Settings::default()
    }
}

fn refusal(settings: &Settings) -> String {
    let error = settings.open().err().expect("it is refused");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[test]
fn the_settings_open_adapters_and_refuse_those_of_another_model_or_damaged_ones() {
    let folder = small::model();
    let choice = fitted(folder.path());
    let mut settings = settings_with(folder.path(), choice.clone());
    let opened = settings.open().unwrap();
    assert_eq!(opened.adapters.names().collect::<Vec<_>>(), ["transport"]);

    // A model of another version, and one of the same version with another configuration.
    for (name, value) in [("version", "small-2"), ("note", "calibrated again")] {
        let other = small::model();
        let mut config = small::config();
        config[name] = value.into();
        small::write(other.path(), &config, &small::vocabulary());
        settings.model = other.path().to_owned();
        let text = refusal(&settings);
        assert!(
            text.contains("entry 1")
                && text.contains("fitted to the model small-1")
                && text.contains("limbic train adapter"),
            "{text}"
        );
    }
    settings.model = folder.path().to_owned();

    let whole = std::fs::read_to_string(&choice.file).unwrap();
    std::fs::write(&choice.file, whole.replace("small-1", "small-7")).unwrap();
    assert!(refusal(&settings).contains("damaged"));
    std::fs::write(&choice.file, "text,label\n").unwrap();
    assert!(refusal(&settings).contains("is not an adapter"));
    std::fs::remove_file(&choice.file).unwrap();
    assert!(refusal(&settings).contains("cannot be read"));
    settings.fallback = true;
    assert!(
        refusal(&settings).contains("cannot be read"),
        "the lexicon does not replace an adapter"
    );
}

#[test]
fn adapters_need_the_model_and_all_of_its_layers() {
    let folder = small::model();
    let choice = fitted(folder.path());
    let mut settings = settings_with(folder.path(), choice);
    settings.cascade = true;
    assert!(refusal(&settings).contains("affect.cascade"));
    settings.cascade = false;
    settings.engine = limbic_affect::Engine::Lexicon;
    assert!(refusal(&settings).contains("affect.engine"));
    // A broken model, replaced by the lexicon: the adapters are not used, and the remark says why.
    settings.engine = limbic_affect::Engine::Model;
    settings.fallback = true;
    settings.model = folder.path().join("nowhere");
    let opened = settings.open().unwrap();
    assert!(opened.adapters.is_empty() && opened.remark.is_some());
}
