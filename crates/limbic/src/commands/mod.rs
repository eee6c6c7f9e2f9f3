//! What each command does.

/// Prints a line; unlike `println!`, a reader that has gone is an error to be passed on, not a panic.
macro_rules! say {
    ($($argument:tt)*) => { crate::commands::say(format_args!($($argument)*)) };
}

mod check;
mod dead;
mod demo;
mod eval;
mod evaluate;
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

/// Does what the command line says.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let common = &cli.common;
    // Commands that a person waits for are quiet; the service talks.
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
        Command::Eval(args) => eval::run(common, args),
        Command::Evaluate(args) => {
            let log = common.log.as_deref();
            evaluate::run(
                args,
                log.ok_or_else(|| anyhow::anyhow!("--log PATH is missing: which log is to be evaluated?"))?,
            )
        }
        Command::Topics { command } => topics::run(common, command),
        Command::Dead { command } => dead::run(common, command),
        Command::Check => check::run(common),
        Command::Config {
            command: ConfigCommand::Show,
        } => {
            say(format_args!(
                "{}",
                toml::to_string_pretty(&common.settings(&[])?)?.trim_end()
            ))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn say(line: Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}
