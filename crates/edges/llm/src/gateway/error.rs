//! Why a request has no reply.

use std::time::Duration;

use limbic_stream::outbox::Answer;

use super::budget::OverLimit;
use super::ledger::LedgerError;
use crate::Generated;

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// No route has this model.
    #[error("model: there is no model `{model}`: {known}")]
    UnknownModel {
        /// The model that was named.
        model: String,
        /// The models that there are.
        known: String,
    },
    /// The request has a wrong field.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The cost cannot be computed.
    #[error(
        "the price of `{model}` of the provider `{provider}` is not known: add it to llm.prices, or set llm.default_price"
    )]
    NoPrice {
        /// The provider.
        provider: String,
        /// The model.
        model: String,
    },
    /// A limit of the tenant leaves no room.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// A model or a content filter refuses the request. Other providers were not asked.
    #[error("{provider} refuses the request: {detail}. Change the prompt")]
    Refused {
        /// The provider.
        provider: String,
        /// Its message.
        detail: String,
    },
    /// Every provider refuses the form of the request.
    #[error("every provider rejects the request: {detail}. Correct it")]
    Rejected {
        /// What each one answered.
        detail: String,
    },
    /// No provider gave a reply.
    #[error("no provider gave a reply: {detail}")]
    Failed {
        /// What each one answered.
        detail: String,
        /// When another attempt can help, if one of them has said so.
        wait: Option<Duration>,
    },
    /// The job of this request has ended without a clip. It is not begun again.
    #[error(
        "{provider} gave no clip: {detail}. The idempotency key begins no second job: to order the clip again, choose another key"
    )]
    Ended {
        /// The provider and its model.
        provider: String,
        /// What happened.
        detail: String,
    },
    /// The costs cannot be stored, so nothing was asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The process ends.
    #[error("the request ended, because this node stops: send it again")]
    Stopped,
}

impl GatewayError {
    /// When another attempt can help. `None` = it is not known, or another attempt does not help.
    pub const fn wait(&self) -> Option<Duration> {
        match self {
            Self::OverLimit(over) => over.wait,
            Self::Failed { wait, .. } => *wait,
            _ => None,
        }
    }

    /// What it means for an outbox.
    pub fn into_answer(self) -> Answer<Generated> {
        let detail = self.to_string();
        match self {
            Self::UnknownModel { .. }
            | Self::Invalid { .. }
            | Self::Refused { .. }
            | Self::Rejected { .. }
            | Self::Ended { .. }
            | Self::OverLimit(OverLimit { wait: None, .. }) => Answer::Rejected { detail },
            Self::OverLimit(OverLimit { wait, .. }) => Answer::RetryAfter { wait, detail },
            Self::NoPrice { .. } => Answer::Blocked { detail },
            Self::Failed { wait: Some(wait), .. } => Answer::RetryAfter {
                wait: Some(wait),
                detail,
            },
            Self::Failed { wait: None, .. } | Self::Ledger(_) | Self::Stopped => Answer::Unknown { detail },
        }
    }
}
