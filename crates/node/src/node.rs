//! The wiring: a log, the stages over it, the API before it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use limbic_api::Context;
use limbic_ingest::{Edge, RecentIds, SeenIds, SharedIds};
use limbic_metrics::{Embedded, Influx, InfluxOptions, SeriesReader, SeriesStore};
use limbic_stream::runtime::{Health, StageHandle, StageMeters, StageStatus};
use limbic_stream::{Log, StageSpec};
use limbic_views::Store;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use crate::instance::Instance;
use crate::keys;
use crate::log::{open_log, topic_specs};
use crate::settings::{STAGES, Settings};
use crate::sharing;
use crate::stages::{self, Databases};
use crate::trim::Trimmer;

/// How many ids each edge remembers by itself: some 60 MB when full.
const RECENT_IDS: usize = 1_000_000;
/// How many of the ids accepted last an edge reads back from the log when it starts: some 30 MB of records.
const RELOADED_IDS: usize = 50_000;

/// A running Limbic.
pub struct Node {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The edge.
    pub edge: Arc<Edge>,
    /// The view, if this process keeps or reads one.
    pub store: Option<Store>,
    /// What each of [`STAGES`] reads and writes, running here or not.
    pub specs: Vec<StageSpec>,
    /// Where the API listens, if it does.
    pub address: Option<SocketAddr>,
    runtime: Runtime,
    stages: Arc<Vec<parking::Slot>>,
    stop_api: watch::Sender<bool>,
    api: Option<tokio::task::JoinHandle<()>>,
    drain: Duration,
    trimmer: Option<Trimmer>,
    /// Dropped last: the name is free for another process once nothing of this one writes.
    _instance: Instance,
}

/// Handles that are looked at from several sides.
mod parking {
    use std::sync::Mutex;

    use limbic_stream::runtime::StageHandle;

    /// One stage's handle.
    pub(super) struct Slot(pub(super) Mutex<StageHandle>);
}

/// How a node is to be opened.
pub struct Options {
    /// The stages to run; empty = all.
    pub stages: Vec<String>,
    /// Where to listen; `None` = no API.
    pub listen: Option<String>,
}

impl Node {
    /// Opens everything: log, databases, platforms, stages, API.
    pub fn open(settings: &Settings, options: &Options) -> anyhow::Result<Self> {
        sharing::check(settings)?;
        let instance = Instance::claim(settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("limbic-io")
            .enable_all()
            .build()
            .context("cannot start the I/O threads")?;
        let specs = STAGES.into_iter().map(|name| stages::spec(name, settings));
        let specs = specs.collect::<anyhow::Result<Vec<_>>>()?;
        let log = open_log(settings)?;
        let opened = Self::open_over(
            settings,
            options,
            instance.name(),
            &runtime,
            Arc::clone(&log),
            specs.clone(),
        );
        match opened {
            Ok((edge, store, stages, address, stop_api, api)) => Ok(Self {
                trimmer: Some(
                    Trimmer::start(Arc::clone(&log), &topic_specs(settings), &specs)
                        .context("cannot start the thread that trims topics")?,
                ),
                log,
                edge,
                store,
                specs,
                address,
                runtime,
                stages,
                stop_api,
                api,
                drain: settings.stream.drain.get(),
                _instance: instance,
            }),
            Err(error) => {
                // Release the log's lock: whoever mends the cause wants to try again at once.
                if let Err(close) = log.close() {
                    tracing::warn!(%close, "the log did not close cleanly");
                }
                Err(error)
            }
        }
    }

    #[expect(
        clippy::type_complexity,
        reason = "the parts of a node, taken apart at its only caller"
    )]
    fn open_over(
        settings: &Settings,
        options: &Options,
        instance: &str,
        runtime: &Runtime,
        log: Arc<dyn Log>,
        specs: Vec<StageSpec>,
    ) -> anyhow::Result<(
        Arc<Edge>,
        Option<Store>,
        Arc<Vec<parking::Slot>>,
        Option<SocketAddr>,
        watch::Sender<bool>,
        Option<tokio::task::JoinHandle<()>>,
    )> {
        let wanted: Vec<&'static str> = STAGES
            .into_iter()
            .filter(|name| options.stages.is_empty() || options.stages.iter().any(|wanted| wanted == name))
            .collect();
        // Before any stage runs: a port that is taken is the commonest thing to go wrong.
        let listener = options.listen.as_deref();
        let listener = listener
            .map(|listen| bind(runtime.handle(), listen))
            .transpose()?;
        let registry = prometheus::Registry::new();
        let meters = StageMeters::register(&registry).context("cannot register the meters")?;
        let databases = runtime.block_on(open_databases(settings))?;
        let store = databases.view.clone();
        let series = databases.series.clone();
        let edge = Arc::new(open_edge(settings, Arc::clone(&log))?);
        let built = stages::build(settings, &wanted, &databases, runtime.handle())?;
        let mut handles: Vec<StageHandle> = Vec::new();
        for (stage, spec) in built {
            let options = stages::run_options(settings, instance);
            let handle = limbic_stream::runtime::spawn(Arc::clone(&log), stage, spec, options, &meters);
            handles.push(handle.context("cannot start a stage's thread")?);
        }
        let stages: Arc<Vec<parking::Slot>> = Arc::new(
            handles
                .into_iter()
                .map(|handle| parking::Slot(std::sync::Mutex::new(handle)))
                .collect(),
        );
        let (stop_api, stopped) = watch::channel(false);
        let (address, api) = match listener {
            None => (None, None),
            Some(listener) => {
                let context = Context {
                    edge: Some(Arc::clone(&edge)),
                    store: store.clone(),
                    series: series.map(|series| SeriesReader::new(series, &settings.metrics)),
                    log,
                    stages: specs,
                    statuses: statuses_of(&stages),
                    registry,
                    keys: keys::api_keys(settings),
                    settings: settings.api.clone(),
                };
                let (address, api) = serve(runtime.handle(), listener, context, stopped)?;
                (Some(address), Some(api))
            }
        };
        Ok((edge, store, stages, address, stop_api, api))
    }

    /// A handle to the I/O threads.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// How the stages are.
    pub fn statuses(&self) -> Vec<(String, StageStatus)> {
        statuses_of(&self.stages)()
    }

    /// The first stage that has given up, and why.
    pub fn failure(&self) -> Option<(String, String)> {
        self.statuses()
            .into_iter()
            .find_map(|(name, status)| match status.health {
                Health::Failed(why) => Some((name, why)),
                _ => None,
            })
    }

    /// Drains and closes. `false` if something was not done by the deadline: it will be done again at the next start.
    pub fn close(mut self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + self.drain;
        let _ = self.stop_api.send(true);
        if let Some(api) = self.api.take() {
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = self
                .runtime
                .block_on(async { tokio::time::timeout(left, api).await });
            if ended.is_err() {
                tracing::warn!("some requests were still open at the deadline");
            }
        }
        let mut drained = true;
        for slot in self.stages.iter() {
            slot.0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .stop();
        }
        for slot in self.stages.iter() {
            let mut handle = slot.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !handle.join_by(deadline) {
                tracing::warn!(stage = %handle.name, "not drained by the deadline: its batch will be done again");
                drained = false;
            }
        }
        drop(self.trimmer.take());
        self.log.close().context("the log did not close cleanly")?;
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        Ok(drained)
    }
}

