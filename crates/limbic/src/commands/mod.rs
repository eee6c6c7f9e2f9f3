//! The commands.

/// Prints a line. Unlike `println!`, it returns an error if the reader of the output has closed it, and does not panic.
macro_rules! say {
    ($($argument:tt)*) => { crate::commands::say(format_args!($($argument)*)) };
}

mod ask;
mod campaigns;
mod check;
mod components;
mod dead;
mod demo;
mod evaluate;
mod explain;
mod log;
mod measure;
mod read;
mod replay;
mod run;
mod simulate;
mod topics;

use std::fmt::Arguments;
use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::logging;

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
        Command::Eval { arguments } => {
            let arguments = arguments.join(" ");
            anyhow::bail!(
                "`limbic eval` is now `limbic measure`: run `{}`. (`limbic evaluate` estimates the reward of a policy.)",
                format!("limbic measure {arguments}").trim_end()
            )
        }
        Command::Components(args) => components::run(args),
        Command::Evaluate(args) => {
            let log = common.log.as_deref();
            evaluate::run(
                args,
                log.ok_or_else(|| {
                    anyhow::anyhow!("--log PATH is missing: name the log of decisions to evaluate")
                })?,
            )
        }
        Command::Topics { command } => topics::run(common, command),
        Command::Dead { command } => dead::run(common, command),
        Command::Log { command } => log::run(common, command),
        Command::Explain(args) => explain::run(common, args),
        Command::Campaigns { command } => campaigns::run(common, command),
        Command::Check => check::run(common),
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

fn say(line: Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}
