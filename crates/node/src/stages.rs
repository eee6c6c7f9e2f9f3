//! The stages of the house, from their settings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use limbic_affect::Opened;
use limbic_affect_stage::AffectStage;
use limbic_creative::{Campaigns, CreativeStage};
use limbic_deliver::DeliverStage;
use limbic_ingest::IngestStage;
use limbic_metrics::{MetricsStage, SeriesStore};
use limbic_optimize::OptimizeStage;
use limbic_profile::{MomentStage, ProfileStage};
use limbic_safety::{Rules, SafetyStage};
use limbic_stream::runtime::RunOptions;
use limbic_stream::{Stage, StageSpec};
use limbic_views::{Store, ViewsStage};
use tokio::runtime::Handle;

use crate::settings::Settings;

/// What stages write to, where this process has it.
#[derive(Clone, Default)]
pub struct Databases {
    /// The view.
    pub view: Option<Store>,
    /// The time series.
    pub series: Option<Arc<dyn SeriesStore>>,
}

type Built = (Box<dyn Stage>, StageSpec);

/// Builds the stages that are wanted. What cannot work is said before any of them starts.
pub fn build(
    settings: &Settings,
    wanted: &[&'static str],
    databases: &Databases,
    handle: &Handle,
) -> anyhow::Result<Vec<Built>> {
    wanted
        .iter()
        .map(|name| one(name, settings, databases, handle).with_context(|| format!("stage {name}")))
        .collect()
}

fn one(name: &str, settings: &Settings, databases: &Databases, handle: &Handle) -> anyhow::Result<Built> {
    let stage: Box<dyn Stage> = match name {
        "ingest" => Box::new(IngestStage::new(&settings.ingest)),
        "affect" => {
            let Opened { engine, remark } = settings.affect.start()?;
            if let Some(remark) = remark {
                tracing::warn!("{remark}");
            }
            tracing::info!(version = engine.version(), "posts are read");
            Box::new(AffectStage::new(engine, settings.affect.tagger()?))
        }
        "profile" => Box::new(ProfileStage::new(&settings.profile)?),
        "moments" => Box::new(MomentStage::new(&settings.profile)?),
        "creative" => Box::new(CreativeStage::new(
            &settings.creative,
            Arc::new(campaigns(settings)),
        )?),
        "safety" => Box::new(SafetyStage::new(Rules::new(&settings.safety)?)),
        "optimize" => Box::new(OptimizeStage::new(settings.optimize.clone())?),
        "deliver" => {
            let platforms = limbic_ad_platforms::open_all(&settings.ad_platforms, handle)?;
            Box::new(DeliverStage::new(&settings.deliver, platforms)?)
        }
        "metrics" => {
            let series = databases
                .series
                .clone()
                .context("it needs a store for its series")?;
            Box::new(MetricsStage::new(series, handle.clone(), &settings.metrics)?)
        }
        "views" => {
            let store = databases.view.clone().context("it needs a view")?;
            Box::new(ViewsStage::new(store, handle.clone(), &log_name(settings)))
        }
        other => anyhow::bail!("no stage `{other}`"),
    };
    Ok((stage, spec(name, settings)?))
}

/// What a stage reads and writes, whether or not it runs here.
pub(crate) fn spec(name: &str, settings: &Settings) -> anyhow::Result<StageSpec> {
    Ok(match name {
        "ingest" => IngestStage::spec(),
        "affect" => AffectStage::spec(),
        "profile" => ProfileStage::spec(&settings.profile),
        "moments" => MomentStage::spec(),
        "creative" => CreativeStage::spec(),
        "safety" => SafetyStage::spec(),
        "optimize" => OptimizeStage::new(settings.optimize.clone())?.spec(),
        "deliver" => DeliverStage::spec(&settings.deliver),
        "metrics" => MetricsStage::spec(&settings.metrics),
        "views" => ViewsStage::spec(),
        other => anyhow::bail!("no stage `{other}`"),
    })
}

/// What tells this log's offsets from another's in a shared database.
fn log_name(settings: &Settings) -> String {
    if settings.is_embedded() {
        return "embedded".to_owned();
    }
    let cluster = settings
        .log
        .reveal()
        .rsplit_once('@')
        .map_or(settings.log.reveal(), |(_, hosts)| hosts);
    format!("{cluster}/{}", settings.kafka.prefix)
}

/// The campaigns, by tenant.
pub(crate) fn campaigns(settings: &Settings) -> Campaigns {
    settings.campaigns.iter().fold(Campaigns::new(), |all, one| {
        all.with(one.tenant.clone(), one.campaign.clone())
    })
}

/// How every stage of this process runs.
pub(crate) fn run_options(settings: &Settings, instance: &str) -> RunOptions {
    RunOptions {
        instance: instance.into(),
        idle_after: settings.stream.idle_after.get().max(Duration::from_millis(1)),
        ..RunOptions::default()
    }
}
