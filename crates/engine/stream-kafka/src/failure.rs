//! What librdkafka says, in the words of the log.

use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode};

use crate::options::is_secret;
use limbic_stream::Error;

/// The error of a call, as this crate tells it. `context` says what was tried.
pub(super) fn told(context: &str, error: &KafkaError) -> Error {
    match error {
        // Its own text would show the value.
        KafkaError::ClientConfig(_, problem, name, _) => {
            let problem = if is_secret(name) {
                "its value is not taken"
            } else {
                problem
            };
            Error::Settings(format!("the Kafka setting `{name}`: {problem}"))
        }
        KafkaError::ClientCreation(problem) => {
            Error::Settings(format!("the Kafka settings do not work: {problem}"))
        }
        other => match other.rdkafka_error_code() {
            Some(code) if is_refusal(code) => {
                Error::Settings(format!("{context}: the Kafka cluster refuses: {code}"))
            }
            _ => Error::Unavailable {
                context: context.to_owned(),
                message: other.to_string(),
            },
        },
    }
}

/// Whether no retry helps until somebody changes a right or a password.
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

/// The ladder: what to do about a failed step of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rung {
    /// Call again.
    Retry,
    /// Abort; then rewind and process again.
    Abort,
    /// Another has taken over: abort if possible, give this member up.
    Fenced,
    /// This producer is of no use any more, and what became of the transaction is not known: subscribe again.
    Rebuild,
}

impl Rung {
    pub(super) fn of(error: &KafkaError) -> Self {
        match error {
            KafkaError::Transaction(error) => Self::of_transaction(error),
            other => match other.rdkafka_error_code() {
                Some(code) if is_fence(code) => Self::Fenced,
                Some(RDKafkaErrorCode::Fatal) => Self::Rebuild,
                // A record that could not be delivered: the transaction cannot be completed.
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

/// Why a producer was fenced, and what to do if it happens again.
pub(super) fn fenced(error: &KafkaError) -> String {
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
            "{error}: another producer took this transactional id, or the transaction timed out. If it happens again \
             and again, two running nodes have one instance name: give each its own `stream.instance`"
        )
    } else {
        error.to_string()
    }
}

/// The cluster's ways of saying: you are not the one any more.
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
