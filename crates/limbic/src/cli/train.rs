//! The options of `limbic train`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ShapeArgs;

/// `limbic train`.
#[derive(Debug, Subcommand)]
pub enum TrainCommand {
    /// Fit a small head to labelled posts, so that posts of that kind are read better
    Adapter(TrainAdapterArgs),
}

/// `limbic train adapter`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  limbic train adapter --data labelled.csv --for finance
  limbic train adapter --data tweets.csv --text TweetText --label Sentiment --labels irrelevant=skip
  limbic train adapter --data posts.tsv --no-header --text 3 --label 2 --labels 0=neg,1=neu,2=pos

--data is a file of posts that people labelled negative, neutral or positive (CSV, TSV, JSON
Lines; at least 50 of each). Labels are read in any case; neg, neu and pos are known too.
The command prints what the head gains over the general model, by cross-validation, and writes
NAME.adapter and its card NAME.md. It writes nothing if the gain is not sure.
Exit code 1: nothing was written.

To use the adapter, say in the settings which posts it reads, then run `limbic check`:
  [[affect.adapters]]
  file = \"adapters/finance.adapter\"
  subjects = [\"finance\"]     # or networks = [\"x\"], languages = [\"en\"]")]
pub struct TrainAdapterArgs {
    /// Name of the adapter: what its posts are about, or where they come from [default: the name of the file]
    #[arg(long = "for", value_name = "NAME")]
    pub name: Option<String>,
    /// Column of the texts [default: text]
    #[arg(long, value_name = "COLUMN")]
    pub text: Option<String>,
    /// Column of the labels [default: label, or sentiment]
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// What other labels mean: negative, neutral, positive, or skip
    #[arg(long, value_name = "LABEL=MEANING,…", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// How the file is read
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Folder for the adapter and its card
    #[arg(long, value_name = "DIR", default_value = "adapters")]
    pub out: PathBuf,
    /// Print the result of the cross-validation as JSON
    #[arg(long)]
    pub json: bool,
}
