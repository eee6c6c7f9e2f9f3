//! Runs a node with simulated posts: sends posts, waits for the stages, reports clicks for delivered ads, and checks the counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use limbic_domain::{Decision, Direction, Moment, Pseudonym, Slug, TenantId, Utc};
use limbic_stream::runtime::{StageCounts, count_stages};
use limbic_views::{Kind, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::population::NETWORK;
use crate::setup::{DELIVERIES, SECRET};
use limbic_domain::random::Random;
use limbic_node::settings::Settings;
use limbic_node::{Node, Options, registry};

/// Interval between two polls of the counts while the stages work.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// After this number of polls without a change and without lag, the stages are idle.
const IDLE_POLLS: u32 = 6;
/// The same after the last post. It is longer, because a silent partition holds back event time.
const IDLE_POLLS_AT_END: u32 = 60;
/// How long the counts may stay unchanged while records are left to read. After that the run fails.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the check insists that a cue of distress protects its author, in milliseconds.
const PROTECTION_MILLIS: i64 = 12 * 3_600_000;

/// A line that the ad platform `file` wrote.
#[derive(Debug, Clone, Deserialize)]
struct Delivery {
    #[serde(rename = "type")]
    kind: String,
    decision: String,
}

impl Delivery {
    /// The lines of the platform's file that order an ad to be shown; the others stop one.
    fn of(lines: &str) -> anyhow::Result<Vec<Self>> {
        let all = lines
            .lines()
            .map(|line| serde_json::from_str(line).context("a line of the deliveries"));
        let all: Vec<Self> = all.collect::<anyhow::Result<_>>()?;
        Ok(all.into_iter().filter(|line| line.kind == "ad.decided").collect())
    }
}

/// An ad that was shown, and its outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Impression {
    /// The decision's id.
    pub decision: String,
    /// The id of its moment.
    pub moment: String,
    /// The subject of the audience.
    pub subject: String,
    /// The time of the decision, in simulated time.
    pub at: Utc,
    /// The direction in which the audience's mood changed.
    pub direction: Direction,
    /// The tone of the chosen creative.
    pub tone: String,
    /// The ad's click probability, which only the simulation knows.
    pub click_probability: f64,
    /// The highest click probability of all candidates.
    pub best: f64,
    /// The mean click probability of all candidates.
    pub uniform: f64,
    /// Whether it was clicked.
    pub clicked: bool,
}

/// The click probability of an ad with a tone, after a change of mood in a direction, for a subject and a valence in `[-1, 1]`.
///
/// After a rise, `celebrate` is best, except for music, where `bright` is best. After a fall, `calm` is best, except for the
/// weather, where `practical` is best. No tone is the best everywhere, so a policy needs the context.
pub(crate) fn click_probability(direction: Direction, subject: &str, tone: &str, valence: f64) -> f64 {
    let base = match (direction, subject, tone) {
        (Direction::Up, "music", "bright")
        | (Direction::Up, "football" | "weather" | "market", "celebrate") => 0.50,
        (Direction::Down, "weather", "practical")
        | (Direction::Down, "football" | "music" | "market", "calm") => 0.42,
        (Direction::Up, _, "bright" | "celebrate") => 0.22,
        (Direction::Down, _, "calm" | "practical") => 0.18,
        _ => 0.06,
    };
    base * (0.8 + 0.4 * valence.abs().min(1.0))
}

/// The counts of every stage, by stage name.
pub type Counts = BTreeMap<&'static str, StageCounts>;

/// A running node together with the simulated people who write posts and click ads.
pub struct Driver {
    /// The node under test.
    pub node: Node,
    /// The ads that were shown, in order of delivery.
    pub impressions: Vec<Impression>,
    /// Number of accepted posts.
    pub accepted: u64,
    /// Number of accepted outcomes.
    pub outcomes: u64,
    tenant: TenantId,
    seed: u64,
    tones: BTreeMap<String, String>,
    answered: BTreeSet<String>,
    deliveries: PathBuf,
    /// The time of each person's first post with distress.
    distress: BTreeMap<Pseudonym, Utc>,
    /// The time of the first post about a subject by a person in distress.
    seen_by_audience: BTreeMap<(Pseudonym, String), Utc>,
    key: [u8; 32],
}

