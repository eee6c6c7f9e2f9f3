//! The settings of a file platform.

use std::path::PathBuf;

use limbic_deliver::Addressing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `kind = "file"`: appends each delivery to a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// The file. Missing folders are created.
    pub path: PathBuf,
    /// What a delivery names: `people` = the tenant's pseudonyms (default); `context` = the subject, the feeling and the time, and no
    /// people.
    #[serde(default)]
    pub send: Addressing,
}