fn statuses_of(
    stages: &Arc<Vec<parking::Slot>>,
) -> Box<dyn Fn() -> Vec<(String, StageStatus)> + Send + Sync> {
    let stages = Arc::clone(stages);
    Box::new(move || {
        stages
            .iter()
            .map(|slot| {
                let handle = slot.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                (handle.name.to_string(), handle.status())
            })
            .collect()
    })
}

async fn open_databases(settings: &Settings) -> anyhow::Result<Databases> {
    let view = open_view(settings).await?;
    let series: Arc<dyn SeriesStore> = match settings.series.as_str() {
        "embedded" | "" => Arc::new(
            Embedded::open(&settings.data_dir)
                .await
                .context("cannot open the embedded series")?,
        ),
        url if url.starts_with("http") => Arc::new(Influx::new(InfluxOptions {
            url: url.to_owned(),
            org: settings.influxdb.org.clone(),
            bucket: settings.influxdb.bucket.clone(),
            token: settings.influxdb.token.reveal().to_owned(),
        })?),
        other => bail!("series = {other}: expected `embedded` or http://HOST:PORT of an InfluxDB 2"),
    };
    Ok(Databases {
        view: Some(view),
        series: Some(series),
    })
}

async fn open_view(settings: &Settings) -> anyhow::Result<Store> {
    match settings.view.reveal() {
        "embedded" | "" => {
            std::fs::create_dir_all(&settings.data_dir)
                .with_context(|| format!("cannot create {}", settings.data_dir.display()))?;
            Store::sqlite(&settings.data_dir)
                .await
                .context("cannot open the embedded view")
        }
        url if url.starts_with("postgres") => Store::postgres(url).await.with_context(|| {
            format!(
                "cannot use the view at {}: is PostgreSQL running, and the password right?",
                settings.view
            )
        }),
        _ => bail!("view = {}: expected `embedded` or postgres://…", settings.view),
    }
}

fn open_edge(settings: &Settings, log: Arc<dyn Log>) -> anyhow::Result<Edge> {
    let recent = RecentIds::new(RECENT_IDS);
    let reloaded = recent
        .reload(log.as_ref(), RELOADED_IDS)
        .context("cannot read what the edge accepted last")?;
    tracing::debug!(reloaded, "the edge remembers what it accepted last");
    let mut seen: Vec<Arc<dyn SeenIds>> = vec![Arc::new(recent)];
    match settings.seen.reveal() {
        "embedded" | "" => {}
        url if url.starts_with("redis") => {
            let keep = settings.ingest.remember.as_secs();
            let prefix = format!("{}:seen:", settings.kafka.prefix);
            let shared = SharedIds::connect(url, &prefix, keep)
                .with_context(|| format!("cannot use Redis at {}: is it running?", settings.seen))?;
            seen.push(Arc::new(shared));
        }
        _ => bail!("seen = {}: expected `embedded` or redis://…", settings.seen),
    }
    let keys: BTreeMap<_, _> = keys::pseudonym_keys(settings)?;
    Ok(Edge::new(
        log,
        settings.partitions,
        settings.ingest.clone(),
        keys,
        seen,
    ))
}

fn bind(handle: &Handle, listen: &str) -> anyhow::Result<TcpListener> {
    handle.block_on(TcpListener::bind(listen)).with_context(|| {
        format!("cannot listen at {listen}: is the port taken? choose another with --listen ADDR:PORT")
    })
}

/// Serves; requests under way are finished after `stopped` turns true.
fn serve(
    handle: &Handle,
    listener: TcpListener,
    context: Context,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let address = listener.local_addr().context("the listener has no address")?;
    let router = limbic_api::router(context);
    let task = handle.spawn(async move {
        let shutdown = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(shutdown)
            .await
        {
            tracing::error!(%error, "the API stopped");
        }
    });
    Ok((address, task))
}