impl Driver {
    /// Opens the node.
    pub fn open(settings: &Settings, listen: Option<String>, seed: u64) -> anyhow::Result<Self> {
        let options = Options {
            stages: Vec::new(),
            listen,
        };
        Ok(Self {
            node: Node::open(settings, &options)?,
            impressions: Vec::new(),
            accepted: 0,
            outcomes: 0,
            tenant: TenantId::default(),
            seed,
            tones: BTreeMap::new(),
            answered: BTreeSet::new(),
            deliveries: settings.data_dir.join(DELIVERIES),
            distress: BTreeMap::new(),
            seen_by_audience: BTreeMap::new(),
            key: blake3::derive_key("limbic 2026-11 pseudonym key", SECRET.as_bytes()),
        })
    }

    /// Sends posts as one request, advances event time to the last of them, waits until the stages are idle, and reports
    /// impressions and clicks for new ads.
    pub fn send(&mut self, posts: Vec<Value>) -> anyhow::Result<()> {
        let mut latest = None;
        for post in &posts {
            let at: Utc = post["created_at"]
                .as_str()
                .context("a post without created_at")?
                .parse()?;
            latest = latest.max(Some(at));
            let author = post["author"].as_str().context("a post without author")?;
            let person = Pseudonym::of(&self.key, &Slug::new(NETWORK)?, author);
            if post["meta"]["distress"] == true {
                self.distress.entry(person.clone()).or_insert(at);
            }
            if self.distress.contains_key(&person) {
                for subject in post["subjects"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                {
                    self.seen_by_audience
                        .entry((person.clone(), subject.to_owned()))
                        .or_insert(at);
                }
            }
        }
        let receipt = self
            .node
            .edge
            .accept_posts(&self.tenant, posts.into_iter().map(Ok), None)?;
        ensure!(
            receipt.rejected.is_empty(),
            "the edge rejects {:?}",
            receipt.rejected.first()
        );
        self.accepted += receipt.accepted;
        if let Some(latest) = latest {
            self.node.edge.heartbeat(&self.tenant, latest)?;
        }
        self.wait_until_idle(IDLE_POLLS)?;
        self.report_clicks()
    }

    /// Advances event time by an hour past `latest` and waits until all stages are idle. Returns the final counts.
    pub fn finish(&mut self, latest: Utc) -> anyhow::Result<Counts> {
        self.node
            .edge
            .heartbeat(&self.tenant, latest.plus_millis(3_600_000))?;
        self.wait_until_idle(IDLE_POLLS_AT_END)?;
        self.report_clicks()?;
        self.wait_until_idle(IDLE_POLLS_AT_END)
    }

    /// Polls the counts until there is no lag and `required` polls in a row show no change.
    ///
    /// Fails if a stage stops, or if nothing changes for a minute although there is lag.
    pub fn wait_until_idle(&self, required: u32) -> anyhow::Result<Counts> {
        let mut before: Option<(u64, u64)> = None;
        let mut idle_polls = 0;
        let mut last_change = Instant::now();
        loop {
            if let Some((stage, why)) = self.node.failure() {
                bail!("stage {stage} stopped: {why}");
            }
            let counts = self.counts()?;
            let lag: u64 = counts.values().map(|counts| counts.lag).sum();
            let consumed: u64 = counts.values().map(|counts| counts.consumed).sum();
            let produced: u64 = counts.values().flat_map(|counts| counts.produced.values()).sum();
            if before == Some((consumed, produced)) {
                idle_polls += 1;
            } else {
                before = Some((consumed, produced));
                idle_polls = 0;
                last_change = Instant::now();
            }
            let is_read = counts["ingest"].consumed >= self.accepted + self.outcomes;
            if lag == 0 && is_read && idle_polls >= required {
                return Ok(counts);
            }
            if last_change.elapsed() > STALL_TIMEOUT {
                bail!(
                    "no stage made progress for {STALL_TIMEOUT:?}, although {lag} records are left to read"
                );
            }
            std::thread::park_timeout(POLL_INTERVAL);
        }
    }

    /// The current counts of every stage.
    pub fn counts(&self) -> anyhow::Result<Counts> {
        registry::stages()
            .zip(&self.node.specs)
            .map(|(stage, spec)| Ok((stage.name, count_stages(&*self.node.log, spec)?)))
            .collect()
    }

    /// The view. Fails if the node has none.
    pub fn store(&self) -> anyhow::Result<&Store> {
        self.node
            .store
            .as_ref()
            .context("this node keeps no view: it does not run the stage `views`")
    }

    /// All rows of a kind in the view, oldest first. Each row is the record with `id` and `at`.
    pub fn all(&self, kind: Kind) -> anyhow::Result<Vec<Value>> {
        let store = self.store()?;
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = store.list(&self.tenant, kind, None, after, 1_000);
            let page = self.node.handle().block_on(page)?;
            all.extend(page.items);
            match page.next {
                Some(next) => after = Some(next.parse()?),
                None => return Ok(all),
            }
        }
    }

