//! The options of `limbic connect`.

use clap::Subcommand;

use super::AskArgs;

/// `limbic connect`.
#[derive(Debug, Subcommand)]
pub enum ConnectCommand {
    /// List the connectors of a running node: state, what they have read, and how far they are behind
    List {
        /// Where the answer comes from.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Write a connector into the settings file
    #[command(after_help = "\
Examples:
  limbic connect add bluesky
  limbic connect add bluesky --want football --want soccer
  limbic connect add bluesky --name fans --with catch_up=1h --with 'authors=[\"did:plc:…\"]'

docs/settings.md lists the settings of each connector.")]
    Add {
        /// Kind of the connector, for instance bluesky
        kind: String,
        /// Its name in the settings [default: its kind]
        #[arg(long)]
        name: Option<String>,
        /// Word of which a post must have one; may be repeated [default: every post]
        #[arg(long, value_name = "WORD")]
        want: Vec<String>,
        /// Another setting of the connector; may be repeated
        #[arg(long, value_name = "KEY=VALUE")]
        with: Vec<String>,
    },
    /// Ask whether a connector of the settings has the permissions it needs, and read from it for some seconds; stores nothing
    Test {
        /// Its name in the settings
        name: String,
        /// For how long
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        seconds: u64,
    },
    /// Pause a connector of a running node; it stays paused after a restart
    Pause {
        /// Its name in the settings
        name: String,
        /// Where it runs.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Let a paused connector continue where it stopped
    Resume {
        /// Its name in the settings
        name: String,
        /// Where it runs.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show what the sources permit: storage of authors, deletions, purposes
    Terms {
        /// Kind of the connector [default: all]
        kind: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
