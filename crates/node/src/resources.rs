//! The resources that the components of this node share.

use limbic_component::{DataFolder, NamePrefix, Resources};
use limbic_stream_kafka::KafkaLog;

use crate::settings::Settings;

/// The resources that follow from the settings alone. Opens nothing.
pub(crate) fn of(settings: &Settings) -> Resources {
    let mut resources = Resources::new(log_name(settings));
    resources.insert(DataFolder(settings.data_dir.clone()));
    resources.insert(NamePrefix(settings.section::<KafkaLog>().prefix.clone()));
    resources
}

/// The name that separates the offsets of this log from those of others in a shared database.
fn log_name(settings: &Settings) -> String {
    if settings.is_embedded() {
        return "embedded".to_owned();
    }
    let url = settings.log.reveal();
    let cluster = url.rsplit_once('@').map_or(url, |(_, hosts)| hosts);
    format!("{cluster}/{}", settings.section::<KafkaLog>().prefix)
}
