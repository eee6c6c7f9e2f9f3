//! The sections of the components.

use std::collections::BTreeMap;

use limbic_component::Section;

use crate::registry;

/// One section for each type of component settings, by name. All sections are there, with defaults where the file says
/// nothing.
#[derive(Debug, Clone)]
pub struct Sections(pub(super) BTreeMap<&'static str, Section>);

impl Default for Sections {
    fn default() -> Self {
        let sections = registry::sections();
        Self(
            sections
                .map(|component| (component.section, component.default_settings()))
                .collect(),
        )
    }
}
