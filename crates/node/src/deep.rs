//! Compares the log, the progress and the state of the stages, the view and the series with each other.

use std::sync::Arc;
use std::time::Duration;

use limbic_metrics::MetricsStage;
use limbic_stream::Log;
use limbic_stream::verify::{self, Verdict};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use tokio::runtime::Handle;

use crate::check::Finding;
use crate::settings::Settings;
use crate::{registry, resources, stages, stores};

/// Reads the whole log, compares the progress of the stages and the view with it, decodes the state of every stage, and compares that of
/// `metrics` with the series. Writes no record, no state and no event. The
/// embedded log must not be in use. Requests run on `handle`.
pub fn check_deep(settings: &Settings, handle: &Handle) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = compare_all(settings, handle, &mut findings) {
        findings.push(Finding::new("comparison", Err(error)));
    }
    findings
}

fn compare_all(settings: &Settings, handle: &Handle, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let log: Arc<dyn Log> = if settings.is_embedded() {
        let folder = settings.data_dir.join("log");
        anyhow::ensure!(
            folder.is_dir(),
            "there is no log in {}: name the data folder with --data",
            settings.data_dir.display()
        );
        let damages = EmbeddedLog::damages(&folder)?;
        if let Some(damage) = damages.first() {
            anyhow::bail!("{damage}. Restore the folder from a backup, or see what `limbic log check` says");
        }
        findings.push(Finding::new("journals", Ok("intact".to_owned())));
        // Nothing is deleted or compacted meanwhile.
        let options = EmbeddedOptions {
            retention_interval: Duration::ZERO,
            ..EmbeddedOptions::default()
        };
        Arc::new(EmbeddedLog::open(&folder, options)?)
    } else {
        crate::log::connect(settings)?
    };
    let compared = compare_with_log(settings, handle, &*log, findings);
    log.close()?;
    compared
}

fn compare_with_log(
    settings: &Settings,
    handle: &Handle,
    log: &dyn Log,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    findings.extend(verify::verify_records(log)?.into_iter().map(finding));
    let specs = stages::specs(settings)?;
    findings.extend(verify::verify_progress(log, &specs)?.into_iter().map(finding));
    for stage in registry::stages() {
        let Some(schema) = stage.state().filter(|schema| !schema.is_empty()) else {
            continue;
        };
        let verdict = verify::verify_state(log, stage.name, schema, settings.partitions)?;
        findings.push(finding(verdict));
    }
    compare_view(settings, handle, log, findings)?;
    compare_series(settings, handle, log, findings)
}

fn compare_view(
    settings: &Settings,
    handle: &Handle,
    log: &dyn Log,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    if settings.view.is_embedded() && !settings.data_dir.join("view.sqlite").is_file() {
        findings.push(Finding::new("view", Ok("there is none yet".to_owned())));
        return Ok(());
    }
    let store = stores::open_view(settings, handle)?;
    let name = format!("{}@{}", resources::of(settings).log_name, log.identity()?);
    let compared = limbic_views::compare(&store, log, &name, handle)?;
    findings.extend(compared.into_iter().map(finding));
    handle.block_on(store.close());
    Ok(())
}

fn compare_series(
    settings: &Settings,
    handle: &Handle,
    log: &dyn Log,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    if settings.series.is_embedded() && !settings.data_dir.join("series.sqlite").is_file() {
        findings.push(Finding::new("series", Ok("there are none yet".to_owned())));
        return Ok(());
    }
    let store = stores::open_series(settings, handle)?;
    let state = log.state_of(MetricsStage::NAME, settings.partitions)?;
    let compared = limbic_metrics::compare(
        &*store,
        &&*state,
        settings.section::<MetricsStage>(),
        settings.partitions,
        handle,
    )?;
    findings.push(finding(compared));
    handle.block_on(store.close())?;
    Ok(())
}

fn finding(verdict: Verdict) -> Finding {
    Finding::new(verdict.what, verdict.result.map_err(anyhow::Error::msg))
}
