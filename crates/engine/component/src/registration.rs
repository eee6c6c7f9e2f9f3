//! A component's entry in the registry.

use limbic_stream::{Stage, StageSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{Component, Error, InvalidSection, Kind, Need, Resources, Section, StageComponent};

/// A component without its type: what the registry lists.
#[derive(Clone, Copy)]
pub struct Registration {
    /// What it is one of.
    pub kind: Kind,
    /// Its name, unique within its kind.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The section of the settings file that it reads.
    pub section: &'static str,
    /// What it works with.
    pub needs: &'static [Need],
    default: fn() -> Section,
    parse: fn(toml::Value) -> Result<Section, InvalidSection>,
    schema: fn(&mut SchemaGenerator) -> Schema,
    check: fn(&Section) -> Result<(), Error>,
    stage: Option<StageFunctions>,
}

/// Builds a stage from its section.
type BuildStage = fn(&Section, &Resources) -> Result<Box<dyn Stage>, Error>;

#[derive(Clone, Copy)]
struct StageFunctions {
    spec: fn(&Section) -> Result<StageSpec, Error>,
    build: BuildStage,
}

impl Registration {
    /// The entry of `C`.
    pub const fn of<C: Component>() -> Self {
        Self {
            kind: C::KIND,
            name: C::NAME,
            summary: C::SUMMARY,
            section: C::SECTION,
            needs: C::NEEDS,
            default: || Section::new(C::Settings::default()),
            parse: Section::parse::<C::Settings>,
            schema: |generator| <C::Settings as JsonSchema>::json_schema(generator),
            check: |section| C::check(typed::<C>(section)?),
            stage: None,
        }
    }

    /// The entry of the stage `C`.
    pub const fn stage<C: StageComponent>() -> Self {
        let mut entry = Self::of::<C>();
        entry.stage = Some(StageFunctions {
            spec: |section| C::spec(typed::<C>(section)?),
            build: |section, resources| C::build(typed::<C>(section)?, resources),
        });
        entry
    }

    /// Whether it declares this need.
    pub fn has_need(&self, need: Need) -> bool {
        self.needs.contains(&need)
    }

    /// Its settings where the file says nothing.
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

    /// Refuses settings that cannot work.
    pub fn check(&self, section: &Section) -> Result<(), Error> {
        (self.check)(section)
    }

    /// What it reads and writes; `None` if it is not a stage.
    pub fn spec(&self, section: &Section) -> Option<Result<StageSpec, Error>> {
        self.stage.map(|stage| (stage.spec)(section))
    }

    /// Builds it; `None` if it is not a stage.
    pub fn build(&self, section: &Section, resources: &Resources) -> Option<Result<Box<dyn Stage>, Error>> {
        self.stage.map(|stage| (stage.build)(section, resources))
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
