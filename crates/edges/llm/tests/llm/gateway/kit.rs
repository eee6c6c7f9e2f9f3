//! A gateway with two providers, each with its server.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use limbic_domain::{HumanDuration, Slug, TenantId, Utc};
use limbic_llm::gateway::{
    Ask, CacheUse, Clock, Gateway, GatewayError, GatewayMeters, GatewaySettings, Ledger, Outcome, Piece,
    Route, StatedPrice, Target, Upstream,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::openai::OpenAi;
use crate::server::{Server, request};

/// A clock that moves only when a test says so.
pub(crate) struct ManualClock {
    start: Utc,
    now: watch::Sender<Duration>,
    /// The wake-up that was asked for last.
    asked: watch::Sender<Duration>,
    /// To where [`ManualClock::advance_to_next`] has moved it.
    moves: Mutex<Vec<Duration>>,
}

/// A later wake-up is a limit, not a wait.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

impl ManualClock {
    pub(crate) fn advance(&self, time: Duration) {
        self.now.send_modify(|now| *now += time);
    }

    /// Returns when somebody waits for a later time.
    pub(crate) async fn has_waiter(&self) -> Duration {
        let mut asked = self.asked.subscribe();
        let is_wait = |asked: &Duration| {
            let now = *self.now.borrow();
            *asked > now && *asked <= now + LONGEST_WAIT
        };
        *asked.wait_for(is_wait).await.unwrap()
    }

    /// Waits until somebody waits for a later time, and moves there.
    pub(crate) async fn advance_to_next(&self) {
        let next = self.has_waiter().await;
        self.moves.lock().unwrap().push(next);
        self.now.send_replace(next);
    }

    pub(crate) fn moves(&self) -> Vec<Duration> {
        self.moves.lock().unwrap().clone()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Utc {
        let elapsed = i64::try_from(self.now.borrow().as_millis()).unwrap();
        self.start.plus_millis(elapsed)
    }

    fn elapsed(&self) -> Duration {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.asked.send_replace(at);
        let mut now = self.now.subscribe();
        Box::pin(async move {
            let reached = now.wait_for(|now| *now >= at).await.is_ok();
            if !reached {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Noon of a day.
const NOON: i64 = 20_000 * 86_400_000 + 43_200_000;

/// Micro-units of a token, at every provider of a scene.
pub(crate) const TOKEN: u64 = 3;
/// The cost of a reply of the servers: 19 and 10 tokens.
pub(crate) const REPLY: i64 = 29 * 3;

pub(crate) struct Scene {
    pub(crate) a: Server<OpenAi>,
    pub(crate) b: Server<OpenAi>,
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: GatewaySettings,
    pub(crate) runtime: Runtime,
}

pub(crate) fn slug(name: &str) -> Slug {
    Slug::new(name).unwrap()
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn target(provider: &str) -> Target {
    Target {
        provider: slug(provider),
        model: format!("model-{provider}"),
    }
}

impl Scene {
    /// Adds a route over the model `small` of each of these providers, in their order.
    pub(crate) fn add_route(&mut self, model: &str, providers: &[&str]) {
        let target = |provider: &&str| Target {
            provider: slug(provider),
            model: "small".to_owned(),
        };
        self.settings.routes.push(Route {
            model: model.to_owned(),
            chain: providers.iter().map(target).collect(),
        });
    }

    /// The model `ads` is written by `a`, then by `b`; the model `alone` by `a`.
    pub(crate) fn new() -> Self {
        let route = |model: &str, chain: &[&str]| Route {
            model: model.to_owned(),
            chain: chain.iter().map(|name| target(name)).collect(),
        };
        let price = |provider: &str| StatedPrice {
            provider: slug(provider),
            model: "*".to_owned(),
            input: TOKEN * 1_000_000,
            output: TOKEN * 1_000_000,
            picture: 0,
            video_second: 0,
        };
        let settings = GatewaySettings {
            routes: vec![route("ads", &["a", "b"]), route("alone", &["a"])],
            prices: vec![price("a"), price("b")],
            deadline: HumanDuration::from_secs(60),
            ..GatewaySettings::default()
        };
        let clock = ManualClock {
            start: Utc::from_millis(NOON),
            now: watch::channel(Duration::ZERO).0,
            asked: watch::channel(Duration::ZERO).0,
            moves: Mutex::default(),
        };
        Self {
            a: Server::start(),
            b: Server::start(),
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(clock),
            settings,
            runtime: Runtime::new().unwrap(),
        }
    }

    pub(crate) fn upstreams(&self) -> BTreeMap<Slug, Upstream> {
        let upstream = |server: &Server<OpenAi>| Upstream {
            maker: server.provider().into(),
            kind: "openai".to_owned(),
            host: "127.0.0.1".to_owned(),
        };
        BTreeMap::from([(slug("a"), upstream(&self.a)), (slug("b"), upstream(&self.b))])
    }

    /// A gateway on the ledger in the folder, as at the start of a process.
    pub(crate) fn open(&self) -> Gateway {
        self.open_metered(GatewayMeters::unregistered())
    }

    /// The same, with these metrics.
    pub(crate) fn open_metered(&self, meters: GatewayMeters) -> Gateway {
        let keep = self.settings.keep_results.as_millis();
        let opened = Ledger::open(self.folder.path(), keep, self.clock.now());
        let opened = self.runtime.block_on(opened).unwrap();
        let _inside = self.runtime.enter();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Gateway::metered(self.settings.clone(), self.upstreams(), opened, clock, meters).unwrap()
    }

    /// Asks, and returns the result with the text as a reader sees it: `<` deletes what came before.
    pub(crate) fn ask(&self, gateway: &Gateway, ask: Ask) -> (Result<Outcome, GatewayError>, String) {
        self.runtime.block_on(watched(gateway.clone(), ask))
    }

    pub(crate) fn text(&self, gateway: &Gateway, ask: Ask) -> Outcome {
        let (result, shown) = self.ask(gateway, ask);
        let outcome = result.unwrap();
        let last = shown.rsplit('<').next().unwrap();
        assert_eq!(last, outcome.answered.generated.text, "the pieces are the text");
        outcome
    }
}

/// How long a test waits for an event before it fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until the provider with this number is paused.
pub(crate) fn until_paused(gateway: &Gateway, number: usize) {
    let start = Instant::now();
    while gateway.providers()[number].state.state != "paused" {
        assert!(start.elapsed() < PATIENCE, "the provider is not paused");
        std::thread::yield_now();
    }
}

/// Asks, and returns the result with everything that was shown.
pub(crate) async fn watched(gateway: Gateway, ask: Ask) -> (Result<Outcome, GatewayError>, String) {
    let mut shown = String::new();
    let mut show = |piece| match piece {
        Piece::Text(text) => shown.push_str(&text),
        Piece::Restart => shown.push('<'),
    };
    let result = gateway.generate(ask, &mut show).await;
    (result, shown)
}

/// A request for a text of this model.
pub(crate) fn ask(model: &str) -> Ask {
    let mut request = request();
    model.clone_into(&mut request.model);
    request.schema = None;
    Ask {
        tenant: tenant("acme"),
        key: None,
        request,
        cache: CacheUse::Off,
    }
}

/// The same, with an idempotency key.
pub(crate) fn keyed(model: &str, key: &str) -> Ask {
    Ask {
        key: Some(key.to_owned()),
        ..ask(model)
    }
}

/// The highest cost of [`ask`].
pub(crate) fn highest_cost() -> u64 {
    let request = ask("ads").request;
    (request.most_prompt_tokens() + u64::from(request.max_tokens)) * TOKEN
}
