//! The commands and options of the command line.

mod train;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use limbic_node::Settings;
use limbic_node::settings::Overrides;

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

/// `limbic replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic replay posts.jsonl
  limbic replay tweets.csv --map author=screen_name,network:=twitter --speed max
  limbic replay tweets.csv --map author=screen_name --speed 60 --to http://127.0.0.1:8080
  LIMBIC_KEY=… limbic replay posts.jsonl --to https://limbic.example
  limbic replay export.csv.gz --map id=0,created_at=1,author=2,text=3,network:=forum --timezone Europe/Berlin
  limbic replay tweets.js --map id=/tweet/id_str,text=/tweet/full_text,created_at=/tweet/created_at,author:=me,network:=twitter

FIELD=COLUMN takes a field from a column, by name or by number from 0, or from inside a JSON object
(/user/name). FIELD:=VALUE sets it for every row. A column with the name of a field needs no mapping.
Compression (gzip, zstd), UTF-16, the format and the separator are found out. A row that cannot be read is
reported with its line, and the next one is read. Exit code 1: nothing was accepted.
After an interruption, the same command continues where it stopped.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct ReplayArgs {
    /// File of posts: JSON Lines, JSON, CSV or TSV
    pub file: PathBuf,
    /// Columns of the fields
    #[arg(
        long,
        value_name = "FIELD=COLUMN,…",
        default_value = "",
        hide_default_value = true
    )]
    pub map: String,
    /// How the file is read
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Order the rows by their times before they are sent, with temporary files if they need more than 64 MiB
    #[arg(long, conflicts_with = "unsorted")]
    pub sort: bool,
    /// Send the rows in the order of the file, even if it runs backwards in time
    #[arg(long)]
    pub unsorted: bool,
    /// Speed: 1 = as the posts were written, N = N times as fast, max = without waiting
    #[arg(long, default_value = "max")]
    pub speed: String,
    /// Node to send to, over HTTP [default: write to the log of --data or --log directly]
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// API key for the node of --to; better in the variable LIMBIC_KEY, because other users of the machine see arguments
    #[arg(long, value_name = "KEY", requires = "to")]
    pub key: Option<String>,
    /// Print the totals as JSON
    #[arg(long)]
    pub json: bool,
    /// Start at the first row, even if an earlier replay of this file was interrupted
    #[arg(long)]
    pub restart: bool,
    /// Most rows per request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Do not declare at the end that no earlier post will follow (event time then waits for the next post, or for the idle timeout)
    #[arg(long)]
    pub no_finish: bool,
}

/// How a file of posts is read.
#[derive(Debug, Args)]
pub struct ReadingArgs {
    /// Its shape
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Time zone of times that name none, for instance UTC or Europe/Berlin [default: such times are refused]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Form of the times, as of strftime, for instance "%d/%m/%Y %H:%M" [default: many are understood]
    #[arg(long, value_name = "FORM")]
    pub time_format: Option<String>,
}

/// How a file is cut into rows and columns.
#[derive(Debug, Args)]
pub struct ShapeArgs {
    /// Format [default: found out]
    #[arg(long, value_parser = ["jsonl", "json", "csv", "tsv", "parquet", "avro"])]
    pub format: Option<String>,
    /// Character between the columns, or `tab` [default: found out]
    #[arg(long, value_name = "CHARACTER")]
    pub separator: Option<String>,
    /// The first row is a post: columns are numbers from 0
    #[arg(long)]
    pub no_header: bool,
    /// Encoding, for instance windows-1252 [default: UTF-8, or UTF-16 if it looks like that]
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
}

/// `limbic simulate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic simulate
  limbic simulate --people 300 --posts 2000 --seed 7 --page report.html
  limbic simulate --seed 1 --people 300 --posts 2000 --write posts.jsonl

