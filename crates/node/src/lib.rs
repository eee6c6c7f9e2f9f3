//! A node: one running process of Limbic with its settings, its log, its stages and its API.
//!
//! ```text
//!  settings (file < environment < command line)      registry: every component, one line each
//!        │                                               │
//!        ▼                                               ▼
//!  Node::open ──▶ log ──▶ stores that are needed here ──▶ edge ──▶ stages ──▶ API
//! ```
//!
//! It is not the command line (that is the crate `limbic`), and it computes nothing (the stages do).
//!
//! * [`registry`] lists the components. [`settings`] reads their settings, [`settings_page`] and [`settings_schema`]
//!   describe them, and [`fn@check`] checks everything that the settings name.
//! * [`Node`] is the lifecycle. It opens a store only if a stage that runs here needs it, or if the API runs here and the
//!   store is a server that every node can read. Otherwise the API answers with the reason.
//!
//! ```
//! use limbic_node::{Node, Options, Settings};
//!
//! let folder = tempfile::tempdir()?;
//! let settings = Settings { data_dir: folder.path().into(), ..Settings::default() };
//! let options = Options { stages: vec!["ingest".into()], listen: Some("127.0.0.1:0".into()) };
//! let node = Node::open(&settings, &options)?;
//! assert!(node.address.is_some() && node.failure().is_none());
//! assert!(node.close()?);
//! # anyhow::Ok(())
//! ```
//!
//! # Laws
//!
//! * Settings that are not valid are an error before any stage runs.
//! * If a node cannot be opened, it leaves no lock behind.
//! * No secret appears in a printed setting, an error or a log line.

mod adapters;
#[cfg(test)]
mod boards;
mod campaigns;
mod check;
mod components;
mod connectors;
mod deep;
mod edge;
mod edits;
mod embedder;
mod film;
mod folder;
mod instance;
mod keys;
mod local;
mod log;
mod models;
mod node;
mod pictures;
mod reference;
pub mod registry;
mod resources;
mod server;
pub mod settings;
mod sharing;
mod stages;
mod state_sizes;
mod stores;
mod terms;
mod texts;
mod trim;

pub use check::{Finding, Verdict, check};
pub use deep::check_deep;
pub use local::{About, running};
pub use log::{connect, open_log, topic_specs};
pub use node::{Node, Options};
pub use reference::{components_json, settings_page, settings_schema};
pub use settings::Settings;
pub use stores::open_view;
