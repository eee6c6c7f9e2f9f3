//! The affect stage: reads every post and writes its reading. The science is in `limbic-affect`.

mod stage;

pub use stage::AffectStage;
