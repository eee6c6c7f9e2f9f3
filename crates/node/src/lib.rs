//! One running process of Limbic: its settings, its log, the stages over it and the API before it.

mod instance;
mod keys;
mod log;
mod node;
pub mod settings;
mod sharing;
mod stages;
mod trim;

pub use log::{connect, open_log, topic_specs};
pub use node::{Node, Options};
pub use settings::{STAGES, Settings};
pub use sharing::{Unshared, unshared};
pub use stages::{Databases, build as build_stages};
