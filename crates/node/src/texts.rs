//! The gateway to models as the stage `texts` sees it.

use std::time::Duration;

use limbic_creative::{
    ModelReply, PaintQuality, PictureModel, PictureOrder, PictureReply, TextModel, TextOrder,
};
use limbic_llm::gateway::{Ask, CacheUse, Gateway, GatewayError, PaintAsk};
use limbic_llm::{Generate, Generated, Paint, Quality};
use limbic_stream::outbox::Answer;
use tokio::runtime::Handle;

/// The gateway, asked from the threads of an outbox.
pub(crate) struct GatewayModel {
    gateway: Gateway,
    handle: Handle,
}

impl GatewayModel {
    /// Requests run on `handle`, which must outlive the stages.
    pub(crate) const fn new(gateway: Gateway, handle: Handle) -> Self {
        Self { gateway, handle }
    }
}

impl TextModel for GatewayModel {
    fn write(&self, key: &str, order: &TextOrder, deadline: Duration) -> Answer<ModelReply> {
        let ask = Ask {
            tenant: order.tenant.clone(),
            key: Some(key.to_owned()),
            request: Generate {
                model: order.model.clone(),
                system: Some(order.system.clone()),
                prompt: order.prompt.clone(),
                max_tokens: order.max_tokens,
                // Some models accept no other value than their own.
                temperature: None,
                seed: None,
                schema: Some(order.schema.clone()),
            },
            // The texts of a later round must be new ones. A repeated key gets its reply from the ledger.
            cache: CacheUse::Off,
        };
        let mut ignore = |_| {};
        let asked = self.gateway.generate(ask, &mut ignore);
        let answered = self
            .handle
            .block_on(async { tokio::time::timeout(deadline, asked).await });
        match answered {
            Ok(Ok(outcome)) => {
                let answered = &outcome.answered;
                let model = match answered.generated.model.as_str() {
                    "" => &order.model,
                    model => model,
                };
                Answer::Applied(ModelReply {
                    text: answered.generated.text.clone(),
                    model: format!("{}/{model}", answered.provider),
                })
            }
            Ok(Err(error)) => without_reply(error),
            Err(_) => Answer::Unknown {
                detail: "no reply in time; the request goes on, and the next attempt gets its reply"
                    .to_owned(),
            },
        }
    }
}

impl PictureModel for GatewayModel {
    fn paint(&self, key: &str, order: &PictureOrder, deadline: Duration) -> Answer<PictureReply> {
        let ask = PaintAsk {
            tenant: order.tenant.clone(),
            key: Some(key.to_owned()),
            request: Paint {
                model: order.model.clone(),
                prompt: order.prompt.clone(),
                width: order.width,
                height: order.height,
                quality: match order.quality {
                    PaintQuality::Low => Quality::Low,
                    PaintQuality::Medium => Quality::Medium,
                    PaintQuality::High => Quality::High,
                },
            },
        };
        let asked = self.gateway.paint(ask);
        let answered = self
            .handle
            .block_on(async { tokio::time::timeout(deadline, asked).await });
        match answered {
            Ok(Ok(outcome)) => {
                let answered = &outcome.answered;
                Answer::Applied(PictureReply {
                    file: answered.generated.file.clone(),
                    model: format!("{}/{}", answered.provider, answered.generated.model),
                })
            }
            Ok(Err(error)) => without_reply(error),
            Err(_) => Answer::Unknown {
                detail: "no picture in time; the request goes on, and the next attempt gets its picture"
                    .to_owned(),
            },
        }
    }
}

/// What an error means for the outbox.
fn without_reply<T>(error: GatewayError) -> Answer<T> {
    match error.into_answer() {
        Answer::Applied(Generated { .. }) => Answer::Unknown {
            detail: "an error is no reply".to_owned(),
        },
        Answer::RetryAfter { wait, detail } => Answer::RetryAfter { wait, detail },
        Answer::Blocked { detail } => Answer::Blocked { detail },
        Answer::Rejected { detail } => Answer::Rejected { detail },
        Answer::Unknown { detail } => Answer::Unknown { detail },
    }
}
