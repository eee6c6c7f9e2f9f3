//! The file of JSON Lines as a component.

use std::path::PathBuf;

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::TenantId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::JsonLines;
use crate::Source;

/// `kind = "json_lines"`: follows a file of posts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonLinesSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The file, with one post a line. It may appear later.
    pub path: PathBuf,
}

impl Component for JsonLines {
    type Settings = JsonLinesSettings;
    type Product = Source;
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

    fn build(settings: &JsonLinesSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        Ok(Source::pulled(settings.tenant.clone(), Self::new(&settings.path)))
    }
}

impl ConnectorComponent for JsonLines {
    const TERMS: &'static str = include_str!("terms.toml");
}
