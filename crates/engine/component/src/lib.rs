//! The contract of a component: a stage, log, store, connector, ad platform, LLM provider or picture provider.
//!
//! It is not a plug-in system: components are compiled in. A registry above this crate lists them, and everything else
//! (settings file, command line, checks, reference pages, API) reads that list.
//!
//! ```text
//!  component's folder                 registry (one line each)          readers of the registry
//!  impl Component for X ────────────▶ Registration::of::<X>() ────────▶ settings file: [X]
//!    KIND, NAME, PLACE, NEEDS           kind, name, schema, functions   limbic check, components, config show
//!    Settings, check, build                                             node: build(settings, Resources)
//! ```
//!
//! All components of a kind build the same type ([`Component::Product`]): a stage builds a `Box<dyn Stage>`, a log an
//! `Arc<dyn Log>`. So the code that uses a kind does not name its components.
//!
//! ```
//! use limbic_component::{Component, Error, Kind, Need, Registration, Resources};
//!
//! #[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     /// Longest text, in characters.
//!     longest: usize,
//! }
//!
//! struct Shorten(usize);
//!
//! impl Component for Shorten {
//!     type Settings = Settings;
//!     type Product = Shorten;
//!     const KIND: Kind = Kind::Stage;
//!     const NAME: &'static str = "shorten";
//!     const SUMMARY: &'static str = "Cuts long texts.";
//!     const NEEDS: &'static [Need] = &[Need::Log];
//!
//!     fn check(settings: &Settings) -> Result<(), Error> {
//!         (settings.longest > 0).then_some(()).ok_or_else(|| "shorten.longest: must be above 0".into())
//!     }
//!
//!     fn build(settings: &Settings, _: &Resources) -> Result<Shorten, Error> {
//!         Ok(Shorten(settings.longest))
//!     }
//! }
//!
//! let listed = Registration::of::<Shorten>();
//! let section = listed.parse(toml::toml! { longest = 80 }.into()).unwrap();
//! assert!(listed.check(&section).is_ok());
//! assert!(listed.check(&listed.default_settings()).is_err());
//! let built: Shorten = listed.build(&section, &Resources::new("log")).unwrap();
//! assert_eq!(built.0, 80);
//! ```
//!
//! # Laws
//!
//! * A component's name is unique within its kind. Components of one family may share a section of the settings file;
//!   they then have the same settings type.
//! * The components of a kind have the same product type.
//! * [`Component::check`] has no side effects: it opens, connects and writes nothing.
//! * A component receives shared resources as [`Resources`]. It opens nothing that another component could share.

mod place;
mod registration;
mod resources;
mod section;

pub use place::Place;
pub use registration::Registration;
pub use resources::{CallTimeout, DataFolder, MissingResource, NamePrefix, OnlyReading, Resources};
pub use section::{InvalidSection, NoSettings, Section, Settings};

use limbic_domain::ConnectionUrl;
use limbic_stream::{StageSpec, StateSchema};

/// Why a component cannot work. The message names the setting and the correction.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The kind of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A stream processor: reads topics, writes topics, owns state.
    Stage,
    /// Stores topics and moves records between stages.
    Log,
    /// Stores the view, from which the API lists events.
    ViewStore,
    /// Stores time series.
    SeriesStore,
    /// Stores the ids of recently accepted posts.
    IdStore,
    /// Pulls posts from one social network.
    Connector,
    /// Receives creatives, returns outcomes.
    AdPlatform,
    /// Generates text.
    LlmProvider,
    /// Paints pictures.
    PictureProvider,
    /// Makes clips.
    VideoProvider,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Stage,
        Self::Log,
        Self::ViewStore,
        Self::SeriesStore,
        Self::IdStore,
        Self::Connector,
        Self::AdPlatform,
        Self::LlmProvider,
        Self::PictureProvider,
        Self::VideoProvider,
    ];

    /// The kind in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Log => "log",
            Self::ViewStore => "view store",
            Self::SeriesStore => "series store",
            Self::IdStore => "id store",
            Self::Connector => "connector",
            Self::AdPlatform => "ad platform",
            Self::LlmProvider => "LLM provider",
            Self::PictureProvider => "picture provider",
            Self::VideoProvider => "video provider",
        }
    }
}

/// A resource that a component uses and does not open itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The node's log, with the topics and the state of a stage.
    Log,
    /// The open database of the view, to which the stage `views` writes.
    ViewDatabase,
    /// The store of time series.
    SeriesStore,
    /// The open ad platforms of the settings.
    AdPlatforms,
    /// The gateway to the language models of the settings, if there are some.
    LanguageModels,
    /// The URL in the settings that selected the component.
    Url,
    /// The node's data folder.
    DataFolder,
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
            Self::AdPlatforms => "ad platforms",
            Self::LanguageModels => "language models",
            Self::Url => "URL",
            Self::DataFolder => "data folder",
            Self::HttpClient => "HTTP client",
            Self::Clock => "clock",
            Self::Secrets => "secrets",
            Self::AsyncRuntime => "async runtime",
        }
    }
}

/// A type that is a component.
pub trait Component: 'static {
    /// Its settings: a section, or the keys of an entry. [`NoSettings`] if it has none.
    type Settings: Settings;
    /// The type that it builds, which is the same for all components of its kind.
    type Product: 'static;

    /// The kind of the component.
    const KIND: Kind;
    /// Its name, unique within its kind: lower case, as in settings and on the command line.
    const NAME: &'static str;
    /// What it does, in one sentence.
    const SUMMARY: &'static str;
    /// Where the settings file names it. The default is a section with the component's name.
    const PLACE: Place = Place::Section(Self::NAME);
    /// The resources that it uses.
    const NEEDS: &'static [Need];

    /// Returns an error if the settings are not valid. Opens nothing.
    fn check(settings: &Self::Settings) -> Result<(), Error>;

    /// The server that it contacts, if it has one and its settings name it. `limbic check` looks whether it can be reached.
    fn address(settings: &Self::Settings) -> Option<ConnectionUrl> {
        let _ = settings;
        None
    }

    /// Builds the component. It may open what only this component uses, such as a model, a file or a connection.
    fn build(settings: &Self::Settings, resources: &Resources) -> Result<Self::Product, Error>;
}

/// A component that is a connector.
pub trait ConnectorComponent: Component {
    /// What its source permits, as the text of a TOML file.
    const TERMS: &'static str;
}

/// A component that is a stage.
pub trait StageComponent: Component {
    /// The topics and requirements of the stage, whether or not it runs in this process.
    fn spec(settings: &Self::Settings) -> Result<StageSpec, Error>;

    /// The tables of the stage's state, so that `limbic check --deep` can decode it. The default says that it keeps none.
    fn state() -> StateSchema {
        StateSchema::new()
    }
}
