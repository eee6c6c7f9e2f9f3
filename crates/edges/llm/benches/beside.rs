//! The gateway beside another proxy, in one run, against one local provider.
//!
//!     LITELLM_URL=http://127.0.0.1:4000 LITELLM_KEY=sk-… cargo bench -p limbic-llm --bench beside -- [RATE] [SECONDS] [AT_ONCE] [PORT]
//!
//! The provider is in this process. It listens at PORT (default 4010), answers after 5 ms, and says in its text how long it had the
//! request, so the overhead of a request is its duration without that time. The gateway is behind a small HTTP server with the same path
//! (`/v1/chat/completions`), so both sides have one hop of HTTP before the provider's. Rounds alternate. Each round has two parts:
//! requests at a constant rate, which gives the overhead, and as many as `AT_ONCE` connections get through, which gives the rate.
//!
//! The other side needs a model `m` at `http://127.0.0.1:PORT/v1`. Without `LITELLM_URL` only the gateway is measured.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use limbic_domain::{Slug, TenantId};
use limbic_llm::gateway::{
    Ask, CacheUse, Clock as _, Gateway, GatewaySettings, Ledger, Maker, Price, SystemClock, TenantLimits,
    Upstream,
};
use limbic_llm::{Generate, OpenAiCompatible, OpenAiSettings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};

/// How long the provider takes.
const THINKS: Duration = Duration::from_millis(5);
/// How often both sides take turns.
const ROUNDS: usize = 5;

/// The provider: whole, or as server-sent events, as it is asked.
async fn provide(body: Bytes) -> impl IntoResponse {
    let start = Instant::now();
    sleep(THINKS).await;
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = start.elapsed().as_nanos().to_string();
    let usage = json!({"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29});
    if asked["stream"] == true {
        let of = |choices: Value, usage: &Value| {
            let piece = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, "usage": usage});
            format!("data: {piece}\n\n")
        };
        let delta =
            json!([{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": null}]);
        let end = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
        let reply = [
            of(delta, &Value::Null),
            of(end, &Value::Null),
            of(json!([]), &usage),
            "data: [DONE]\n\n".to_owned(),
        ];
        return ([(header::CONTENT_TYPE, "text/event-stream")], reply.concat());
    }
    let message = json!({"role": "assistant", "content": text});
    let reply = json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]
    });
    ([(header::CONTENT_TYPE, "application/json")], reply.to_string())
}

fn serve(runtime: &Runtime, port: u16, router: Router) -> String {
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let listener = listener.expect("the port is free");
    let address = listener.local_addr().expect("a listener has an address");
    runtime.spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1")
}

fn open(runtime: &Runtime, folder: &std::path::Path, provider: &str) -> Gateway {
    let settings = GatewaySettings {
        limits: TenantLimits {
            requests_per_minute: 0,
            tokens_per_minute: 0,
            budget_per_day: 0,
        },
        default_price: Some(Price {
            input: 1_000_000,
            output: 1_000_000,
            picture: 0,
            video_second: 0,
        }),
        ..GatewaySettings::default()
    };
    let provider = OpenAiCompatible::new(&OpenAiSettings {
        base_url: provider.into(),
        ..OpenAiSettings::default()
    });
    let upstream = Upstream {
        maker: Maker::Texts(Arc::new(provider.expect("the address is valid"))),
        kind: "openai".to_owned(),
        host: "127.0.0.1".to_owned(),
    };
    let name = Slug::new("own").expect("a valid name");
    let clock = SystemClock::default();
    let ledger = runtime.block_on(Ledger::open(folder, i64::MAX, clock.now()));
    let ledger = ledger.expect("the folder can be written");
    let upstreams = BTreeMap::from([(name, upstream)]);
    Gateway::new(settings, upstreams, ledger, Arc::new(clock)).expect("the settings are valid")
}

