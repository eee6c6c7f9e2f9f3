//! The stages that run in this node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use limbic_component::{Component, Registration, Resources};
use limbic_domain::Utc;
use limbic_optimize::OptimizeStage;
use limbic_stream::runtime::{Health, RunOptions, StageHandle, StageMeters, StageStatus};
use limbic_stream::{Log, Stage, StageSpec};

use crate::settings::Settings;
use crate::{campaigns, pictures, registry};

/// The topics and requirements of each stage of the registry, whether or not it runs here.
pub(crate) fn specs(settings: &Settings) -> anyhow::Result<Vec<StageSpec>> {
    registry::stages().map(|stage| spec(stage, settings)).collect()
}

fn spec(stage: &Registration, settings: &Settings) -> anyhow::Result<StageSpec> {
    stage
        .spec(&settings.section_of(stage))
        .with_context(|| format!("`{}` is not a stage", stage.name))?
        .map_err(anyhow::Error::from_boxed)
        .with_context(|| format!("stage {}", stage.name))
}

/// Returns an error if a stage's settings are not valid. Opens no store.
pub(crate) fn check_stage(stage: &Registration, settings: &Settings) -> anyhow::Result<()> {
    stage
        .check(&settings.section_of(stage))
        .map_err(anyhow::Error::from_boxed)?;
    if stage.name == limbic_creative::STAGE {
        campaigns::check(settings)?;
        pictures::check(settings)?;
    }
    if stage.name == <OptimizeStage as Component>::NAME {
        campaigns::check_names(settings)?;
    }
    Ok(())
}

/// The threads of the stages, shared with the API.
#[derive(Clone)]
pub(crate) struct RunningStages(Arc<Vec<Mutex<StageHandle>>>);

impl RunningStages {
    /// Builds all stages, then starts them. So settings that are not valid are an error before any stage runs.
    pub(crate) fn start(
        settings: &Settings,
        instance: &str,
        stages: &[&'static Registration],
        resources: &Resources,
        log: &Arc<dyn Log>,
        meters: &StageMeters,
    ) -> anyhow::Result<Self> {
        campaigns::check_names(settings)?;
        let mut built = Vec::new();
        for stage in stages {
            let one: Box<dyn Stage> = stage
                .build(&settings.section_of(stage), resources)
                .map_err(anyhow::Error::from_boxed)
                .with_context(|| format!("stage {}", stage.name))?;
            built.push((one, spec(stage, settings)?));
        }
        if built
            .iter()
            .any(|(_, spec)| &*spec.name == limbic_creative::STAGE)
        {
            // Before the stage starts, so that its table contains them.
            campaigns::check(settings)?;
            pictures::check(settings)?;
            campaigns::publish(log, &campaigns::of(settings), Utc::now())?;
        }
        let mut handles = Vec::new();
        for (stage, spec) in built {
            let options = RunOptions {
                instance: instance.into(),
                idle_after: settings.stream.idle_after.get().max(Duration::from_millis(1)),
                ..RunOptions::default()
            };
            let handle = limbic_stream::runtime::spawn(Arc::clone(log), stage, spec, options, meters);
            handles.push(Mutex::new(handle.context("cannot start a stage's thread")?));
        }
        Ok(Self(Arc::new(handles)))
    }

    /// The status of each stage, by name.
    pub(crate) fn statuses(&self) -> Vec<(String, StageStatus)> {
        let handles = self.0.iter().map(lock);
        handles
            .map(|handle| (handle.name.to_string(), handle.status()))
            .collect()
    }

    /// The first stage that has failed permanently, and why.
    pub(crate) fn failure(&self) -> Option<(String, String)> {
        self.statuses()
            .into_iter()
            .find_map(|(name, status)| match status.health {
                Health::Failed(why) => Some((name, why)),
                _ => None,
            })
    }

    /// Stops all stages after their current batches. Returns `false` if one has not finished by the deadline. Its batch
    /// is then processed again at the next start.
    pub(crate) fn drain(&self, deadline: Instant) -> bool {
        for handle in self.0.iter() {
            lock(handle).stop();
        }
        let mut drained = true;
        for handle in self.0.iter() {
            let mut handle = lock(handle);
            if !handle.join_by(deadline) {
                tracing::warn!(stage = %handle.name, "the stage has not stopped by the deadline: its batch is processed again at the next start");
                drained = false;
            }
        }
        drained
    }
}

fn lock(handle: &Mutex<StageHandle>) -> MutexGuard<'_, StageHandle> {
    handle.lock().unwrap_or_else(PoisonError::into_inner)
}
