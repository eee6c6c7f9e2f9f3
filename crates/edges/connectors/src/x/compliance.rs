//! Which posts were deleted: jobs of batch compliance, step by step between the other requests.

use std::time::{Duration, Instant};

use limbic_domain::Utc;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, NAME, NETWORK};
use crate::http::{may_follow, refused, unavailable};
use crate::seen::{Note, Seen};
use crate::{ConnectorError, Failure, Item, Page};

/// The most posts of one job.
pub(super) const MOST_IDS: usize = 50_000;
/// How long after a look at a job the next one comes.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The longest time after which a job is begun again that failed.
const AFTER_FAILURE: Duration = Duration::from_mins(15);

/// The questions about deletions.
pub(super) struct Compliance {
    interval: Duration,
    state: State,
}

enum State {
    /// Nothing is asked before this time. `None` = before the first pull.
    Resting(Option<Instant>),
    Asked(Job),
}

struct Job {
    id: String,
    names: Vec<String>,
    result: Url,
    look_at: Instant,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Created {
    id: String,
    upload_url: String,
    download_url: String,
}

#[derive(Deserialize)]
struct Looked {
    status: String,
}

impl Compliance {
    pub(super) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            state: State::Resting(None),
        }
    }

    /// The wait until the next step. `None` before the first one.
    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        let due = match &self.state {
            State::Resting(due) => (*due)?,
            State::Asked(job) => job.look_at,
        };
        Some(due.saturating_duration_since(now))
    }

    /// Does the next step, if one is due. A failure stops nothing else: it is counted, and the job is begun again later.
    pub(super) fn step(
        &mut self,
        api: &mut Api,
        seen: &mut Seen,
        now: Instant,
        page: &mut Page,
        notes: &mut Vec<Note>,
    ) {
        if let Err(error) = self.try_step(api, seen, now, page, notes) {
            page.drop_one("a question about deletions that failed");
            tracing::warn!(%error, "X was not asked about deletions");
            self.state = State::Resting(Some(now + self.interval.min(AFTER_FAILURE)));
        }
    }

    fn try_step(
        &mut self,
        api: &mut Api,
        seen: &mut Seen,
        now: Instant,
        page: &mut Page,
        notes: &mut Vec<Note>,
    ) -> Result<(), ConnectorError> {
        match &mut self.state {
            State::Resting(None) => self.state = State::Resting(Some(now + self.interval)),
            State::Resting(Some(until)) if now < *until => {}
            State::Resting(_) => {
                let names = seen.oldest(MOST_IDS);
                self.state = if names.is_empty() {
                    State::Resting(Some(now + self.interval))
                } else {
                    State::Asked(begin(api, names, now)?)
                };
            }
            State::Asked(job) if now < job.look_at => {}
            State::Asked(job) => {
                let looked = api.jobs(Some(&job.id), None)?;
                let looked: Data<Looked> = read(&looked.body, "the state of a job")?;
                match &*looked.data.status {
                    "complete" => {
                        let lines = api.elsewhere(&job.result, None)?;
                        take(&lines, seen, page, notes);
                        notes.extend(job.names.drain(..).map(|name| Note::Asked { name }));
                        self.state = State::Resting(Some(now + self.interval));
                    }
                    "created" | "in_progress" => job.look_at = now + LOOK_AGAIN,
                    other => {
                        let detail = format!("a job of batch compliance is {other}");
                        return Err(unavailable(NAME, detail, Failure::Server, None));
                    }
                }
            }
        }
        Ok(())
    }
}

fn begin(api: &mut Api, names: Vec<String>, now: Instant) -> Result<Job, ConnectorError> {
    let created = api.jobs(None, Some(&json!({"type": "tweets", "name": "limbic"})))?;
    let Data { data: job } = read::<Data<Created>>(&created.body, "a new job")?;
    let allowed = |address: &str| {
        let address: Option<Url> = address.parse().ok();
        let address = address.filter(|address| may_follow(address, &api.url));
        address.ok_or_else(|| {
            let detail = "it names an address for posts that is not encrypted, or is inside this network";
            refused(NAME, detail.to_owned())
        })
    };
    let is_id = !job.id.is_empty() && job.id.bytes().all(|byte| byte.is_ascii_digit());
    if !is_id {
        return Err(refused(NAME, "the id of a job is not a number".to_owned()));
    }
    let (upload, result) = (allowed(&job.upload_url)?, allowed(&job.download_url)?);
    api.elsewhere(&upload, Some(names.join("\n")))?;
    Ok(Job {
        id: job.id,
        names,
        result,
        look_at: now + LOOK_AGAIN,
    })
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, ConnectorError> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("its answer is not {what}: {error}");
        unavailable(NAME, detail, Failure::Server, None)
    })
}

/// One line for each post that must be deleted.
fn take(lines: &[u8], seen: &Seen, page: &mut Page, notes: &mut Vec<Note>) {
    for line in lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
    {
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            page.drop_one("a line about a deletion that cannot be read");
            continue;
        };
        let id = line["id"].as_str().unwrap_or_default();
        // A post whose place was removed is still there.
        if line["action"] != "delete" || line["reason"] == "scrub_geo" {
            continue;
        }
        let Some(author) = seen.author(id) else {
            page.drop_one("deletion of an unknown post");
            continue;
        };
        let now = Utc::now();
        let at = line["redacted_at"].as_str().and_then(|at| at.parse().ok());
        let at = at.unwrap_or(now).min(now);
        page.items.push(Item::Deletion(
            json!({"network": NETWORK, "id": id, "author": author, "deleted_at": at}),
        ));
        notes.push(Note::Gone { name: id.to_owned() });
    }
}