    /// All moments of the view with their times, oldest first.
    pub fn moments(&self) -> anyhow::Result<Vec<(Utc, Moment)>> {
        let read = |found: Value| {
            let at = found["at"].as_str().context("a moment without a time")?.parse()?;
            Ok((at, serde_json::from_value(found)?))
        };
        let mut moments: Vec<(Utc, Moment)> = self
            .all(Kind::Moment)?
            .into_iter()
            .map(read)
            .collect::<anyhow::Result<_>>()?;
        moments.sort_by_key(|(at, _)| *at);
        Ok(moments)
    }

    /// Draws clicks for the ads that were delivered since the last call, and sends impressions and clicks as outcomes.
    fn report_clicks(&mut self) -> anyhow::Result<()> {
        let lines = std::fs::read_to_string(&self.deliveries).unwrap_or_default();
        let mut outcomes = Vec::new();
        for delivery in Delivery::of(&lines)? {
            if self.answered.contains(&delivery.decision) {
                continue;
            }
            let Some((at, decision, moment)) = self.decision_and_moment(&delivery.decision)? else {
                continue; // The view does not have the decision yet.
            };
            let Some(choice) = decision.chosen() else {
                bail!("{} was delivered but chose nothing", delivery.decision);
            };
            let (subject, valence) = (moment.audience.subject(), moment.change.mood.valence);
            let mut probabilities = Vec::with_capacity(choice.candidates.len());
            for candidate in &choice.candidates {
                let tone = self.tone_of(&candidate.creative)?;
                probabilities.push(click_probability(moment.direction, subject, &tone, valence));
            }
            let tone = choice.creative.tone.to_string();
            let own = click_probability(moment.direction, subject, &tone, valence);
            let mut random = Random::for_name(self.seed, &delivery.decision);
            let clicked = random.happens(own);
            let seen = at.plus_millis(1_000 + random.below(20_000) as i64);
            let id = &delivery.decision;
            outcomes.push(json!({"decision": id, "kind": "impression", "at": seen, "id": "seen"}));
            if clicked {
                let at = seen.plus_millis(1_000 + random.below(60_000) as i64);
                outcomes.push(json!({"decision": id, "kind": "click", "at": at, "id": "clicked"}));
            }
            self.impressions.push(Impression {
                decision: delivery.decision.clone(),
                moment: decision.moment.clone(),
                subject: subject.to_owned(),
                at,
                direction: moment.direction,
                tone,
                click_probability: own,
                best: probabilities.iter().copied().fold(own, f64::max),
                uniform: probabilities.iter().sum::<f64>() / probabilities.len().max(1) as f64,
                clicked,
            });
            self.answered.insert(delivery.decision);
        }
        if !outcomes.is_empty() {
            let items = outcomes.into_iter().map(Ok);
            let receipt = self.node.edge.accept_outcomes(&self.tenant, items, None)?;
            ensure!(
                receipt.rejected.is_empty(),
                "the edge rejects {:?}",
                receipt.rejected.first()
            );
            self.outcomes += receipt.accepted;
            self.wait_until_idle(IDLE_POLLS)?;
        }
        Ok(())
    }

