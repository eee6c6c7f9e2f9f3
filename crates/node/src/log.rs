//! Opens the log, and defines its topics.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use limbic_component::CallTimeout;
use limbic_domain::{ByteSize, HumanDuration, topics};
use limbic_stream::{Log, Retention, TopicSpec};

use crate::local::RemoteLog;
use crate::resources;
use crate::settings::Settings;
use crate::stores::open_chosen;

/// The time limit of a node for brokers that do not answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The time limit of a command that only reads.
const LOOK: Duration = Duration::from_secs(10);

/// Opens the log that the settings name, and creates or checks its topics.
pub fn open_log(settings: &Settings) -> anyhow::Result<Arc<dyn Log>> {
    let log = connect_within(settings, PATIENCE)?;
    if let Err(error) = log.ensure_topics(&topic_specs(settings)) {
        let _ = log.close();
        return Err(error).context("the topics differ from the settings");
    }
    Ok(log)
}

/// Opens the log without creating it and without creating or checking topics. If a node runs on the data folder, the node is asked: the log then
/// reads and publishes, and nothing else.
pub fn connect(settings: &Settings) -> anyhow::Result<Arc<dyn Log>> {
    if settings.is_embedded()
        && let Ok(log) = RemoteLog::connect(&settings.data_dir)
    {
        return Ok(Arc::new(log));
    }
    ensure!(
        has_log(settings),
        "there is no log in {}: name the data folder with --data; `limbic run` creates a new one",
        settings.data_dir.display()
    );
    connect_within(settings, LOOK)
}

/// Whether there is a log to look at. Opening an embedded log creates it, and a command that only looks must not.
pub(crate) fn has_log(settings: &Settings) -> bool {
    !settings.is_embedded() || settings.data_dir.join("log").is_dir()
}

fn connect_within(settings: &Settings, timeout: Duration) -> anyhow::Result<Arc<dyn Log>> {
    let mut resources = resources::of(settings);
    resources.insert(CallTimeout(timeout));
    open_chosen(settings, "log", &settings.log, &resources)
}

/// Every topic of Limbic: the topics of records with their dead-letter topics, and the compacted topics.
pub fn topic_specs(settings: &Settings) -> Vec<TopicSpec> {
    let limits = |size: ByteSize, age: HumanDuration| Retention {
        bytes: Some(size.get()).filter(|size| *size > 0),
        age: Some(age.get()).filter(|age| !age.is_zero()),
    };
    let retention = limits(settings.retention.size, settings.retention.age);
    let of_dead = limits(settings.retention.dead_size, settings.retention.dead_age);
    let spec = |name: &str| TopicSpec::new(name, settings.partitions);
    let of_records = topics::ALL.into_iter().flat_map(|topic| {
        // Dead letters are for people, who may need longer than the stages.
        let of_topic = if topics::TRANSIENT.contains(&topic) {
            spec(topic).transient(retention)
        } else {
            spec(topic).kept(retention)
        };
        [of_topic, spec(&topics::dead(topic)).kept(of_dead)]
    });
    let of_tables = topics::COMPACTED.into_iter().map(|topic| spec(topic).compacted());
    of_records.chain(of_tables).collect()
}
