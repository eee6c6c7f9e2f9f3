//! The gateway as a destination of an outbox.

use limbic_domain::TenantId;
use limbic_stream::outbox::{Answer, Call, Sender};
use tokio::runtime::Handle;

use super::{Ask, CacheUse, Gateway, GatewayError};
use crate::{Generate, Generated};

/// The gateway as a destination of an outbox, for one tenant. The idempotency key of a call is that of its request: a call that is
/// repeated after a crash, or while the first one still runs, gets the result of the first one.
#[derive(Clone)]
pub struct GatewaySender {
    gateway: Gateway,
    tenant: TenantId,
    handle: Handle,
}

impl GatewaySender {
    /// Requests run on `handle`. The handle's runtime must outlive the outbox, and must have a thread of its own.
    pub const fn new(gateway: Gateway, tenant: TenantId, handle: Handle) -> Self {
        Self {
            gateway,
            tenant,
            handle,
        }
    }

    async fn ask(&self, call: &Call<Generate>) -> Answer<Generated> {
        let ask = Ask {
            tenant: self.tenant.clone(),
            key: Some(call.key.to_string()),
            request: Generate::clone(&call.request),
            cache: CacheUse::Use,
        };
        let mut ignore = |_| {};
        let asked = self.gateway.generate(ask, &mut ignore);
        match tokio::time::timeout(call.deadline, asked).await {
            Ok(Ok(outcome)) => Answer::Applied(outcome.answered.generated.clone()),
            Ok(Err(error)) => GatewayError::into_answer(error),
            Err(_) => Answer::Unknown {
                detail: "no reply in time; the request goes on, and the next attempt gets its reply"
                    .to_owned(),
            },
        }
    }
}

impl Sender<Generate> for GatewaySender {
    fn send(&self, calls: &[Call<Generate>]) -> Vec<Answer<Generated>> {
        let answers = calls.iter().map(|call| self.handle.block_on(self.ask(call)));
        answers.collect()
    }
}
