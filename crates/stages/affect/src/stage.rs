//! Reads posts, writes readings.

use std::sync::Arc;
use std::time::Instant;

use limbic_domain::{Affect, Deletion, Envelope, Post, Reading, Slug, TenantId, event_id, topics};
use limbic_stream::{Batch, BatchLimits, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec};

use limbic_affect::adapters::Adapters;
use limbic_affect::{AdapterSet, AffectEngine, CacheCounts, SubjectTagger, fingerprint, suspects_minor};

use crate::AffectMeters;

/// Maximum number of posts in a batch. Each post is in memory three times: as its record, with its reading, and as the record
/// of the reading.
const BATCH: usize = 2_000;

/// Reads every post of a batch in one call of its engine.
///
/// A reading has the key and the time of its post. Its id is a function of tenant, post, model (with the adapter that read the post) and
/// subject lists, so reading a post again with the same model and the same lists gives the same event. A record that is not a post goes
/// to the dead-letter topic. A deletion is passed on, after the readings of the posts before it. A repost is read as its own text, which may be empty.
pub struct AffectStage {
    engine: Arc<dyn AffectEngine>,
    tagger: SubjectTagger,
    adapters: Adapters,
    meters: AffectMeters,
    /// The counts of the engine's cache after the latest batch.
    cache: CacheCounts,
}

impl AffectStage {
    /// Name of the stage and of its consumer group.
    pub const NAME: &'static str = "affect";
    /// Dead-letter reason of a record that is not a `post` envelope.
    pub const MALFORMED: &'static str = "malformed";
    /// Dead-letter reason of a record whose key is not UTF-8.
    pub const BAD_KEY: &'static str = "bad_key";

    /// Builds a stage that reads posts with `engine` and finds their subjects with `tagger`.
    pub fn new(engine: Arc<dyn AffectEngine>, tagger: SubjectTagger) -> Self {
        let cache = engine.cache_counts().unwrap_or_default();
        Self {
            engine,
            tagger,
            adapters: Adapters::default(),
            meters: AffectMeters::unregistered(),
            cache,
        }
    }

    /// Lets these adapters of the engine read the posts that they are for.
    #[must_use]
    pub fn adapted_by(mut self, adapters: Adapters) -> Self {
        self.adapters = adapters;
        self
    }

    /// Reports to these metrics.
    #[must_use]
    pub fn metered(mut self, meters: AffectMeters) -> Self {
        self.meters = meters;
        self
    }

    /// Reads `posts`, writes `readings` with the same keys, keeps no state.
    pub fn spec() -> StageSpec {
        StageSpec::new(Self::NAME)
            .reads(topics::POSTS, EventTime::Ignored)
            .writes(topics::READINGS, Forward::Aligned)
            .batches(BatchLimits {
                records: BATCH,
                ..BatchLimits::default()
            })
    }

    fn reading(
        &self,
        tenant: TenantId,
        post: Post,
        subjects: Vec<Slug>,
        mut affect: Affect,
    ) -> Envelope<Reading> {
        affect.fingerprint = fingerprint(&post.text);
        let id = event_id(
            "reading",
            &[
                tenant.as_str(),
                post.post.network.as_str(),
                &post.post.id,
                &affect.model,
                self.tagger.version(),
            ],
        );
        let at = post.created_at;
        let reading = Reading {
            post: post.post,
            author: post.author,
            affect,
            subjects,
            consent: post.consent,
            minor: post.minor || suspects_minor(&post.text),
            revision: post.revision,
        };
        Envelope::new(tenant, id, at, reading)
    }
}

