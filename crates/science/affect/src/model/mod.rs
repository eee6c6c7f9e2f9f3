//! The trained reader: one pass of the encoder over a post, its numbers composed into a reading.
//!
//! What the model is trained for comes from it: sentiment, emotions, irony, offence, hate, and where its folder has the tasks,
//! valence and intensity. What no model is trained for comes from the same rules and lists as in
//! [`LexiconReader`]: language, names, intent, and distress, which the model's emotions can only raise. A text in a
//! language that the model does not know is read by the lexicon, and its reading says so in `model`.
//!
//! A reading is a function of the text and the version: the encoder answers each post alike whatever stands beside it, and
//! the version names the model, the kernels (which round each in their own way), whether posts may leave early, and the lexica.

mod cache;
mod compose;
mod plan;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use limbic_domain::Affect;
use limbic_encoder::{Encoder, Exit, Kernels, KernelsError, Model, ModelError, Scratch, Task};

use crate::reader::{Room, Seen};
use crate::tokens::{Tokeniser, Tokens, VocabularyError};
use crate::{AffectEngine, LexiconReader, language};

use cache::Cache;
pub use cache::CacheCounts;
use plan::Plan;

/// The tokens that go through the encoder together. More keep no core busier and need more memory.
const BATCH_TOKENS: usize = 4096;

/// How a model is to be opened.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Which code runs the encoder.
    pub kernels: Kernels,
    /// Whether posts that are sure enough leave the encoder early, where the model has heads for it. A post with a cue of
    /// distress never does. What the early heads do not answer (irony, offence, hate) is absent from its reading.
    pub cascade: bool,
    /// How many texts are remembered with what was read of them; 0 = none.
    pub cache: usize,
    /// Brands, as [`Names::with_brands`](crate::Names::with_brands) takes them.
    pub brands: BTreeMap<String, Vec<String>>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            kernels: Kernels::Auto,
            cascade: false,
            cache: 100_000,
            brands: BTreeMap::new(),
        }
    }
}

/// Why a model cannot be used. Each says which file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The model's own files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its vocabulary.
    #[error("{}", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: VocabularyError,
    },
    /// The vocabulary is another model's.
    #[error("{} has {pieces} pieces, but the model beside it knows {tokens}: take both from the same release", path.display())]
    OtherVocabulary {
        /// The file.
        path: PathBuf,
        /// Lines of the file.
        pieces: usize,
        /// Rows of the model's embeddings.
        tokens: usize,
    },
    /// The machine cannot run the kernels that were asked for.
    #[error(transparent)]
    Kernels(#[from] KernelsError),
    /// The model is not trained for what a reading needs.
    #[error("{}: {what}: no reading can be composed; take a model of this program's release", path.display())]
    Tasks {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
}

/// What the model said of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    layer: usize,
    values: Box<[f32]>,
    /// Where each task's numbers are; empty for a task that was not asked.
    tasks: Arc<[std::ops::Range<usize>]>,
}

impl Numbers {
    /// After which layer the post was answered: the last, unless it left early.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// The numbers of one of the model's tasks, one for each label; `None` where the post left before it.
    pub fn task(&self, task: usize) -> Option<&[f32]> {
        let place = self.tasks.get(task)?.clone();
        self.values
            .get(place)
            .filter(|numbers| numbers.first().is_some_and(|n| !n.is_nan()))
    }
}

/// Reads with a trained model.
pub struct ModelReader {
    encoder: Encoder,
    tokeniser: Tokeniser,
    plan: Plan,
    places: Arc<[std::ops::Range<usize>]>,
    lexicon: LexiconReader,
    exits: Vec<Exit>,
    cache: Cache<Numbers>,
    version: String,
    most_tokens: usize,
    rooms: Mutex<Vec<Workspace>>,
}

/// Memory for one call at a time.
#[derive(Default)]
struct Workspace {
    surface: Room,
    tokens: Tokens,
    scratch: Scratch,
    /// The tokens of all texts of a call, one after the other.
    ids: Vec<u32>,
}

