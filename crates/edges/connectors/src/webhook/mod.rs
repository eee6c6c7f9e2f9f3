//! A signed webhook: a program sends JSON, and a mapping makes posts of it.

mod component;

use std::time::Duration;

use limbic_domain::{Secret, Utc};
use limbic_http::{SigningKey, is_same_secret, is_signed_in_hex};

use crate::mapping::JsonMapping;
use crate::receiver::{Hook, HookError, Received, Receiver, challenge_of, header, parameter};

pub use component::{SignatureForm, SignedWebhookSettings};

/// Receives signed JSON.
pub struct SignedWebhook {
    mapping: JsonMapping,
    proof: Proof,
    verify_token: Option<Secret>,
}

/// How a request proves who has sent it.
enum Proof {
    /// Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    Standard { key: SigningKey, tolerance: Duration },
    /// HMAC-SHA-256 of the body in hexadecimal digits, in this header.
    Hex { key: Secret, header: String },
}

impl Proof {
    fn check(&self, hook: &Hook<'_>, now: Utc) -> Result<(), HookError> {
        let text = |name: &str| header(hook.headers, name);
        match self {
            Self::Standard { key, tolerance } => {
                let signed = text("webhook-id")
                    .zip(text("webhook-timestamp"))
                    .zip(text("webhook-signature"));
                let Some(((id, at), signatures)) = signed else {
                    return Err(HookError::NotProven(
                        "webhook-id, webhook-timestamp and webhook-signature are needed: sign requests as Standard Webhooks says",
                    ));
                };
                let at: i64 = at
                    .parse()
                    .map_err(|_| HookError::NotProven("webhook-timestamp is not a number of seconds"))?;
                if !key.verifies(signatures, id, at, hook.body) {
                    return Err(HookError::NotProven(
                        "the signature does not fit: use the secret of the settings",
                    ));
                }
                // A recorded request cannot be sent again later.
                let apart = now
                    .millis_since(Utc::from_millis(at.saturating_mul(1_000)))
                    .unsigned_abs();
                if u128::from(apart) > tolerance.as_millis() {
                    return Err(HookError::NotProven(
                        "webhook-timestamp is too far from the clock of this node: set the sender's clock, and sign each attempt again",
                    ));
                }
                Ok(())
            }
            Self::Hex { key, header } => {
                let signature = text(header).ok_or(HookError::NotProven(
                    "the header with the signature is missing: send the HMAC-SHA-256 of the body in hexadecimal digits",
                ))?;
                if is_signed_in_hex(key, signature, hook.body) {
                    Ok(())
                } else {
                    Err(HookError::NotProven(
                        "the signature does not fit: use the secret of the settings",
                    ))
                }
            }
        }
    }
}

/// The answer to the question whether an address is right, as `WebSub` and Meta ask it: `hub.challenge`, if `hub.verify_token` is the
/// one of the settings.
pub(crate) fn challenge(verify_token: Option<&Secret>, query: &str) -> Result<Received, HookError> {
    let refused = HookError::NotProven("hub.verify_token is not the one of the settings");
    let token = verify_token.ok_or(HookError::NotUnderstood(
        "this source sends by POST only; to answer hub.challenge, set verify_token",
    ))?;
    let given = parameter(query, "hub.verify_token").unwrap_or_default();
    if !is_same_secret(token, &given) || parameter(query, "hub.mode").as_deref() != Some("subscribe") {
        return Err(refused);
    }
    Ok(Received {
        answer: challenge_of(query)?,
        ..Received::default()
    })
}

impl Receiver for SignedWebhook {
    fn receive(&self, hook: &Hook<'_>, now: Utc) -> Result<Received, HookError> {
        if !hook.is_post {
            return challenge(self.verify_token.as_ref(), hook.query);
        }
        self.proof.check(hook, now)?;
        let body = serde_json::from_slice(hook.body)
            .map_err(|_| HookError::NotUnderstood("the body is not JSON"))?;
        Ok(Received {
            items: self.mapping.items_of(body),
            ..Received::default()
        })
    }
}
