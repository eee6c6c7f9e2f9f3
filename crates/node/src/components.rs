//! The components as this node uses them.

use limbic_api::ComponentView;
use limbic_component::{Kind, Need, Place, Registration};
use limbic_domain::ConnectionUrl;

use crate::registry::{self, COMPONENTS, Usage, usage};
use crate::settings::Settings;
use crate::stores::Stores;

/// The answer of `GET /v1/components`. `running` are the stages that run here; `is_served` says whether the API is
/// served.
pub(crate) fn views(
    settings: &Settings,
    running: &[&'static Registration],
    stores: &Stores,
    is_served: bool,
) -> Vec<ComponentView> {
    let runs = |component: &Registration| match component.kind {
        Kind::Stage => running.iter().any(|stage| stage.name == component.name),
        Kind::Log | Kind::ViewStore | Kind::SeriesStore | Kind::IdStore => uses(settings, stores, component),
        // They are opened for the stage that sends to them.
        Kind::AdPlatform => {
            running.iter().any(|stage| stage.has_need(Need::AdPlatforms)) && has_entry(settings, component)
        }
        Kind::Connector => {
            running.iter().any(|stage| stage.name == "ingest") && has_entry(settings, component)
        }
        Kind::LlmProvider | Kind::PictureProvider | Kind::VideoProvider => {
            let asks = |stage: &&Registration| stage.has_need(Need::LanguageModels);
            (is_served || running.iter().any(asks)) && has_entry(settings, component)
        }
    };
    let view = |component: &'static Registration| ComponentView {
        kind: component.kind.name(),
        name: component.name,
        summary: component.summary,
        section: component.place.section(),
        settings: component.place.to_string(),
        needs: component.needs.iter().copied().map(Need::name).collect(),
        usage: usage(component.kind).text(),
        entries: entries(settings, component).collect(),
        runs_here: runs(component),
    };
    COMPONENTS.iter().map(view).collect()
}

/// Whether this node has opened this log or store.
fn uses(settings: &Settings, stores: &Stores, component: &Registration) -> bool {
    let Place::Url { setting, .. } = component.place else {
        return false;
    };
    let is_open = match setting {
        "view" => stores.view.is_ok(),
        "series" => stores.series.is_ok(),
        _ => true,
    };
    let is = |url: &ConnectionUrl| {
        registry::chosen(setting, url).is_ok_and(|chosen| chosen.name == component.name)
    };
    // Each node also remembers ids in memory.
    let is_always = setting == "seen" && is(&ConnectionUrl::new(ConnectionUrl::EMBEDDED));
    let mut urls = settings.urls().into_iter();
    let is_chosen = urls.any(|(name, url)| name == setting && is(url));
    is_open && (is_always || is_chosen)
}

/// The names of the entries that are this component.
fn entries(settings: &Settings, component: &Registration) -> impl Iterator<Item = String> {
    let is_one = (component.kind, component.name);
    let all = settings.entries.all();
    all.filter(move |(_, _, entry)| (entry.component.kind, entry.component.name) == is_one)
        .map(|(_, name, _)| name.to_string())
}

fn has_entry(settings: &Settings, component: &Registration) -> bool {
    entries(settings, component).next().is_some()
}

/// Logs a warning about entries of the settings that no node uses yet.
pub(crate) fn warn_of_unused(settings: &Settings) {
    for (table, name, entry) in settings.entries.all() {
        if let Usage::NotYet(text) = usage(entry.component.kind) {
            tracing::warn!("[{table}.{name}] has no effect here. {text}");
        }
    }
}
