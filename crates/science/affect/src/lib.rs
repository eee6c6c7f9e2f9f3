//! From a text to its affect: sentiment, emotions, distress, intent, entities and language.
//!
//! ```text
//!          ┌─ language, names, intent, distress: rules and word lists ──────┐
//!  text ───┤                                                                ├─▶ Affect
//!          ├─ model: tokens ─▶ encoder ─▶ probabilities (English) ──────────┤
//!          └─ lexicon: VADER, emotion words and emoji (without a model) ────┘
//! ```
//!
//! [`AffectEngine`] is the interface: texts in, [`Affect`]s out. [`ModelReader`] is the trained engine.
//! [`LexiconReader`] uses lexica and rules only: it is fast, every number of it can be explained, it needs no file,
//! and it is the fallback if there is no model. [`Settings`] chooses between them, and [`Readers`] runs an engine on
//! several threads.
//!
//! The crate is pure computation. It does not know the log: the affect stage (`limbic-affect-stage`) reads posts and
//! writes readings. It does not run transformer layers: `limbic-encoder` does.
//!
//! # Example
//!
//! ```
//! use limbic_affect::{AffectEngine, LexiconReader};
//!
//! let readings = LexiconReader::new().read(&["What a lovely day!", "I miss her so much since the funeral"]);
//! assert!(readings[0].valence > 0.5 && readings[0].distress.cues.is_empty());
//! assert_eq!(readings[1].distress.cues, ["grief"]);
//! ```
//!
//! # Measured quality
//!
//! * **VADER** has the scores of the reference implementation, `vaderSentiment` 3.3.2, to the last decimal on all
//!   69,053 public texts compared (`tests/vader_agreement.rs`): tweets, reviews, editorials, and five data sets for
//!   replay.
//! * **Distress** (`tests/distress.rs`): of 4,200 everyday posts (VADER's tweets), 1.5 % have a cue. Many of those
//!   are news of accidents, deaths and storms, others are figures of speech; the shares were not counted. The lists
//!   were tuned on these posts, so the figure is not held out. Of the emotion *training* posts of `TweetEval`, a cue
//!   is found in 20 % of those labelled sadness, 6.9 % of anger, 11 % of optimism (many of them about fear that was
//!   overcome) and 1.4 % of joy. Most sadness is not distress, so this is not a recall. **No public data set here is
//!   labelled for distress, so the recall on real posts is unknown.** On the 81 sentences written for the test it is
//!   100 %, which only shows that the list does what it states. It covers English and the plainest phrases of five
//!   other languages.
//! * **Emotions** of the lexicon (`tests/reader.rs`), with the strongest of anger, joy, sadness and the greater of
//!   trust and anticipation for the four classes of the same posts: 59 % of them have a cue, and of those 72 % are
//!   right (the most frequent class has 43 % of all).
//! * **Language** (`tests/language.rs`): of 92 short posts written for the test in ten languages, 79 are right, 3 are
//!   wrong, and the others are `und`. Of 255 posts and headlines in 62 languages, of which 23 are named, 139 of 156 are right and 5
//!   wrong; of the 96 in other languages, 77 are `und`, 18 have the name of a relative, and 1 is taken for English. The rules were
//!   chosen with both files, so the figures are not held out. Of 11,545 English posts of three public sets, 99.5 % are
//!   `en`, 0.4 % `und`, 0.1 % another language. Of the 2,447 posts of the Broad Twitter Corpus for which Twitter names
//!   a language, 96 % agree (Twitter's own tags of short posts are often wrong).
//! * **Names** (`tests/entities.rs`): all of 1,892 mentions and hashtags that Twitter linked are found. Of 5,113
//!   posts about Apple, Google, Microsoft or Twitter, 99.7 % have the brand or one of its products. Of 3,979 topics
//!   of `SemEval` 2017 that are in a post with a capital, 75 % overlap with a found entity. The share of found
//!   entities that are not names was not counted.
//! * **Intent** (`tests/intent.rs`): all of 70 sentences written for the test. Of 4,200 everyday tweets 11 % ask, 4.8
//!   % praise, 0.8 % complain, 0.7 % buy. Of 49 posts of customers to brands, 27 % complain and 18 % praise. There
//!   are no labels, so the share of right ones is unknown.
//!
//! [`evaluation`] measures the engines on public data sets. [`adapters`] are heads for one kind of posts, fitted to labelled ones.
//!
//! # Laws
//!
//! * No text makes an engine panic. The cost of a text grows about linearly with its length.
//! * A reading is a function of its text and the version that it names, with the adapter that read it: batches, order and machine do not
//!   matter.
//! * Every engine reads distress, because the safety gate depends on it. VADER cannot, so [`Vader`] does not
//!   implement [`AffectEngine`].

pub mod adapters;
mod built_in;
mod classifier;
mod cues;
mod distress_words;
pub mod emotions;
mod entities;
pub mod evaluation;
mod events;
mod evidence;
mod fingerprint;
mod language;
mod minors;
mod model;
mod normal;
mod reader;
mod readers;
mod settings;
mod subjects;
mod threads;
pub mod tokens;
mod vader;

use limbic_domain::Affect;

pub use adapters::AdapterSet;
pub use built_in::BuiltInModel;
pub use classifier::{
    ClassifierRoom, Example as TextExample, TextClassifier, Training as TextTraining,
    train as train_classifier,
};
pub use cues::DistressScores;
pub use distress_words::{DistressWords, distress_words};
pub use entities::Names;
pub use events::{EventHead, HeadExample, event_classifier};
pub use evidence::{Explanation, WordContribution, explain};
pub use fingerprint::fingerprint;
pub use language::{LANGUAGES, Language, language_of};
pub use limbic_encoder::{Kernels, Task, TaskKind};
pub use minors::suspects_minor;
pub use model::{CacheCounts, ModelOptions, ModelReader, Numbers, OpenError};
pub use normal::{is_invisible, normalise};
pub use reader::LexiconReader;
pub use readers::{Overloaded, Pending, Readers, ReadersOptions};
pub use settings::{Engine, Opened, Settings, SettingsError};
pub use subjects::{SubjectTagger, SubjectsError};
pub use vader::{Scores, Vader, VaderScratch};

/// Reads the affect of texts.
///
/// The calls block and compute: do not call them on an async thread.
pub trait AffectEngine: Send + Sync {
    /// Name and version of the engine. Every reading has it. Two readings of a text by one version are equal to the
    /// bit.
    fn version(&self) -> &str;

    /// One reading per text, in order. It accepts every text and does not panic.
    fn read(&self, texts: &[&str]) -> Vec<Affect>;

    /// The same, where each text may be read by one of some adapters: `adapters` has as many entries as `texts`. An engine without
    /// adapters reads every text as [`Self::read`] does.
    fn read_adapted(&self, texts: &[&str], adapters: &[AdapterSet]) -> Vec<Affect> {
        let _ = adapters;
        self.read(texts)
    }

    /// Statistics of its cache, since it was opened. `None` = it has none.
    fn cache_counts(&self) -> Option<CacheCounts> {
        None
    }
}
