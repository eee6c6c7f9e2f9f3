//! The commands.

/// Prints a line. Unlike `println!`, it returns an error if the reader of the output has closed it, and does not panic.
macro_rules! say {
    ($($argument:tt)*) => { crate::commands::say(format_args!($($argument)*)) };
}

mod ask;
mod audience;
mod campaigns;
mod check;
mod components;
mod connect;
mod dead;
mod demo;
mod evaluate;
mod explain;
mod export;
mod log;
mod measure;
mod read;
mod render;
mod replay;
mod reviews;
mod run;
mod safety;
mod secret;
mod shell;
mod simulate;
mod topics;
mod train;

use std::fmt::Arguments;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::logging;
use crate::printable::printable;

/// Runs the command.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let common = &cli.common;
    // A service logs its progress; a command for a person logs problems only.
    let quiet = if matches!(cli.command, Command::Run(_)) {
        "info"
    } else {
        "warn"
    };
    logging::start(common.log_level.as_deref(), quiet)?;
    match &cli.command {
        Command::Run(args) => run::run(common, args),
        Command::Replay(args) => replay::run(common, args),
        Command::Simulate(args) => simulate::run(common, args),
        Command::Demo(args) => demo::run(common, args),
        Command::Read(args) => read::run(common, args),
        Command::Measure(args) => measure::run(common, args),
        Command::Train { command } => train::run(common, command),
        Command::Eval { arguments } => {
            let arguments = arguments.join(" ");
            anyhow::bail!(
                "`limbic eval` is now `limbic measure`: run `{}`. (`limbic evaluate` estimates the reward of a policy.)",
                format!("limbic measure {arguments}").trim_end()
            )
        }
        Command::Render(args) => render::run(args),
        Command::Components(args) => components::run(args),
        Command::Evaluate(args) => evaluate::run(common, args),
        Command::Export(args) => export::run(common, args),
        Command::Secret => secret::run(),
        Command::Completions { shell } => shell::completions(*shell),
        Command::Man { folder } => shell::man(folder.as_deref()),
        Command::Topics { command } => topics::run(common, command),
        Command::Dead { command } => dead::run(common, command),
        Command::Log { command } => log::run(common, command),
        Command::Explain(args) => explain::run(common, args),
        Command::Safety { command } => safety::run(common, command),
        Command::Audience { command } => audience::run(command),
        Command::Connect { command } => connect::run(common, command),
        Command::Reviews { command } => reviews::run(common, command),
        Command::Campaigns { command } => campaigns::run(common, command),
        Command::Check { deep } => check::run(common, *deep),
        Command::Config {
            command: ConfigCommand::Show,
        } => {
            say(format_args!(
                "{}",
                toml::to_string_pretty(&common.settings(&[])?.to_table()?)?.trim_end()
            ))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Returns an error if a result cannot be written to this file. Called before the work, which may take minutes.
fn check_writable(file: &Path) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let problem = if file.is_dir() {
        "is a folder: name a file".to_owned()
    } else if let Err(error) = tempfile::tempfile_in(folder) {
        format!("cannot be written ({error}): name a file in a folder that exists and can be written")
    } else {
        return Ok(());
    };
    anyhow::bail!("{} {problem}", file.display())
}

fn say(line: Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", printable(&line.to_string()))
}
