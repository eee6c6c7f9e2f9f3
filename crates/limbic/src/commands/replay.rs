//! `limbic replay`.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use limbic_domain::{ConnectionUrl, Slug, TenantId, Utc};
use limbic_ingest::replay::{Checkpoint, Format, Mapping, Pace, ReadOptions, Row, Rows, Sorted, Times};
use limbic_ingest::{Edge, LostSubjects, Receipt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{Common, ReadingArgs, ReplayArgs, ShapeArgs};
use crate::printable;
use limbic_node::{Node, Options};

/// How long a target that does not answer is retried.
const PATIENCE: Duration = Duration::from_mins(1);
/// Rejections shown in full.
const SHOWN: usize = 10;
/// A request has no more bytes of rows than this.
const REQUEST_BYTES: usize = 4 << 20;
/// How many bytes of rows are sorted in memory.
const SORT_BYTES: usize = 64 << 20;
/// A row this much older than a row before it is counted: the stages may find it late.
const DISORDER: i64 = 30_000;
/// How many rows are looked at to find out whether a file runs backwards.
const LOOKED_AT: usize = 1_000;
/// Maximum number of characters of what a file or a server says.
const LONGEST: usize = 300;

/// Result of a replay: every row counts as accepted, duplicate or rejected.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Rows of the file, including those that an earlier run sent.
    pub rows: u64,
    /// Rows that an earlier, interrupted run sent and that were answered.
    pub resumed: u64,
    /// Rows that this run made durable.
    pub accepted: u64,
    /// Rows that were already durable.
    pub duplicates: u64,
    /// Invalid rows; each was reported.
    pub rejected: u64,
    /// Accepted rows that are more than 30 s older than an accepted row before them. The stages may find them late.
    pub out_of_order: u64,
    /// The subjects that posts named and the node does not know.
    #[serde(flatten)]
    pub lost: LostSubjects,
    /// The latest time of an accepted row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Utc>,
    /// Duration of the replay in seconds.
    pub seconds: f64,
}

/// Receiver of the rows.
pub enum Target {
    /// A node, over HTTP.
    Http {
        /// Its client.
        client: reqwest::Client,
        /// Its address.
        url: String,
        /// The API key, if one was given.
        key: Option<String>,
        /// The runtime of the requests.
        runtime: tokio::runtime::Runtime,
    },
    /// A log of this process.
    Edge(Arc<Edge>),
}

