//! The registry: every component of this program, one line each.

use anyhow::anyhow;
use limbic_component::{Component, Kind, Place, Registration};
use limbic_domain::ConnectionUrl;

use crate::settings::nearest;

/// Every component. Stages are in the order of the data flow.
pub static COMPONENTS: [Registration; 43] = [
    Registration::stage::<limbic_ingest::IngestStage>(),
    Registration::stage::<limbic_affect_stage::AffectStage>(),
    Registration::stage::<limbic_profile::ProfileStage>(),
    Registration::stage::<limbic_profile::MomentStage>(),
    Registration::stage::<limbic_creative::CreativeStage>(),
    Registration::stage::<limbic_creative::TextsStage>(),
    Registration::stage::<limbic_safety::SafetyStage>(),
    Registration::stage::<limbic_optimize::OptimizeStage>(),
    Registration::stage::<limbic_deliver::DeliverStage>(),
    Registration::stage::<limbic_metrics::MetricsStage>(),
    Registration::stage::<limbic_views::ViewsStage>(),
    Registration::of::<limbic_stream_embedded::EmbeddedLog>(),
    Registration::of::<limbic_stream_kafka::KafkaLog>(),
    Registration::of::<limbic_views::SqliteView>(),
    Registration::of::<limbic_views::PostgresView>(),
    Registration::of::<limbic_metrics::Embedded>(),
    Registration::of::<limbic_metrics::Influx>(),
    Registration::of::<limbic_ingest::RecentIds>(),
    Registration::of::<limbic_ingest::SharedIds>(),
    Registration::of::<limbic_ad_platforms::WebhookPlatform>(),
    Registration::of::<limbic_ad_platforms::FilePlatform>(),
    Registration::connector::<limbic_connectors::Bluesky>(),
    Registration::connector::<limbic_connectors::Mastodon>(),
    Registration::connector::<limbic_connectors::Reddit>(),
    Registration::connector::<limbic_connectors::X>(),
    Registration::connector::<limbic_connectors::YouTube>(),
    Registration::connector::<limbic_connectors::LinkedIn>(),
    Registration::connector::<limbic_connectors::MetaGraph>(),
    Registration::connector::<limbic_connectors::Feed>(),
    Registration::connector::<limbic_connectors::Meta>(),
    Registration::connector::<limbic_connectors::SignedWebhook>(),
    Registration::connector::<limbic_connectors::KafkaTopic>(),
    Registration::connector::<limbic_connectors::Folder>(),
    Registration::connector::<limbic_connectors::JsonLines>(),
    Registration::of::<limbic_llm::OpenAiCompatible>(),
    Registration::of::<limbic_llm::Anthropic>(),
    Registration::of::<limbic_llm::Gemini>(),
    Registration::of::<limbic_llm::Mistral>(),
    Registration::of::<limbic_llm::Ollama>(),
    Registration::of::<limbic_llm::OpenAiImages>(),
    Registration::of::<limbic_llm::GeminiImages>(),
    Registration::of::<limbic_llm::Imagen>(),
    Registration::of::<limbic_llm::Veo>(),
];

/// How the components of a kind are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Nodes use them in this way.
    ByNodes(&'static str),
    /// Nodes do not use them yet. The text says how they can be used.
    NotYet(&'static str),
}

impl Usage {
    /// The sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::ByNodes(text) | Self::NotYet(text) => text,
        }
    }
}

/// How the components of this kind are used.
pub const fn usage(kind: Kind) -> Usage {
    match kind {
        Kind::Stage => {
            Usage::ByNodes("A node runs the stages that `stages` names; without names it runs all of them.")
        }
        Kind::Log => Usage::ByNodes("A node uses one: the URL `log` chooses it."),
        Kind::ViewStore => Usage::ByNodes(
            "A node that runs the stage `views` or the API uses one: the URL `view` chooses it.",
        ),
        Kind::SeriesStore => Usage::ByNodes(
            "A node that runs the stage `metrics` or the API uses one: the URL `series` chooses it.",
        ),
        Kind::IdStore => {
            Usage::ByNodes("A node always uses `memory`; it also uses the one that the URL `seen` chooses.")
        }
        Kind::AdPlatform => Usage::ByNodes(
            "A node that runs the stage `deliver` opens every `[ad_platforms.NAME]`; campaigns name them.",
        ),
        Kind::Connector => Usage::ByNodes(
            "`limbic run` runs every `[connectors.NAME]` on a node that runs the stage `ingest`.",
        ),
        Kind::LlmProvider => Usage::ByNodes(
            "A node that serves the API or runs the stage `texts` opens every `[llm_providers.NAME]`, and asks them as `[llm]` says: for \
             `POST /v1/generate`, and for the texts of ads if `creative.generate.model` names a model.",
        ),
        Kind::PictureProvider => Usage::ByNodes(
            "A node that serves the API or runs the stage `texts` opens every `[picture_providers.NAME]`, and asks them as `[llm]` says: for \
             `POST /v1/generate`, and for pictures behind the texts of ads if `creative.paint.model` names a model.",
        ),
        Kind::VideoProvider => Usage::ByNodes(
            "A node that serves the API or runs the stage `texts` opens every `[video_providers.NAME]`, and asks them as `[llm]` says, for \
             `POST /v1/generate`.",
        ),
    }
}

