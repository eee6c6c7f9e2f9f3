//! `limbic log`.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use limbic_stream_embedded::EmbeddedLog;

use crate::cli::{Common, LogCommand};

pub fn run(common: &Common, command: &LogCommand) -> anyhow::Result<ExitCode> {
    let settings = common.settings(&[])?;
    ensure!(
        settings.is_embedded(),
        "`limbic log` is for the embedded log, and the log is {}: Kafka has its own tools",
        settings.log
    );
    let folder = settings.data_dir.join("log");
    ensure!(
        folder.is_dir(),
        "there is no log in {}: name the data folder with --data",
        settings.data_dir.display()
    );
    let damages = EmbeddedLog::damages(&folder)?;
    if damages.is_empty() {
        say!("the journals of {} are intact", folder.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    for damage in &damages {
        say!("{damage}")?;
        if let (Some(good), Some(last)) = (damage.last_good_commit, damage.last_commit) {
            say!("commits {} to {last} would be lost by a repair", good + 1)?;
        }
    }
    match command {
        LogCommand::Check => {
            say!(
                "restore the data folder from a backup; or run `limbic log repair --accept-loss`. Databases that have more than \
                 the log then need a rebuild, and stages may process some records again"
            )?;
            Ok(ExitCode::FAILURE)
        }
        LogCommand::Repair { accept_loss: false } => {
            bail!("nothing was changed: --accept-loss is missing")
        }
        LogCommand::Repair { accept_loss: true } => {
            for copy in EmbeddedLog::repair(&folder)? {
                say!("the journal as it was is kept as {}", copy.display())?;
            }
            say!("repaired: the log opens again, without what is named above")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
