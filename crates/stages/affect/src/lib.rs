//! The affect stage: reads every post and writes its reading.
//!
//! ```text
//! posts ─▶ SubjectTagger ─▶ Adapters::for_post ─▶ AffectEngine::read_adapted (one call per batch) ─▶ readings
//! ```
//!
//! The stage connects the log with the computation. It does not read texts itself: engines, lexica, models and subject lists
//! are in [`limbic_affect`]. It keeps no state.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use limbic_affect::{LexiconReader, SubjectTagger};
//! use limbic_affect_stage::AffectStage;
//! use limbic_stream::testing::{Harness, record};
//!
//! let build = || AffectStage::new(Arc::new(LexiconReader::new()), SubjectTagger::default());
//! let mut stage = Harness::new(build).described_by(AffectStage::spec());
//! let effects = stage.process([record("posts").key("default/ada").value("not a post")]);
//! assert!(effects.records.is_empty());
//! assert_eq!(effects.dead[0].reason, AffectStage::MALFORMED);
//! ```
//!
//! # Laws
//!
//! * A reading has the key and the time of its post. Its id is a function of tenant, post, engine version and
//!   subject lists, so a repeated call gives the same event.
//! * A record that is not a post goes to the dead-letter topic.

mod component;
mod meters;
mod stage;

pub use meters::AffectMeters;
pub use stage::AffectStage;
