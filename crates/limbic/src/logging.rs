//! Log output: text on a terminal, one JSON object a line otherwise.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The levels, from quiet to loud.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Writes logs to standard error. `filter` is the option; without it, `LIMBIC_LOG_LEVEL` applies, and without that, `usual`.
pub fn start(filter: Option<&str>, usual: &str) -> anyhow::Result<()> {
    let from_environment = std::env::var("LIMBIC_LOG_LEVEL").ok();
    let text = filter.map(str::to_owned).or(from_environment);
    let filter = EnvFilter::builder()
        .parse(directives(text.as_deref().unwrap_or(usual))?)
        .context(
            "--log-level or LIMBIC_LOG_LEVEL: cannot be read: try info, debug, or limbic_stream=debug",
        )?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().init();
    } else {
        builder.event_format(JsonLines).init();
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Writes a panic as every other line of the log.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(|place| format!("{}:{}", source(place.file()), place.line()));
    let thread = std::thread::current();
    // It is taken only if RUST_BACKTRACE asks for it.
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(
        place = place.as_deref(),
        thread = thread.name(),
        trace = trace.as_deref(),
        "panicked: {}",
        panic.payload_as_str().unwrap_or("without a message")
    );
}

/// A source file without the folders of the machine that has built the program: those of dependencies begin at their package.
fn source(file: &str) -> &str {
    let within = ["/registry/src/", "/git/checkouts/"]
        .into_iter()
        .find_map(|folder| file.split_once(folder));
    within
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or(file, |(_, source)| source)
}

/// The filter of a level or of a list of `PART=LEVEL`. A level alone is that of Limbic; libraries log warnings and errors.
fn directives(text: &str) -> anyhow::Result<String> {
    let mut directives = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, level) = part.rsplit_once('=').unwrap_or(("limbic", part));
        let level = level.to_ascii_lowercase();
        if !LEVELS.contains(&level.as_str()) {
            bail!(
                "--log-level or LIMBIC_LOG_LEVEL: `{level}` is not a level: choose one of {}, or PART=LEVEL, for instance limbic_stream=debug",
                LEVELS.join(", ")
            );
        }
        let of_libraries = if matches!(level.as_str(), "off" | "error") {
            &level
        } else {
            "warn"
        };
        if !part.contains('=') {
            directives.push(of_libraries.to_owned());
        }
        directives.push(format!("{name}={level}"));
    }
    if directives.iter().all(|directive| directive.contains('=')) {
        directives.insert(0, "warn".to_owned());
    }
    Ok(directives.join(","))
}

/// One JSON object a line: `timestamp`, `level`, `target`, and the fields of the event. Records of the crate `log` have no
/// place in a source file, which would be a path of the machine that has built the program.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let target = fields.target.unwrap_or_else(|| metadata.target().to_owned());
        let mut line = Map::new();
        line.insert(
            "timestamp".to_owned(),
            limbic_domain::Utc::now().to_string().into(),
        );
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.append(&mut fields.values);
        line.insert("target".to_owned(), target.into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    values: Map<String, Value>,
    /// The target of a record of the crate `log`.
    target: Option<String>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match field.name() {
            "log.target" => self.target = value.as_str().map(str::to_owned),
            name if name.starts_with("log.") => {}
            name => {
                self.values.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_panic_has_no_folder_of_the_machine_that_built_the_program() {
        for (file, said) in [
            (
                "/home/ada/.cargo/registry/src/index.example-1949cf8c6b5b557f/csv-1.3.0/src/reader.rs",
                "csv-1.3.0/src/reader.rs",
            ),
            (
                "/home/ada/.cargo/git/checkouts/csv-1949cf8c6b5b557f/1a2b3c4/src/reader.rs",
                "1a2b3c4/src/reader.rs",
            ),
            (
                "crates/stages/safety/src/gate.rs",
                "crates/stages/safety/src/gate.rs",
            ),
        ] {
            assert_eq!(source(file), said);
        }
    }

    #[test]
    fn a_level_is_that_of_limbic_and_an_unknown_one_is_refused() {
        for (text, filter) in [
            ("info", "warn,limbic=info"),
            ("DEBUG", "warn,limbic=debug"),
            ("error", "error,limbic=error"),
            ("limbic_stream=trace", "warn,limbic_stream=trace"),
            ("debug, fjall=info", "warn,limbic=debug,fjall=info"),
        ] {
            assert_eq!(directives(text).unwrap(), filter);
        }
        for text in ["loud", "limbic=loud", "limbic_stream"] {
            let error = directives(text).unwrap_err().to_string();
            assert!(error.contains("choose one of off, error"), "{error}");
        }
    }
}
