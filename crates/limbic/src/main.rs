//! The program: command line, settings, wiring. The only crate that knows every other.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program talks to its user"
)]
#![expect(unreachable_pub, reason = "a program has no public face")]

#[expect(clippy::doc_markdown, reason = "clap shows these words to people as they are")]
mod cli;
mod commands;
mod house;
mod logging;
mod settings;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
