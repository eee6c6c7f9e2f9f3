//! The contextual bandit: chooses one ad for a context with an exact probability, and learns from rewards.
//!
//! ```text
//! context ─┐  ┌───────────── DecisionEngine ───────────────┐
//! offers ──┼─▶│ eligible? ─▶ Policy ─▶ bounds ─▶ seeded draw │─▶ choice + propensity, or the rule that suppressed it
//! id ──────┘  └────────────────▲───────────────────────────┘
//!                              │ Feedback (context, arm, reward, propensity)
//! outcomes ─▶ outcomes::Attribution ─▶ RewardUpdate
//! ```
//!
//! The crate is pure computation. It does no I/O, reads no clock, and does not know the log or the pipeline: the
//! optimize stage (`limbic-optimize`) supplies event time, ids and state. It does not estimate what another policy
//! would have earned: `limbic-evaluation` does.
//!
//! * [`policy`]: policies, from a context and [`Arm`]s to one probability per arm.
//! * [`decide`]: the [`DecisionEngine`](decide::DecisionEngine), which applies eligibility rules and probability
//!   bounds and draws the choice.
//! * [`rewards`]: what a reward is, for the live stage and for evaluation.
//! * [`outcomes`]: attribution of outcomes to a decision: late, restated, withdrawn.
//! * [`guardrails`]: budget pacing, frequency caps, champion/challenger test, sample-ratio alarm, hold-out.
//! * [`features`]: hashed sparse features with namespaces and interactions.
//! * [`quadrature`]: exact choice probabilities of Thompson sampling with independent Beta arms.
//! * [`random`]: the random number generator that every draw uses.
//! * [`simulator`]: comparison of policies on simulated decisions.
//!
//! # Example
//!
//! ```
//! use limbic_bandit::decide::{DecisionEngine, EngineConfig, Offer, Selection};
//! use limbic_bandit::policy::Feedback;
//! use limbic_bandit::{Arm, Features};
//! use limbic_domain::{Micros, Utc};
//!
//! let mut engine = DecisionEngine::new(EngineConfig::default())?;
//! let context = Features::new().with("direction", "up");
//! let offers = ["celebrate", "calm"].map(|tone| Offer {
//!     arm: Arm::new(tone, tone, Features::new()),
//!     price: Micros(100),
//! });
//! let selection = engine.decide("decision-1", Utc::from_millis(0), &context, &offers);
//! let Selection::Chosen(draft) = selection else {
//!     panic!("both offers are eligible");
//! };
//! // Before any feedback the two arms are equally likely.
//! assert!((draft.propensity - 0.5).abs() < 1e-9);
//!
//! engine.learn(&Feedback {
//!     context: &context,
//!     arm: &offers[draft.eligible[draft.choice]].arm,
//!     reward: 1.0,
//!     previous_reward: None,
//!     propensity: draft.propensity,
//! })?;
//! # Ok::<(), limbic_bandit::PolicyError>(())
//! ```
//!
//! # Laws
//!
//! * The same inputs give the same bits on every machine. A draw is a function of a seed and an id.
//! * The probabilities of the eligible arms sum to 1 within 1e-9, and the logged propensity is the probability that
//!   was drawn from.
//! * A snapshot restores a policy to the bit.
//! * A call that returns an error changes nothing.

pub mod decide;
pub mod exact;
pub mod features;
pub mod guardrails;
pub mod outcomes;
pub mod policy;
pub mod quadrature;
pub mod rewards;
pub mod simulator;

pub use limbic_domain::random;

pub use features::{Arm, Features};
pub use policy::{Policy, PolicyConfig, PolicyError};
