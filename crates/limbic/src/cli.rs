//! The command line, as clap sees it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use limbic_node::Settings;
use limbic_node::settings::Overrides;

const EXAMPLES: &str = "\
Examples:
  limbic run                                    everything embedded, http://127.0.0.1:8080
  limbic run --log kafka://127.0.0.1:9092       the same stages, on Kafka
  limbic run --stage affect --stage profile     two of the stages, here; the others elsewhere
  limbic replay posts.csv --map text=body,author=user,network:=twitter --speed 60
  limbic read \"what a day\"                      what a text feels
  limbic eval                                   how well texts are read
  limbic dead list                              what no retry could help
  limbic check                                  settings, connections, versions";

/// Feels what people feel as they write it, and puts the right ad in front of them, or none.
#[derive(Debug, Parser)]
#[command(name = "limbic", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The settings file; without it config/limbic.toml is read, if it is there
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    /// Where the embedded log and databases live [default: .limbic]
    #[arg(long, global = true, value_name = "DIR", help_heading = EVERYWHERE)]
    pub data: Option<PathBuf>,
    /// Where the log is: `embedded` or kafka://HOST:PORT[,HOST:PORT…] [default: embedded]
    #[arg(long, global = true, value_name = "URL", help_heading = EVERYWHERE)]
    pub log: Option<String>,
    /// Any other setting, for instance --set ingest.request_items=500; may be given again
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = EVERYWHERE)]
    pub set: Vec<String>,
    /// How much to log: error, warn, info, debug, trace, or a filter such as limbic_stream=debug [default: info]
    #[arg(long, global = true, value_name = "FILTER", help_heading = EVERYWHERE)]
    pub log_level: Option<String>,
}

impl Common {
    /// The settings in force; `flags` are further settings as `(key, value)`, from the command's own flags.
    pub fn settings(&self, flags: &[(&str, String)]) -> anyhow::Result<Settings> {
        let overrides = Overrides {
            config: self.config.clone(),
            data: self.data.clone(),
            log: self.log.clone(),
            set: self.set.clone(),
        };
        Settings::load(&overrides, flags)
    }
}

/// The heading of what every command takes: behind its own options.
const EVERYWHERE: &str = "For every command";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run stages: all of them, or those named
    Run(RunArgs),
    /// Send a file of posts (JSON Lines, CSV, TSV) as if they were being written now
    Replay(ReplayArgs),
    /// Run a seeded town of people whose feelings follow events, and watch the loop learn
    Simulate(SimulateArgs),
    /// Run everything embedded on the sample posts and leave a page to look at
    Demo(DemoArgs),
    /// What a text feels
    Read(ReadArgs),
    /// How well posts are read, measured on the public data sets
    Eval(EvalArgs),
    /// What a policy would have earned on another policy's log
    Evaluate(EvaluateArgs),
    /// The topics of the log: list what there is, or create what is missing
    Topics {
        /// What to do with them.
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// Records that no retry could help
    Dead {
        /// What to do with them.
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Check settings, connections and versions, and say how to mend what is wrong
    Check,
    /// The settings
    Config {
        /// What to do with them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// `limbic run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ready when GET /readyz answers 200. SIGTERM or Ctrl-C drains: batches at hand are finished, nothing is lost."
)]
pub struct RunArgs {
    /// A stage to run here; may be given again. Without it, all
    #[arg(long = "stage", value_name = "NAME")]
    pub stages: Vec<String>,
    /// Where the API and the page listen [default: 127.0.0.1:8080]
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

FIELD=COLUMN takes a field from a column, FIELD:=VALUE sets it for every row; a column that is
named as a field needs no mapping. Interrupted, the same command goes on where it stopped.")]
pub struct ReplayArgs {
    /// The file: .jsonl, .ndjson, .csv or .tsv
    pub file: PathBuf,
    /// Which column is which field
    #[arg(
        long,
        value_name = "FIELD=COLUMN,…",
        default_value = "",
        hide_default_value = true
    )]
    pub map: String,
    /// 1 = as it was written, N = N times faster, max = flat out
    #[arg(long, default_value = "max")]
    pub speed: String,
    /// A running Limbic to send to; without it the file goes into the log of --data (or --log) itself
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Print the totals as JSON
    #[arg(long)]
    pub json: bool,
    /// Begin anew, although an earlier replay of this file was interrupted
    #[arg(long)]
    pub restart: bool,
    /// Rows in one request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Do not promise, at the end, that nothing earlier will follow (event time then waits for the next post, or idles)
    #[arg(long)]
    pub no_finish: bool,
}

