//! The gateway: all providers behind three functions, for texts, for pictures and for clips, with routes, budgets, breakers, failover and a
//! cache.
//!
//! ```text
//!  Ask ─▶ result of this key? ─▶ reply in the cache? ─▶ one request for equal ones ─▶ chain of the model
//!           (ledger)               (fresh, stale)                                          │
//!         ┌────────────────────────────────────────────────────────────────────────────────┘
//!         └▶ hold tokens and money ─▶ attempt ─▶ settle ─▶ reply, or the next provider
//! ```
//!
//! The decisions are pure functions: [`route`], [`plan`], [`price`], [`Account`] and [`cache_key`]. Time is passed in ([`Clock`]).
//!
//! # Laws
//!
//! * **Paid once.** As long as this node keeps the result of an idempotency key (`llm.keep_results`), the key gives this result, after a
//!   restart too; cost and result are committed together. While the request runs, a second one with its key waits for it. If the process
//!   ends during an attempt, it is not known what the provider counted: the attempt is repeated, and the budget counts the highest cost of
//!   the lost one as `unknown`. A failure of the machine can lose the last commits.
//! * **Held before, settled after.** No attempt begins without room for its highest cost, and before its hold is committed.
//! * **Retries only where the provider says so.** For one request, a model of a provider is asked a second time only after the wait that the
//!   provider named.
//! * **A refusal ends the request.** After it no other provider is asked. With `llm.hedge_after` a second one can have been asked before.
//! * **A cost is never 0 because a price is not known.**
//! * **Tenants share** the breakers and the memory of the cache, but neither replies, nor results of keys, nor budgets.
//! * **Bounded**: attempts, time, bytes of the cache, waits.
//! * **A picture is a file before it is paid for**: its bytes are durable before its cost and its result are. Pictures are not cached, and no
//!   second provider is asked while the first one paints.
//! * **A clip is one job.** A key begins one job at one provider. The job's name is durable before the first question about it, and after a
//!   crash the same job is asked for. A job that ends without a clip is not begun again, and another provider is asked only if no job has
//!   begun. A job that is late, or that its provider has forgotten, counts with its highest cost.
//!
//! # What it is not
//!
//! Limits and cache are those of one node: two nodes allow twice as much. The text is not checked, except that a reply to a request
//! with a schema is JSON.

mod attempt;
mod budget;
mod cache;
mod call;
mod clock;
mod connection;
mod error;
mod filmed;
mod jobs;
mod key;
mod ledger;
mod meters;
mod painted;
mod plan;
mod price;
mod recording;
mod report;
mod route;
mod sender;
mod settings;
mod shared_request;
mod work;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use limbic_domain::{Micros, Slug, TenantId, Utc};
use limbic_file_store::FileStore;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use cache::Cache;
use call::{Choice, Resolved};
use connection::Connection;
use jobs::LeftJob;
use ledger::Payer;
use work::{Made, Work};

pub use budget::{Account, Hold, Limit, Moment, OverLimit, Spending, TenantLimits};
pub use cache::{Counts, Fill};
pub use clock::{Clock, SystemClock};
pub use connection::{Attempts, ProviderState, Upstream};
pub use error::GatewayError;
pub use filmed::{FILMED_FOLDER, FilmAsk, FilmedFile};
pub use key::{CacheKey, cache_key};
pub use ledger::{Ledger, LedgerError, Opening, Used};
pub use meters::GatewayMeters;
pub use painted::{PAINTED_FOLDER, PaintAsk, PaintedFile};
pub use plan::{Standing, State, Step, next as plan};
pub use price::{Price, PriceTable, Seller, ShippedPrice, StatedPrice, price};
pub use recording::{Recording, Replay, ReplayError};
pub use report::{CacheReport, ModelReport, ProviderReport};
pub use route::route;
pub use sender::GatewaySender;
pub use settings::{BreakerSettings, CacheSettings, GatewaySettings, InvalidSetting, Route, Target};
pub use work::Maker;

use crate::{Generate, Generated};

/// Maximum characters of an idempotency key.
const KEY: usize = 200;

/// A request for a text to the gateway.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who asks, and pays.
    pub tenant: TenantId,
    /// The idempotency key: the same key of a tenant gives the same result, whatever the request says. At most 200 visible ASCII
    /// characters. `None` = every request is a new one. Providers get a key that is derived from it and the tenant.
    pub key: Option<String>,
    /// The request. Its model is the name of a route, or `PROVIDER/MODEL`.
    pub request: Generate,
    /// Whether the cache is used.
    pub cache: CacheUse,
}

