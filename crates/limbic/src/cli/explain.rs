//! The options of `limbic explain` and `safety`, which ask a node or a campaign.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Where answers come from.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// Node to ask, over HTTP [default: the log and the view of the settings, or the node that uses them]
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// API key for the node; better in the variable LIMBIC_KEY, because other users of the machine see arguments
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Tenant, if the settings have several and no node is asked
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `limbic explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic explain                                   all audiences: posts, usual mood, evidence, last moment
  limbic explain everyone:football                 why this audience got an ad, or none
  limbic explain bluesky/3kq2vq7z5                 what became of a post
  limbic explain spring.9f86d081884c7d659a2feaa0c55ad015    why a decision is what it is
  LIMBIC_KEY=… limbic explain everyone:football --from https://limbic.example

Without --from, the command reads the log and the view of the settings. If a node uses the data
folder, the command asks that node (the setting `listen`).")]
pub struct ExplainArgs {
    /// Audience (SEGMENT:SUBJECT), post (NETWORK/ID) or decision (its id) [default: list the audiences]
    #[arg(value_name = "AUDIENCE|POST|DECISION")]
    pub of: Option<String>,
    /// Where the answer comes from.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// `limbic safety`.
#[derive(Debug, Subcommand)]
pub enum SafetyCommand {
    /// Print all rules: id, version, what they remove, and when
    #[command(after_help = "\
Examples:
  limbic safety rules
  limbic safety rules --markdown > docs/safety.md    the page with sources, regions and word lists
  limbic safety rules --json")]
    Rules {
        /// Print the rules as JSON
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
        /// Print the reference page (Markdown)
        #[arg(long)]
        markdown: bool,
    },
    /// Judge texts of ads by the rules of the settings
    Test(SafetyTestArgs),
    /// Say in plain sentences why a decision is what it is, and which rules had a part in it
    Explain(SafetyExplainArgs),
}

/// `limbic safety test`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic safety test ads.txt                       one text a line
  limbic safety test ads.json --json               a JSON array of texts, or of objects as below
  echo 'Feeling sad? Try our boots.' | limbic safety test -
  limbic safety test ads.jsonl --to-upset-people   as for an audience in a negative feeling of high arousal

A line that begins with { is an object: {\"headline\": …, \"body\": …, \"link\": …, \"platform\": …, \"generator\": …,
\"ai_generated\": …, \"declared\": {\"categories\": [\"credit\"], \"regions\": [\"eu\"]}}; only `body` is needed.
Exit code 1: a text is refused, or the file cannot be read.")]
pub struct SafetyTestArgs {
    /// File of texts, or - for standard input
    pub file: PathBuf,
    /// Ad platform whose limits apply to texts that name none
    #[arg(long, value_name = "NAME")]
    pub platform: Option<String>,
    /// Judge as for an audience in a negative feeling of high arousal
    #[arg(long)]
    pub to_upset_people: bool,
    /// Print one JSON object for each text
    #[arg(long)]
    pub json: bool,
}

/// `limbic safety explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic safety explain spring.9f86d081884c7d659a2feaa0c55ad015
  LIMBIC_KEY=… limbic safety explain spring.9f86d081884c7d659a2feaa0c55ad015 --from https://limbic.example

Without --from, the command reads the log and the view of the settings. If a node uses the data
folder, the command asks that node (the setting `listen`).")]
pub struct SafetyExplainArgs {
    /// Id of the decision
    #[arg(value_name = "DECISION")]
    pub decision: String,
    /// Where the answer comes from.
    #[command(flatten)]
    pub ask: AskArgs,
}
