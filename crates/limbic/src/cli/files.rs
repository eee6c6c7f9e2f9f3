//! The options of `limbic export`, `render` and `components`, which write files.

use std::path::PathBuf;

use clap::Args;

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
