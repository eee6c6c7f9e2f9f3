//! Threads that read texts for many callers.
//!
//! ```text
//! callers ─▶ queue (bounded) ─▶ batches by tokens ─▶ one batch ahead ─▶ compute threads ─▶ readings
//! ```
//!
//! A batch is closed when it has enough tokens, when its first text has waited for `linger`, or when a caller has no
//! more texts. One closed batch waits while others are read, so that no compute thread idles. Nothing here runs on an
//! async thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use limbic_domain::Affect;

use crate::{AdapterSet, AffectEngine, CacheCounts};

/// Number of threads, and how texts are batched for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadersOptions {
    /// Compute threads, at least 1.
    pub threads: usize,
    /// Approximate number of tokens per batch. A single longer text is a separate batch.
    pub batch_tokens: usize,
    /// Longest time that the first text of a batch waits for others.
    pub linger: Duration,
    /// Largest number of queued texts. If the queue is full, `ask` returns an error, and `read` waits.
    pub queue: usize,
}

impl Default for ReadersOptions {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            batch_tokens: 2048,
            linger: Duration::from_millis(2),
            queue: 4096,
        }
    }
}

/// The queue is full. Try again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the readers are overloaded: {0} texts are queued already; try again later")]
pub struct Overloaded(usize);

/// A reading that is not ready yet.
#[derive(Debug)]
pub struct Pending {
    text: String,
    answer: Receiver<Answers>,
}

/// Readings of texts of one caller, with the places of the texts.
type Answers = Vec<(usize, Affect)>;

/// Compute threads around one engine. It is an engine: it reads a batch with all threads.
pub struct Readers {
    engine: Arc<dyn AffectEngine>,
    queue: Option<Sender<Asked>>,
    room: usize,
    threads: Vec<JoinHandle<()>>,
}

enum Asked {
    Text(Text),
    /// The caller has no more texts.
    Now,
}

struct Text {
    written: String,
    adapters: AdapterSet,
    place: usize,
    answer: Sender<Answers>,
}

impl Readers {
    /// Starts the threads. Dropping the value ends them after all queued texts are read.
    pub fn start(engine: Arc<dyn AffectEngine>, options: ReadersOptions) -> std::io::Result<Self> {
        let (queue, asked) = bounded(options.queue.max(1));
        // Only one batch ahead, so that waiting texts stay in the queue, where they are counted.
        let (batches, ready) = bounded(1);
        let named = |name: String| std::thread::Builder::new().name(name);
        let mut threads =
            vec![named("limbic-batches".to_owned()).spawn(move || put_together(&asked, &batches, options))?];
        for number in 0..options.threads.max(1) {
            let (engine, ready) = (Arc::clone(&engine), Receiver::clone(&ready));
            threads.push(
                named(format!("limbic-reader-{number}")).spawn(move || read_all(engine.as_ref(), &ready))?,
            );
        }
        Ok(Self {
            engine,
            queue: Some(queue),
            room: options.queue.max(1),
            threads,
        })
    }

    /// Queues one text. Returns an error if the queue is full.
    pub fn ask(&self, text: &str) -> Result<Pending, Overloaded> {
        let (answer, answers) = bounded(1);
        let asked = Asked::Text(Text {
            written: text.to_owned(),
            adapters: AdapterSet::NONE,
            place: 0,
            answer,
        });
        match self.queue.as_ref().map(|queue| queue.try_send(asked)) {
            Some(Err(TrySendError::Full(_))) => Err(Overloaded(self.room)),
            _ => Ok(Pending {
                text: text.to_owned(),
                answer: answers,
            }),
        }
    }

    /// Waits for the reading.
    pub fn wait(&self, pending: &Pending) -> Affect {
        let answers = pending.answer.recv().unwrap_or_default();
        let reading = answers.into_iter().next().map(|(_, affect)| affect);
        reading.unwrap_or_else(|| self.alone(&pending.text, AdapterSet::NONE))
    }

    /// Reads a text on this thread. An engine that panicked on a batch may panic on one of its texts; only the caller
    /// of that text then sees the panic.
    fn alone(&self, text: &str, adapters: AdapterSet) -> Affect {
        self.engine
            .read_adapted(&[text], &[adapters])
            .pop()
            .unwrap_or_default()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // The threads catch panics of the engine.
            let _ = thread.join();
        }
    }
}