pub fn run(common: &Common, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let options = read_options(&args.map, &args.reading)?;
    let pace: Pace = args.speed.parse()?;
    // Check the file before anything else is opened.
    let rows = Rows::open(&args.file, &options)?;
    if !args.sort && !args.unsorted {
        refuse_backwards(&args.file, &options)?;
    }
    let settings = common.settings(&[])?;
    let (target, node, name) = if let Some(url) = &args.to {
        let url = ConnectionUrl::new(url.trim_end_matches('/')).or_scheme("http");
        ensure!(
            matches!(url.scheme(), "http" | "https"),
            "--to {url}: is not the address of a node: write http://HOST:PORT"
        );
        let url = url.reveal().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_mins(1))
            // Posts with the names of their authors go to the address that was given, and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot prepare HTTP requests")?;
        (
            Target::Http {
                client,
                url: url.clone(),
                key: super::ask::key(args.key.as_ref()),
                runtime,
            },
            None,
            url,
        )
    } else {
        // Only the edge: `limbic run` runs the stages.
        let options = Options {
            stages: vec!["none".to_owned()],
            listen: None,
        };
        let node = Node::open(&settings, &options)?;
        let name = format!("{} {}", settings.log, settings.data_dir.display());
        (Target::Edge(Arc::clone(&node.edge)), Some(node), name)
    };
    let folder = settings.data_dir.join("replay");
    let read_as = format!("{} sorted: {}", options.name(), args.sort);
    let mut checkpoint = Checkpoint::open(&folder, &args.file, &name, &read_as)
        .with_context(|| format!("cannot keep the checkpoint in {}", folder.display()))?;
    if args.restart {
        checkpoint.save(0)?;
    }
    let rows = if args.sort {
        Input::Sorted(Box::new(
            Sorted::new(rows, SORT_BYTES).context("cannot sort the rows")?,
        ))
    } else {
        Input::File(rows)
    };
    let sent = send(
        rows,
        &target,
        pace,
        args.batch as usize,
        &mut checkpoint,
        !args.json,
    );
    let totals = match sent {
        Ok(totals) => totals,
        Err(error) => {
            let done = checkpoint.rows();
            return Err(error)
                .with_context(|| format!("stopped after {done} rows; the same command continues there"));
        }
    };
    if let (false, Some(latest)) = (args.no_finish, totals.latest) {
        target.heartbeat(latest.plus_millis(1))?;
    }
    checkpoint.finish()?;
    drop(target);
    let alone = node.is_some();
    if let Some(node) = node {
        node.close()?;
    }
    if args.json {
        say!("{}", serde_json::to_string(&totals)?)?;
    } else {
        say!(
            "{} rows: {} accepted, {} duplicates, {} rejected{} in {:.1} s ({:.0} rows/s)",
            totals.rows,
            totals.accepted,
            totals.duplicates,
            totals.rejected,
            if totals.resumed > 0 {
                format!(", {} sent before", totals.resumed)
            } else {
                String::new()
            },
            totals.seconds,
            (totals.rows - totals.resumed) as f64 / totals.seconds.max(1e-9),
        )?;
        if totals.out_of_order > 0 {
            say!(
                "{} posts are more than 30 s older than a post before them and may count as late; --sort sends them in order",
                totals.out_of_order
            )?;
        }
        if totals.lost.posts > 0 {
            say!("{}", without_subjects(&totals.lost))?;
        }
    }
    if totals.accepted + totals.duplicates + totals.resumed == 0 {
        bail!(
            "no post of {} was accepted: {}",
            args.file.display(),
            if totals.rows == 0 {
                "it has no rows"
            } else {
                "the rows above say why; nothing was sent on"
            }
        );
    }
    if alone && !args.json {
        say!("the posts are in the log: `limbic run` with the same --data or --log processes them")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What posts have lost, and what to do.
fn without_subjects(lost: &LostSubjects) -> String {
    let examples: Vec<&str> = lost.examples.iter().map(Slug::as_str).collect();
    format!(
        "{} posts named subjects that the node does not know, and were accepted without them ({} mentions, for instance {}): add these \
         to affect.subjects or to a campaign in the node's settings, or accept any subject with ingest.open_subjects = true. The \
         posts that were accepted stay as they are",
        lost.posts,
        lost.mentions,
        examples.join(", ")
    )
}

/// How the file is read, as the command line says.
fn read_options(map: &str, reading: &ReadingArgs) -> anyhow::Result<ReadOptions> {
    Ok(ReadOptions {
        mapping: Mapping::parse(map)?,
        times: Times::new(reading.timezone.as_deref(), reading.time_format.as_deref())?,
        ..shape_options(&reading.shape)?
    })
}

/// How a file is cut into rows and columns.
pub fn shape_options(shape: &ShapeArgs) -> anyhow::Result<ReadOptions> {
    let separator = match shape.separator.as_deref() {
        None => None,
        Some("tab" | "\\t") => Some(b'\t'),
        Some(text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && *byte != b'"' => Some(*byte),
            _ => bail!("`{text}` is not a separator: give one character, for instance ; or |, or tab"),
        },
    };
    let format = shape.format.as_deref().map(|format| match format {
        "json" => Format::Json,
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "parquet" => Format::Parquet,
        "avro" => Format::Avro,
        _ => Format::JsonLines,
    });
    Ok(ReadOptions {
        format,
        separator,
        no_header: shape.no_header,
        encoding: shape.encoding.clone(),
        ..ReadOptions::default()
    })
}

/// Refuses a file whose first rows run backwards in time: nearly every post would be late.
fn refuse_backwards(file: &Path, options: &ReadOptions) -> anyhow::Result<()> {
    let times: Vec<Utc> = Rows::open(file, options)?
        .take(LOOKED_AT)
        .filter_map(|row| row.ok()?.at)
        .collect();
    let backwards = times
        .windows(2)
        .filter(|pair| pair[1].millis_since(pair[0]) < -DISORDER)
        .count();
    if backwards >= 2 && backwards * 2 > times.len() {
        bail!(
            "{} runs backwards in time ({backwards} of its first {} posts are older than the one before), so most posts would be late: \
             add --sort to send them in order, or --unsorted to send them as they are",
            file.display(),
            times.len()
        );
    }
    Ok(())
}

/// Where rows come from.
pub enum Input {
    /// A file, in its own order.
    File(Rows),
    /// A file in the order of its times.
    Sorted(Box<Sorted>),
}

impl Input {
    fn next(&mut self) -> Option<io::Result<Row>> {
        match self {
            Self::File(rows) => rows.next(),
            Self::Sorted(rows) => rows.next(),
        }
    }

    /// How much was read, of how much.
    fn progress(&self) -> (u64, u64) {
        match self {
            Self::File(rows) => rows.progress(),
            Self::Sorted(rows) => rows.progress(),
        }
    }
}

/// Sends every row that no earlier run has sent successfully.
pub fn send(
    mut rows: Input,
    target: &Target,
    pace: Pace,
    batch: usize,
    checkpoint: &mut Checkpoint,
    report: bool,
) -> anyhow::Result<Totals> {
    let style = "{bar:36} {percent:>3} %  {msg}  {elapsed} ({eta} left)";
    let bar = if report {
        ProgressBar::new(rows.progress().1)
    } else {
        ProgressBar::hidden()
    };
    bar.set_style(ProgressStyle::with_template(style).context("the bar's template")?);
    let started = Instant::now();
    let mut totals = Totals {
        resumed: checkpoint.rows(),
        ..Totals::default()
    };
    let mut first = None;
    let mut waiting = Waiting::default();
    let mut shown = 0;
    loop {
        let row = rows.next().transpose().context("cannot read the file")?;
        let ended = row.is_none();
        if let Some(row) = row {
            totals.rows += 1;
            if totals.rows <= totals.resumed {
                continue;
            }
            let origin = *first.get_or_insert(row.at.unwrap_or_default());
            let due = pace.due(origin, row.at);
            let wait = due.saturating_sub(started.elapsed());
            if !wait.is_zero() {
                // Send the waiting rows before waiting for the next one.
                flush(target, &mut waiting, &mut totals, checkpoint, &bar, &mut shown)?;
                std::thread::park_timeout(wait);
                while let left = due.saturating_sub(started.elapsed())
                    && !left.is_zero()
                {
                    std::thread::park_timeout(left);
                }
            }
            waiting.bytes += row.bytes;
            waiting.rows.push(row);
        }
        if ended || waiting.rows.len() >= batch || waiting.bytes >= REQUEST_BYTES {
            flush(target, &mut waiting, &mut totals, checkpoint, &bar, &mut shown)?;
            bar.set_position(rows.progress().0);
            let rate = (totals.rows - totals.resumed) as f64 / started.elapsed().as_secs_f64();
            bar.set_message(format!("{} posts, {rate:.0}/s", totals.rows));
        }
        if ended {
            break;
        }
    }
    bar.finish_and_clear();
    totals.seconds = started.elapsed().as_secs_f64();
    Ok(totals)
}

/// Rows that are not sent yet.
#[derive(Default)]
struct Waiting {
    rows: Vec<Row>,
    /// Their size in the file.
    bytes: usize,
}

fn flush(
    target: &Target,
    waiting: &mut Waiting,
    totals: &mut Totals,
    checkpoint: &mut Checkpoint,
    bar: &ProgressBar,
    shown: &mut usize,
) -> anyhow::Result<()> {
    let rows = std::mem::take(&mut waiting.rows);
    waiting.bytes = 0;
    if rows.is_empty() {
        return Ok(());
    }
    let mut places: Vec<Place> = rows
        .iter()
        .map(|row| Place {
            line: row.line,
            at: row.at,
            is_rejected: false,
        })
        .collect();
    let receipt = target.accept(rows.into_iter().map(|row| row.post).collect())?;
    totals.accepted += receipt.accepted;
    totals.duplicates += receipt.duplicates;
    totals.lost.add(receipt.lost.clone());
    totals.rejected += receipt.rejected.len() as u64;
    for rejection in &receipt.rejected {
        let line = places.get_mut(rejection.index).map_or(0, |place| {
            place.is_rejected = true;
            place.line
        });
        if *shown < SHOWN {
            let field = printable::line(&rejection.field, LONGEST);
            let problem = printable::line(&rejection.problem, LONGEST);
            bar.suspend(|| eprintln!("line {line}: {field}: {problem}"));
        } else if *shown == SHOWN {
            bar.suspend(|| eprintln!("further rejected rows are counted, not shown"));
        }
        *shown += 1;
    }
    // Only accepted rows move time.
    for at in places
        .iter()
        .filter(|place| !place.is_rejected)
        .filter_map(|place| place.at)
    {
        let is_older = totals
            .latest
            .is_some_and(|latest| at.millis_since(latest) < -DISORDER);
        totals.out_of_order += u64::from(is_older);
        totals.latest = totals.latest.max(Some(at));
    }
    checkpoint
        .save(totals.rows)
        .context("cannot write the checkpoint")
}

/// What is left of a row that was sent.
struct Place {
    line: u64,
    at: Option<Utc>,
    is_rejected: bool,
}

impl Target {
    /// Sends items. Retries for some time before it fails; the receiver removes items that are sent twice.
    fn accept(&self, items: Vec<Result<Value, String>>) -> anyhow::Result<Receipt> {
        match self {
            Self::Edge(edge) => Ok(edge.accept_posts(&TenantId::default(), items, None)?),
            Self::Http {
                client,
                url,
                key,
                runtime,
            } => {
                // The receiver does not see a row that is not an object. It is rejected here.
                let mut rejected = Vec::new();
                let mut places = Vec::new();
                let mut posts = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    match item {
                        Ok(post) => {
                            places.push(index);
                            posts.push(post);
                        }
                        Err(problem) => {
                            rejected.push(limbic_ingest::Rejection {
                                index,
                                field: "row".to_owned(),
                                problem,
                            });
                        }
                    }
                }
                let mut receipt = if posts.is_empty() {
                    Receipt::default()
                } else {
                    runtime.block_on(post_in_parts(
                        client,
                        &format!("{url}/v1/posts"),
                        key.as_deref(),
                        posts,
                    ))?
                };
                for rejection in &mut receipt.rejected {
                    rejection.index = places.get(rejection.index).copied().unwrap_or(rejection.index);
                }
                receipt.rejected.extend(rejected);
                Ok(receipt)
            }
        }
    }

    fn heartbeat(&self, at: Utc) -> anyhow::Result<()> {
        match self {
            Self::Edge(edge) => Ok(edge.heartbeat(&TenantId::default(), at)?),
            Self::Http {
                client,
                url,
                key,
                runtime,
            } => {
                let body = json!({"at": at});
                runtime
                    .block_on(post::<Value>(
                        client,
                        &format!("{url}/v1/watermark"),
                        key.as_deref(),
                        &body,
                    ))
                    .map(|_| ())
            }
        }
    }
}

