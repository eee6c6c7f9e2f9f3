//! The settings of components: one section for each type, and entries for components with several instances.

use std::collections::BTreeMap;

use limbic_component::{Component, Registration, Section};
use limbic_domain::Slug;

use crate::registry;

/// One section for each type of component settings, by name. All sections exist, with defaults for what the file does not
/// set.
#[derive(Debug, Clone)]
pub struct Sections(pub(super) BTreeMap<&'static str, Section>);

impl Default for Sections {
    fn default() -> Self {
        let sections = registry::sections();
        Self(
            sections
                .map(|(section, component)| (section, component.default_settings()))
                .collect(),
        )
    }
}

/// An entry `[TABLE.NAME]`: an instance of the component that its `kind` names.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The component that its key `kind` names.
    pub component: &'static Registration,
    /// Its other keys.
    pub settings: Section,
}

/// The entries of each table: `[ad_platforms.NAME]` and others.
#[derive(Debug, Clone, Default)]
pub struct Entries(pub(super) BTreeMap<&'static str, BTreeMap<Slug, Entry>>);

impl Entries {
    /// The entries of one table, in the order of their names.
    pub fn of(&self, table: &str) -> impl Iterator<Item = (&Slug, &Entry)> {
        self.0.get(table).into_iter().flatten()
    }

    /// Every entry, with its table and name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Slug, &Entry)> {
        self.0
            .iter()
            .flat_map(|(&table, entries)| entries.iter().map(move |(name, entry)| (table, name, entry)))
    }

    /// Adds an instance of the component `C`, or replaces the one of this name.
    ///
    /// # Panics
    ///
    /// If `C` is not a component with entries in the registry.
    pub fn insert<C: Component>(&mut self, name: Slug, settings: C::Settings) {
        let table = C::PLACE.table().expect("the component has entries");
        let entry = Entry {
            component: registry::entry_of::<C>(),
            settings: Section::new(settings),
        };
        self.0.entry(table).or_default().insert(name, entry);
    }

    /// As tables of the settings file. Secrets are hidden.
    pub(super) fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        let mut tables = toml::Table::new();
        for (table, name, entry) in self.all() {
            let mut values = toml::Table::new();
            values.insert(KIND.to_owned(), entry.component.name.into());
            if let toml::Value::Table(settings) = entry.settings.to_value()? {
                values.extend(settings);
            }
            let entries = tables.entry(table).or_insert_with(|| toml::Table::new().into());
            if let toml::Value::Table(entries) = entries {
                entries.insert(name.to_string(), values.into());
            }
        }
        Ok(tables)
    }
}

/// The key of an entry that names its component.
pub(crate) const KIND: &str = "kind";
