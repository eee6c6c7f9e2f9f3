//! The stores of this node. A store is opened only if a stage or the API of this node uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use limbic_component::{Need, OnlyReading, Registration, Resources};
use limbic_data_key::DataKeys;
use limbic_domain::{ConnectionUrl, Slug};
use limbic_metrics::SeriesStore;
use limbic_views::Store;

use crate::settings::Settings;
use crate::{folder, registry};

/// The stores of this node. `Err` tells a person why a store is not open, and what to do.
pub(crate) struct Stores {
    pub(crate) view: Result<Store, String>,
    pub(crate) series: Result<Arc<dyn SeriesStore>, String>,
}

impl Stores {
    /// Opens the stores that the `stages` of this node need. If the API `is_served`, it also opens the stores that are
    /// servers, because every node can read those. An embedded store belongs to the node whose stage writes it.
    pub(crate) fn open(
        settings: &Settings,
        resources: &Resources,
        stages: &[&'static Registration],
        is_served: bool,
    ) -> anyhow::Result<Self> {
        let is_wanted = |need, url: &ConnectionUrl| {
            stages.iter().any(|stage| stage.has_need(need)) || (is_served && !url.is_embedded())
        };
        let view = if is_wanted(Need::ViewDatabase, &settings.view) {
            Ok(open_chosen(settings, "view", &settings.view, resources)?)
        } else {
            Err(reason("view", "views", &settings.view))
        };
        let series = if is_wanted(Need::SeriesStore, &settings.series) {
            Ok(open_chosen(settings, "series", &settings.series, resources)?)
        } else {
            Err(reason("series", "metrics", &settings.series))
        };
        Ok(Self { view, series })
    }
}

/// Builds the component that the URL of a setting chooses. `T` is what components of its kind build.
pub(crate) fn open_chosen<T: 'static>(
    settings: &Settings,
    setting: &str,
    url: &ConnectionUrl,
    resources: &Resources,
) -> anyhow::Result<T> {
    let component = registry::chosen(setting, url)?;
    if component.has_need(Need::DataFolder) {
        folder::create(&settings.data_dir)
            .with_context(|| format!("cannot create {}", settings.data_dir.display()))?;
    }
    let section = settings.section_of(component);
    component.check(&section).map_err(anyhow::Error::from_boxed)?;
    let mut resources = resources.clone();
    resources.insert(url.clone());
    if let Some(keys) = DataKeys::new(&settings.data_keys)? {
        resources.insert(keys);
    }
    component
        .build(&section, &resources)
        .map_err(anyhow::Error::from_boxed)
}

/// Builds every entry of a table. `T` is what components of its kind build.
pub(crate) fn open_entries<T: 'static>(
    settings: &Settings,
    table: &str,
    resources: &Resources,
) -> anyhow::Result<BTreeMap<Slug, T>> {
    let entries = settings.entries.of(table);
    let opened = entries.map(|(name, entry)| {
        let built = entry.component.build(&entry.settings, resources);
        let built = built.map_err(anyhow::Error::from_boxed);
        Ok((name.clone(), built.with_context(|| format!("{table}.{name}"))?))
    });
    opened.collect()
}

/// Why a store is not open on this node.
fn reason(setting: &str, stage: &str, url: &ConnectionUrl) -> String {
    if !url.is_embedded() {
        return format!(
            "this node does not serve the API, so it has not opened the server that `{setting}` names"
        );
    }
    let servers: Vec<String> = registry::forms(setting)
        .filter(|form| *form != ConnectionUrl::EMBEDDED)
        .map(|form| format!("{setting} = \"{form}\""))
        .collect();
    format!(
        "this node does not run the stage `{stage}`, and `{setting} = \"embedded\"` keeps the data on the node that does: \
         ask that node, or set {} on every node",
        servers.join(" or ")
    )
}

/// Opens the series for a command that only reads.
pub(crate) fn open_series(
    settings: &Settings,
    handle: &tokio::runtime::Handle,
) -> anyhow::Result<Arc<dyn SeriesStore>> {
    let mut resources = crate::resources::of(settings);
    resources.insert(handle.clone());
    open_chosen(settings, "series", &settings.series, &resources)
}

/// Opens the view for a command that only reads. The error says what is missing.
pub fn open_view(settings: &Settings, handle: &tokio::runtime::Handle) -> anyhow::Result<Store> {
    anyhow::ensure!(
        !settings.view.is_embedded() || settings.data_dir.join("view.sqlite").is_file(),
        "there is no view in {}: `limbic run` with the stage `views` writes it; name another folder with --data",
        settings.data_dir.display()
    );
    let mut resources = crate::resources::of(settings);
    resources.insert(handle.clone());
    resources.insert(OnlyReading);
    let view: Store = open_chosen(settings, "view", &settings.view, &resources)?;
    anyhow::ensure!(
        handle.block_on(view.has_tables())?,
        "the view at {} has no tables: `limbic run` with the stage `views` creates them",
        settings.view
    );
    Ok(view)
}
