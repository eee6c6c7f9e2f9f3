//! What the gateway adds to requests that arrive at a constant rate, whether or not earlier ones have ended.
//!
//!     cargo bench -p limbic-llm --bench rate -- RATE SECONDS
//!
//! Without numbers: 5,000 requests a second for 10 seconds. The provider is in the process and answers after 5 ms, so the overhead of a
//! request is its duration without the time that the provider had it. A request that starts late counts from the time at which it
//! should have started. Each request waits for two commits of the ledger in a temporary folder: the disk is a part of the result.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::{Slug, TenantId};
use limbic_llm::gateway::{
    Ask, CacheUse, Clock as _, Gateway, GatewaySettings, Ledger, Maker, Price, SystemClock, TenantLimits,
    Upstream,
};
use limbic_llm::{Attempt, Generate, Generated, OnText, Pending, Provider, Usage};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};

/// How long the provider takes.
const THINKS: Duration = Duration::from_millis(5);

/// Answers each request after [`THINKS`], and says in the reply how long it had it, in nanoseconds.
struct Steady;

impl Provider for Steady {
    fn generate<'a>(&'a self, _: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
        Box::pin(async move {
            let start = Instant::now();
            sleep(THINKS).await;
            let text = start.elapsed().as_nanos().to_string();
            on_text(&text);
            Ok(Generated {
                usage: Some(Usage {
                    prompt_tokens: 19,
                    completion_tokens: 10,
                    pictures: 0,
                    video_seconds: 0,
                }),
                ..Generated::text(text)
            })
        })
    }
}

fn ask() -> Ask {
    Ask {
        tenant: TenantId::default(),
        key: None,
        request: Generate {
            model: "own/m".to_owned(),
            system: None,
            prompt: "An ad for bread.".to_owned(),
            max_tokens: 40,
            temperature: None,
            seed: None,
            schema: None,
        },
        cache: CacheUse::Off,
    }
}

fn open(runtime: &Runtime, folder: &std::path::Path) -> Gateway {
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
    let upstream = Upstream {
        maker: Maker::Texts(Arc::new(Steady)),
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

/// The overhead of each request, and how many had no reply.
async fn load(gateway: Gateway, rate: u64, seconds: u64) -> (Vec<Duration>, usize) {
    let (results, mut overheads) = mpsc::unbounded_channel();
    let start = tokio::time::Instant::now() + Duration::from_millis(100);
    let every = Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX);
    let requests = rate * seconds;
    for number in 0..requests {
        let due = start + every * u32::try_from(number).unwrap_or(u32::MAX);
        sleep_until(due).await;
        let (gateway, results) = (gateway.clone(), results.clone());
        tokio::spawn(async move {
            let mut ignore = |_| {};
            let outcome = gateway.generate(ask(), &mut ignore).await;
            let took = due.elapsed();
            let overhead = outcome.ok().and_then(|outcome| {
                let thought = outcome.answered.generated.text.parse().ok()?;
                Some(took.saturating_sub(Duration::from_nanos(thought)))
            });
            let _ = results.send(overhead);
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
    all.sort_unstable();
    (all, failed)
}

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    // `cargo test --benches` only wants to see that it works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let (rate, seconds) = match numbers[..] {
        [rate, seconds, ..] if rate > 0 => (rate, seconds),
        _ if is_test => (50, 1),
        _ => (5_000, 10),
    };
    let runtime = Runtime::new().expect("threads can be started");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let gateway = open(&runtime, folder.path());
    let start = Instant::now();
    let (overheads, failed) = runtime.block_on(load(gateway, rate, seconds));
    let took = start.elapsed().as_secs_f64();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a position in a list"
        )]
        let place = (overheads.len() as f64 * share) as usize;
        overheads
            .get(place.min(overheads.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{rate} requests a second for {seconds} s: {} replies, {failed} failed, {took:.1} s",
        overheads.len()
    );
    println!(
        "overhead of the gateway: p50 {:?}, p99 {:?}, p99.9 {:?}, most {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