impl AffectEngine for Readers {
    fn version(&self) -> &str {
        self.engine.version()
    }

    fn cache_counts(&self) -> Option<CacheCounts> {
        self.engine.cache_counts()
    }

    fn read(&self, texts: &[&str]) -> Vec<Affect> {
        self.read_adapted(texts, &vec![AdapterSet::NONE; texts.len()])
    }

    /// Reads with all threads. Waits if the queue is full.
    fn read_adapted(&self, texts: &[&str], adapters: &[AdapterSet]) -> Vec<Affect> {
        let (answer, answers) = unbounded();
        if let Some(queue) = &self.queue {
            for (place, (text, adapters)) in texts.iter().zip(adapters).enumerate() {
                let text = Text {
                    written: (*text).to_owned(),
                    adapters: *adapters,
                    place,
                    answer: Sender::clone(&answer),
                };
                if queue.send(Asked::Text(text)).is_err() {
                    break;
                }
            }
            let _ = queue.send(Asked::Now);
        }
        drop(answer);
        let mut readings: Vec<Option<Affect>> = vec![None; texts.len()];
        for (place, affect) in answers.into_iter().flatten() {
            readings[place] = Some(affect);
        }
        let asked = texts.iter().zip(adapters);
        readings
            .into_iter()
            .zip(asked)
            .map(|(reading, (text, adapters))| reading.unwrap_or_else(|| self.alone(text, *adapters)))
            .collect()
    }
}

/// Approximate number of tokens of a text, up to the largest that a model reads.
fn tokens(text: &str) -> usize {
    text.len().min(512) / 4 + 2
}

/// Batches texts until all senders are gone.
fn put_together(asked: &Receiver<Asked>, batches: &Sender<Vec<Text>>, options: ReadersOptions) {
    while let Ok(first) = asked.recv() {
        let Asked::Text(first) = first else { continue };
        let deadline = Instant::now() + options.linger;
        let mut sum = tokens(&first.written);
        let mut batch = vec![first];
        while sum < options.batch_tokens {
            let Ok(Asked::Text(text)) = asked.recv_deadline(deadline) else {
                break;
            };
            sum += tokens(&text.written);
            batch.push(text);
        }
        if batches.send(batch).is_err() {
            break;
        }
    }
}

