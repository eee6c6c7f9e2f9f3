//! The command line of Limbic. It parses options, prints results, and leaves the work to the crates below; `limbic-node`
//! runs a node.
#![expect(clippy::print_stderr, reason = "a program prints errors for its user")]
#![expect(unreachable_pub, reason = "a program has no public API")]

#[expect(clippy::doc_markdown, reason = "clap shows these words to people as they are")]
mod cli;
mod commands;
mod logging;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(&cli) {
        Ok(code) => code,
        // The reader of the output has closed it (`limbic dead list | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
    };
    error
        .chain()
        .any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}