/// How a request for a text uses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheUse {
    /// A reply in the cache is used, and a new one is stored.
    #[default]
    Use,
    /// A new reply is asked for, and stored.
    Refresh,
    /// Nothing is read or stored.
    Off,
}

/// A reply with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered<T = Generated> {
    /// The reply: a text, a picture or a clip.
    pub generated: T,
    /// The provider that made it.
    pub provider: Slug,
    /// What it has cost, with the attempts before it that failed, in millionths of the currency unit. An attempt that did not report its
    /// tokens counts with the highest cost that it can have had.
    pub cost: Micros,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T = Generated> {
    /// The reply.
    pub answered: Arc<Answered<T>>,
    /// Where it comes from.
    pub source: Source,
}

/// Where a reply comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A provider was asked for this request.
    Provider,
    /// The cache.
    Cache,
    /// The cache, beyond its time; a new reply is asked for.
    Stale,
    /// An equal request, which was running.
    Shared,
    /// An earlier request with this idempotency key.
    Repeated,
}

impl<T> Outcome<T> {
    /// What this request has cost: 0 unless a provider was asked for it.
    pub fn cost(&self) -> Micros {
        match self.source {
            Source::Provider => self.answered.cost,
            _ => Micros(0),
        }
    }

    /// The same with another reply, made of this one.
    fn map<U>(&self, reply: impl FnOnce(&T) -> Option<U>) -> Option<Outcome<U>> {
        Some(Outcome {
            answered: Arc::new(Answered {
                generated: reply(&self.answered.generated)?,
                provider: self.answered.provider.clone(),
                cost: self.answered.cost,
            }),
            source: self.source,
        })
    }
}

/// A part of a reply while it arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// More text.
    Text(String),
    /// Discard the text so far: its provider failed, and another provider starts.
    Restart,
}

/// Where pieces go. A request whose caller has gone goes on, because it is paid.
#[derive(Debug, Clone)]
struct Pieces(Option<mpsc::UnboundedSender<Piece>>);

impl Pieces {
    fn send(&self, piece: Piece) {
        if let Some(sender) = &self.0 {
            let _ = sender.send(piece);
        }
    }

    /// A whole text at once. Pictures and clips have no pieces.
    fn whole(&self, made: &Made) {
        if let Made::Text(generated) = made {
            self.send(Piece::Text(generated.text.clone()));
        }
    }
}

/// The result for which several callers wait.
type SharedResult = watch::Receiver<Option<Result<Outcome<Made>, GatewayError>>>;

/// The gateway. Clones share it.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    settings: GatewaySettings,
    connections: BTreeMap<Slug, Connection>,
    shipped: PriceTable,
    clock: Arc<dyn Clock>,
    ledger: Ledger,
    /// The pictures that models painted.
    pictures: Arc<FileStore>,
    /// The clips that models made.
    clips: Arc<FileStore>,
    /// The jobs of the process before, until they are followed again.
    left_jobs: Mutex<Vec<LeftJob>>,
    /// The holds of these jobs.
    held: HashMap<TenantId, Vec<Hold>>,
    spent: BTreeMap<(TenantId, i64), (u64, u64)>,
    accounts: Mutex<HashMap<TenantId, Account>>,
    cache: Mutex<Cache>,
    /// The shared requests that run.
    running: Mutex<HashMap<CacheKey, SharedResult>>,
    start: Utc,
    ids: AtomicU64,
    meters: GatewayMeters,
}

