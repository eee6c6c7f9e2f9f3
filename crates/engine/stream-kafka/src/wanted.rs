//! The wanted settings of a topic: how to create it, and how to check it.

use rdkafka::admin::{ConfigResource, NewTopic, TopicReplication};

use crate::names::Names;
use limbic_stream::{Cleanup, Error, Result, Retention, TOMBSTONE_RETENTION, TopicSpec};

/// The settings that decide how long records are kept. They must be equal to the wanted ones.
const DECIDES: [&str; 3] = ["cleanup.policy", "retention.ms", "retention.bytes"];

/// The wanted settings of a topic, in Kafka's terms.
pub(super) struct Wanted {
    pub(super) name: String,
    partitions: u32,
    config: Vec<(&'static str, String)>,
}

/// The settings of a compacted topic. Loading a table reads all records that are not compacted yet. So segments are small
/// and are compacted early.
fn compaction() -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "compact".to_owned()),
        ("delete.retention.ms", TOMBSTONE_RETENTION.as_millis().to_string()),
        ("segment.bytes", (64 << 20).to_string()),
        ("min.cleanable.dirty.ratio", "0.2".to_owned()),
    ]
}

impl Wanted {
    pub(super) fn topic(spec: &TopicSpec, names: &Names) -> Self {
        let mut config = match spec.cleanup {
            Cleanup::Compact => compaction(),
            Cleanup::Delete(Retention { bytes, age }) | Cleanup::Transient(Retention { bytes, age }) => {
                let limit =
                    |limit: Option<u128>| limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
                vec![
                    ("cleanup.policy", "delete".to_owned()),
                    ("retention.ms", limit(age.map(|age| age.as_millis()))),
                    ("retention.bytes", limit(bytes.map(u128::from))),
                ]
            }
        };
        config.push(("message.timestamp.type", "LogAppendTime".into()));
        Self {
            name: names.topic(&spec.name),
            partitions: spec.partitions,
            config,
        }
    }

    pub(super) fn changelog(name: String, partitions: u32) -> Self {
        Self {
            name,
            partitions,
            config: compaction(),
        }
    }

    pub(super) fn request(&self, replication: i32) -> NewTopic<'_> {
        let topic = NewTopic::new(
            &self.name,
            self.partitions as i32,
            TopicReplication::Fixed(replication),
        );
        self.config
            .iter()
            .fold(topic, |topic, (name, value)| topic.set(name, value))
    }

    pub(super) fn check_partitions(&self, partitions: u32) -> Result<()> {
        if partitions == self.partitions {
            return Ok(());
        }
        Err(Error::Settings(format!(
            "the topic `{}` has {partitions} partitions, the settings say {}: change the settings, or replay into a new topic \
             (a key's partition depends on their number)",
            self.name, self.partitions
        )))
    }

    /// Describes the settings that differ in the cluster, and how to correct them. `None` if there is no difference.
    pub(super) fn differences(&self, settings: &ConfigResource) -> Option<String> {
        let mut differences = Vec::new();
        let mut corrections = Vec::new();
        for (name, wanted) in self.config.iter().filter(|(name, _)| DECIDES.contains(name)) {
            let is = settings.get(name).and_then(|entry| entry.value.as_deref());
            if let Some(is) = is.filter(|is| is != wanted) {
                differences.push(format!("{name} is {is}, should be {wanted}"));
                corrections.push(format!("{name}={wanted}"));
            }
        }
        if differences.is_empty() {
            return None;
        }
        Some(format!(
            "the topic `{topic}` does not have the wanted settings: {}. Change Limbic's settings, or the topic: kafka-configs.sh \
             --bootstrap-server … --alter --entity-type topics --entity-name {topic} --add-config {}",
            differences.join(", "),
            corrections.join(","),
            topic = self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

    use super::*;

    fn described(settings: &[(&str, &str)]) -> ConfigResource {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            source: ConfigSource::DynamicTopic,
            is_read_only: false,
            is_default: false,
            is_sensitive: false,
        };
        ConfigResource {
            specifier: OwnedResourceSpecifier::Topic("t".into()),
            entries: settings.iter().map(entry).collect(),
        }
    }

    #[test]
    fn each_difference_is_reported_with_its_correction() {
        let spec = TopicSpec::new("posts", 3).kept(Retention {
            bytes: None,
            age: Some(std::time::Duration::from_hours(1)),
        });
        let wanted = Wanted::topic(&spec, &Names::new("limbic"));
        let same = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "3600000"),
            ("retention.bytes", "-1"),
            ("segment.bytes", "7"),
        ];
        assert_eq!(wanted.differences(&described(&same)), None);
        let other = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "60000"),
            ("retention.bytes", "1024"),
        ];
        let said = wanted.differences(&described(&other)).unwrap();
        for part in [
            "`limbic.posts`",
            "retention.ms is 60000, should be 3600000",
            "retention.bytes is 1024, should be -1",
            "--entity-name limbic.posts --add-config retention.ms=3600000,retention.bytes=-1",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }
    #[test]
    fn a_topic_that_should_be_compacted_is_reported_with_its_correction() {
        let wanted = Wanted::topic(&TopicSpec::new("campaigns", 3).compacted(), &Names::new("limbic"));
        let is_compacted = described(&[("cleanup.policy", "compact"), ("delete.retention.ms", "86400000")]);
        assert_eq!(wanted.differences(&is_compacted), None);
        let is_deleted = described(&[("cleanup.policy", "delete"), ("retention.ms", "604800000")]);
        let said = wanted.differences(&is_deleted).unwrap();
        for part in [
            "`limbic.campaigns`",
            "cleanup.policy is delete, should be compact",
            "--entity-name limbic.campaigns --add-config cleanup.policy=compact",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }
}
