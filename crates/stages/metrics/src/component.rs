//! The metrics stage and its stores as components.

use std::sync::Arc;

use limbic_component::{
    Component, DataFolder, Error, Kind, Need, NoSettings, Place, Resources, StageComponent,
};
use limbic_domain::{ConnectionUrl, Secret};
use limbic_stream::{Stage, StageSpec, StateSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::{Embedded, Influx, InfluxOptions, MetricsSettings, MetricsStage, SeriesMeters, SeriesStore};

impl Component for MetricsStage {
    type Settings = MetricsSettings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "metrics";
    const SUMMARY: &'static str =
        "Adds up windows of readings, moments, decisions, outcomes and holds as time series.";
    const NEEDS: &'static [Need] = &[Need::Log, Need::SeriesStore, Need::AsyncRuntime, Need::Clock];

    fn check(settings: &MetricsSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn build(settings: &MetricsSettings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        let store: Arc<dyn SeriesStore> = resources.get()?;
        let handle: Handle = resources.get()?;
        let meters: SeriesMeters = resources.get()?;
        if settings.keep.is_limited() {
            handle.block_on(store.prepare_retention())?;
        }
        Ok(Box::new(Self::new(store, handle, settings)?.metered(meters)))
    }
}

impl StageComponent for MetricsStage {
    fn spec(settings: &MetricsSettings) -> Result<StageSpec, Error> {
        Ok(Self::spec(settings))
    }

    fn state() -> StateSchema {
        crate::stage::schema()
    }
}

impl Component for Embedded {
    type Settings = NoSettings;
    type Product = Arc<dyn SeriesStore>;
    const KIND: Kind = Kind::SeriesStore;
    const NAME: &'static str = "sqlite";
    const SUMMARY: &'static str = "Stores time series in the data folder of one node, without a server.";
    const PLACE: Place = Place::Url {
        setting: "series",
        form: "embedded",
        schemes: &[],
        section: None,
    };
    const NEEDS: &'static [Need] = &[Need::DataFolder, Need::AsyncRuntime];

    fn check(_: &NoSettings) -> Result<(), Error> {
        Ok(())
    }

    fn build(_: &NoSettings, resources: &Resources) -> Result<Arc<dyn SeriesStore>, Error> {
        let DataFolder(folder) = resources.get()?;
        let handle: Handle = resources.get()?;
        let store = handle.block_on(Self::open(&folder));
        let store = store.map_err(|error| format!("cannot open the embedded series: {error}"))?;
        Ok(Arc::new(store))
    }
}

/// Access to InfluxDB 2, if `series` names one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InfluxSettings {
    /// The name of the organisation in InfluxDB.
    pub org: String,
    /// The name of the bucket. It must exist.
    pub bucket: String,
    /// A token that may read and write the bucket.
    pub token: Secret,
}

impl InfluxSettings {
    /// The names of the settings that have no value; all of them must have one.
    pub fn missing(&self) -> Vec<&'static str> {
        let fields = [
            ("org", self.org.is_empty()),
            ("bucket", self.bucket.is_empty()),
            ("token", self.token.is_empty()),
        ];
        let missing = fields.into_iter().filter(|(_, is_missing)| *is_missing);
        missing.map(|(name, _)| name).collect()
    }
}

impl Component for Influx {
    type Settings = InfluxSettings;
    type Product = Arc<dyn SeriesStore>;
    const KIND: Kind = Kind::SeriesStore;
    const NAME: &'static str = "influxdb";
    const SUMMARY: &'static str = "Stores time series in InfluxDB 2, which many nodes share.";
    const PLACE: Place = Place::Url {
        setting: "series",
        form: "http://HOST:PORT",
        schemes: &["http", "https"],
        section: Some("influxdb"),
    };
    const NEEDS: &'static [Need] = &[Need::Url, Need::HttpClient, Need::Secrets];

    fn check(settings: &InfluxSettings) -> Result<(), Error> {
        let missing = settings.missing();
        if missing.is_empty() {
            return Ok(());
        }
        let variables = missing
            .iter()
            .map(|name| format!("LIMBIC_INFLUXDB__{}=…", name.to_uppercase()));
        Err(format!(
            "influxdb.{}: not set, but InfluxDB needs it: export {}",
            missing.join(", influxdb."),
            variables.collect::<Vec<_>>().join(" ")
        )
        .into())
    }

    fn build(settings: &InfluxSettings, resources: &Resources) -> Result<Arc<dyn SeriesStore>, Error> {
        Self::check(settings)?;
        let url: ConnectionUrl = resources.get()?;
        let store = Self::new(InfluxOptions {
            url,
            org: settings.org.clone(),
            bucket: settings.bucket.clone(),
            token: settings.token.reveal().to_owned(),
        })?;
        Ok(Arc::new(store))
    }
}