impl Gateway {
    /// A gateway to these providers, with the ledger and what it knew at its opening.
    pub fn new(
        settings: GatewaySettings,
        upstreams: BTreeMap<Slug, Upstream>,
        ledger: (Ledger, Opening),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidSetting> {
        Self::metered(settings, upstreams, ledger, clock, GatewayMeters::unregistered())
    }

    /// The same, which reports to these metrics.
    pub fn metered(
        settings: GatewaySettings,
        upstreams: BTreeMap<Slug, Upstream>,
        (ledger, opening): (Ledger, Opening),
        clock: Arc<dyn Clock>,
        meters: GatewayMeters,
    ) -> Result<Self, InvalidSetting> {
        settings.check(upstreams.keys())?;
        if opening.lost > 0 {
            tracing::warn!(
                attempts = opening.lost,
                "attempts at language models ran when the process before ended: their highest cost counts as unknown"
            );
        }
        let connect = |(name, upstream)| (name, Connection::new(upstream, &settings.breaker));
        let keep = settings.keep_pictures.get();
        let files = |folder: &str| Arc::new(FileStore::new(ledger.folder().join(folder), keep));
        let mut held: HashMap<TenantId, Vec<Hold>> = HashMap::new();
        for left in &opening.jobs {
            held.entry(left.tenant.clone()).or_default().push(left.job.hold);
        }
        Ok(Self(Arc::new(Inner {
            connections: upstreams.into_iter().map(connect).collect(),
            shipped: PriceTable::shipped(),
            start: clock.now(),
            clock,
            pictures: files(PAINTED_FOLDER),
            clips: files(FILMED_FOLDER),
            left_jobs: Mutex::new(opening.jobs),
            held,
            ledger,
            spent: opening.spending,
            accounts: Mutex::new(HashMap::new()),
            cache: Mutex::new(Cache::new(settings.cache.clone())),
            running: Mutex::new(HashMap::new()),
            ids: AtomicU64::new(0),
            meters,
            settings,
        })))
    }

    /// Answers a request for a text, and passes the pieces of the text on as they arrive. If the caller goes away, the request is finished
    /// and stored nevertheless. Runs on a tokio runtime.
    pub async fn generate(
        &self,
        ask: Ask,
        on_piece: &mut (dyn FnMut(Piece) + Send),
    ) -> Result<Outcome, GatewayError> {
        let Ask {
            tenant,
            key,
            request,
            cache,
        } = ask;
        let outcome = self.ask((tenant, key), Work::Text(request), cache, on_piece);
        let text = |made: &Made| match made {
            Made::Text(generated) => Some(generated.clone()),
            _ => None,
        };
        outcome.await?.map(text).ok_or_else(used_for_another)
    }

    /// Answers a request for a picture, which is a file of this node when this returns. If the caller goes away, the request is finished
    /// and stored nevertheless. Runs on a tokio runtime.
    pub async fn paint(&self, ask: PaintAsk) -> Result<Outcome<PaintedFile>, GatewayError> {
        let PaintAsk { tenant, key, request } = ask;
        let mut ignore = |_| {};
        let outcome = self.ask((tenant, key), Work::Picture(request), CacheUse::Off, &mut ignore);
        let picture = |made: &Made| match made {
            Made::Picture(painted) => Some(painted.clone()),
            _ => None,
        };
        outcome.await?.map(picture).ok_or_else(used_for_another)
    }

    async fn ask(
        &self,
        payer: (TenantId, Option<String>),
        work: Work,
        cache: CacheUse,
        on_piece: &mut (dyn FnMut(Piece) + Send),
    ) -> Result<Outcome<Made>, GatewayError> {
        let resolved = match self.0.resolve(payer, work) {
            Ok(resolved) => resolved,
            Err(error) => {
                let result = Err(error);
                self.0.meters.request(&result);
                return result;
            }
        };
        let (sender, mut arriving) = mpsc::unbounded_channel();
        let inner = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let pieces = Pieces(Some(sender));
            let result = inner.answer(resolved, cache, &pieces).await;
            inner.meters.request(&result);
            result
        });
        while let Some(piece) = arriving.recv().await {
            on_piece(piece);
        }
        task.await.map_err(|_| GatewayError::Stopped)?
    }

    /// The bytes of a picture that this node has. `None` if it is no longer there.
    pub fn picture(&self, painted: &PaintedFile) -> Option<Vec<u8>> {
        self.0.pictures.read(&painted.file, painted.bytes).ok()
    }
}

fn used_for_another() -> GatewayError {
    GatewayError::Invalid {
        field: "idempotency-key",
        problem: "it was used for a request of another kind: choose another one".to_owned(),
    }
}

impl Inner {
    fn connection(&self, name: &Slug) -> Option<&Connection> {
        self.connections.get(name)
    }