The same seed gives the same people, posts and clicks.")]
pub struct SimulateArgs {
    /// Number of people
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub people: u32,
    /// Number of posts
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub posts: u32,
    /// Seed of the simulation
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Simulated seconds per real second; max = as fast as possible
    #[arg(long, default_value = "max")]
    pub speed: String,
    /// Number of runs in which each policy is compared on the same decisions; 0 = no comparison
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub runs: u64,
    /// Also write a report page (HTML)
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Write the posts to this file and do not run the stages
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `limbic demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic demo
  limbic demo --stay --listen 127.0.0.1:8080")]
pub struct DemoArgs {
    /// Keep the page open after the last post, until Ctrl-C
    #[arg(long)]
    pub stay: bool,
    /// Address and port of the page of --stay [default: a free port]
    #[arg(long, value_name = "ADDR:PORT", requires = "stay")]
    pub listen: Option<String>,
}

/// `limbic read`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic read \"What a goal!!! 😍\"         a reading, and the influence of words and emoji
  limbic read --json - < posts.txt        one reading per line; lines are text or {\"text\": …}
  limbic read --engine vader \"not bad at all\"
  limbic read --adapter finance \"shares fell less than feared\"

Without --engine, the setting affect.engine applies (auto: the model). An invalid line gives {\"error\": …, \"line\": …} in its place.")]
pub struct ReadArgs {
    /// Text, or - to read lines from standard input
    pub text: String,
    /// Print readings as JSON, one per line
    #[arg(long)]
    pub json: bool,
    /// Engine: auto, model, lexicon, or vader (sentiment only)
    #[arg(long, value_name = "NAME", value_parser = ["auto", "model", "lexicon", "vader"])]
    pub engine: Option<String>,
    /// Adapter of the settings that reads the sentiment of each text, by its name [default: none]
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
}

/// `limbic measure`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic measure --data ../shared/data                  all tasks with all engines
  limbic measure --task emotion --task sentiment --json
  limbic measure --engine model --kernels auto --kernels reference    int8 compared with 32-bit floats
  limbic measure --model models/affect-l6 --cascade                   with and without early exits

Tasks: emotion, sentiment, irony, hate, offensive, goemotions, ec, valence, ei_anger, ei_fear,
ei_joy, ei_sadness, and equity (bias). --data is the folder of the public data sets. Compare
candidates with --split validation, and use the test split once, at the end.")]
pub struct MeasureArgs {
    /// Task; may be repeated [default: all]
    #[arg(long = "task", value_name = "NAME")]
    pub tasks: Vec<String>,
    /// Engine to measure: model, lexicon, vader, majority; may be repeated [default: all that are installed]
    #[arg(long = "engine", value_name = "NAME", value_parser = ["model", "lexicon", "vader", "majority"])]
    pub engines: Vec<String>,
    /// Folder of a model; may be repeated [default: the setting affect.model]
    #[arg(long = "model", value_name = "DIR")]
    pub models: Vec<PathBuf>,
    /// Kernels that run the model; may be repeated [default: the setting affect.kernels]
    #[arg(long = "kernels", value_name = "NAME")]
    pub kernels: Vec<String>,
    /// Also measure each model with early exits
    #[arg(long)]
    pub cascade: bool,
    /// Split of the data sets
    #[arg(long, default_value = "test", value_parser = ["test", "validation"])]
    pub split: String,
    /// Bootstrap samples for each interval
    #[arg(long, default_value_t = 1_000)]
    pub rounds: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `limbic evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic evaluate --log obd/random/all --format open-bandit --policy bernoulli-ts --prior prior_bts.yaml
  limbic evaluate --log decisions.jsonl --format limbic --policy uniform --json --svg estimates.svg
  limbic evaluate --log decisions.jsonl --format limbic --policy '{\"name\": \"linear-ts\", \"draws\": 64}' --reward conversion
  limbic evaluate --log may.jsonl --format limbic --policy linear-ts --save may.json
  limbic evaluate --log june.jsonl --format limbic --saved may.json
  limbic evaluate --data .limbic --policy uniform                     a data folder, or the node on it
  limbic evaluate --log june.jsonl --format limbic --probabilities elsewhere.jsonl

--log is the log of decisions: a file, or for open-bandit the folder with the log and item_context.csv.
Without --log, the decisions and outcomes are read from the data folder (--data), or from the node that
runs on it; with --log kafka://HOST:PORT, from Kafka.
A policy that learns chooses before it sees the reward of a row, and learns from the row afterwards.
With --prior, bernoulli-ts is the fixed policy of those priors. Unusable rows are counted by reason.
--probabilities has one line per decision, in any order: {\"decision\": \"ID\", \"probabilities\": {\"ARM\": 0.7, ...}}.
The id is the decision's id, EventId in dsjson, and the line of the log in open-bandit.
An interval that could be wrong more often than it says is not printed; the report says why.")]
pub struct EvaluateArgs {
    /// Format of the log
    #[arg(long, value_parser = ["open-bandit", "dsjson", "limbic"], default_value = "limbic")]
    pub format: String,
    /// Policy to evaluate: uniform, bernoulli-ts, epsilon-greedy, linear-ts, logistic-ts, lin-ucb, square-cb, softmax,
    /// or its settings as JSON
    #[arg(long, value_name = "NAME|JSON", required_unless_present_any = ["saved", "probabilities"])]
    pub policy: Option<String>,
    /// Policy to evaluate: one that --save wrote. It learns nothing more
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "prior", "probabilities"])]
    pub saved: Option<PathBuf>,
    /// Policy to evaluate: its probabilities, for instance of a policy that runs elsewhere (JSON Lines)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "prior"])]
    pub probabilities: Option<PathBuf>,
    /// Save a policy that learns along the log, as it is after the log
    #[arg(long, value_name = "FILE", requires = "policy")]
    pub save: Option<PathBuf>,
    /// Priors of bernoulli-ts
    #[arg(long, value_name = "FILE")]
    pub prior: Option<PathBuf>,
    /// Campaign whose priors to take from the file [default: the name of the log's file]
    #[arg(long, value_name = "NAME")]
    pub campaign: Option<String>,
    /// Estimator; may be repeated [default: all]
    #[arg(long = "estimator", value_name = "NAME")]
    pub estimators: Vec<String>,
    /// Terms of the reward model: interactions, or additive as in the Open Bandit Pipeline
    #[arg(long, value_name = "TERMS", default_value = "interactions", value_parser = ["interactions", "additive"])]
    pub model: String,
    /// Estimate missing propensities from the frequency of each arm; without this option such a log is refused
    #[arg(long)]
    pub estimate_propensities: bool,
    /// Smallest and largest possible reward; rows outside are rejected, and the guaranteed interval depends on it
    #[arg(long, value_name = "LOW,HIGH", value_parser = reward_range, allow_hyphen_values = true)]
    pub reward_range: Option<(f64, f64)>,
    /// Only decisions of this tenant, if the log is read from a node or a data folder
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Largest importance weight; larger ones are cut to it
    #[arg(long, value_name = "WEIGHT")]
    pub max_weight: Option<f64>,
    /// Outcome that is rewarded, as a share of the impressions (format limbic)
    #[arg(long, value_name = "KIND", default_value = "click", value_parser = ["click", "conversion"])]
    pub reward: String,
    /// Hours after an impression in which an outcome counts; decisions whose window is not over are left out [default: half
    /// an hour for clicks, 7 days for conversions, and no decision is left out] (format limbic)
    #[arg(long, value_name = "HOURS")]
    pub within: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Also draw the estimates to this SVG file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

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

