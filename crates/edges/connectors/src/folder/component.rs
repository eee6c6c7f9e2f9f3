//! A watched folder as a component.

use std::path::PathBuf;

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{HumanDuration, TenantId};
use limbic_ingest::replay::{Mapping, ReadOptions, Times};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Folder;
use crate::Source;

/// `kind = "folder"`: reads the files that other programs put into a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FolderSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The folder. Write a file under a name that begins with a dot or ends with `.tmp`, and rename it when it is complete.
    pub path: PathBuf,
    /// The columns of the fields, as `limbic replay --map` has them, for instance `text=body,author=user,network:=forum`. Empty (default)
    /// = the columns have the names of the fields.
    pub map: String,
    /// The time zone of times without one, for instance `UTC`. Empty (default) = such a time is refused.
    pub timezone: String,
    /// The form of times, as `limbic replay --time-format` has it. Empty (default) = the usual forms.
    pub time_format: String,
    /// How often the folder is looked at. 1s to 1h; default 5s.
    pub interval: HumanDuration,
}

impl Default for FolderSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            path: PathBuf::new(),
            map: String::new(),
            timezone: String::new(),
            time_format: String::new(),
            interval: HumanDuration::from_secs(5),
        }
    }
}

impl FolderSettings {
    fn options(&self) -> Result<ReadOptions, Error> {
        let given = |text: &'static str, value: &str| match value.trim() {
            "" => None,
            value => Some((text, value.to_owned())),
        };
        let zone = given("timezone", &self.timezone).map(|(_, zone)| zone);
        let form = given("time_format", &self.time_format).map(|(_, form)| form);
        Ok(ReadOptions {
            mapping: Mapping::parse(&self.map).map_err(|error| format!("map: {error}"))?,
            times: Times::new(zone.as_deref(), form.as_deref())
                .map_err(|error| format!("timezone or time_format: {error}"))?,
            ..ReadOptions::default()
        })
    }
}

impl Component for Folder {
    type Settings = FolderSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "folder";
    const SUMMARY: &'static str = "Reads the files of posts that other programs put into a folder.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[];

    fn check(settings: &FolderSettings) -> Result<(), Error> {
        if settings.path.as_os_str().is_empty() {
            return Err("path: is empty: give the folder that files are read from".into());
        }
        let seconds = settings.interval.get().as_secs();
        if !(1..=3_600).contains(&seconds) {
            return Err(format!("interval = {}: must be from 1s to 1h", settings.interval).into());
        }
        settings.options().map(drop)
    }

    fn build(settings: &FolderSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let connector = Self::new(
            settings.path.clone(),
            settings.options()?,
            settings.interval.get(),
        );
        Ok(Source::pulled(settings.tenant.clone(), connector))
    }
}

impl ConnectorComponent for Folder {
    const TERMS: &'static str = include_str!("terms.toml");
}
