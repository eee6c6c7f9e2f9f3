//! Names of topics, groups and producers in the cluster.

use std::sync::Arc;

/// Converts logical names to names in the cluster, and back.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

/// The suffix of changelogs. Other topics must not have it.
const STATE: &str = ".state";

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}.")
        };
        Self { prefix }
    }

    pub(super) fn topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    pub(super) fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }

    /// The changelog of a group's state.
    pub(super) fn state(&self, group: &str) -> String {
        format!("{}{group}{STATE}", self.prefix)
    }

    pub(super) fn transactional_id(&self, group: &str, instance: &str) -> String {
        format!("{}{group}.{instance}", self.prefix)
    }

    /// Whether `topic` has the name of a changelog.
    pub(super) fn is_reserved(topic: &str) -> bool {
        topic.ends_with(STATE) || topic.starts_with("__")
    }

    /// The logical name of a topic in the cluster. `None` for topics of other installations and for changelogs.
    pub(super) fn logical(&self, topic: &str) -> Option<Arc<str>> {
        let name = topic.strip_prefix(&self.prefix)?;
        (!name.is_empty() && !Self::is_reserved(name)).then(|| name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logical_name_is_the_name_without_its_prefix() {
        let names = Names::new("acme");
        assert_eq!(
            names.logical(&names.topic("posts.dead")).as_deref(),
            Some("posts.dead")
        );
        assert_eq!(names.logical(&names.state("profile")), None);
        assert_eq!(names.logical("other.posts"), None);
        assert_eq!(Names::new("").logical("__consumer_offsets"), None);
    }
}
