//! `limbic completions` and `limbic man`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints the completions of a shell.
pub fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut written = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "limbic", &mut written);
    std::io::stdout().lock().write_all(&written)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the page of the program, or writes one page for it and for each command to a folder.
pub fn man(folder: Option<&Path>) -> anyhow::Result<ExitCode> {
    let Some(folder) = folder else {
        let mut written = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut written)?;
        std::io::stdout().lock().write_all(&written)?;
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    say!("the pages are in {}", folder.display())?;
    Ok(ExitCode::SUCCESS)
}
