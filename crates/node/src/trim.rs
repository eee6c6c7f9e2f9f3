//! Trims transient topics after their slowest reader.
//!
//! A record of such a topic is only needed by the next stages. The log does not know its readers. The node does: they are
//! the stages that name the topic as an input. What all their groups have committed is trimmed. If a group has never
//! committed, nothing is trimmed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use limbic_domain::Retry;
use limbic_stream::{Cleanup, Log, Result, StageSpec, TopicPartition, TopicSpec};

/// How often the groups are checked.
const EVERY: Duration = Duration::from_secs(2);

/// Trims topics until it is dropped.
pub(crate) struct Trimmer {
    stop: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Trimmer {
    /// Starts a thread that trims the transient topics among `topics` after the slowest of the `stages` that read them.
    pub(crate) fn start(
        log: Arc<dyn Log>,
        topics: &[TopicSpec],
        stages: &[StageSpec],
    ) -> std::io::Result<Self> {
        let readers = readers(topics, stages);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("limbic-trim".into())
            .spawn(move || {
                let mut is_told = false;
                while matches!(
                    stopped.recv_timeout(EVERY),
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                ) {
                    let Err(error) = trim(&*log, &readers) else {
                        continue;
                    };
                    if error.retry() == Retry::WithBackoff || is_told {
                        tracing::debug!(%error, "transient topics are trimmed later");
                    } else {
                        tracing::warn!(%error, "transient topics are not trimmed: their records stay until `retention` deletes them");
                        is_told = true;
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Trimmer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already been reported.
            let _ = thread.join();
        }
    }
}

/// The groups that read each transient topic.
fn readers(topics: &[TopicSpec], stages: &[StageSpec]) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let transient = topics
        .iter()
        .filter(|topic| matches!(topic.cleanup, Cleanup::Transient(_)));
    transient
        .map(|topic| {
            let reads = |stage: &&StageSpec| stage.inputs.iter().any(|input| input.topic == topic.name);
            let groups = stages.iter().filter(reads).map(|stage| Arc::clone(&stage.name));
            (Arc::clone(&topic.name), groups.collect())
        })
        .collect()
}

/// Trims each topic after its slowest reader. A topic without readers is not trimmed.
fn trim(log: &dyn Log, readers: &BTreeMap<Arc<str>, Vec<Arc<str>>>) -> Result<()> {
    let mut before = Vec::new();
    for (topic, groups) in readers {
        let mut slowest: BTreeMap<TopicPartition, u64> = BTreeMap::new();
        for group in groups {
            for progress in log.progress(group, std::slice::from_ref(topic))? {
                let next = progress.committed.next;
                slowest
                    .entry(progress.committed.partition)
                    .and_modify(|least| *least = next.min(*least))
                    .or_insert(next);
            }
        }
        before.extend(slowest);
    }
    log.trim(&before)
}

#[cfg(test)]
mod tests {
    use limbic_stream::{EventTime, Retention};

    use super::*;

    #[test]
    fn every_stage_that_names_a_transient_topic_is_a_reader() {
        let topics = [
            TopicSpec::new("feelings", 3).transient(Retention::default()),
            TopicSpec::new("posts", 3),
        ];
        let stages =
            ["moments", "copy"].map(|name| StageSpec::new(name).reads("feelings", EventTime::Ignored));
        let other = StageSpec::new("affect").reads("posts", EventTime::Ignored);
        let readers = readers(&topics, &[&stages[..], &[other]].concat());
        assert_eq!(readers.len(), 1);
        let names: Vec<&str> = readers["feelings"].iter().map(|name| &**name).collect();
        assert_eq!(names, ["moments", "copy"]);
    }
}
