//! The resources that components share.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A component asked for a resource that this node has not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingResource(&'static str);

impl std::fmt::Display for MissingResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "this node has not opened {}, which the component uses without declaring the need",
            self.0
        )
    }
}

impl std::error::Error for MissingResource {}

/// The folder of the embedded log and databases. It exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolder(pub PathBuf);

/// The prefix of this log's names in servers that several logs share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePrefix(pub String);

/// Maximum time that a call waits for a server that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimeout(pub Duration);

/// The component is built only for reading: nothing is created in a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnlyReading;

/// Shared resources: those that every component may use, and a map by type of those that some components need: stores,
/// campaigns, a handle to the async runtime. Because of the map, this crate does not depend on the crates of those types.
/// Clones share the resources.
#[derive(Clone)]
pub struct Resources {
    /// The name of this log in databases that several logs share. It keeps their offsets separate. In a running node: a name from
    /// the settings, `@`, and the log's identity.
    pub log_name: String,
    shared: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Resources {
    /// Resources with an empty map.
    pub fn new(log_name: impl Into<String>) -> Self {
        Self {
            log_name: log_name.into(),
            shared: HashMap::new(),
        }
    }

    /// Adds a resource, or replaces the one of its type.
    pub fn insert<T: Any + Send + Sync>(&mut self, thing: T) {
        self.shared.insert(TypeId::of::<T>(), Arc::new(thing));
    }

    /// A clone of the resource of type `T` (usually a handle).
    pub fn get<T: Any + Send + Sync + Clone>(&self) -> Result<T, MissingResource> {
        self.shared
            .get(&TypeId::of::<T>())
            .and_then(|thing| thing.downcast_ref::<T>())
            .cloned()
            .ok_or(MissingResource(type_name::<T>()))
    }
}
