//! A component's entry in the registry.

use std::any::{Any, type_name};

use limbic_domain::ConnectionUrl;
use limbic_stream::{StageSpec, StateSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    Component, ConnectorComponent, Error, InvalidSection, Kind, Need, Place, Resources, Section,
    StageComponent,
};

/// A component without its type, as the registry lists it.
#[derive(Clone, Copy)]
pub struct Registration {
    /// The kind of the component.
    pub kind: Kind,
    /// Its name, unique within its kind.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Where the settings file names it.
    pub place: Place,
    /// The resources that it uses.
    pub needs: &'static [Need],
    /// What its source permits, as the text of a TOML file. Only for connectors.
    pub terms: Option<&'static str>,
    default: fn() -> Section,
    parse: fn(toml::Value) -> Result<Section, InvalidSection>,
    schema: fn(&mut SchemaGenerator) -> Schema,
    check: fn(&Section) -> Result<(), Error>,
    address: fn(&Section) -> Option<ConnectionUrl>,
    build: Build,
    /// Only for stages.
    spec: Option<Specify>,
    state: Option<fn() -> StateSchema>,
}

/// Builds a component from its settings.
type Build = fn(&Section, &Resources) -> Result<Box<dyn Any>, Error>;
/// Returns the topics and requirements of a stage.
type Specify = fn(&Section) -> Result<StageSpec, Error>;

impl Registration {
    /// The entry of `C`.
    pub const fn of<C: Component>() -> Self {
        Self {
            kind: C::KIND,
            name: C::NAME,
            summary: C::SUMMARY,
            place: C::PLACE,
            needs: C::NEEDS,
            terms: None,
            default: || Section::new(C::Settings::default()),
            parse: Section::parse::<C::Settings>,
            schema: |generator| <C::Settings as JsonSchema>::json_schema(generator),
            check: |section| C::check(typed::<C>(section)?),
            address: |section| typed::<C>(section).ok().and_then(C::address),
            build: |section, resources| Ok(Box::new(C::build(typed::<C>(section)?, resources)?)),
            spec: None,
            state: None,
        }
    }

    /// The entry of the stage `C`.
    pub const fn stage<C: StageComponent>() -> Self {
        let mut entry = Self::of::<C>();
        entry.spec = Some(|section| C::spec(typed::<C>(section)?));
        entry.state = Some(C::state);
        entry
    }

    /// The entry of the connector `C`.
    pub const fn connector<C: ConnectorComponent>() -> Self {
        let mut entry = Self::of::<C>();
        entry.terms = Some(C::TERMS);
        entry
    }

    /// Whether it declares this need.
    pub fn has_need(&self, need: Need) -> bool {
        self.needs.contains(&need)
    }

    /// Its settings without a section in the file.
    pub fn default_settings(&self) -> Section {
        (self.default)()
    }

    /// Its settings from a table of the file.
    pub fn parse(&self, value: toml::Value) -> Result<Section, InvalidSection> {
        (self.parse)(value)
    }

    /// The JSON Schema of its settings.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }

    /// Returns an error if the settings are not valid.
    pub fn check(&self, section: &Section) -> Result<(), Error> {
        (self.check)(section)
    }

    /// The server that it contacts, if its settings name one.
    pub fn address(&self, section: &Section) -> Option<ConnectionUrl> {
        (self.address)(section)
    }

    /// The topics and requirements of the stage. `None` if it is not a stage.
    pub fn spec(&self, section: &Section) -> Option<Result<StageSpec, Error>> {
        self.spec.map(|spec| spec(section))
    }

    /// The tables of the stage's state. `None` if it is not a stage.
    pub fn state(&self) -> Option<StateSchema> {
        self.state.map(|state| state())
    }

    /// Builds the component. `T` is the product type of its kind.
    pub fn build<T: 'static>(&self, section: &Section, resources: &Resources) -> Result<T, Error> {
        let built = (self.build)(section, resources)?.downcast::<T>();
        built.map(|built| *built).map_err(|_| {
            format!(
                "the {self:?} does not build a {}: this is a mistake in the program",
                type_name::<T>()
            )
            .into()
        })
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

fn typed<C: Component>(section: &Section) -> Result<&C::Settings, Error> {
    section.get().ok_or_else(|| {
        format!(
            "the settings given to `{}` are of another component: this is a mistake in the program",
            C::NAME
        )
        .into()
    })
}
