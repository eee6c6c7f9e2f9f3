//! `limbic run`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Common, RunArgs};
use limbic_node::{Node, Options, Settings};

/// How often the health of the stages is checked.
const LOOK: Duration = Duration::from_millis(500);

pub fn run(common: &Common, args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut flags = Vec::new();
    if let Some(listen) = &args.listen {
        flags.push(("listen", listen.clone()));
    }
    if !args.stages.is_empty() {
        flags.push(("stages", format!("{:?}", args.stages)));
    }
    let settings = common.settings(&flags)?;
    let options = Options {
        stages: settings.stages.clone(),
        listen: Some(settings.listen.clone()),
    };
    let mut node = Node::open(&settings, &options)?;
    node.start_connectors(&settings)?;
    let overrides = common.overrides();
    if let Some(file) = overrides.file() {
        node.watch_settings(&settings, file, move || Settings::load(&overrides, &flags))?;
    }
    if let Some(address) = node.address {
        tracing::info!(%address, log = %settings.log, "listening: the page is http://{address}/");
    }
    let failure = node.handle().block_on(wait(&node, settings.api.tls.is_on()))?;
    if let Some((stage, why)) = &failure {
        tracing::error!(stage, why, "a stage has failed permanently: the node stops");
    } else {
        tracing::info!("draining");
    }
    let drained = node.close()?;
    tracing::info!(drained, "stopped");
    Ok(if failure.is_some() || !drained {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Returns when a signal arrives, or when a stage has failed permanently. With TLS, SIGHUP reads the certificate again, which the server
/// does, and does not end the node.
async fn wait(node: &Node, with_tls: bool) -> anyhow::Result<Option<(String, String)>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    // The end of a terminal session, if there is no certificate.
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(None),
            _ = interrupt.recv() => return Ok(None),
            _ = hang_up.recv() => if !with_tls { return Ok(None) },
            _ = look.tick() => if let Some(failure) = node.failure() { return Ok(Some(failure)) },
        }
    }
}
