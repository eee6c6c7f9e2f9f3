//! What the gateway adds to a request: the same local server asked directly, through the gateway, and from the cache.
//!
//!     cargo bench -p limbic-llm
//!
//! A request through the gateway waits for two commits of the ledger. Requests at the same time share them; `at_once` shows it.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::post;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limbic_domain::{Slug, TenantId};
use limbic_llm::gateway::{
    Ask, CacheUse, Clock as _, Gateway, GatewaySettings, Ledger, Maker, Price, SystemClock, TenantLimits,
    Upstream,
};
use limbic_llm::{Attempt, Generate, OpenAiCompatible, OpenAiSettings, Provider};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Requests at the same time.
const AT_ONCE: usize = 64;

/// A streamed reply in the form of `OpenAI`'s API.
const REPLY: &str = concat!(
    "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Warm bread.\"}}]}\n\n",
    "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10}}\n\n",
    "data: [DONE]\n\n",
);

fn serve(runtime: &Runtime) -> String {
    let reply = post(|| async { ([(header::CONTENT_TYPE, "text/event-stream")], REPLY) });
    let router = Router::new().route("/v1/chat/completions", reply);
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    runtime.spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1")
}

fn ask(cache: CacheUse) -> Ask {
    Ask {
        tenant: TenantId::default(),
        key: None,
        request: Generate {
            model: "own/m".to_owned(),
            system: Some("You write one line.".to_owned()),
            prompt: "An ad for bread.".to_owned(),
            max_tokens: 40,
            temperature: Some(0.5),
            seed: None,
            schema: None,
        },
        cache,
    }
}

fn open(runtime: &Runtime, folder: &std::path::Path, provider: &Arc<dyn Provider>) -> Gateway {
    let no_limit = TenantLimits {
        requests_per_minute: 0,
        tokens_per_minute: 0,
        budget_per_day: 0,
    };
    let settings = GatewaySettings {
        limits: no_limit,
        default_price: Some(Price {
            input: 1_000_000,
            output: 1_000_000,
            picture: 0,
            video_second: 0,
        }),
        ..GatewaySettings::default()
    };
    let upstream = Upstream {
        maker: Maker::Texts(Arc::clone(provider)),
        kind: "openai".to_owned(),
        host: "127.0.0.1".to_owned(),
    };
    let name = Slug::new("own").expect("a valid name");
    let clock = SystemClock::default();
    let ledger = runtime.block_on(Ledger::open(folder, i64::MAX, clock.now()));
    let ledger = ledger.expect("the folder can be written");
    Gateway::new(
        settings,
        BTreeMap::from([(name, upstream)]),
        ledger,
        Arc::new(clock),
    )
    .expect("the settings are valid")
}

fn gateway(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let settings = OpenAiSettings {
        base_url: serve(&runtime).into(),
        ..OpenAiSettings::default()
    };
    let provider = OpenAiCompatible::new(&settings).expect("the settings are valid");
    let provider: Arc<dyn Provider> = Arc::new(provider);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let gateway = open(&runtime, folder.path(), &provider);

    let mut group = criterion.benchmark_group("one request");
    group.bench_function("direct", |bencher| {
        let request = Generate {
            model: "m".to_owned(),
            ..ask(CacheUse::Off).request
        };
        bencher.iter(|| {
            let attempt = Attempt {
                key: "bench",
                request: &request,
                now: SystemClock::default().now(),
                deadline: Duration::from_secs(10),
            };
            black_box(runtime.block_on(provider.generate(attempt, &mut |_: &str| {}))).expect("a reply")
        });
    });
    for (name, cache) in [("gateway", CacheUse::Off), ("cache", CacheUse::Use)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut ignore = |_| {};
                black_box(runtime.block_on(gateway.generate(ask(cache), &mut ignore))).expect("a reply")
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("many requests");
    group.throughput(Throughput::Elements(AT_ONCE as u64));
    group.bench_function("at_once", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut running = JoinSet::new();
                for _ in 0..AT_ONCE {
                    let gateway = gateway.clone();
                    running.spawn(async move { gateway.generate(ask(CacheUse::Off), &mut |_| {}).await });
                }
                while let Some(done) = running.join_next().await {
                    black_box(done.expect("no panic").expect("a reply"));
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, gateway);
criterion_main!(benches);
