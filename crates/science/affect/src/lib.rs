//! From a text to what it feels.
//!
//! [`AffectEngine`] is the place a reader takes: texts in, [`Affect`]s out. [`LexiconReader`] takes it today, with lexica and
//! rules alone: sentiment by [`Vader`], emotions, arousal, distress and language by word lists of its own. It is fast,
//! explains itself, needs no file beside the program, and stays as first opinion and fallback when a trained reader comes.
//! [`AffectStage`] puts an engine between the topics `posts` and `readings`.
//!
//! ```
//! use limbic_affect::{AffectEngine, LexiconReader};
//!
//! let readings = LexiconReader::new().read(&["What a lovely day!", "I miss her so much since the funeral"]);
//! assert!(readings[0].valence > 0.5 && readings[0].distress.cues.is_empty());
//! assert_eq!(readings[1].distress.cues, ["grief"]);
//! ```
//!
//! # How well it reads, measured
//!
//! * **VADER** has the scores of the reference implementation, `vaderSentiment` 3.3.2, to the last decimal on all 69,053
//!   public texts compared (`tests/vader_agreement.rs`): tweets, reviews, editorials, five replayable streams.
//! * **Distress** (`tests/distress.rs`): of 4,200 everyday posts (VADER's tweets) 1.5 % have a cue; many of those are news of
//!   accidents, deaths and storms, others are figures of speech, and nobody has counted which are more. The lists were tuned on
//!   them, so the figure is not held out. Of the emotion *training* posts of `TweetEval` a cue is found in 20 %
//!   of those labelled sadness, 6.9 % of anger, 11 % of optimism (which has much talk of fear overcome) and 1.4 % of joy. Sadness
//!   is not distress and most of it should have no cue, so this is no recall: **nothing public here is labelled for
//!   distress, and the recall on real posts is unknown.** On the 81 sentences written for the test it is 100 %, which
//!   says that the list does what it says, no more. It sees English and the plainest phrases of five other languages.
//! * **Emotions** (`tests/reader.rs`), taking the strongest of anger, joy, sadness and the greater of trust and anticipation for
//!   the four classes of the same posts: 59 % of them show a cue, and of those 72 % are right (the most
//!   frequent class has 43 % of all).
//! * **Language** (`tests/language.rs`): of 92 short posts written for it in ten languages 84 are named right, 1 wrong, the others
//!   `und` (78 right and 2 wrong before stop words were added that they lacked: not held out). Of 11,545 English posts of three
//!   public sets 98.4 % are `en`, 1.3 % `und`, 0.3 % another. Of the 2,447 posts of the Broad Twitter Corpus that Twitter names a
//!   language of, 94 % agree (Twitter's own names of short ones are often wrong).
//! * **Names** (`tests/entities.rs`): of 1,892 mentions and hashtags that Twitter linked none is missed; of 5,113 posts about Apple,
//!   Google, Microsoft or Twitter 99.7 % have the brand or a product of it; of 3,979 topics of `SemEval` 2017 that stand in a
//!   post with their capital, 75 % overlap with something found. How much of what is found is no name was not counted.
//! * **Intent** (`tests/intent.rs`): all of 70 sentences written for it. Of 4,200 everyday tweets 11 % ask, 4.8 % praise,
//!   0.8 % complain, 0.7 % buy; of 49 posts of customers to brands 27 % complain, 18 % praise. There are no labels to say how many of
//!   these are right.
//!
//! # What must always hold
//!
//! * No text makes a reader panic, and what a text costs grows with its length, hardly faster.
//! * A reading is a function of its text and the reader's version: batches, order and machine do not matter.
//! * Every engine reads distress. One that cannot (VADER alone) is no [`AffectEngine`], because the safety gate relies on it.

mod cues;
pub mod emotions;
mod entities;
pub mod evaluation;
mod evidence;
mod language;
mod model;
mod normal;
mod reader;
mod readers;
mod settings;
mod subjects;
pub mod tokens;
mod vader;

use limbic_domain::Affect;

pub use cues::DistressScores;
pub use entities::Names;
pub use evidence::{Evidence, Explained, explain};
pub use limbic_encoder::{Kernels, Kind as TaskKind, Task};
pub use model::{CacheCounts, ModelOptions, ModelReader, Numbers, OpenError};
pub use normal::normalise;
pub use reader::LexiconReader;
pub use readers::{Overloaded, Pending, Readers, ReadersOptions};
pub use settings::{Engine, Opened, Settings, SettingsError};
pub use subjects::{SubjectTagger, SubjectsError};
pub use vader::{Scores, Scratch, Vader};

/// Reads what texts feel.
///
/// Blocking and pure computation: call it on a thread that may compute (DESIGN, law 9).
pub trait AffectEngine: Send + Sync {
    /// Which reader this is. Every reading carries it, and two readings of one version agree bit for bit.
    fn version(&self) -> &str;

    /// One reading for each text, in order, whatever the texts are: it never panics and never refuses.
    fn read(&self, texts: &[&str]) -> Vec<Affect>;
}
