//! Ad platforms: where decided ads run.
//!
//! Each platform is one folder with its settings and its implementation of [`AdPlatform`], the trait that the deliver
//! stage calls. [`PlatformSettings`] lists them; [`open_all`] opens the platforms of a settings file.
//!
//! * [`WebhookPlatform`] posts JSON to a URL, signed as [Standard Webhooks](https://www.standardwebhooks.com) says.
//! * [`FilePlatform`] appends JSON Lines to a file and never writes a decision twice.

mod component;
pub mod file;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;
pub mod webhook;

pub use file::{FileError, FilePlatform, FileSettings};
pub use limbic_deliver::AdPlatform;
pub use settings::{PlatformSettings, SettingsError, check, open_all};
pub use webhook::{InvalidSecret, SigningKey, WebhookPlatform, WebhookSettings};
