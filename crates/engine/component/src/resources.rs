//! What components share.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a component asked for and this node has not opened.
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

/// What the names of this log's things begin with in servers that several logs share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePrefix(pub String);

/// Longest time that a call waits for a server that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Duration);

/// Shared things: those that every component may use, and a map by type of those that some need: stores, campaigns, a
/// handle to the async runtime. The map keeps this crate free of the crates that those types come from. A clone shares the
/// things.
#[derive(Clone)]
pub struct Resources {
    /// Names this log in databases that several logs share, so that offsets are told apart.
    pub log_name: String,
    shared: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Resources {
    /// Resources with nothing in the map.
    pub fn new(log_name: impl Into<String>) -> Self {
        Self {
            log_name: log_name.into(),
            shared: HashMap::new(),
        }
    }

    /// Adds a thing, or replaces the one of its type.
    pub fn insert<T: Any + Send + Sync>(&mut self, thing: T) {
        self.shared.insert(TypeId::of::<T>(), Arc::new(thing));
    }

    /// A copy of the thing of type `T` (usually a handle).
    pub fn get<T: Any + Send + Sync + Clone>(&self) -> Result<T, MissingResource> {
        self.shared
            .get(&TypeId::of::<T>())
            .and_then(|thing| thing.downcast_ref::<T>())
            .cloned()
            .ok_or(MissingResource(type_name::<T>()))
    }
}
