//! The file of JSON Lines as a component.

use std::path::PathBuf;

use limbic_component::{Component, Error, Kind, Need, Place, Resources};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::JsonLines;
use crate::Connector;

/// `kind = "json_lines"`: follows a file of posts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonLinesSettings {
    /// The file, with one post a line. It may appear later.
    pub path: PathBuf,
}

impl Component for JsonLines {
    type Settings = JsonLinesSettings;
    type Product = Box<dyn Connector>;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "json_lines";
    const SUMMARY: &'static str = "Follows a file of JSON Lines that another program appends to.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[];

    fn check(settings: &JsonLinesSettings) -> Result<(), Error> {
        if settings.path.as_os_str().is_empty() {
            return Err("path: is empty: give the file that posts are read from".into());
        }
        Ok(())
    }

    fn build(settings: &JsonLinesSettings, _: &Resources) -> Result<Box<dyn Connector>, Error> {
        Self::check(settings)?;
        Ok(Box::new(Self::new(&settings.path)))
    }
}
