//! The contract of a component: a stage, connector, ad platform, LLM provider or store that can be one of many.
//!
//! It is not a plug-in system: components are compiled in. A registry above this crate lists them, and everything else
//! (settings file, command line, checks, reference pages, API) reads that list.
//!
//! ```text
//!  component's folder                 registry (one line each)          readers of the registry
//!  impl Component for X ────────────▶ Registration::stage::<X>() ─────▶ settings file: [X]
//!    NAME, SUMMARY, NEEDS, Settings     kind, name, schema, functions   limbic check, components, config show
//!  impl StageComponent for X                                            node: spec, build(settings, Resources)
//! ```
//!
//! ```
//! use limbic_component::{Component, Error, Kind, Need, Registration};
//!
//! #[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     /// Longest text, in characters.
//!     longest: usize,
//! }
//!
//! struct Shorten;
//!
//! impl Component for Shorten {
//!     type Settings = Settings;
//!     const KIND: Kind = Kind::Stage;
//!     const NAME: &'static str = "shorten";
//!     const SUMMARY: &'static str = "Cuts long texts.";
//!     const NEEDS: &'static [Need] = &[Need::Log];
//!
//!     fn check(settings: &Settings) -> Result<(), Error> {
//!         (settings.longest > 0).then_some(()).ok_or_else(|| "shorten.longest: must be above 0".into())
//!     }
//! }
//!
//! let listed = Registration::of::<Shorten>();
//! let section = listed.parse(toml::toml! { longest = 80 }.into()).unwrap();
//! assert!(listed.check(&section).is_ok());
//! assert!(listed.check(&listed.default_settings()).is_err());
//! ```
//!
//! # Laws
//!
//! * A component's name is unique within its kind. Components of one family may share a section of the settings file;
//!   they then have the same settings type.
//! * [`Component::check`] has no side effects: it opens, connects and writes nothing.
//! * A component gets what it works with from [`Resources`] and opens nothing that another component could share.

mod registration;
mod resources;
mod section;

pub use registration::Registration;
pub use resources::{MissingResource, Resources};
pub use section::{InvalidSection, NoSettings, Section, Settings};

use limbic_stream::{Stage, StageSpec};

/// Why a component cannot work: the message names the setting and the remedy.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a component is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A stream processor: reads topics, writes topics, owns state.
    Stage,
    /// Pulls posts from one social network.
    Connector,
    /// Receives creatives, returns outcomes.
    AdPlatform,
    /// Generates text.
    LlmProvider,
    /// Keeps views or series.
    Store,
}

impl Kind {
    /// The kind in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Connector => "connector",
            Self::AdPlatform => "ad platform",
            Self::LlmProvider => "LLM provider",
            Self::Store => "store",
        }
    }
}

/// Something that a component works with and does not open itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The log.
    Log,
    /// The view's database.
    ViewDatabase,
    /// The store of time series.
    SeriesStore,
    /// HTTP connections to other servers.
    HttpClient,
    /// The wall clock.
    Clock,
    /// Secrets from the settings.
    Secrets,
    /// Threads for asynchronous I/O.
    AsyncRuntime,
}

impl Need {
    /// The need in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::ViewDatabase => "view database",
            Self::SeriesStore => "series store",
            Self::HttpClient => "HTTP client",
            Self::Clock => "clock",
            Self::Secrets => "secrets",
            Self::AsyncRuntime => "async runtime",
        }
    }
}

/// A type that is a component.
pub trait Component: 'static {
    /// Its settings: a section of the settings file.
    type Settings: Settings;

    /// What it is one of.
    const KIND: Kind;
    /// Its name, unique within its kind: lower case, as in settings and on the command line.
    const NAME: &'static str;
    /// What it does, in one sentence.
    const SUMMARY: &'static str;
    /// The section of the settings file that it reads: its own name, unless it shares the section of its family.
    const SECTION: &'static str = Self::NAME;
    /// What it works with.
    const NEEDS: &'static [Need];

    /// Refuses settings that cannot work. Opens nothing.
    fn check(settings: &Self::Settings) -> Result<(), Error>;
}

/// A component that is a stage.
pub trait StageComponent: Component {
    /// What the stage reads and writes, whether or not it runs here.
    fn spec(settings: &Self::Settings) -> Result<StageSpec, Error>;

    /// Builds the stage. It may open what belongs to it alone, such as a model.
    fn build(settings: &Self::Settings, resources: &Resources) -> Result<Box<dyn Stage>, Error>;
}