/// A text that the encoder must look at.
struct Asked {
    /// Its place among the texts.
    text: usize,
    /// Where its tokens are.
    tokens: std::ops::Range<usize>,
    may_leave: bool,
}

impl ModelReader {
    /// Reads and checks the model in `folder`: `config.json`, `model.safetensors` and `vocab.txt`.
    pub fn open(folder: &Path, options: &ModelOptions) -> Result<Self, OpenError> {
        let model = Model::open(folder)?;
        let path = folder.join("vocab.txt");
        let tokeniser = Tokeniser::open(&path).map_err(|source| OpenError::Vocabulary {
            path: path.clone(),
            source,
        })?;
        let (pieces, tokens) = (tokeniser.vocabulary().len(), model.vocabulary());
        if pieces != tokens {
            return Err(OpenError::OtherVocabulary { path, pieces, tokens });
        }
        let plan = Plan::new(model.tasks()).map_err(|what| OpenError::Tasks {
            path: folder.join("config.json"),
            what,
        })?;
        let encoder = Encoder::new(&model, options.kernels)?;
        let lexicon = LexiconReader::with_brands(&options.brands);
        let exits = if options.cascade {
            exits(&model, &encoder, &plan)
        } else {
            Vec::new()
        };
        let mut end = 0;
        let places = model.tasks().iter().map(|task| {
            let start = end;
            end += task.width();
            start..end
        });
        Ok(Self {
            version: format!(
                "{}/{}{}/{}",
                model.version(),
                encoder.kernels(),
                if exits.is_empty() { "" } else { "+cascade" },
                lexicon.version()
            ),
            places: places.collect(),
            most_tokens: model.max_tokens(),
            cache: Cache::new(options.cache),
            rooms: Mutex::default(),
            encoder,
            tokeniser,
            plan,
            lexicon,
            exits,
        })
    }

    /// What the model answers, in the order of [`Numbers::task`].
    pub fn tasks(&self) -> &[Task] {
        self.encoder.tasks()
    }

    /// The kernels that run.
    pub fn kernels(&self) -> Kernels {
        self.encoder.kernels()
    }

    /// How often a text was there already.
    pub fn cache(&self) -> CacheCounts {
        self.cache.counts()
    }

    /// What the model itself says of each text, whatever language it seems to be in: what `limbic eval` measures. Leaves the
    /// cache alone.
    pub fn numbers(&self, texts: &[&str]) -> Vec<Numbers> {
        let mut room = self.take_room();
        room.ids.clear();
        let asked: Vec<Asked> = texts
            .iter()
            .enumerate()
            .map(|(place, text)| self.tokenise(place, text, true, &mut room))
            .collect();
        let mut answers = vec![None; texts.len()];
        self.encode(&asked, &mut room, |place, numbers| answers[place] = Some(numbers));
        self.give_back(room);
        // Tokens of the model's own vocabulary, cut to its length, are never refused.
        answers
            .into_iter()
            .map(|numbers| numbers.unwrap_or_else(|| self.nothing()))
            .collect()
    }

    fn nothing(&self) -> Numbers {
        Numbers {
            layer: 0,
            values: vec![f32::NAN; self.places.last().map_or(0, |place| place.end)].into(),
            tasks: Arc::clone(&self.places),
        }
    }

    fn tokenise(&self, text_place: usize, text: &str, may_leave: bool, room: &mut Workspace) -> Asked {
        let start = room.ids.len();
        let ids = self.tokeniser.tokenise(text, self.most_tokens, &mut room.tokens);
        room.ids.extend_from_slice(ids);
        Asked {
            text: text_place,
            tokens: start..room.ids.len(),
            may_leave,
        }
    }