/// Reads batches until there are no more.
fn read_all(engine: &dyn AffectEngine, batches: &Receiver<Vec<Text>>) {
    for batch in batches {
        let texts: Vec<&str> = batch.iter().map(|text| text.written.as_str()).collect();
        let adapters: Vec<AdapterSet> = batch.iter().map(|text| text.adapters).collect();
        // If an engine panics, its texts get no reading; the callers see the closed channel.
        let Ok(readings) = catch_unwind(AssertUnwindSafe(|| engine.read_adapted(&texts, &adapters))) else {
            continue;
        };
        let mut readings = readings.into_iter();
        for of_caller in batch.chunk_by(|one, next| one.answer.same_channel(&next.answer)) {
            let places = of_caller.iter().map(|text| text.place);
            let answers: Answers = places.zip(readings.by_ref()).collect();
            // The caller may be gone.
            let _ = of_caller[0].answer.send(answers);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::LexiconReader;

    fn options() -> ReadersOptions {
        ReadersOptions {
            threads: 2,
            ..ReadersOptions::default()
        }
    }

    /// An engine that waits until its gate is open, and records the sizes of its batches.
    struct Gated {
        gate: Receiver<()>,
        batches: Mutex<Vec<usize>>,
    }

    impl AffectEngine for Gated {
        fn version(&self) -> &'static str {
            "gated"
        }
        fn read(&self, texts: &[&str]) -> Vec<Affect> {
            let _ = self.gate.recv();
            self.batches.lock().unwrap().push(texts.len());
            vec![Affect::default(); texts.len()]
        }
    }

    /// Readers with a gated engine. The fields are dropped in this order: a test that fails opens the gate before it waits
    /// for the threads, which would otherwise wait for the gate and never end.
    struct Scene {
        gate: Option<Sender<()>>,
        readers: Readers,
        engine: Arc<Gated>,
    }

    impl Scene {
        fn new(options: ReadersOptions) -> Self {
            let (open, gate) = unbounded();
            let batches = Mutex::default();
            let engine = Arc::new(Gated { gate, batches });
            Self {
                gate: Some(open),
                readers: Readers::start(Arc::clone(&engine) as Arc<dyn AffectEngine>, options).unwrap(),
                engine,
            }
        }

        fn open(&mut self) {
            self.gate = None;
        }
    }

    #[test]
    fn a_test_that_fails_while_the_gate_is_closed_ends() {
        let failed = catch_unwind(|| {
            let scene = Scene::new(options());
            let _pending = scene.readers.ask("good").unwrap();
            panic!("as a failed assertion does");
        });
        assert!(failed.is_err());
    }

    #[test]
    fn many_threads_give_the_same_readings_as_one() {
        let texts: Vec<String> = (0..500)
            .map(|n| format!("what a lovely day number {n} 😂 {}", "so ".repeat(n % 40)))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let engine = Arc::new(LexiconReader::new());
        let readers = Readers::start(Arc::clone(&engine) as Arc<dyn AffectEngine>, options()).unwrap();
        assert_eq!(readers.read(&texts), engine.read(&texts));
        assert_eq!(readers.read(&[]), []);
        assert_eq!(readers.version(), engine.version());
    }

    #[test]
    fn a_caller_with_no_further_texts_does_not_wait_for_the_linger() {
        let engine = Arc::new(LexiconReader::new());
        let patient = ReadersOptions {
            linger: Duration::from_hours(1),
            ..options()
        };
        let readers = Readers::start(engine, patient).unwrap();
        assert_eq!(readers.read(&["good", "bad"]).len(), 2);
    }

    #[test]
    fn a_batch_with_enough_tokens_does_not_wait_for_the_linger() {
        let patient = ReadersOptions {
            threads: 1,
            batch_tokens: 3 * tokens("good"),
            linger: Duration::from_hours(1),
            queue: 16,
        };
        let mut scene = Scene::new(patient);
        scene.open();
        let pending: Vec<Pending> = (0..6).map(|_| scene.readers.ask("good").unwrap()).collect();
        for one in pending {
            scene.readers.wait(&one);
        }
        assert_eq!(*scene.engine.batches.lock().unwrap(), [3, 3]);
    }

    #[test]
    fn a_single_text_is_read_after_the_linger() {
        let hasty = ReadersOptions {
            linger: Duration::ZERO,
            ..options()
        };
        let readers = Readers::start(Arc::new(LexiconReader::new()), hasty).unwrap();
        let pending = readers.ask("what a lovely day").unwrap();
        assert!(readers.wait(&pending).valence > 0.5);
    }

    #[test]
    fn an_overloaded_reader_refuses_new_texts_and_answers_the_accepted_ones() {
        let small = ReadersOptions {
            threads: 1,
            batch_tokens: 1,
            linger: Duration::ZERO,
            queue: 2,
        };
        let mut scene = Scene::new(small);
        let mut taken = Vec::new();
        let refused = loop {
            match scene.readers.ask("good") {
                Ok(pending) => taken.push(pending),
                Err(refused) => break refused,
            }
        };
        // Two wait. One may be read, one may be ready, and one may be between the two.
        assert!((2..=5).contains(&taken.len()), "{}", taken.len());
        assert!(refused.to_string().contains("2 texts are queued"));
        scene.open();
        for pending in taken {
            assert_eq!(scene.readers.wait(&pending), Affect::default());
        }
    }

    #[test]
    fn a_panic_on_one_text_does_not_affect_other_texts() {
        struct Shy(AtomicUsize);
        impl AffectEngine for Shy {
            fn version(&self) -> &'static str {
                "shy"
            }
            fn read(&self, texts: &[&str]) -> Vec<Affect> {
                self.0.fetch_add(1, Ordering::Relaxed);
                assert!(texts.len() == 1, "too many at once");
                vec![Affect::default()]
            }
        }
        let engine = Arc::new(Shy(AtomicUsize::new(0)));
        let readers = Readers::start(Arc::clone(&engine) as Arc<dyn AffectEngine>, options()).unwrap();
        assert_eq!(readers.read(&["a", "b", "c"]).len(), 3);
        assert!(engine.0.load(Ordering::Relaxed) >= 4);
        assert_eq!(readers.read(&["d"]).len(), 1, "the threads are still there");
    }
}
