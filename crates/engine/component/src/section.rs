//! A component's settings without their type.

use std::any::Any;
use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The requirements of a settings type. Every type that meets them implements it.
pub trait Settings:
    Clone + fmt::Debug + Default + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
}

impl<T> Settings for T where
    T: Clone + fmt::Debug + Default + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
}

/// The settings of a component without settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// A section of the settings file does not fit its component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSection {
    /// The key within the section. Empty if the whole section is wrong.
    pub key: String,
    /// What is wrong, without the key.
    pub problem: String,
}

impl fmt::Display for InvalidSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return f.write_str(&self.problem);
        }
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl std::error::Error for InvalidSection {}

trait AnySettings: Any + fmt::Debug + Send + Sync {
    fn duplicate(&self) -> Box<dyn AnySettings>;
    fn to_value(&self) -> Result<toml::Value, toml::ser::Error>;
    fn any(&self) -> &dyn Any;
    fn any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Settings> AnySettings for T {
    fn duplicate(&self) -> Box<dyn AnySettings> {
        Box::new(self.clone())
    }

    fn to_value(&self) -> Result<toml::Value, toml::ser::Error> {
        toml::Value::try_from(self)
    }

    fn any(&self) -> &dyn Any {
        self
    }

    fn any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The settings of a component, of any type.
pub struct Section(Box<dyn AnySettings>);

impl Section {
    /// Settings of type `T`.
    pub fn new<T: Settings>(settings: T) -> Self {
        Self(Box::new(settings))
    }

    /// Reads settings of type `T` from a table of the settings file.
    pub fn parse<T: Settings>(value: toml::Value) -> Result<Self, InvalidSection> {
        let settings: T = serde_path_to_error::deserialize(value).map_err(|error| {
            let key = error.path().to_string();
            InvalidSection {
                key: if key == "." { String::new() } else { key },
                problem: error.inner().message().to_owned(),
            }
        })?;
        Ok(Self::new(settings))
    }

    /// The settings, if they are of type `T`.
    pub fn get<T: Settings>(&self) -> Option<&T> {
        self.0.any().downcast_ref()
    }

    /// The settings for changes, if they are of type `T`.
    pub fn get_mut<T: Settings>(&mut self) -> Option<&mut T> {
        self.0.any_mut().downcast_mut()
    }

    /// The settings in the form of the settings file. Secrets are hidden.
    pub fn to_value(&self) -> Result<toml::Value, toml::ser::Error> {
        self.0.to_value()
    }
}

impl Clone for Section {
    fn clone(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