/// `limbic audience`.
#[derive(Debug, Subcommand)]
pub enum AudienceCommand {
    /// Print the list with hashed contacts, to be uploaded to the platform
    #[command(after_help = "\
Examples:
  limbic audience export customers.csv --for google > upload.csv
  limbic audience export customers.csv --for meta --map email=mail,phone=mobile
  pg_dump … | limbic audience export - --for meta

The list is CSV with a header line. The fields are email, phone (with country code), first_name, last_name,
country (ISO code) and zip. Each is normalised as the platform documents it, then hashed with SHA-256; Google
wants country and zip as they are. The list is not joined with posts or profiles. A hash of an address is
still personal data: who has the address can compute it.")]
    Export {
        /// File of customers, or - for standard input
        file: PathBuf,
        /// Platform that will match the list
        #[arg(long = "for", value_name = "PLATFORM", value_parser = ["google", "meta"])]
        platform: String,
        /// Columns of the fields, for instance email=mail,phone=mobile
        #[arg(
            long,
            value_name = "FIELD=COLUMN,…",
            default_value = "",
            hide_default_value = true
        )]
        map: String,
    },
}

/// `limbic campaigns`.
#[derive(Debug, Subcommand)]
pub enum CampaignsCommand {
    /// Per ad: decisions, impressions, clicks with an interval, and its share over time; what withheld ads, by rule
    #[command(after_help = "\
Examples:
  limbic campaigns show
  limbic campaigns show night-snacks --json

The interval is Wilson's 95 % interval of clicks per impression. It describes what was seen. The policy
chooses by the context too, so the ad with the higher share need not have the higher interval.")]
    Show {
        /// Campaign [default: all]
        id: Option<String>,
        /// Where the answer comes from.
        #[command(flatten)]
        ask: AskArgs,
    },
}

