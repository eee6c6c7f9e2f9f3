//! The lifecycle of a node: open everything, run, drain, close.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use limbic_affect_stage::AffectMeters;
use limbic_api::{ApiMeters, Context};
use limbic_component::{Need, Registration};
use limbic_connectors::ConnectorMeters;
use limbic_creative::{AdIndexes, Embedders, PictureModel, PictureModels, TextModel, TextModels};
use limbic_deliver::{AdPlatforms, DeliverMeters, DeliveryPictures};
use limbic_ingest::{Edge, IngestMeters};
use limbic_metrics::{MetricsStage, SeriesMeters, SeriesReader, SeriesStore};
use limbic_optimize::OptimizeMeters;
use limbic_profile::MomentMeters;
use limbic_stream::outbox::OutboxMeters;
use limbic_stream::runtime::{StageMeters, StageStatus};
use limbic_stream::{Log, StageSpec};
use limbic_views::{Store, ViewMeters};
use tokio::runtime::{Handle, Runtime};

use crate::campaigns::{Target, Watcher};
use crate::connectors::Connectors;
use crate::edge::open_edge;
use crate::edits::EditJudge;
use crate::folder;
use crate::instance::Instance;
use crate::keys;
use crate::local::{About, LocalServer, running};
use crate::log::{open_log, topic_specs};
use crate::resources;
use crate::server::{Server, bind};
use crate::settings::Settings;
use crate::sharing;
use crate::stages::{self, RunningStages};
use crate::state_sizes::StateSizes;
use crate::stores::{Stores, open_entries};
use crate::texts::GatewayModel;
use crate::trim::Trimmer;
use crate::{components, embedder, models, pictures, registry};

/// How long closing the stores may take.
const CLOSE: Duration = Duration::from_secs(5);

/// A running node.
pub struct Node {
    /// The log that the settings name. It is open until [`Node::close`].
    pub log: Arc<dyn Log>,
    /// Accepts posts and outcomes.
    pub edge: Arc<Edge>,
    /// The view, if this node has opened it.
    pub store: Option<Store>,
    /// The topics and requirements of each stage of the registry, in the order of the registry, whether or not it runs
    /// here.
    pub specs: Vec<StageSpec>,
    /// The address of the API, if it is served.
    pub address: Option<SocketAddr>,
    runtime: Runtime,
    connectors: Arc<Connectors>,
    stages: RunningStages,
    server: Option<Server>,
    drain: Duration,
    series: Option<Arc<dyn SeriesStore>>,
    watcher: Option<Watcher>,
    trimmer: Option<Trimmer>,
    sizes: Option<StateSizes>,
    local: Option<LocalServer>,
    /// Dropped last, so that another process can take the name only when this one writes no more.
    _instance: Instance,
}

/// Options of a node.
pub struct Options {
    /// The stages to run. Empty = all; only names that are not stages = none.
    pub stages: Vec<String>,
    /// The address of the API. `None` = no API.
    pub listen: Option<String>,
}

/// The parts that [`Node::open`] opens over a log.
struct Parts {
    edge: Arc<Edge>,
    connectors: Arc<Connectors>,
    store: Option<Store>,
    series: Option<Arc<dyn SeriesStore>>,
    stages: RunningStages,
    server: Option<Server>,
    trimmer: Trimmer,
    sizes: StateSizes,
}