impl Stage for AffectStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut posts: Vec<(&Record, &str, Envelope<Post>)> = Vec::with_capacity(batch.records.len());
        // With the number of posts before each.
        let mut deletions: Vec<(usize, &Record, &str)> = Vec::new();
        for record in &batch.records {
            let Ok(key) = std::str::from_utf8(&record.key) else {
                out.dead(record, Self::BAD_KEY, "a post's key is tenant/author in UTF-8");
                continue;
            };
            if Envelope::<Deletion>::is_type_of(&record.value) {
                deletions.push((posts.len(), record, key));
                continue;
            }
            match Envelope::<Post>::decode(&record.value) {
                Ok(envelope) => posts.push((record, key, envelope)),
                Err(error) => out.dead(record, Self::MALFORMED, error),
            }
        }
        let texts: Vec<&str> = posts.iter().map(|(_, _, post)| post.data.text.as_str()).collect();
        let subjects: Vec<Vec<Slug>> = posts
            .iter()
            .map(|(_, _, post)| self.tagger.tag(&post.data.text, &post.data.subjects))
            .collect();
        let adapters: Vec<AdapterSet> = posts
            .iter()
            .zip(&subjects)
            .map(|((_, _, post), subjects)| self.adapters.for_post(&post.data.post.network, subjects))
            .collect();
        let started = Instant::now();
        let affects = self.engine.read_adapted(&texts, &adapters);
        let number_of_posts = texts.len();
        let cache = self.engine.cache_counts().unwrap_or_default();
        self.meters
            .read(texts.len(), started.elapsed(), self.cache, cache);
        self.cache = cache;
        if affects.len() != texts.len() {
            let message = format!(
                "engine {} answered {} of {} texts",
                self.engine.version(),
                affects.len(),
                texts.len()
            );
            return Err(StageError::internal("engine", message));
        }
        let mut readings = posts.into_iter().zip(subjects).zip(affects);
        let mut written = 0;
        let mut write_until = |number: usize, out: &mut Outputs<'_>| {
            for (((record, key, post), subjects), affect) in readings.by_ref().take(number - written) {
                let reading = self.reading(post.tenant, post.data, subjects, affect);
                out.emit(&record.cause(), topics::READINGS, key, &reading);
            }
            written = number;
        };
        for (before, record, key) in deletions {
            write_until(before, out);
            let value = record.value.clone();
            out.emit_bytes(&record.cause(), topics::READINGS, key, record.timestamp, value);
        }
        write_until(number_of_posts, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use limbic_domain::{ConsentState, PostRef, Pseudonym, Slug, Utc};
    use limbic_stream::testing::{Harness, record as build};
    use limbic_stream::{Effects, header};

    use super::*;
    use limbic_affect::LexiconReader;

    fn post(id: &str, text: &str) -> Envelope<Post> {
        let network = Slug::new("bluesky").unwrap();
        let at = Utc::from_millis(1_700_000_000_000);
        let post = Post {
            author: Pseudonym::of(&[7; 32], &network, "someone"),
            post: PostRef {
                network,
                id: id.to_owned(),
            },
            text: text.to_owned(),
            created_at: at,
            lang: None,
            reply_to: None,
            repost_of: None,
            url: None,
            subjects: vec![Slug::new("tea").unwrap()],
            consent: ConsentState::default(),
            minor: true,
            revision: 0,
            meta: serde_json::Map::new(),
        };
        Envelope::new(TenantId::default(), event_id("post", &[id]), at, post)
    }

    fn record(offset: u64, value: Vec<u8>) -> Record {
        build(topics::POSTS)
            .partition(2)
            .offset(offset)
            .key("default/someone")
            .value(value)
            .header(header::TRACE_PARENT, "00-1-2-01")
            .header("x", "y")
            .at(Utc::from_millis(5))
            .build()
    }

    fn process(records: Vec<Record>) -> Effects {
        Harness::new(stage)
            .described_by(AffectStage::spec())
            .process(records)
    }

    fn stage() -> AffectStage {
        AffectStage::new(Arc::new(LexiconReader::new()), SubjectTagger::default())
    }

    #[test]
    fn a_post_becomes_a_reading_with_its_key_time_and_trace() {
        let sent = post("1", "What a lovely cup of tea!");
        let effects = process(vec![record(0, sent.encode())]);
        let (partition, written) = &effects.records[0];
        let reading = Envelope::<Reading>::decode(&written.value).unwrap();
        assert_eq!((effects.records.len(), *partition, effects.dead.len()), (1, 2, 0));
        assert_eq!(&*written.topic, topics::READINGS);
        assert_eq!(&written.key[..], b"default/someone");
        assert_eq!((written.timestamp, reading.at), (sent.at, sent.at));
        assert_eq!(written.headers.text(header::TRACE_PARENT), Some("00-1-2-01"));
        assert_eq!(
            reading.id,
            event_id(
                "reading",
                &[
                    "default",
                    "bluesky",
                    "1",
                    LexiconReader::VERSION,
                    SubjectTagger::default().version()
                ]
            )
        );
        assert_eq!(reading.data.author, sent.data.author);
        assert_eq!(reading.data.subjects, sent.data.subjects);
        assert!(reading.data.minor && reading.data.affect.valence > 0.5);
        assert_eq!(reading.data.affect.fingerprint, fingerprint(&sent.data.text));
        assert!(reading.data.affect.fingerprint.is_some());
    }

    #[test]
    fn poison_goes_to_the_dead_letters_and_the_rest_is_read() {
        let mut wrong_key = record(3, post("3", "hello").encode());
        wrong_key.key = vec![0xff].into();
        let records = vec![
            record(0, post("0", "good").encode()),
            record(1, b"{\"type\":\"post\"".to_vec()),
            record(2, b"\xff\xfe".to_vec()),
            wrong_key,
            record(4, post("4", "").encode()),
        ];
        let effects = process(records.clone());
        assert_eq!(effects.records.len(), 2);
        let dead: Vec<_> = effects.dead.iter().map(|d| (d.record.offset, d.reason)).collect();
        assert_eq!(dead, [(1, "malformed"), (2, "malformed"), (3, "bad_key")]);
        assert_eq!(effects.dead[0].record, records[1]);
    }

    #[test]
    fn a_deletion_and_an_edit_keep_their_place_among_the_readings() {
        let deletion = |id: &str| {
            let data = Deletion {
                network: Slug::new("bluesky").unwrap(),
                id: Some(id.to_owned()),
                author: post(id, "x").data.author,
                deleted_at: Utc::from_millis(9),
            };
            Envelope::new(
                TenantId::default(),
                format!("deletion of {id}"),
                Utc::from_millis(9),
                data,
            )
        };
        let mut edited = post("2", "terrible");
        edited.data.revision = 4;
        let effects = process(vec![
            record(0, deletion("0").encode()),
            record(1, post("1", "good").encode()),
            record(2, post("2", "good").encode()),
            record(3, deletion("1").encode()),
            record(4, edited.encode()),
        ]);
        assert!(effects.dead.is_empty());
        let written: Vec<String> = effects
            .records
            .iter()
            .map(|(_, new)| {
                if let Ok(deletion) = Envelope::<Deletion>::decode(&new.value) {
                    return deletion.id;
                }
                let reading = Envelope::<Reading>::decode(&new.value).unwrap().data;
                format!("{} v{}", reading.post.id, reading.revision)
            })
            .collect();
        assert_eq!(
            written,
            ["deletion of 0", "1 v0", "2 v0", "deletion of 1", "2 v4"]
        );
        let keys = effects.records.iter().map(|(_, new)| &new.key[..]);
        assert!(keys.into_iter().all(|key| key == b"default/someone"));
    }

    #[test]
    fn a_post_read_again_after_a_change_of_the_settings_has_the_new_subjects() {
        let records = vec![record(0, post("0", "A cup of tea at the match").encode())];
        let read = |words: &[(&str, &str)]| {
            let subjects = words
                .iter()
                .map(|(subject, word)| (Slug::new(subject).unwrap(), vec![(*word).to_owned()]));
            let subjects = subjects.collect();
            let stage = move || {
                let tagger = SubjectTagger::new(&subjects).unwrap();
                AffectStage::new(Arc::new(LexiconReader::new()), tagger)
            };
            let effects = Harness::new(stage).process(records.clone());
            Envelope::<Reading>::decode(&effects.records[0].1.value).unwrap()
        };
        let subjects = |reading: &Envelope<Reading>| {
            let subjects = reading.data.subjects.iter().map(ToString::to_string);
            subjects.collect::<Vec<_>>()
        };
        let before = read(&[("football", "goal")]);
        let after = read(&[("football", "match")]);
        assert_eq!(subjects(&before), ["tea"], "the source named tea");
        assert_eq!(subjects(&after), ["football", "tea"]);
        assert_ne!(before.id, after.id, "a different reading has a different id");
        assert_eq!(before, read(&[("football", "goal")]));
    }

    #[test]
    fn the_same_batch_gives_the_same_bytes() {
        let records: Vec<_> = ["so happy!!", "", "😭 my dog died", "今日は"]
            .iter()
            .enumerate()
            .map(|(n, text)| record(n as u64, post(&n.to_string(), text).encode()))
            .collect();
        let once = process(records.clone());
        let again = process(records);
        assert_eq!(once.records, again.records);
    }

    #[test]
    fn an_engine_that_omits_a_reading_is_an_internal_fault() {
        struct Forgetful;
        impl AffectEngine for Forgetful {
            fn version(&self) -> &'static str {
                "forgetful"
            }
            fn read(&self, _: &[&str]) -> Vec<Affect> {
                Vec::new()
            }
        }
        let mut harness = Harness::new(|| AffectStage::new(Arc::new(Forgetful), SubjectTagger::default()));
        let error = harness
            .try_process([record(0, post("0", "x").encode())])
            .unwrap_err();
        assert_eq!(error.fault, limbic_domain::Fault::Internal);
        assert!(error.message.contains("0 of 1"), "{}", error.message);
    }
}