/// `limbic reviews`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  limbic reviews list                                    ads that wait, the oldest first
  limbic reviews list --state rejected --campaign spring
  limbic reviews show 9f86d081                           an ad, and what changed; the first digits of its id are enough
  limbic reviews show 9f86d081 --picture ad.png
  limbic reviews approve 9f86d081
  limbic reviews edit 9f86d081 --headline 'Warm feet' --body 'Try a pair.'
  limbic reviews reject 9f86d081 --reason 'The product has another name'

An ad waits if its campaign, its tenant or creative.review says so. The decision keeps who made it and when.")]
pub enum ReviewsCommand {
    /// List ads that wait for a person, or those about which one has decided
    List {
        /// State of the ads: waiting, approved, edited, rejected, or all
        #[arg(long, default_value = "waiting", value_parser = ["waiting", "approved", "edited", "rejected", "all"])]
        state: String,
        /// Only ads of this campaign
        #[arg(long)]
        campaign: Option<String>,
        /// Where the answer comes from.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show an ad: its texts, where they come from, what was decided, and what changed
    Show {
        /// Id of the ad, or the first digits of it
        id: String,
        /// Also render the ad as a card into this file (.png, .jpg or .webp), if the program was built with the feature `render`
        #[arg(long, value_name = "FILE")]
        picture: Option<PathBuf>,
        /// Size of the card: width and height in pixels, or an image of an ad platform (`x/post/landscape`)
        #[arg(long, default_value = "1200x628", requires = "picture")]
        size: String,
        /// Where the answer comes from.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Let an ad run
    Approve {
        /// Id of the ad, or the first digits of it
        id: String,
        /// Replace what was decided before
        #[arg(long)]
        replace: bool,
        /// Where it waits.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Let an ad run with other texts; they must fit the platform and pass the safety rules
    Edit {
        /// Id of the ad, or the first digits of it
        id: String,
        /// New headline [default: as it is]
        #[arg(long)]
        headline: Option<String>,
        /// New body [default: as it is]
        #[arg(long)]
        body: Option<String>,
        /// Replace what was decided before
        #[arg(long)]
        replace: bool,
        /// Where it waits.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Let an ad never run
    Reject {
        /// Id of the ad, or the first digits of it
        id: String,
        /// Why, at most 500 characters; it is stored
        #[arg(long)]
        reason: String,
        /// Replace what was decided before
        #[arg(long)]
        replace: bool,
        /// Where it waits.
        #[command(flatten)]
        ask: AskArgs,
    },
}

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

/// `limbic export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic export decisions outcomes --output may.jsonl
  limbic evaluate --log may.jsonl --format limbic --policy uniform
  limbic export readings --from 2026-05-01 --until 2026-06-01 | head

It reads the log, also while a node runs on the data folder. What retention has deleted is missing. A
reading contains no text and no name of an author.")]
pub struct ExportArgs {
    /// Events to write; several are written one after the other
    #[arg(required = true, value_name = "EVENTS", value_parser = ["decisions", "outcomes", "readings", "moments"])]
    pub events: Vec<String>,
    /// File to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Only events of this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Only events at or after this time: 2026-05-01 (UTC) or 2026-05-01T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only events before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// `limbic render`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic render --text 'Warm feet in any weather' --size 1200x628 --out card.png
  limbic render --text 'Warm feet' --body 'Light and dry.' --button 'Try a pair' --brand 'Puddle Boots' \\
      --size google-ads/uploaded-display/leaderboard --out banner.jpg
  limbic render --text '温かい足' --language ja --colours '#f4efe6,#2b2118,#b23a1e' --size 1080x1080 --out card.webp

The ending of the file decides its type: .png, .jpg, .jpeg or .webp. A size of an ad platform also limits the bytes of the file.
Fonts: the Debian packages fonts-noto-core, fonts-noto-cjk and fonts-noto-color-emoji.")]
pub struct RenderArgs {
    /// The headline
    #[arg(long)]
    pub text: String,
    /// A second, smaller text
    #[arg(long, default_value = "")]
    pub body: String,
    /// The text of the button
    #[arg(long, default_value = "")]
    pub button: String,
    /// The name of the brand
    #[arg(long, default_value = "")]
    pub brand: String,
    /// Width and height in pixels (`1200x628`), or an image of an ad platform (`x/post/landscape`)
    #[arg(long)]
    pub size: String,
    /// Colours of background, text and accent, as `#rrggbb`, separated by commas. Text that is hard to read is corrected
    #[arg(long, value_name = "COLOURS")]
    pub colours: Option<String>,
    /// Refuse colours that are hard to read instead of correcting them
    #[arg(long)]
    pub strict_colours: bool,
    /// A picture behind the texts (PNG, JPEG or WebP). It is covered with the background colour as far as the texts need it
    #[arg(long, value_name = "FILE")]
    pub backdrop: Option<PathBuf>,
    /// The language of the text: Chinese, Japanese and Korean write some characters differently
    #[arg(long, default_value = "en")]
    pub language: String,
    /// The folder with the fonts. Default: the fonts of the system
    #[arg(long, value_name = "FOLDER")]
    pub fonts: Option<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `limbic components`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic components                                table of all components
  limbic components --json
  limbic components --markdown > docs/settings.md  reference page of all settings
  limbic components --schema > settings.schema.json")]
pub struct ComponentsArgs {
    /// Print the components as JSON
    #[arg(long, group = "form")]
    pub json: bool,
    /// Print the reference page of all components and settings (Markdown)
    #[arg(long, group = "form")]
    pub markdown: bool,
    /// Print the JSON Schema of the settings file
    #[arg(long, group = "form")]
    pub schema: bool,
}

/// Reads `LOW,HIGH`.
fn reward_range(text: &str) -> Result<(f64, f64), String> {
    let number = |part: &str| {
        part.trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
    };
    let range = text
        .split_once(',')
        .and_then(|(low, high)| number(low).zip(number(high)))
        .filter(|(low, high)| low < high);
    range.ok_or_else(|| "expected LOW,HIGH with LOW below HIGH, for instance -1,1".to_owned())
}

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

/// `limbic config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the effective settings; secrets are hidden
    Show,
}
