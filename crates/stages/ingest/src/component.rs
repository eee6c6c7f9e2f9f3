//! The ingest stage and the stores of ids as components. They share the section `[ingest]`.

use std::sync::Arc;

use limbic_component::{Component, Error, Kind, NamePrefix, Need, Place, Resources, StageComponent};
use limbic_domain::ConnectionUrl;
use limbic_stream::{Log, Stage, StageSpec, StateSchema};

use crate::{IngestStage, RecentIds, SeenIds, Settings, SharedIds};

/// The number of ids that each edge remembers in memory, about 60 bytes each.
const RECENT_IDS: usize = 1_000_000;
/// The number of recent ids of each topic that an edge reads from the log when it starts: about 30 MB of records.
const RELOADED_IDS: usize = 50_000;

impl Component for IngestStage {
    type Settings = Settings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "ingest";
    const SUMMARY: &'static str = "Removes duplicates of the posts and outcomes that the API accepted.";
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(settings: &Settings) -> Result<(), Error> {
        if settings.remember.as_secs() == 0 {
            return Err(format!("ingest.remember = {}: must be at least 1s", settings.remember).into());
        }
        if settings.most_ids < 2 {
            return Err(format!("ingest.most_ids = {}: must be at least 2", settings.most_ids).into());
        }
        Ok(())
    }

    fn build(settings: &Settings, _: &Resources) -> Result<Box<dyn Stage>, Error> {
        Self::check(settings)?;
        Ok(Box::new(Self::new(settings)))
    }
}

impl StageComponent for IngestStage {
    fn spec(_: &Settings) -> Result<StageSpec, Error> {
        Ok(Self::spec())
    }

    fn state() -> StateSchema {
        crate::stage::schema()
    }
}

impl Component for RecentIds {
    type Settings = Settings;
    type Product = Arc<dyn SeenIds>;
    const KIND: Kind = Kind::IdStore;
    const NAME: &'static str = "memory";
    const SUMMARY: &'static str = "Remembers the latest ids in the memory of each node.";
    const PLACE: Place = Place::Url {
        setting: "seen",
        form: "embedded",
        schemes: &[],
        section: Some("ingest"),
    };
    const NEEDS: &'static [Need] = &[Need::Log];

    fn check(_: &Settings) -> Result<(), Error> {
        Ok(())
    }

    fn build(_: &Settings, resources: &Resources) -> Result<Arc<dyn SeenIds>, Error> {
        let log: Arc<dyn Log> = resources.get()?;
        let recent = Self::new(RECENT_IDS);
        let reloaded = recent.reload(log.as_ref(), RELOADED_IDS).map_err(|error| {
            format!("cannot read the ids of recently accepted posts from the log: {error}")
        })?;
        tracing::debug!(reloaded, "loaded the ids of recently accepted posts");
        Ok(Arc::new(recent))
    }
}

impl Component for SharedIds {
    type Settings = Settings;
    type Product = Arc<dyn SeenIds>;
    const KIND: Kind = Kind::IdStore;
    const NAME: &'static str = "redis";
    const SUMMARY: &'static str = "Shares the latest ids between nodes, in Redis.";
    const PLACE: Place = Place::Url {
        setting: "seen",
        form: "redis://HOST:PORT",
        schemes: &["redis", "rediss"],
        section: Some("ingest"),
    };
    const NEEDS: &'static [Need] = &[Need::Url];

    fn check(_: &Settings) -> Result<(), Error> {
        Ok(())
    }

    fn build(settings: &Settings, resources: &Resources) -> Result<Arc<dyn SeenIds>, Error> {
        let url: ConnectionUrl = resources.get()?;
        let NamePrefix(prefix) = resources.get()?;
        let shared = Self::connect(
            url.reveal(),
            &format!("{prefix}:seen:"),
            settings.remember.as_secs(),
        );
        let shared =
            shared.map_err(|error| format!("cannot use Redis at {url}: {error}: is it running there?"))?;
        Ok(Arc::new(shared))
    }
}
