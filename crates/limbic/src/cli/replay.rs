//! The options of `limbic replay`, `simulate` and `demo`.

use std::path::PathBuf;

use clap::Args;

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
