//! Converts librdkafka's errors to errors of the log.

use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode};

use crate::options::is_secret;
use limbic_stream::Error;

/// Converts the error of a call. `context` says what was tried.
pub(super) fn to_log_error(context: &str, error: &KafkaError) -> Error {
    match error {
        // The text of this error would contain the value.
        KafkaError::ClientConfig(_, problem, name, _) => {
            let problem = if is_secret(name) {
                "its value is not accepted"
            } else {
                problem
            };
            Error::Settings(format!("the Kafka setting `{name}`: {problem}"))
        }
        KafkaError::ClientCreation(problem) => {
            Error::Settings(format!("the Kafka settings are not valid: {problem}"))
        }
        other => match other.rdkafka_error_code() {
            Some(code) if is_refusal(code) => Error::Settings(format!(
                "{context}: the Kafka cluster refused the request: {code}"
            )),
            _ => Error::Unavailable {
                context: context.to_owned(),
                message: other.to_string(),
            },
        },
    }
}

/// Whether a retry cannot help until a permission or a password is changed.
pub(super) const fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::Authentication
    )
}

/// How a transaction recovers from a failed step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Repeat the call.
    Retry,
    /// Abort the transaction. Then rewind and process the batch again.
    Abort,
    /// Another producer or member has taken over. Abort if possible, and give up this member.
    Fenced,
    /// The producer cannot be used any more, and the outcome of the transaction is unknown. Subscribe again.
    Rebuild,
}

impl Recovery {
    pub(super) fn of(error: &KafkaError) -> Self {
        match error {
            KafkaError::Transaction(error) => Self::of_transaction(error),
            other => match other.rdkafka_error_code() {
                Some(code) if is_fence(code) => Self::Fenced,
                Some(RDKafkaErrorCode::Fatal) => Self::Rebuild,
                // A record could not be delivered, so the transaction cannot be completed.
                _ => Self::Abort,
            },
        }
    }

    fn of_transaction(error: &RDKafkaError) -> Self {
        if is_fence(error.code()) {
            Self::Fenced
        } else if error.is_fatal() {
            Self::Rebuild
        } else if error.txn_requires_abort() {
            Self::Abort
        } else if error.is_retriable() {
            Self::Retry
        } else {
            Self::Rebuild
        }
    }
}

/// Why a producer was fenced, and what to do if it happens repeatedly.
pub(super) fn fencing_reason(error: &KafkaError) -> String {
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    };
    let by_another_producer = matches!(
        code,
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
        )
    );
    if by_another_producer {
        format!(
            "{error}: another producer has taken over this transactional id, or the transaction timed out. If this \
             happens repeatedly, two running nodes have the same instance name: give each its own `stream.instance`"
        )
    } else {
        error.to_string()
    }
}

/// Whether the code means that another producer or member has taken over.
const fn is_fence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId
    )
}