    /// Checks a request, and finds its chain and the prices.
    fn resolve(
        &self,
        (tenant, key): (TenantId, Option<String>),
        work: Work,
    ) -> Result<Resolved, GatewayError> {
        check_key(key.as_deref())?;
        work.check()?;
        let model = work.model();
        let has_provider = |name: &Slug| self.connections.contains_key(name);
        let chain = route(&self.settings.routes, has_provider, model);
        let chain = chain.ok_or_else(|| GatewayError::UnknownModel {
            model: model.to_owned(),
            known: self.known_models(),
        })?;
        let choices = chain.iter().map(|target| {
            // A route names known providers only.
            let connection = self.connection(&target.provider).ok_or(GatewayError::Stopped)?;
            let maker = &connection.upstream.maker;
            let most = work.most(maker).ok_or_else(|| GatewayError::Invalid {
                field: "model",
                problem: format!(
                    "`{model}` is for {}, because the provider `{}` makes {}: name a model for {}",
                    maker.makes(),
                    target.provider,
                    maker.makes(),
                    work.asks_for()
                ),
            })?;
            let price = self.price(&target.provider, &target.model);
            let price = price.ok_or_else(|| GatewayError::NoPrice {
                provider: target.provider.to_string(),
                model: target.model.clone(),
            })?;
            if most.video_seconds > 0 && price.video_second == 0 {
                return Err(GatewayError::Invalid {
                    field: "model",
                    problem: format!(
                        "the price of a second of video of `{}` of the provider `{}` is not known: add `video_second` to its row in llm.prices",
                        target.model, target.provider
                    ),
                });
            }
            Ok(Choice {
                provider: target.provider.clone(),
                model: target.model.clone(),
                price,
                most,
            })
        });
        let chain = choices.collect::<Result<_, GatewayError>>()?;
        Ok(Resolved {
            payer: Payer {
                tenant,
                request: key,
                at: self.clock.now(),
            },
            chain,
            work: Arc::new(work),
        })
    }

    fn price(&self, provider: &Slug, model: &str) -> Option<Price> {
        let upstream = &self.connection(provider)?.upstream;
        let seller = Seller {
            name: provider,
            kind: &upstream.kind,
            host: &upstream.host,
        };
        let GatewaySettings {
            prices,
            default_price,
            ..
        } = &self.settings;
        price(prices, &self.shipped, *default_price, &seller, model)
    }

    fn known_models(&self) -> String {
        let routes = self
            .settings
            .routes
            .iter()
            .map(|route| Cow::Borrowed(route.model.as_str()));
        let providers = self
            .connections
            .keys()
            .map(|name| Cow::Owned(format!("{name}/MODEL")));
        let names: Vec<Cow<'_, str>> = routes.chain(providers).collect();
        if names.is_empty() {
            return "this node has no providers: add [llm_providers.NAME] to its settings".to_owned();
        }
        format!("the models are {}", names.join(", "))
    }

    fn hold(&self, tenant: &TenantId, tokens: u64, cost: u64) -> Result<Hold, OverLimit> {
        let now = self.clock.moment();
        self.with_account(tenant, |account| {
            let hold = account.hold(now, tokens, cost)?;
            // A call that does not fit the budget is not sent, so it does not count as a request.
            if let Err(over) = account.admit(now) {
                account.settle(now, hold, 0, 0);
                return Err(over);
            }
            Ok(hold)
        })
    }

    fn settle(&self, tenant: &TenantId, hold: Hold, tokens: u64, cost: u64) {
        let now = self.clock.moment();
        self.with_account(tenant, |account| account.settle(now, hold, tokens, cost));
    }

    fn settle_unknown(&self, tenant: &TenantId, hold: Hold) {
        let now = self.clock.moment();
        self.with_account(tenant, |account| account.settle_unknown(now, hold));
    }

    fn with_account<T>(&self, tenant: &TenantId, work: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry(tenant.clone()).or_insert_with(|| {
            let now = self.clock.moment();
            let spent = self.spent.get(&(tenant.clone(), now.day()));
            let (settled, unknown) = spent.copied().unwrap_or_default();
            let limits = self.settings.limits_of(tenant).clone();
            let mut account = Account::new(limits, now, settled, unknown);
            for hold in self.held.get(tenant).into_iter().flatten() {
                account.hold_again(*hold);
            }
            account
        });
        work(account)
    }
}

/// Returns an error if this is no idempotency key.
fn check_key(key: Option<&str>) -> Result<(), GatewayError> {
    let Some(key) = key else { return Ok(()) };
    if key.is_empty() || key.len() > KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(GatewayError::Invalid {
            field: "idempotency-key",
            problem: "it is not 1 to 200 visible ASCII characters without spaces".to_owned(),
        });
    }
    Ok(())
}