    /// Lets the encoder look at all that is asked, some tokens at a time, those that may leave early apart.
    fn encode(&self, asked: &[Asked], room: &mut Workspace, mut hand_on: impl FnMut(usize, Numbers)) {
        for may_leave in [true, false] {
            let exits = if may_leave { self.exits.as_slice() } else { &[] };
            let group: Vec<&Asked> = asked.iter().filter(|one| one.may_leave == may_leave).collect();
            let mut rest = group.as_slice();
            while !rest.is_empty() {
                let mut tokens = 0;
                let count = rest
                    .iter()
                    .take_while(|one| {
                        tokens += one.tokens.len();
                        tokens <= BATCH_TOKENS
                    })
                    .count()
                    .max(1);
                let (batch, later) = rest.split_at(count);
                rest = later;
                let posts: Vec<&[u32]> = batch.iter().map(|one| &room.ids[one.tokens.clone()]).collect();
                let Ok(output) = self.encoder.read_early(&mut room.scratch, &posts, exits) else {
                    continue;
                };
                for (one, answer) in batch.iter().zip(output.posts()) {
                    let mut numbers = self.nothing();
                    numbers.layer = answer.layer();
                    for (task, place) in self.places.iter().enumerate() {
                        if let Some(values) = answer.task(task) {
                            numbers.values[place.clone()].copy_from_slice(values);
                        }
                    }
                    hand_on(one.text, numbers);
                }
            }
        }
    }

    fn take_room(&self) -> Workspace {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.pop().unwrap_or_default()
    }

    fn give_back(&self, room: Workspace) {
        self.rooms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(room);
    }
}

/// Where posts may leave: where the model says how sure they must be, and the heads there answer what a reading needs.
fn exits(model: &Model, encoder: &Encoder, plan: &Plan) -> Vec<Exit> {
    let mut scratch = Scratch::new();
    let answers_enough = |layer: usize, scratch: &mut Scratch| {
        let anyone = [Exit {
            layer,
            min_confidence: f32::NEG_INFINITY,
        }];
        let nothing: &[u32] = &[0, 0];
        encoder
            .read_early(scratch, &[nothing], &anyone)
            .is_ok_and(|output| plan.needs().all(|task| output.post(0).task(task).is_some()))
    };
    model
        .exits()
        .filter_map(|(layer, confidence)| {
            Some(Exit {
                layer,
                min_confidence: confidence?,
            })
        })
        .filter(|exit| answers_enough(exit.layer, &mut scratch))
        .collect()
}

impl AffectEngine for ModelReader {
    fn version(&self) -> &str {
        &self.version
    }

    fn read(&self, texts: &[&str]) -> Vec<Affect> {
        let mut room = self.take_room();
        room.ids.clear();
        let mut answers: Vec<Option<Arc<Numbers>>> = vec![None; texts.len()];
        let mut asked: Vec<Asked> = Vec::new();
        let mut first_of: HashMap<&str, usize, foldhash::fast::FixedState> = HashMap::default();
        let mut again: Vec<(usize, usize)> = Vec::new();
        let mut seen: Vec<Seen> = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            let one = self.lexicon.surface().see(text, &mut room.surface);
            if language::may_be_english(one.language, text) {
                if let Some(known) = self.cache.get(text) {
                    answers[place] = Some(known);
                } else if let Some(first) = first_of.get(text) {
                    again.push((place, *first));
                } else {
                    first_of.insert(text, place);
                    let may_leave = one.distress.score() == 0.0;
                    asked.push(self.tokenise(place, text, may_leave, &mut room));
                }
            }
            seen.push(one);
        }
        self.encode(&asked, &mut room, |place, numbers| {
            let numbers = Arc::new(numbers);
            self.cache.put(texts[place], Arc::clone(&numbers));
            answers[place] = Some(numbers);
        });
        for (place, first) in again {
            let known = answers[first].clone();
            answers[place] = known;
        }
        self.give_back(room);
        seen.into_iter()
            .zip(answers)
            .map(|(seen, numbers)| match numbers {
                Some(numbers) => self.compose(seen, &numbers),
                None => self.lexicon.affect(seen),
            })
            .collect()
    }
}
