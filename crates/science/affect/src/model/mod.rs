//! The trained engine: one pass of the encoder per post, and a reading composed from its outputs.
//!
//! The model gives sentiment, emotions, irony, offence and hate, and if its folder has the tasks, valence, intensity and
//! distress. The rules and lists of [`LexiconReader`] give language, names, intent, and distress, which the model's
//! emotions and its head for distress can only raise. A text in a language that the model does not know has no sentiment
//! (`unknown_language`), and `model` of its reading names the lexicon alone.
//!
//! A reading is a function of the text and the version. The encoder's result for a post does not depend on the batch.
//! The version names the model, the kernels (each rounds differently), whether early exits are used, and the lexica.

mod adapted;
mod cache;
mod compose;
mod distress;
mod familiarity;
mod plan;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use limbic_domain::Affect;
use limbic_encoder::{Encoder, Exit, Kernels, KernelsError, Model, ModelError, ModelFiles, Scratch, Task};
use sha2::{Digest, Sha256};

use crate::adapters::{AdapterSet, Adapters, Input, PerClass};
use crate::events::EventHead;
use crate::reader::{Room, Seen};
use crate::tokens::{Tokeniser, Tokens, Vocabulary, VocabularyError};
use crate::{AffectEngine, LexiconReader};

use cache::Cache;
pub use cache::CacheCounts;
use familiarity::Familiarity;
use plan::Plan;

const VOCABULARY: &str = "vocab.txt";

/// Tokens per call of the encoder. More do not increase the speed, but need more memory.
const BATCH_TOKENS: usize = 4096;

/// Options of [`ModelReader::open`].
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// The kernels of the encoder.
    pub kernels: Kernels,
    /// Whether confident posts leave the encoder early, if the model has heads for it. A post with a cue of distress
    /// never does, and no post leaves where a model that reads distress has no head for it. Other tasks that the early heads
    /// lack (irony, offence, hate) are absent from the reading.
    pub cascade: bool,
    /// Number of texts whose results are cached; 0 disables the cache.
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

