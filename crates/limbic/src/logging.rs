//! Log output: text on a terminal, JSON otherwise.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Writes logs to standard error. `filter` is the option; without it, `LIMBIC_LOG_LEVEL` applies.
pub fn start(filter: Option<&str>, quiet_default: &str) -> anyhow::Result<()> {
    let from_environment = std::env::var("LIMBIC_LOG_LEVEL").ok();
    let text = filter
        .map(str::to_owned)
        .or(from_environment)
        .unwrap_or_else(|| quiet_default.to_owned());
    let filter = EnvFilter::builder()
        .parse(&text)
        .with_context(|| format!("--log-level {text}: try info, debug, or limbic_stream=debug,warn"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
    Ok(())
}