/// The gateway behind the path of the other side.
fn front(gateway: Gateway) -> Router {
    let answer = move |Json(body): Json<Value>| {
        let gateway = gateway.clone();
        async move {
            let ask = Ask {
                tenant: TenantId::default(),
                key: None,
                request: Generate {
                    model: "own/m".to_owned(),
                    system: None,
                    prompt: body["messages"][0]["content"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    max_tokens: 40,
                    temperature: None,
                    seed: None,
                    schema: None,
                },
                cache: CacheUse::Off,
            };
            let mut ignore = |_| {};
            let answered = match gateway.generate(ask, &mut ignore).await {
                Ok(outcome) => {
                    let message = json!({"content": outcome.answered.generated.text});
                    Json(json!({"choices": [{"message": message}]})).into_response()
                }
                Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
            };
            Ok::<_, Infallible>(answered)
        }
    };
    Router::new().route("/v1/chat/completions", post(answer))
}

/// One side of the comparison.
#[derive(Clone)]
struct Side {
    name: &'static str,
    url: String,
    key: String,
    client: reqwest::Client,
}

impl Side {
    /// One request: the time that the provider had it. `None` if there was no reply.
    async fn ask(&self) -> Option<Duration> {
        let body = json!({"model": "m", "max_tokens": 40, "messages": [{"role": "user", "content": "An ad for bread."}]});
        let asked = self.client.post(format!("{}/chat/completions", self.url));
        let answer = asked.bearer_auth(&self.key).json(&body).send().await.ok()?;
        let reply: Value = answer.json().await.ok()?;
        let thought = reply["choices"][0]["message"]["content"].as_str()?.parse().ok()?;
        Some(Duration::from_nanos(thought))
    }

    /// The overheads of requests at a constant rate, and how many had no reply. A late start counts.
    async fn at_rate(&self, rate: u32, seconds: u32) -> (Vec<Duration>, usize) {
        let (results, mut overheads) = mpsc::unbounded_channel();
        let start = tokio::time::Instant::now() + Duration::from_millis(100);
        for number in 0..rate * seconds {
            let due = start + Duration::from_secs(1) * number / rate;
            sleep_until(due).await;
            let (side, results) = (self.clone(), results.clone());
            tokio::spawn(async move {
                let thought = side.ask().await;
                let _ = results.send(thought.map(|thought| due.elapsed().saturating_sub(thought)));
            });
        }
        drop(results);
        let (mut all, mut failed) = (Vec::new(), 0);
        while let Some(overhead) = overheads.recv().await {
            match overhead {
                Some(overhead) => all.push(overhead),
                None => failed += 1,
            }
        }
        (all, failed)
    }

    /// Replies a second if each of `at_once` connections asks again when it has its reply.
    async fn most(&self, at_once: usize, seconds: u32) -> f64 {
        let start = Instant::now();
        let end = start + Duration::from_secs(u64::from(seconds));
        let asking = (0..at_once).map(|_| {
            let side = self.clone();
            tokio::spawn(async move {
                let mut replies = 0_u32;
                while Instant::now() < end {
                    replies += u32::from(side.ask().await.is_some());
                }
                replies
            })
        });
        let asking: Vec<_> = asking.collect();
        let mut replies = 0;
        for one in asking {
            replies += one.await.unwrap_or_default();
        }
        f64::from(replies) / start.elapsed().as_secs_f64()
    }
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a position in a list"
    )]
    let place = (sorted.len() as f64 * share) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

fn median<T: PartialOrd + Copy + Default>(values: &mut [T]) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let numbers: Vec<u32> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    // `cargo test --benches` only wants to see that it works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let number = |at: usize, usual: u32| numbers.get(at).copied().unwrap_or(usual);
    let (rate, seconds) = (number(0, 20), number(1, if is_test { 1 } else { 10 }));
    let at_once = usize::try_from(number(2, 16)).unwrap_or(16);
    let port = u16::try_from(number(3, if is_test { 0 } else { 4010 })).unwrap_or(0);
    let runtime = Runtime::new().expect("threads can be started");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let provider = serve(
        &runtime,
        port,
        Router::new().route("/v1/chat/completions", post(provide)),
    );
    let gateway = open(&runtime, folder.path(), &provider);
    let side = |name, url, key| Side {
        name,
        url,
        key,
        client: reqwest::Client::new(),
    };
    let mut sides = vec![
        side("the provider alone", provider, String::new()),
        side("the gateway", serve(&runtime, 0, front(gateway)), String::new()),
    ];
    if let Ok(url) = std::env::var("LITELLM_URL") {
        let key = std::env::var("LITELLM_KEY").unwrap_or_default();
        let url = format!("{}/v1", url.trim_end_matches('/'));
        sides.push(side("LiteLLM", url, key));
    }
    let rounds = if is_test { 1 } else { ROUNDS };
    let mut results: Vec<[Vec<f64>; 3]> = vec![[Vec::new(), Vec::new(), Vec::new()]; sides.len()];
    for round in 0..rounds {
        for (side, results) in sides.iter().zip(&mut results) {
            // Connections are opened, and code is loaded, before anything is measured.
            runtime.block_on(side.at_rate(rate, 1));
            let (mut overheads, failed) = runtime.block_on(side.at_rate(rate, seconds));
            overheads.sort_unstable();
            let replies = runtime.block_on(side.most(at_once, seconds));
            let (p50, p99) = (quantile(&overheads, 0.5), quantile(&overheads, 0.99));
            println!(
                "round {round}, {}: overhead p50 {p50:?}, p99 {p99:?} at {rate}/s ({} replies, {failed} failed); {replies:.0} replies/s with \
                 {at_once} at once",
                side.name,
                overheads.len()
            );
            results[0].push(p50.as_secs_f64() * 1e3);
            results[1].push(p99.as_secs_f64() * 1e3);
            results[2].push(replies);
        }
    }
    for (side, [p50, p99, replies]) in sides.iter().zip(&mut results) {
        println!(
            "{}, median of {rounds} rounds: p50 {:.3} ms, p99 {:.3} ms, {:.0} replies/s",
            side.name,
            median(p50),
            median(p99),
            median(replies)
        );
    }
}
