//! Pictures that models painted, as files of the node.

use std::time::{Duration, SystemTime};

use limbic_domain::{TenantId, Utc};
use limbic_file_store::{FileStore, FileStoreError};
use serde::{Deserialize, Serialize};

use crate::{Paint, Painted, Usage};

/// The folder of the pictures, in the folder of the ledger. It is within the folder of the cards that are drawn, whose files are served
/// to everybody who knows their hash.
pub const PAINTED_FOLDER: &str = "pictures/painted";

/// A request for a picture to the gateway.
#[derive(Debug, Clone)]
pub struct PaintAsk {
    /// Who asks, and pays.
    pub tenant: TenantId,
    /// The idempotency key, as in [`Ask::key`](super::Ask::key).
    pub key: Option<String>,
    /// The request. Its model is the name of a route, or `PROVIDER/MODEL`.
    pub request: Paint,
}

/// A picture that a model painted, in the folder [`PAINTED_FOLDER`] of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaintedFile {
    /// The name of the file: the SHA-256 hash of its bytes, and an ending.
    pub file: String,
    /// `image/png`, `image/jpeg` or `image/webp`.
    pub media_type: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The size of the file.
    pub bytes: u64,
    /// The model that painted it, in the provider's form.
    pub model: String,
    /// What it used. `None` if the provider does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl PaintedFile {
    /// Stores a picture. The file is durable when this returns.
    pub(super) fn store(painted: &Painted, store: &FileStore) -> Result<Self, FileStoreError> {
        Ok(Self {
            file: store.put(&painted.file, painted.kind.ending())?,
            media_type: painted.kind.media_type().to_owned(),
            width: painted.width,
            height: painted.height,
            bytes: painted.file.len() as u64,
            model: painted.model.clone(),
            usage: painted.usage,
        })
    }

    /// Whether the file is still there. If so, it is kept for longer.
    pub(super) fn is_there(&self, store: &FileStore, now: Utc) -> bool {
        store.size(&self.file) == Some(self.bytes) && store.used(&self.file, system_time(now)).is_ok()
    }
}

pub(super) fn system_time(now: Utc) -> SystemTime {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}
