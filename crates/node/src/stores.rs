//! The databases of this node: opened only where a stage or the API of this node uses them.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use limbic_component::{Need, Registration};
use limbic_metrics::{Embedded, Influx, InfluxOptions, SeriesStore};
use limbic_views::Store;

use crate::settings::Settings;

/// The stores of this node. `Err` says to a person why one is not open, and what to do.
pub(crate) struct Stores {
    pub(crate) view: Result<Store, String>,
    pub(crate) series: Result<Arc<dyn SeriesStore>, String>,
}

impl Stores {
    /// Opens what the `stages` of this node need. Where the API `is_served`, it also opens stores that are servers: any
    /// node can answer from those. An embedded store belongs to the node whose stage writes it.
    pub(crate) async fn open(
        settings: &Settings,
        stages: &[&'static Registration],
        is_served: bool,
    ) -> anyhow::Result<Self> {
        let writes = |need| stages.iter().any(|stage| stage.has_need(need));
        let view = if writes(Need::ViewDatabase) || (is_served && !settings.view.is_embedded()) {
            Ok(open_view(settings).await?)
        } else {
            Err(reason(
                "view",
                "views",
                "postgres://…",
                settings.view.is_embedded(),
            ))
        };
        let is_embedded = is_embedded_series(settings);
        let series = if writes(Need::SeriesStore) || (is_served && !is_embedded) {
            Ok(open_series(settings).await?)
        } else {
            Err(reason("series", "metrics", "http://HOST:PORT", is_embedded))
        };
        Ok(Self { view, series })
    }
}

fn reason(setting: &str, stage: &str, server: &str, is_embedded: bool) -> String {
    if !is_embedded {
        return format!(
            "this node does not serve the API, so it has not opened the server that `{setting}` names"
        );
    }
    format!(
        "this node does not run the stage `{stage}`, and `{setting} = \"embedded\"` keeps the data on the node that does: \
         ask that node, or set {setting} = \"{server}\" on every node"
    )
}

fn is_embedded_series(settings: &Settings) -> bool {
    matches!(settings.series.as_str(), "embedded" | "")
}

async fn open_series(settings: &Settings) -> anyhow::Result<Arc<dyn SeriesStore>> {
    if is_embedded_series(settings) {
        let store = Embedded::open(&settings.data_dir).await;
        return Ok(Arc::new(store.context("cannot open the embedded series")?));
    }
    let url = &settings.series;
    if !url.starts_with("http") {
        bail!("series = {url}: write `embedded`, or http://HOST:PORT of an InfluxDB 2");
    }
    let store = Influx::new(InfluxOptions {
        url: url.clone(),
        org: settings.influxdb.org.clone(),
        bucket: settings.influxdb.bucket.clone(),
        token: settings.influxdb.token.reveal().to_owned(),
    })?;
    Ok(Arc::new(store))
}

async fn open_view(settings: &Settings) -> anyhow::Result<Store> {
    let view = &settings.view;
    if view.is_embedded() {
        std::fs::create_dir_all(&settings.data_dir)
            .with_context(|| format!("cannot create {}", settings.data_dir.display()))?;
        return Store::sqlite(&settings.data_dir)
            .await
            .context("cannot open the embedded view");
    }
    if !view.scheme().starts_with("postgres") {
        bail!("view = {view}: write `embedded` or postgres://HOST:PORT/DATABASE");
    }
    Store::postgres(view.reveal()).await.with_context(|| {
        format!(
            "cannot use the view at {view}: check that PostgreSQL is running and that the password is right"
        )
    })
}