/// Sends posts. If the receiver finds the request too large (413), each half of it is sent on its own.
async fn post_in_parts(
    client: &reqwest::Client,
    url: &str,
    key: Option<&str>,
    posts: Vec<Value>,
) -> anyhow::Result<Receipt> {
    let mut receipt = Receipt::default();
    let mut parts = vec![(0, posts)];
    while let Some((start, mut posts)) = parts.pop() {
        let body = Value::Array(posts.clone());
        let mut part: Receipt = match post(client, url, key, &body).await? {
            Answer::Done(part) => part,
            Answer::TooLarge(_) if posts.len() > 1 => {
                let half = posts.len() / 2;
                let second = posts.split_off(half);
                parts.push((start + half, second));
                parts.push((start, posts));
                continue;
            }
            Answer::TooLarge(problem) => Receipt {
                rejected: vec![limbic_ingest::Rejection {
                    index: 0,
                    field: "row".to_owned(),
                    problem,
                }],
                ..Receipt::default()
            },
        };
        for rejection in &mut part.rejected {
            rejection.index += start;
        }
        receipt.accepted += part.accepted;
        receipt.duplicates += part.duplicates;
        receipt.lost.add(part.lost);
        receipt.rejected.append(&mut part.rejected);
    }
    Ok(receipt)
}

