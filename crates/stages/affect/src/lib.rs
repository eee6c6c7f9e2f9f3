//! The affect stage: reads every post and writes its reading.
//!
//! ```text
//! posts ─▶ AffectEngine::read (one call per batch) ─▶ SubjectTagger ─▶ readings
//! ```
//!
//! The stage connects the log with the science: engines, lexica, models and subject lists are in [`limbic_affect`]. It keeps no
//! state.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use limbic_affect::{LexiconReader, SubjectTagger};
//! use limbic_affect_stage::AffectStage;
//!
//! let stage = AffectStage::new(Arc::new(LexiconReader::new()), SubjectTagger::default());
//! assert_eq!(&*AffectStage::spec().name, AffectStage::NAME);
//! # drop(stage);
//! ```
//!
//! # Laws
//!
//! * A reading has the key and the time of its post. Its id is a function of tenant, post, engine version and
//!   subject lists, so a repeated call gives the same event.
//! * A record that is not a post goes to the dead-letter topic.

mod component;
mod stage;

pub use stage::AffectStage;