impl Node {
    /// Opens the log, the stores that are needed here, the edge, the stages and the API, in this order.
    pub fn open(settings: &Settings, options: &Options) -> anyhow::Result<Self> {
        sharing::check(settings)?;
        let instance = Instance::claim(settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("limbic-io")
            .enable_all()
            .build()
            .context("cannot start the I/O threads")?;
        let specs = stages::specs(settings)?;
        let log = open_log(settings).map_err(|error| say_who_runs(settings, error))?;
        if let Some(problem) = folder::problem(&settings.data_dir) {
            tracing::warn!("{problem}");
        }
        match Parts::open(settings, options, instance.name(), runtime.handle(), &log, &specs) {
            Ok(parts) => Ok(Self {
                local: answer_commands(settings, &log, parts.server.as_ref()),
                trimmer: Some(parts.trimmer),
                sizes: Some(parts.sizes),
                log,
                edge: parts.edge,
                connectors: parts.connectors,
                store: parts.store,
                series: parts.series,
                specs,
                address: parts.server.as_ref().map(|server| server.address),
                runtime,
                stages: parts.stages,
                server: parts.server,
                drain: settings.stream.drain.get(),
                watcher: None,
                _instance: instance,
            }),
            Err(error) => {
                // Release the log's lock for the next attempt.
                if let Err(close) = log.close() {
                    tracing::warn!(%close, "the log did not close cleanly");
                }
                Err(error)
            }
        }
    }

    /// Watches the settings file from now on. When it changes, `load` reads the settings again, and their campaigns are
    /// published, and the edge knows their subjects. They take effect without a restart. Settings that are not valid change nothing;
    /// the error is logged. A node without the creative stage does not publish campaigns.
    pub fn watch_settings(
        &mut self,
        settings: &Settings,
        file: PathBuf,
        load: impl Fn() -> anyhow::Result<Settings> + Send + 'static,
    ) -> anyhow::Result<()> {
        let statuses = self.statuses();
        let publishes = statuses.iter().any(|(stage, _)| stage == limbic_creative::STAGE);
        let target = Target {
            log: publishes.then(|| Arc::clone(&self.log)),
            subjects: self.edge.subjects().clone(),
        };
        self.watcher = Some(Watcher::spawn(target, settings.clone(), file, Box::new(load))?);
        Ok(())
    }

    /// Starts the connectors of the settings, each where it stopped. A node without the ingest stage runs none.
    pub fn start_connectors(&self, settings: &Settings) -> anyhow::Result<()> {
        if !self.statuses().iter().any(|(stage, _)| stage == "ingest") {
            return Ok(());
        }
        let mut resources = resources::of(settings);
        resources.insert(self.runtime.handle().clone());
        self.connectors.start(settings, &resources)
    }

    /// A handle to the I/O threads.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// The status of each stage of this node, by name.
    pub fn statuses(&self) -> Vec<(String, StageStatus)> {
        self.stages.statuses()
    }

    /// The first stage that has failed permanently, and why.
    pub fn failure(&self) -> Option<(String, String)> {
        self.stages.failure()
    }

    /// Drains and closes the node. Returns `false` if a stage has not finished by the deadline. Its batch is then
    /// processed again at the next start.
    pub fn close(mut self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + self.drain;
        drop(self.watcher.take());
        drop(self.local.take());
        if let Some(server) = self.server.take() {
            server.stop(self.runtime.handle(), deadline);
        }
        self.connectors.stop();
        let drained = self.stages.drain(deadline);
        drop(self.trimmer.take());
        self.log.close().context("the log did not close cleanly")?;
        // Its reading ends with the log.
        drop(self.sizes.take());
        self.close_stores();
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        Ok(drained)
    }

    /// Closes the stores. Everything that is committed is already durable. Closing empties the write-ahead logs, so the next
    /// start does not have to recover them, and their disk space is free.
    fn close_stores(&self) {
        let close = async {
            if let Some(store) = &self.store {
                store.close().await;
            }
            match &self.series {
                Some(series) => series.close().await,
                None => Ok(()),
            }
        };
        let closed = self
            .runtime
            .block_on(async { tokio::time::timeout(CLOSE, close).await });
        match closed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the series did not close cleanly"),
            Err(_) => tracing::warn!(
                "the view and the series are still in use: they are recovered at the next start"
            ),
        }
    }
}

/// Adds to the error of a log that cannot be opened what the node that uses it says about itself.
fn say_who_runs(settings: &Settings, error: anyhow::Error) -> anyhow::Error {
    let about = settings
        .is_embedded()
        .then(|| running(&settings.data_dir))
        .flatten();
    match about {
        Some(About {
            process,
            address: Some(address),
            ..
        }) => error.context(format!(
            "a node with its API at http://{address}/ runs on this data folder (process {process})"
        )),
        Some(About { process, .. }) => {
            error.context(format!("a node runs on this data folder (process {process})"))
        }
        None => error,
    }
}

/// Answers commands on the data folder of an embedded log. A node works without it.
fn answer_commands(settings: &Settings, log: &Arc<dyn Log>, server: Option<&Server>) -> Option<LocalServer> {
    if !settings.is_embedded() {
        return None;
    }
    let address = server.map(|server| server.address);
    let started = LocalServer::start(Arc::clone(log), &settings.data_dir, address);
    started
        .inspect_err(|error| {
            tracing::warn!(
                error = format!("{error:#}"),
                "commands such as `limbic dead` will not work on this data folder while the node runs"
            );
        })
        .ok()
}