/// What a node said to a request.
enum Answer<T> {
    Done(T),
    /// The request has too many bytes.
    TooLarge(String),
}

/// Sends a request until there is an answer. A failed connection, 429 and 5xx are retried for some time.
async fn post<T: serde::de::DeserializeOwned>(
    client: &reqwest::Client,
    url: &str,
    key: Option<&str>,
    body: &Value,
) -> anyhow::Result<Answer<T>> {
    let started = Instant::now();
    let mut wait = Duration::from_millis(100);
    loop {
        let mut request = client.post(url).json(body);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let problem = match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(Answer::Done(answer.json().await?)),
            Ok(answer) if answer.status().as_u16() == 413 => {
                return Ok(Answer::TooLarge(answer.text().await.unwrap_or_default()));
            }
            Ok(answer) if answer.status().is_server_error() || answer.status().as_u16() == 429 => {
                format!("{url} answers {}", answer.status())
            }
            Ok(answer) if answer.status().as_u16() == 401 => bail!(
                "{url} wants an API key: give one of tenants.NAME.api_keys with --key KEY, or in the variable LIMBIC_KEY"
            ),
            Ok(answer) => {
                let status = answer.status();
                if status.is_redirection() {
                    let place = answer
                        .headers()
                        .get("location")
                        .and_then(|place| place.to_str().ok());
                    bail!(
                        "{url} answers {status} and points to {}: redirects are not followed, so that posts go nowhere else; if that \
                         is the node, name it with --to",
                        printable::line(place.unwrap_or("no place"), LONGEST)
                    );
                }
                bail!(
                    "{url} answers {status}: {}",
                    printable::line(&answer.text().await.unwrap_or_default(), LONGEST)
                );
            }
            Err(error) => format!("{url} does not answer: {error:#}; is `limbic run` running there?"),
        };
        if started.elapsed() > PATIENCE {
            bail!("{problem}");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}
