//! `limbic replay`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use limbic_domain::{TenantId, Utc};
use limbic_ingest::replay::{Checkpoint, Mapping, Pace, Row, Rows};
use limbic_ingest::{Edge, Receipt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{Common, ReplayArgs};
use limbic_node::{Node, Options};

/// How long a target that does not answer is retried.
const PATIENCE: Duration = Duration::from_mins(1);
/// Rejections shown in full.
const SHOWN: usize = 10;

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
    /// The latest time of a row.
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
    let mapping = Mapping::parse(&args.map)?;
    let pace: Pace = args.speed.parse()?;
    // Check the file before anything else is opened.
    let rows = Rows::open(&args.file, None, mapping)?;
    let settings = common.settings(&[])?;
    let (target, node, name) = if let Some(url) = &args.to {
        let url = url.trim_end_matches('/').to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_mins(1))
            .build()?;
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
    let mut checkpoint = Checkpoint::open(&folder, &args.file, &name)
        .with_context(|| format!("cannot keep the checkpoint in {}", folder.display()))?;
    if args.restart {
        checkpoint.save(0)?;
    }
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
    }
    if alone && !args.json {
        say!("the posts are in the log: `limbic run` with the same --data or --log processes them")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends every row that no earlier run has sent successfully.
pub fn send(
    mut rows: Rows,
    target: &Target,
    pace: Pace,
    batch: usize,
    checkpoint: &mut Checkpoint,
    report: bool,
) -> anyhow::Result<Totals> {
    let style = "{bar:36} {percent:>3} %  {bytes:>10}/{total_bytes}  {msg}  {elapsed} ({eta} left)";
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
    let mut waiting: Vec<Row> = Vec::with_capacity(batch);
    let mut shown = 0;
    loop {
        let row = rows.next().transpose().context("cannot read the file")?;
        let ended = row.is_none();
        if let Some(row) = row {
            totals.rows = row.number;
            totals.latest = totals.latest.max(row.at);
            if row.number <= totals.resumed {
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
            waiting.push(row);
        }
        if ended || waiting.len() >= batch {
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

fn flush(
    target: &Target,
    waiting: &mut Vec<Row>,
    totals: &mut Totals,
    checkpoint: &mut Checkpoint,
    bar: &ProgressBar,
    shown: &mut usize,
) -> anyhow::Result<()> {
    let Some(last) = waiting.last().map(|row| row.number) else {
        return Ok(());
    };
    let numbers: Vec<u64> = waiting.iter().map(|row| row.number).collect();
    let items = waiting.drain(..).map(|row| row.post).collect();
    let receipt = target.accept(items)?;
    totals.accepted += receipt.accepted;
    totals.duplicates += receipt.duplicates;
    totals.rejected += receipt.rejected.len() as u64;
    for rejection in &receipt.rejected {
        if *shown < SHOWN {
            let row = numbers.get(rejection.index).copied().unwrap_or(0);
            bar.suspend(|| eprintln!("row {row}: {}: {}", rejection.field, rejection.problem));
        } else if *shown == SHOWN {
            bar.suspend(|| eprintln!("further rejected rows are counted, not shown"));
        }
        *shown += 1;
    }
    checkpoint.save(last).context("cannot write the checkpoint")
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
                    runtime.block_on(post(
                        client,
                        &format!("{url}/v1/posts"),
                        key.as_deref(),
                        &Value::Array(posts),
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
            Self::Edge(edge) => Ok(edge.heartbeat(at)?),
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

/// Sends a request until there is an answer. A failed connection, 429 and 5xx are retried for some time.
async fn post<T: serde::de::DeserializeOwned>(
    client: &reqwest::Client,
    url: &str,
    key: Option<&str>,
    body: &Value,
) -> anyhow::Result<T> {
    let started = Instant::now();
    let mut wait = Duration::from_millis(100);
    loop {
        let mut request = client.post(url).json(body);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let problem = match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(answer.json().await?),
            Ok(answer) if answer.status().is_server_error() || answer.status().as_u16() == 429 => {
                format!("{url} answers {}", answer.status())
            }
            Ok(answer) if answer.status().as_u16() == 401 => bail!(
                "{url} wants an API key: give one of tenants.NAME.api_keys with --key KEY, or in the variable LIMBIC_KEY"
            ),
            Ok(answer) => {
                let status = answer.status();
                bail!(
                    "{url} answers {status}: {}",
                    answer.text().await.unwrap_or_default()
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
