//! The options of `limbic topics`, `dead` and `log`.

use clap::Subcommand;

/// `limbic topics`.
#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// List the topics with their partitions and offsets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create missing topics and check existing ones
    Create,
}

/// `limbic dead`.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List dead letters: source and reason of each
    List {
        /// Only letters of this topic
        topic: Option<String>,
        /// Maximum number of letters per partition
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Print JSON, one letter per line
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter: TOPIC/PARTITION/OFFSET, as `list` prints it
    Show {
        /// Dead letter, for instance posts/0/17
        letter: String,
    },
    /// Send dead letters back to their topic, after their cause is corrected
    Replay {
        /// Topic that the letters came from
        topic: String,
        /// Only letters with this reason
        #[arg(long)]
        reason: Option<String>,
        /// Also letters that were sent before
        #[arg(long)]
        again: bool,
        /// Print what would be sent, and send nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `limbic log`.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Look for damage in the journals of the embedded log; changes nothing
    #[command(after_help = "\
Example:
  limbic log check --data .limbic

The exit code is 1 if there is damage.")]
    Check,
    /// Cut off everything from the first damaged place, so that the log opens again
    #[command(after_help = "\
Example:
  limbic log repair --data .limbic --accept-loss

A log with acknowledged records behind a damaged place does not open. A backup of the data folder is
the better remedy. The repair keeps copies of the journals as they were (*.jnl.damaged).")]
    Repair {
        /// Lose the records that `limbic log check` names
        #[arg(long)]
        accept_loss: bool,
    },
}