/// The stages, in the order of the data flow.
pub fn stages() -> impl Iterator<Item = &'static Registration> {
    COMPONENTS
        .iter()
        .filter(|component| component.kind == Kind::Stage)
}

/// The stage of this name.
pub fn stage(name: &str) -> anyhow::Result<&'static Registration> {
    stages().find(|stage| stage.name == name).ok_or_else(|| {
        let names: Vec<&str> = stages().map(|stage| stage.name).collect();
        let hint = nearest(name, names.iter().copied())
            .map_or_else(|| ".".to_owned(), |near| format!("; did you mean `{near}`?"));
        anyhow!(
            "stages: there is no stage `{name}`{hint} The stages are: {}",
            names.join(", ")
        )
    })
}

/// The entry of the component `C`.
///
/// # Panics
///
/// If it is not in the registry.
pub(crate) fn entry_of<C: Component>() -> &'static Registration {
    COMPONENTS
        .iter()
        .find(|component| (component.kind, component.name) == (C::KIND, C::NAME))
        .expect("a component is in the registry")
}

/// The component that the URL of a setting selects.
pub fn chosen(setting: &str, url: &ConnectionUrl) -> anyhow::Result<&'static Registration> {
    let is_chosen = |component: &&Registration| match component.place {
        Place::Url {
            setting: its,
            schemes,
            ..
        } if its == setting => match schemes {
            [] => url.is_embedded(),
            schemes => schemes.contains(&url.scheme()),
        },
        _ => false,
    };
    COMPONENTS.iter().find(is_chosen).ok_or_else(|| {
        let forms: Vec<String> = forms(setting).map(|form| format!("`{form}`")).collect();
        anyhow!("{setting} = {url}: write {}", forms.join(" or "))
    })
}

/// The scheme of an address without one: that of the only server that the setting can name.
pub(crate) fn usual_scheme(setting: &str) -> Option<&'static str> {
    COMPONENTS.iter().find_map(|component| match component.place {
        Place::Url {
            setting: its,
            schemes,
            ..
        } if its == setting => schemes.first().copied(),
        _ => None,
    })
}

/// The possible forms of the URL of a setting.
pub(crate) fn forms(setting: &str) -> impl Iterator<Item = &'static str> {
    COMPONENTS
        .iter()
        .filter_map(move |component| match component.place {
            Place::Url {
                setting: its, form, ..
            } if its == setting => Some(form),
            _ => None,
        })
}

/// The tables with entries, and the kind of component in each.
pub(crate) fn tables() -> impl Iterator<Item = (&'static str, Kind)> {
    COMPONENTS.iter().enumerate().filter_map(|(place, component)| {
        let table = component.place.table()?;
        let is_first = COMPONENTS[..place]
            .iter()
            .all(|other| other.place.table() != Some(table));
        is_first.then_some((table, component.kind))
    })
}

/// The components that an entry of this table can be.
pub(crate) fn choices(table: &str) -> impl Iterator<Item = &'static Registration> {
    COMPONENTS
        .iter()
        .filter(move |component| component.place.table() == Some(table))
}

/// The sections of the settings file. Each comes with the first component that reads it, which defines the section's
/// type.
pub(crate) fn sections() -> impl Iterator<Item = (&'static str, &'static Registration)> {
    COMPONENTS.iter().enumerate().filter_map(|(place, component)| {
        let section = component.place.section()?;
        let is_first = COMPONENTS[..place]
            .iter()
            .all(|other| other.place.section() != Some(section));
        is_first.then_some((section, component))
    })
}

#[cfg(test)]
mod tests;