impl Parts {
    fn open(
        settings: &Settings,
        options: &Options,
        instance: &str,
        handle: &Handle,
        log: &Arc<dyn Log>,
        specs: &[StageSpec],
    ) -> anyhow::Result<Self> {
        let is_wanted = |stage: &&Registration| {
            options.stages.is_empty() || options.stages.iter().any(|name| name == stage.name)
        };
        let running: Vec<&'static Registration> = registry::stages().filter(is_wanted).collect();
        let listener = options
            .listen
            .as_deref()
            .map(|listen| bind(handle, settings, listen))
            .transpose()?;
        let mut resources = resources::of(settings);
        resources.insert(handle.clone());
        let identity = log.identity().context("cannot learn which log this is")?;
        resources.log_name = format!("{}@{identity}", resources.log_name);
        let stores = Stores::open(settings, &resources, &running, listener.is_some())?;
        let meters_registry = prometheus::Registry::new();
        let posts = IngestMeters::register(&meters_registry).context("cannot register the meters")?;
        let edge = open_edge(settings, &resources, Arc::clone(log))?;
        let edge = Arc::new(edge.metered(posts));
        let meters =
            StageMeters::register(&meters_registry).context("cannot register the metrics of the stages")?;
        if let Ok(view) = &stores.view {
            resources.insert(view.clone());
        }
        if let Ok(series) = &stores.series {
            resources.insert(Arc::clone(series));
        }
        if running.iter().any(|stage| stage.has_need(Need::AdPlatforms)) {
            let platforms: AdPlatforms = open_entries(settings, "ad_platforms", &resources)?;
            resources.insert(platforms);
            resources.insert::<DeliveryPictures>(pictures::open(settings));
        }
        let asks = |stage: &&Registration| stage.has_need(Need::LanguageModels);
        let gateway = if listener.is_some() || running.iter().any(&asks) {
            models::open(settings, &resources, handle, &meters_registry)?
        } else {
            None
        };
        let model = gateway
            .clone()
            .map(|gateway| Arc::new(GatewayModel::new(gateway, handle.clone())));
        resources.insert::<TextModels>(model.clone().map(|model| model as Arc<dyn TextModel>));
        resources.insert::<PictureModels>(model.map(|model| model as Arc<dyn PictureModel>));
        if running.iter().any(asks) {
            resources.insert::<Embedders>(embedder::open(settings)?);
            resources.insert::<AdIndexes>(embedder::index(settings, handle)?);
        }
        components::warn_of_unused(settings);
        let outboxes =
            OutboxMeters::register(&meters_registry).context("cannot register the metrics of outboxes")?;
        resources.insert(outboxes);
        let decisions = OptimizeMeters::register(&meters_registry).context("cannot register the meters")?;
        resources.insert(decisions);
        let views = ViewMeters::register(&meters_registry).context("cannot register the meters")?;
        resources.insert(views);
        let series = SeriesMeters::register(&meters_registry).context("cannot register the meters")?;
        resources.insert(series);
        let affect = AffectMeters::register(&meters_registry).context("cannot register the meters")?;
        resources.insert(affect);
        let moments = MomentMeters::register(&meters_registry).context("cannot register the meters")?;
        resources.insert(moments);
        let deliveries = DeliverMeters::register(&meters_registry).context("cannot register the meters")?;
        resources.insert(deliveries);
        let sizes = StateSizes::start(Arc::clone(log), specs, &meters_registry)
            .context("cannot start the thread that counts the states")?;
        let api = ApiMeters::register(&meters_registry).context("cannot register the meters")?;
        let connectors = ConnectorMeters::register(&meters_registry).context("cannot register the meters")?;
        let connectors = Arc::new(Connectors::new(Arc::clone(log), Arc::clone(&edge), connectors));
        let stages = RunningStages::start(settings, instance, &running, &resources, log, &meters)?;
        let store = stores.view.as_ref().ok().cloned();
        let series = stores.series.as_ref().ok().cloned();
        let components = components::views(settings, &running, &stores, listener.is_some());
        let server = match listener {
            None => None,
            Some(listener) => {
                let statuses = stages.clone();
                let models = models::of_api(gateway, settings, handle)?;
                let metrics = settings.section::<MetricsStage>();
                let context = Context {
                    edge: Some(Arc::clone(&edge)),
                    connectors: Arc::clone(&connectors) as Arc<dyn limbic_api::Connectors>,
                    models,
                    edits: Arc::new(EditJudge::new(settings)?),
                    reviewer_keys: keys::reviewer_keys(settings),
                    store: stores.view,
                    series: stores.series.map(|series| SeriesReader::new(series, metrics)),
                    log: Arc::clone(log),
                    stages: specs.to_vec(),
                    statuses: Box::new(move || statuses.statuses()),
                    components,
                    registry: meters_registry,
                    keys: keys::api_keys(settings),
                    operator_keys: keys::operator_keys(settings),
                    meters: api,
                    settings: settings.api.clone(),
                    pictures: pictures::folder(settings),
                };
                Some(Server::start(handle, listener, context)?)
            }
        };
        let trimmer = Trimmer::start(Arc::clone(log), &topic_specs(settings), specs)
            .context("cannot start the thread that trims topics")?;
        Ok(Self {
            edge,
            connectors,
            store,
            series,
            stages,
            server,
            trimmer,
            sizes,
        })
    }
}
