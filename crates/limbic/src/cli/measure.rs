//! The options of `limbic read`, `measure` and `evaluate`.

use std::path::PathBuf;

use clap::Args;

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
