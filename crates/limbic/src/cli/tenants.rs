//! The options of `limbic audience`, `campaigns` and `reviews`.

use std::path::PathBuf;

use clap::Subcommand;

use super::AskArgs;

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
