//! An ad platform with a URL.

use limbic_deliver::{AdPlatform, Addressing, Answer, Delivery, Pause, PlatformLimits, triage};
use limbic_domain::{Utc, event_id};
use limbic_http::explain;
use limbic_stream::outbox::Rate;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::runtime::Handle;

mod component;
mod settings;

pub use limbic_http::{InvalidSecret, SigningKey};
pub use settings::{Conflict, InvalidWebhook, WebhookSettings};

/// Maximum bytes of an answer's body that are read. The body explains a rejection.
const WORDS_READ: usize = 2_048;

/// Posts each delivery ([`Delivery`], `"type": "ad.decided"`) and each order to stop an ad ([`Pause`], `"type": "ad.paused"`) as
/// JSON, with these headers:
///
/// * `Idempotency-Key`: the decision's id (of a pause: followed by `.pause`), the same for every attempt.
/// * `webhook-id`, `webhook-timestamp` (of the attempt, in seconds) and, with a secret, `webhook-signature`, as in
///   Standard Webhooks 1.0.0. The id is a hash of the decision's id, because it must not contain a full stop.
///
/// Redirects are not followed. If a platform has a new address, change the URL in the settings.
pub struct WebhookPlatform {
    client: Client,
    url: Url,
    key: Option<SigningKey>,
    send: Addressing,
    conflict: Conflict,
    limits: PlatformLimits,
    handle: Handle,
}

impl WebhookPlatform {
    /// A webhook. Requests run on `handle`, whose runtime must outlive it.
    pub fn new(settings: &WebhookSettings, handle: Handle) -> Result<Self, InvalidWebhook> {
        settings.check()?;
        let timeout = settings.timeout.get();
        let client = Client::builder()
            .user_agent(concat!("limbic/", env!("CARGO_PKG_VERSION")))
            .default_headers(settings.header_map()?)
            .redirect(Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout)
            .pool_max_idle_per_host(settings.concurrency)
            .build()
            .map_err(InvalidWebhook::Client)?;
        Ok(Self {
            client,
            url: settings.address()?,
            key: settings.key()?,
            send: settings.send,
            conflict: settings.conflict,
            limits: PlatformLimits {
                concurrency: settings.concurrency,
                batch: 1,
                deadline: timeout,
                rate: settings.per_second.map(|per_second| Rate {
                    per_second,
                    burst: settings.burst,
                }),
            },
            handle,
        })
    }

    fn request(&self, key: &str, body: Vec<u8>, now: Utc) -> RequestBuilder {
        let id = event_id("webhook", &[key]);
        let timestamp = now.as_millis().div_euclid(1_000);
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp);
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", key.sign(&id, timestamp, &body));
        }
        request.body(body)
    }
}

impl AdPlatform for WebhookPlatform {
    fn limits(&self) -> PlatformLimits {
        self.limits
    }

    fn deliver(&self, deliveries: &[&Delivery], now: Utc) -> Vec<Answer> {
        let answers = deliveries
            .iter()
            .map(|delivery| self.request(&delivery.decision, delivery.json(self.send), now))
            .map(|request| self.handle.block_on(send(request, self.conflict, now)));
        answers.collect()
    }

    fn pause(&self, pauses: &[&Pause], now: Utc) -> Vec<Answer> {
        let answers = pauses
            .iter()
            .map(|pause| self.request(&pause.key(), pause.body(), now))
            .map(|request| self.handle.block_on(send(request, self.conflict, now)));
        answers.collect()
    }
}

/// Makes one attempt. The client's time-out includes the body.
async fn send(request: RequestBuilder, conflict: Conflict, now: Utc) -> Answer {
    match request.send().await {
        Ok(response) if response.status() == StatusCode::CONFLICT && conflict == Conflict::Delivered => {
            Answer::Applied(())
        }
        Ok(response) => {
            let status = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            let words = if response.status().is_success() {
                String::new()
            } else {
                words(response).await
            };
            triage(status, retry_after.as_deref(), &words, now)
        }
        Err(error) => Answer::Unknown {
            detail: explain(error),
        },
    }
}

/// The start of the body. If the connection breaks, the part that has arrived.
async fn words(mut response: Response) -> String {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        read.extend_from_slice(&chunk);
        if read.len() >= WORDS_READ {
            read.truncate(WORDS_READ);
            break;
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}
