//! The commands and options of the command line.

mod connect;
mod explain;
mod files;
mod measure;
mod replay;
mod tenants;
mod topics;
mod train;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use limbic_node::Settings;
use limbic_node::settings::Overrides;

pub use connect::ConnectCommand;
pub use explain::{AskArgs, ExplainArgs, SafetyCommand, SafetyExplainArgs, SafetyTestArgs};
pub use files::{ComponentsArgs, ExportArgs, RenderArgs};
pub use measure::{EvaluateArgs, MeasureArgs, ReadArgs};
pub use replay::{DemoArgs, ReadingArgs, ReplayArgs, ShapeArgs, SimulateArgs};
pub use tenants::{AudienceCommand, CampaignsCommand, ReviewsCommand};
pub use topics::{DeadCommand, LogCommand, TopicsCommand};
pub use train::{TrainAdapterArgs, TrainCommand};

const EXAMPLES: &str = "\
Examples:
  limbic run                                    all stages, embedded log; page at http://127.0.0.1:8080
  limbic run --log kafka://127.0.0.1:9092       the same stages on Kafka
  limbic run --stage affect --stage profile     two of the stages; other nodes run the others
  limbic replay posts.csv --map text=body,author=user,network:=twitter --speed 60
  limbic read \"what a day\"                      sentiment and emotions of a text
  limbic measure --data ../shared/data          quality of the readings on public data sets
  limbic train adapter --data labelled.csv      read one kind of posts better
  limbic evaluate --log decisions.jsonl --format limbic --policy uniform
  limbic components                             components and what they need
  limbic export decisions outcomes              what evaluate reads, as JSON Lines
  limbic dead list                              records that failed permanently
  limbic explain everyone:football              why there was an ad, or none
  limbic safety test ads.txt                    which texts the safety rules refuse, and why
  limbic campaigns show                         what each campaign learned
  limbic reviews list                           ads that wait for a person
  limbic connect add bluesky --want football    read posts from a social network
  limbic check                                  settings and connections";

/// Streaming engine for emotion-aware advertising: reads posts, finds moments, chooses ads, learns from outcomes.
#[derive(Debug, Parser)]
#[command(name = "limbic", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Settings file [default: the variable LIMBIC_CONFIG, otherwise config/limbic.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    /// Folder of the embedded log and databases [default: .limbic]
    #[arg(long, global = true, value_name = "DIR", help_heading = EVERYWHERE)]
    pub data: Option<PathBuf>,
    /// The log: embedded or kafka://HOST:PORT[,HOST:PORT…] [default: embedded]
    #[arg(long, global = true, value_name = "URL", help_heading = EVERYWHERE)]
    pub log: Option<String>,
    /// Any setting, for instance --set deliver.attempts=5; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = EVERYWHERE)]
    pub set: Vec<String>,
    /// Log level: error, warn, info, debug, trace, or a filter such as limbic_stream=debug [default: info]
    #[arg(long, global = true, value_name = "FILTER", help_heading = EVERYWHERE)]
    pub log_level: Option<String>,
}

impl Common {
    /// The effective settings. `flags` are further settings as `(key, value)`, from the options of one command.
    pub fn settings(&self, flags: &[(&str, String)]) -> anyhow::Result<Settings> {
        Settings::load(&self.overrides(), flags)
    }

    /// The settings that these options replace.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            data: self.data.clone(),
            log: self.log.clone(),
            set: self.set.clone(),
        }
    }
}

