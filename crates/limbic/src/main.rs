//! The program `limbic`: parses the command line, calls the library crates, and prints results.
//!
//! ```text
//!  arguments ──▶ cli ──▶ commands/NAME ──▶ limbic-node, limbic-simulation, limbic-affect, … ──▶ result
//!                        (one file each)                                              text or --json
//! ```
//!
//! It is not a library and contains no logic: `limbic-node` runs a node, and the stages compute. Run
//! `limbic --help` for the commands with examples.
//!
//! # Laws
//!
//! * Results go to standard output, and logs and errors to standard error.
//! * The exit code is 0 for success, 1 for a failure, and 2 for wrong arguments.
//! * An error says what happened, why, and what to do next.
//! * A closed output (`limbic dead list | head`) is not an error.
//! * No text of a stranger moves the cursor, changes colours or writes to the clipboard: control characters are printed as
//!   `\u001b`.
#![expect(clippy::print_stderr, reason = "a program prints errors for its user")]
#![expect(unreachable_pub, reason = "a program has no public API")]

#[expect(clippy::doc_markdown, reason = "clap shows these words to people as they are")]
mod cli;
mod commands;
mod logging;
mod printable;
mod temporary;

use std::process::ExitCode;

/// Stages pass records between threads, so memory is often freed by another thread than the one that allocated it.
/// `.cargo/config.toml` limits the unused memory that the allocator keeps; the variable `MALLOC_CONF` overrides that.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use clap::Parser as _;

fn main() -> ExitCode {
    // The files hold texts of people: only their owner may read them.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_bits_retain(0o077));
    limbic_affect::BuiltInModel {
        name: limbic_shipped_model::NAME,
        files: limbic_shipped_model::FILES,
    }
    .provide();
    let cli = cli::Cli::parse();
    match commands::run(&cli) {
        Ok(code) => code,
        // The reader of the output has closed it (`limbic dead list | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", printable::printable(&format!("{error:#}")));
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