    fn decision_and_moment(&self, decision: &str) -> anyhow::Result<Option<(Utc, Decision, Moment)>> {
        let store = self.store()?;
        let handle = self.node.handle();
        let Some(found) = handle.block_on(store.by_id(&self.tenant, Kind::Decision, decision))? else {
            return Ok(None);
        };
        let at: Utc = found["at"]
            .as_str()
            .context("a decision without a time")?
            .parse()?;
        let decision: Decision = serde_json::from_value(found)?;
        let Some(moment) = handle.block_on(store.by_id(&self.tenant, Kind::Moment, &decision.moment))? else {
            return Ok(None);
        };
        Ok(Some((at, decision, serde_json::from_value(moment)?)))
    }

    /// The tone of a creative, from the sets that the safety gate has cleared.
    fn tone_of(&mut self, creative: &str) -> anyhow::Result<String> {
        if !self.tones.contains_key(creative) {
            for set in self.all(Kind::CreativeSet)? {
                for one in set["creatives"].as_array().into_iter().flatten() {
                    if let (Some(id), Some(tone)) = (one["id"].as_str(), one["tone"].as_str()) {
                        self.tones.insert(id.to_owned(), tone.to_owned());
                    }
                }
            }
        }
        self.tones
            .get(creative)
            .cloned()
            .with_context(|| format!("the view does not know the creative {creative}"))
    }

    /// The tone of every candidate of a delivered decision, by the creative's id.
    pub fn tones(&self) -> &BTreeMap<String, String> {
        &self.tones
    }

    /// Number of people who expressed distress.
    pub fn in_distress(&self) -> usize {
        self.distress.len()
    }

    /// Checks the run: every accepted post has one record and one reading, there are no dead letters and no lag, every
    /// delivered ad was seen, and no decision with an ad contains a person who expressed distress before it.
    pub fn check(&mut self, counts: &Counts) -> anyhow::Result<()> {
        let of = |stage: &str, topic: &str| {
            counts
                .get(stage)
                .and_then(|counts| counts.produced.get(topic).copied())
                .unwrap_or(0)
        };
        let posts = of("ingest", "posts");
        ensure!(
            posts == self.accepted,
            "{} posts accepted, {posts} in the log",
            self.accepted
        );
        let readings = of("affect", "readings");
        ensure!(readings == posts, "{posts} posts, {readings} readings");
        for (stage, counts) in counts {
            ensure!(
                counts.dead.is_empty(),
                "stage {stage} has dead letters: {:?}",
                counts.dead
            );
            ensure!(
                counts.lag == 0,
                "stage {stage} has {} records left to read",
                counts.lag
            );
        }
        let mut unseen = BTreeSet::new();
        for found in self.all(Kind::Decision)? {
            let at: Utc = found["at"]
                .as_str()
                .context("a decision without a time")?
                .parse()?;
            let decision: Decision = serde_json::from_value(found)?;
            let Some(chosen) = decision.chosen() else {
                continue;
            };
            for person in &chosen.people {
                let Some(since) = self.distress.get(person).filter(|since| **since <= at) else {
                    continue;
                };
                // The protection by a cue decays over days. It is certain for hours only.
                if at.millis_since(*since) > PROTECTION_MILLIS {
                    continue;
                }
                let seen = self
                    .seen_by_audience
                    .get(&(person.clone(), decision.audience.subject().to_owned()));
                if seen.is_some_and(|seen| *seen <= at) {
                    bail!(
                        "a decision for {} reaches {person}, who is in distress",
                        decision.audience
                    );
                }
                unseen.insert((decision.moment.clone(), person.clone()));
            }
        }
        ensure!(
            unseen.is_empty(),
            "{} decisions reach a person who expressed distress about another subject",
            unseen.len()
        );
        let shown = self.impressions.len();
        let lines = std::fs::read_to_string(&self.deliveries).unwrap_or_default();
        let delivered = Delivery::of(&lines)?.len();
        ensure!(shown == delivered, "{delivered} ads delivered, but {shown} shown");
        // Every delivery has an outcome, and so has every ad that was withdrawn or paused.
        let ended = of("deliver", "outcomes") as usize;
        ensure!(
            ended >= delivered,
            "{delivered} ads delivered, but only {ended} outcomes of deliveries"
        );
        Ok(())
    }
}