/// The heading of the common options in the help. They follow the command's own options.
const EVERYWHERE: &str = "Options of every command";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node: all stages, or those that are named
    Run(RunArgs),
    /// Send a file of posts (JSON Lines, CSV, TSV) as a live stream
    Replay(ReplayArgs),
    /// Simulate people who post, see ads and click, and report what the engine learns
    Simulate(SimulateArgs),
    /// Run all stages on the sample posts and write a report page
    Demo(DemoArgs),
    /// Read sentiment and emotions of a text
    Read(ReadArgs),
    /// Measure the quality of readings on public data sets
    Measure(MeasureArgs),
    /// Fit a part of the reader to your own posts
    Train {
        /// What is fitted.
        #[command(subcommand)]
        command: TrainCommand,
    },
    /// Estimate the reward of a policy from the log of another policy (off-policy evaluation)
    Evaluate(EvaluateArgs),
    /// Write the decisions, outcomes, readings or moments of a log as JSON Lines
    Export(ExportArgs),
    /// Former name of `measure`
    #[command(hide = true, disable_help_flag = true)]
    Eval {
        /// Options of the former command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Say in plain sentences why there was an ad, or none
    Explain(ExplainArgs),
    /// Show the safety rules, judge texts by them, or explain a decision by them
    Safety {
        /// The action.
        #[command(subcommand)]
        command: SafetyCommand,
    },
    /// Read posts from social networks: list, add, test, pause or resume connectors, or show the terms of their sources
    Connect {
        /// The action.
        #[command(subcommand)]
        command: ConnectCommand,
    },
    /// Hash a list of customers the way an ad platform matches them; stores nothing
    Audience {
        /// The action.
        #[command(subcommand)]
        command: AudienceCommand,
    },
    /// List ads that wait for a person, and approve, edit or reject them; a node must run
    Reviews {
        /// The action.
        #[command(subcommand)]
        command: ReviewsCommand,
    },
    /// Show what campaigns have chosen, and what came of it
    Campaigns {
        /// The action.
        #[command(subcommand)]
        command: CampaignsCommand,
    },
    /// List or create the topics of the log
    Topics {
        /// The action.
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// List, show or replay dead letters: records that failed permanently
    Dead {
        /// The action.
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Check the files of the embedded log, and repair them after damage
    Log {
        /// The action.
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Render an ad as a picture (needs a program that was built with the feature `render`)
    Render(RenderArgs),
    /// Check settings, connections and the permissions of connectors, and print how to correct what is wrong
    #[command(after_help = "\
Examples:
  limbic check
  limbic check --config production.toml --log kafka://broker:9092
  limbic check --deep --data /var/lib/limbic    also compares log, stages and view; stop the node first

The exit code is 0 if everything works.")]
    Check {
        /// Also read the whole log, and compare the progress of the stages and the view with it. Writes no record. The embedded
        /// log must not be in use
        #[arg(long)]
        deep: bool,
    },
    /// List the components, or print the reference of all settings
    Components(ComponentsArgs),
    /// Print a new random secret, for a pseudonym secret or an API key
    #[command(after_help = "\
Examples:
  export LIMBIC_TENANTS__ACME__PSEUDONYM_SECRET=$(limbic secret)
  limbic secret                                  for api_keys

To replace an API key: add the new one to tenants.NAME.api_keys, restart the node, let the callers change
to it, then remove the old one. A pseudonym secret is replaced only if it is known to others: a new one
gives every person a new pseudonym, so consent that was denied must be stated again.")]
    Secret,
    /// Print the completions of a shell
    #[command(after_help = "\
Examples:
  limbic completions bash > ~/.local/share/bash-completion/completions/limbic
  limbic completions zsh > ~/.zfunc/_limbic")]
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "\
Examples:
  limbic man | man -l -
  limbic man --folder ~/.local/share/man/man1    one page for each command")]
    Man {
        /// Folder for the pages of all commands
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Print the settings
    Config {
        /// The action.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// `limbic run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic run
  limbic run --stage ingest --stage affect --listen 127.0.0.1:8081
  limbic run --log kafka://broker:9092 --set view=postgres://user:password@db/limbic

The node is ready when GET /readyz answers 200. On SIGTERM or Ctrl-C it finishes the batches it is
working on and stops; nothing is lost.")]
pub struct RunArgs {
    /// Stage to run; may be repeated [default: all]
    #[arg(long = "stage", value_name = "NAME")]
    pub stages: Vec<String>,
    /// Address and port of the API and the page [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
}

/// `limbic config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the effective settings; secrets are hidden
    Show,
}
