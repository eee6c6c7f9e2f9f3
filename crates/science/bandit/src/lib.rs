//! Which ad, now: the contextual bandit, what it learns from, and its brakes. Nothing here reads a clock or draws
//! a random number that is not a function of a seed, and only [`evaluate`] does I/O (it reads logs): the same inputs give
//! the same bits on every machine.
//!
//! * [`policy`]: from a context and its [`Arm`]s to one probability per arm, and what an outcome teaches.
//! * [`decide`]: the [`DecisionEngine`](decide::DecisionEngine): which candidates may run, the policy's probabilities
//!   inside their bounds, the seeded draw; or a stated reason why nothing was chosen.
//! * [`outcomes`]: what came of a decision, joined to it: late, restated, twice or never.
//! * [`stage`]: the pipeline's optimize stage.
//! * [`evaluate`]: what another policy would have earned on a log it did not write.
//! * [`brakes`]: budget pacing, frequency caps, champion and challenger, ratio alarm, permanent hold-out.
//! * [`quadrature`]: exact choice probabilities of Thompson sampling with independent Beta arms.
//! * [`features`]: hashed sparse features with namespaces and interactions.
//! * [`random`]: the generator everything draws from.

pub mod decide;
pub mod exact;
pub mod features;
pub mod guardrails;
pub mod outcomes;
pub mod policy;
pub mod quadrature;
pub mod simulator;

pub use limbic_domain::random;

pub use features::{Arm, Features};
pub use policy::{Policy, PolicyConfig, PolicyError};