/// The model cannot be used. The error names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file of the encoder is invalid.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The vocabulary is invalid.
    #[error("{}", path.display())]
    Vocabulary {
        /// Path of the file.
        path: PathBuf,
        /// Error of the vocabulary.
        #[source]
        source: VocabularyError,
    },
    /// The vocabulary belongs to another model.
    #[error("{} has {pieces} pieces, but the model has {tokens}: take both files from the same release", path.display())]
    OtherVocabulary {
        /// Path of the file.
        path: PathBuf,
        /// Number of lines of the file.
        pieces: usize,
        /// Number of rows of the model's embeddings.
        tokens: usize,
    },
    /// This machine does not support the selected kernels.
    #[error(transparent)]
    Kernels(#[from] KernelsError),
    /// The head for sensitive events is damaged, or belongs to another model.
    #[error("{}: {what}: take the file of the same release as the model, or remove it", path.display())]
    EventHead {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The counts of word pieces are damaged, or belong to another vocabulary.
    #[error("{}: {what}: take the file of the same release as the model, or remove it", path.display())]
    Familiarity {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The model lacks a task that every reading needs.
    #[error("{}: {what}: a reading needs it; take a model of the same release as this program", path.display())]
    Tasks {
        /// Path of the file.
        path: PathBuf,
        /// The missing task.
        what: String,
    },
}

/// The outputs of the model for one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    layer: usize,
    /// What the pooled state says of a sensitive event, as [`EventHead::of_state`] has it; `None` if the model has no such head, or the
    /// post left early.
    event: Option<f32>,
    /// How far the text is from what was learnt, as [`Familiarity::distance`] has it; `None` if the model has no such file.
    distance: Option<f32>,
    /// The probabilities of each adapter; empty if there are none, or the post left early.
    adapted: Box<[PerClass<f64>]>,
    values: Box<[f32]>,
    /// Range of each task's numbers; empty for a task that was not computed.
    tasks: Arc<[std::ops::Range<usize>]>,
}

impl Numbers {
    /// Number of layers the post went through: all, unless it left early.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// The numbers of one of the model's tasks, one per label; `None` if the post left at an exit without it.
    pub fn task(&self, task: usize) -> Option<&[f32]> {
        let place = self.tasks.get(task)?.clone();
        self.values
            .get(place)
            .filter(|numbers| numbers.first().is_some_and(|n| !n.is_nan()))
    }
}

/// An engine with a trained model.
pub struct ModelReader {
    adapters: Adapters,
    event_head: Option<EventHead>,
    familiarity: Option<Familiarity>,
    encoder: Encoder,
    tokeniser: Tokeniser,
    plan: Plan,
    places: Arc<[std::ops::Range<usize>]>,
    lexicon: LexiconReader,
    exits: Vec<Exit>,
    cache: Cache<Numbers>,
    /// The version of the model alone.
    model: String,
    /// The checksum of its `config.json`.
    configuration: String,
    version: String,
    most_tokens: usize,
    rooms: Mutex<Vec<Workspace>>,
}

/// Buffers of one call at a time.
#[derive(Default)]
struct Workspace {
    surface: Room,
    tokens: Tokens,
    scratch: Scratch,
    input: Input,
    /// The tokens of all texts of a call, one after another.
    ids: Vec<u32>,
}

/// A text that the encoder must read.
struct Asked {
    /// Index of the text.
    text: usize,
    /// Range of its tokens.
    tokens: std::ops::Range<usize>,
    may_leave: bool,
}

impl ModelReader {
    /// Reads and checks the model in `folder`: `config.json`, `model.safetensors` and `vocab.txt`.
    pub fn open(folder: &Path, options: &ModelOptions) -> Result<Self, OpenError> {
        Self::from_files(folder, options)
    }

    /// The same for a model whose files are in a folder, or in the program.
    pub fn from_files<F: ModelFiles + ?Sized>(files: &F, options: &ModelOptions) -> Result<Self, OpenError> {
        let model = Model::from_files(files)?;
        let path = files.path(VOCABULARY);
        let vocabulary = |source| OpenError::Vocabulary {
            path: path.clone(),
            source,
        };
        let text = files.read(VOCABULARY).and_then(|bytes| {
            String::from_utf8(bytes.into_owned())
                .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        });
        let text = text.map_err(|source| {
            vocabulary(VocabularyError::Unreadable {
                path: path.display().to_string(),
                source,
            })
        })?;
        let tokeniser = Tokeniser::new(Vocabulary::new(&text).map_err(vocabulary)?);
        let familiarity = open_familiarity(files, tokeniser.vocabulary(), &text)?;
        let (pieces, tokens) = (tokeniser.vocabulary().len(), model.vocabulary());
        if pieces != tokens {
            return Err(OpenError::OtherVocabulary { path, pieces, tokens });
        }
        let plan = Plan::new(model.tasks()).map_err(|what| OpenError::Tasks {
            path: files.path("config.json"),
            what,
        })?;
        let encoder = Encoder::new(&model, options.kernels)?;
        let event_head = open_event_head(files, model.version(), encoder.pooled_width())?;
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
                "{}{}{}/{}{}/{}",
                model.version(),
                event_head.as_ref().map_or_else(String::new, EventHead::suffix),
                familiarity.as_ref().map_or_else(String::new, Familiarity::suffix),
                encoder.kernels(),
                if exits.is_empty() { "" } else { "+cascade" },
                lexicon.version()
            ),
            model: model.version().to_owned(),
            configuration: adapted::configuration(files)?,
            adapters: Adapters::default(),
            places: places.collect(),
            most_tokens: model.max_tokens(),
            cache: Cache::new(options.cache),
            rooms: Mutex::default(),
            event_head,
            familiarity,
            encoder,
            tokeniser,
            plan,
            lexicon,
            exits,
        })
    }

    /// The tasks of the model, in the order of [`Numbers::task`].
    pub fn tasks(&self) -> &[Task] {
        self.encoder.tasks()
    }

    /// Name and version of the model alone, without kernels and lexica.
    pub fn model_version(&self) -> &str {
        &self.model
    }

    /// The kernels in use.
    pub fn kernels(&self) -> Kernels {
        self.encoder.kernels()
    }

    /// Statistics of the cache.
    pub fn cache(&self) -> CacheCounts {
        self.cache.counts()
    }

    /// The model's own outputs for each text, for any language. `limbic measure` measures them. Does not use the cache.
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

    /// The model's pooled hidden states of each text, for the training of heads; `None` for a text whose language it does not know.
    pub fn pooled(&self, texts: &[&str]) -> Vec<Option<Vec<f32>>> {
        let mut room = self.take_room();
        room.ids.clear();
        let mut states = vec![None; texts.len()];
        let mut asked: Vec<Asked> = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            let language = self.lexicon.surface().see(text, &mut room.surface).language;
            if language.is_read() {
                asked.push(self.tokenise(place, text, false, &mut room));
            }
        }
        for batch in asked.chunks(BATCH_TOKENS / self.most_tokens.max(1)) {
            let posts: Vec<&[u32]> = batch.iter().map(|one| &room.ids[one.tokens.clone()]).collect();
            let Ok(output) = self.encoder.read(&mut room.scratch, &posts) else {
                continue;
            };
            for (one, answer) in batch.iter().zip(output.posts()) {
                states[one.text] = answer.pooled().map(<[f32]>::to_vec);
            }
        }
        self.give_back(room);
        states
    }

    fn nothing(&self) -> Numbers {
        Numbers {
            layer: 0,
            event: None,
            distance: None,
            adapted: Box::default(),
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

    /// Runs the encoder on the requested texts, some tokens at a time. Texts that may leave early are in separate calls.
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
                    numbers.event = self
                        .event_head
                        .as_ref()
                        .zip(answer.pooled())
                        .map(|(head, pooled)| head.of_state(pooled));
                    let tokens = &room.ids[one.tokens.clone()];
                    numbers.distance = self
                        .familiarity
                        .as_ref()
                        .map(|known| known.distance(tokens) as f32);
                    for (task, place) in self.places.iter().enumerate() {
                        if let Some(values) = answer.task(task) {
                            numbers.values[place.clone()].copy_from_slice(values);
                        }
                    }
                    if !self.adapters.is_empty()
                        && let Some(pooled) = answer.pooled()
                    {
                        self.fill_input(pooled, &numbers, &mut room.input);
                        numbers.adapted = self.adapters.probabilities(&room.input);
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

/// The counts of word pieces in the model's folder, if there are any.
fn open_familiarity<F: ModelFiles + ?Sized>(
    files: &F,
    vocabulary: &Vocabulary,
    text: &str,
) -> Result<Option<Familiarity>, OpenError> {
    let failed = |what: String| OpenError::Familiarity {
        path: files.path(Familiarity::FILE),
        what,
    };
    match files.read(Familiarity::FILE) {
        Ok(bytes) => Familiarity::from_bytes(&bytes, vocabulary, &Sha256::digest(text))
            .map(Some)
            .map_err(|what| failed(what.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The head for sensitive events in the model's folder, if there is one.
fn open_event_head<F: ModelFiles + ?Sized>(
    files: &F,
    model: &str,
    width: usize,
) -> Result<Option<EventHead>, OpenError> {
    let path = files.path(EventHead::FILE);
    let failed = |what: String| OpenError::EventHead {
        path: path.clone(),
        what,
    };
    let bytes = match files.read(EventHead::FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let head = EventHead::from_bytes(&bytes).filter(|head| head.width() == width);
    let head = head.ok_or_else(|| failed("it is damaged".to_owned()))?;
    if head.model() != model {
        return Err(failed(format!(
            "it belongs to the model `{}`, and this is `{model}`",
            head.model()
        )));
    }
    Ok(Some(head))
}

/// The layers at which posts may leave: those with a confidence from the model and with heads for everything that a
/// reading needs.
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

    fn cache_counts(&self) -> Option<CacheCounts> {
        Some(self.cache())
    }

    fn read(&self, texts: &[&str]) -> Vec<Affect> {
        self.read_adapted(texts, &vec![AdapterSet::NONE; texts.len()])
    }

    fn read_adapted(&self, texts: &[&str], adapters: &[AdapterSet]) -> Vec<Affect> {
        let mut room = self.take_room();
        room.ids.clear();
        let mut answers: Vec<Option<Arc<Numbers>>> = vec![None; texts.len()];
        let mut asked: Vec<Asked> = Vec::new();
        let mut first_of: HashMap<&str, usize, foldhash::fast::FixedState> = HashMap::default();
        let mut again: Vec<(usize, usize)> = Vec::new();
        let mut seen: Vec<Seen> = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            let one = self.lexicon.surface().see(text, &mut room.surface);
            if one.language.is_read() {
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
            .zip(adapters)
            .map(|((seen, numbers), adapters)| match numbers {
                Some(numbers) => {
                    let adapter = self.adapters.first(*adapters, seen.language.tag);
                    self.compose(seen, &numbers, adapter)
                }
                None => self.lexicon.affect(seen),
            })
            .collect()
    }
}