/// `limbic simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// How many people live there
    #[arg(long, default_value_t = 500)]
    pub people: u32,
    /// How many posts they write
    #[arg(long, default_value_t = 20_000)]
    pub posts: u32,
    /// The seed of everything that happens
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many seconds of the town pass in one of ours; `max` = as fast as it goes
    #[arg(long, default_value = "max")]
    pub speed: String,
    /// How often every policy replays the town's decisions; 0 = not at all
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub runs: u64,
    /// Also write a page to look at
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Write the posts to this file instead of running the loop on them
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `limbic demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep the page open after the posts are through, until Ctrl-C
    #[arg(long)]
    pub stay: bool,
    /// Where the page listens [default: a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
}

/// `limbic read`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic read \"What a goal!!! 😍\"         a reading, and which words and emoji moved it
  limbic read --json - < posts.txt        one reading a line; lines are text or {\"text\": …}
  limbic read --engine vader \"not bad at all\"

Without --engine the setting affect.engine decides (auto: the model where there is one, otherwise
the lexica). A line that is neither text nor such an object gets {\"error\": …, \"line\": …} in its place.")]
pub struct ReadArgs {
    /// The text, or - for lines from standard input
    pub text: String,
    /// Print readings as JSON, one a line
    #[arg(long)]
    pub json: bool,
    /// Who reads: `auto`, `model`, `lexicon`, or `vader` (sentiment alone)
    #[arg(long, value_name = "NAME", value_parser = ["auto", "model", "lexicon", "vader"])]
    pub engine: Option<String>,
}

/// `limbic eval`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic eval --data ../shared/data                  every table, of everyone there is
  limbic eval --task emotion --task sentiment --json
  limbic eval --engine model --kernels auto --kernels reference    integers beside 32-bit floats
  limbic eval --model models/affect-l6 --cascade                   with and without early exits

Tasks: emotion, sentiment, irony, hate, offensive, goemotions, ec, valence, ei_anger, ei_fear,
ei_joy, ei_sadness, and equity (bias). --data is the folder of the public data sets. Look at test
splits once, at the end; choose with --split validation.")]
pub struct EvalArgs {
    /// A task; may be given again. Without it, all
    #[arg(long = "task", value_name = "NAME")]
    pub tasks: Vec<String>,
    /// Who is measured: model, lexicon, vader, majority; may be given again. Without it, everyone there is
    #[arg(long = "engine", value_name = "NAME", value_parser = ["model", "lexicon", "vader", "majority"])]
    pub engines: Vec<String>,
    /// A model's folder; may be given again [default: the setting affect.model]
    #[arg(long = "model", value_name = "DIR")]
    pub models: Vec<PathBuf>,
    /// Which code runs the model; may be given again [default: the setting affect.kernels]
    #[arg(long = "kernels", value_name = "NAME")]
    pub kernels: Vec<String>,
    /// Measure each model also with posts leaving it early
    #[arg(long)]
    pub cascade: bool,
    /// Which posts
    #[arg(long, default_value = "test", value_parser = ["test", "validation"])]
    pub split: String,
    /// Bootstrap draws for each interval
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

A policy that learns is asked before each row and taught it afterwards. With --prior, bernoulli-ts is the fixed policy of those
priors. Rows that cannot be used are counted by reason.

--log is the log to read: a file, or for open-bandit the folder with the log and item_context.csv.")]
pub struct EvaluateArgs {
    /// How it is written
    #[arg(long, value_parser = ["open-bandit", "dsjson", "limbic"])]
    pub format: String,
    /// The policy to evaluate: uniform, bernoulli-ts, epsilon-greedy, linear-ts, logistic-ts, lin-ucb, square-cb, softmax,
    /// or its settings as JSON
    #[arg(long, value_name = "NAME|JSON")]
    pub policy: String,
    /// The priors of bernoulli-ts
    #[arg(long, value_name = "FILE")]
    pub prior: Option<PathBuf>,
    /// Whose priors to take from the file [default: the name of the log's file]
    #[arg(long, value_name = "NAME")]
    pub campaign: Option<String>,
    /// An estimator; may be given again. Without it, all
    #[arg(long = "estimator", value_name = "NAME")]
    pub estimators: Vec<String>,
    /// Estimate propensities that the log lacks by how often each arm was chosen; without it such a log is refused
    #[arg(long)]
    pub estimate_propensities: bool,
    /// Cut weights here
    #[arg(long, value_name = "WEIGHT")]
    pub max_weight: Option<f64>,
    /// Of our own log: the outcome that is worth 1
    #[arg(long, value_name = "KIND", default_value = "click", value_parser = ["click", "conversion"])]
    pub reward: String,
    /// Of our own log: for how many hours after its decision an outcome counts; without it, for ever
    #[arg(long, value_name = "HOURS")]
    pub within: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Also draw the estimates
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
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
    /// Create what is missing and check what is there
    Create,
}

/// `limbic dead`.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List dead letters: where each came from and why it is here
    List {
        /// Only of this topic
        topic: Option<String>,
        /// Most letters of a partition
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Print JSON, one a line
        #[arg(long)]
        json: bool,
    },
    /// Show one, whole: TOPIC/PARTITION/OFFSET as `list` prints it
    Show {
        /// For instance posts/0/17
        letter: String,
    },
    /// Send dead letters to where they came from, once their cause is mended
    Replay {
        /// The topic they came from
        topic: String,
        /// Only those with this reason
        #[arg(long)]
        reason: Option<String>,
        /// Say what would be sent, send nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `limbic config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings as they are in force, secrets hidden
    Show,
}
