//! A house run on the town: posts in, ads out, people who click or do not, and books that must balance.

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
use limbic_node::{Node, Options, STAGES};

/// How often the books are looked at while the stages work.
const LOOK: Duration = Duration::from_millis(25);
/// So many looks without a change, and nothing left to read: the stages rest.
const STILL: u32 = 6;
/// The same after the last post, longer than a silent partition holds event time back.
const STILL_AT_THE_END: u32 = 60;
/// How long nothing may move, although something is left to read.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the town insists on a cue's protection, in milliseconds.
const PROTECTED: i64 = 12 * 3_600_000;

/// A delivery, as the file platform wrote it.
#[derive(Debug, Clone, Deserialize)]
struct Delivered {
    decision: String,
}

/// An ad that was shown in the town, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The decision.
    pub decision: String,
    /// When the moment was.
    pub at: Utc,
    /// Which way the audience moved.
    pub direction: Direction,
    /// The tone that was chosen.
    pub tone: String,
    /// With what probability it is clicked, which only the town knows.
    pub appeal: f64,
    /// The same of the most appealing candidate.
    pub best: f64,
    /// The same on average over all candidates.
    pub uniform: f64,
    /// Whether it was clicked.
    pub clicked: bool,
}

/// How likely an ad of a tone is clicked after a move in a direction to a mood. Only the town knows: joy wants to be
/// celebrated, but those who come from a concert want something new; who is low wants to be left in peace, but after a
/// storm people need what is practical. No tone is the best everywhere.
pub(crate) fn appeal(direction: Direction, subject: &str, tone: &str, valence: f64) -> f64 {
    let of_tone = match (direction, subject, tone) {
        (Direction::Up, "music", "bright")
        | (Direction::Up, "football" | "weather" | "market", "celebrate") => 0.50,
        (Direction::Down, "weather", "practical")
        | (Direction::Down, "football" | "music" | "market", "calm") => 0.42,
        (Direction::Up, _, "bright" | "celebrate") => 0.22,
        (Direction::Down, _, "calm" | "practical") => 0.18,
        _ => 0.06,
    };
    of_tone * (0.8 + 0.4 * valence.abs().min(1.0))
}

/// The counts of every stage, by name.
pub type Counts = BTreeMap<&'static str, StageCounts>;

/// A node, a town before it, and what was seen.
pub struct Observer {
    /// The node.
    pub node: Node,
    /// What was shown.
    pub shown: Vec<Shown>,
    /// Posts that were accepted.
    pub accepted: u64,
    /// Outcomes that were accepted.
    pub outcomes: u64,
    tenant: TenantId,
    seed: u64,
    tones: BTreeMap<String, String>,
    done: BTreeSet<String>,
    deliveries: PathBuf,
    /// Since when each person is in distress.
    distress: BTreeMap<Pseudonym, Utc>,
    /// Since when the audience of a subject has heard from them in that state.
    heard: BTreeMap<(Pseudonym, String), Utc>,
    key: [u8; 32],
}

impl Observer {
    /// Opens the node.
    pub fn open(settings: &Settings, listen: Option<String>, seed: u64) -> anyhow::Result<Self> {
        let options = Options {
            stages: Vec::new(),
            listen,
        };
        Ok(Self {
            node: Node::open(settings, &options)?,
            shown: Vec::new(),
            accepted: 0,
            outcomes: 0,
            tenant: TenantId::default(),
            seed,
            tones: BTreeMap::new(),
            done: BTreeSet::new(),
            deliveries: settings.data_dir.join(DELIVERIES),
            distress: BTreeMap::new(),
            heard: BTreeMap::new(),
            key: blake3::derive_key("limbic 2026-11 pseudonym key", SECRET.as_bytes()),
        })
    }

    /// Sends posts as one request, ends event time behind them, waits until the stages rest, and lets the town answer to
    /// the ads that came of it.
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
                    self.heard
                        .entry((person.clone(), subject.to_owned()))
                        .or_insert(at);
                }
            }
        }
        let receipt = self
            .node
            .edge
            .accept_posts(&self.tenant, posts.into_iter().map(Ok).collect(), None)?;
        ensure!(
            receipt.rejected.is_empty(),
            "the edge rejects {:?}",
            receipt.rejected.first()
        );
        self.accepted += receipt.accepted;
        if let Some(latest) = latest {
            self.node.edge.heartbeat(latest)?;
        }
        self.settle(STILL)?;
        self.answer()
    }

    /// Ends event time and waits until everything is through.
    pub fn finish(&mut self, latest: Utc) -> anyhow::Result<Counts> {
        self.node.edge.heartbeat(latest.plus_millis(3_600_000))?;
        self.settle(STILL_AT_THE_END)?;
        self.answer()?;
        self.settle(STILL_AT_THE_END)
    }

    /// Looks at the books until nothing is left to read and nothing moves.
    pub fn settle(&self, still: u32) -> anyhow::Result<Counts> {
        let mut before: Option<(u64, u64)> = None;
        let mut looks = 0;
        let mut moved = Instant::now();
        loop {
            if let Some((stage, why)) = self.node.failure() {
                bail!("stage {stage} gave up: {why}");
            }
            let books = self.books()?;
            let lag: u64 = books.values().map(|counts| counts.lag).sum();
            let consumed: u64 = books.values().map(|counts| counts.consumed).sum();
            let produced: u64 = books.values().flat_map(|counts| counts.produced.values()).sum();
            if before == Some((consumed, produced)) {
                looks += 1;
            } else {
                before = Some((consumed, produced));
                looks = 0;
                moved = Instant::now();
            }
            let is_read = books["ingest"].consumed >= self.accepted + self.outcomes;
            if lag == 0 && is_read && looks >= still {
                return Ok(books);
            }
            if moved.elapsed() > PATIENCE {
                bail!("nothing moves although {lag} records are left to read");
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// The counts of every stage.
    pub fn books(&self) -> anyhow::Result<Counts> {
        STAGES
            .into_iter()
            .zip(&self.node.specs)
            .map(|(stage, spec)| Ok((stage, count_stages(&*self.node.log, spec)?)))
            .collect()
    }

    /// The view.
    pub fn store(&self) -> anyhow::Result<&Store> {
        self.node.store.as_ref().context("the house keeps no view")
    }

    /// Everything of a kind, oldest first, with `id` and `at`.
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

    /// People see the ads that were delivered since the last look, and click or do not.
    fn answer(&mut self) -> anyhow::Result<()> {
        let lines = std::fs::read_to_string(&self.deliveries).unwrap_or_default();
        let mut outcomes = Vec::new();
        for line in lines.lines() {
            let delivered: Delivered = serde_json::from_str(line).context("a line of the deliveries")?;
            if self.done.contains(&delivered.decision) {
                continue;
            }
            let Some((at, decision, moment)) = self.look_up(&delivered.decision)? else {
                continue; // The view has not heard of it yet.
            };
            let Some(choice) = decision.chosen() else {
                bail!("{} was delivered but chose nothing", delivered.decision);
            };
            let (subject, valence) = (moment.audience.subject(), moment.mood.valence);
            let mut appeals = Vec::with_capacity(choice.candidates.len());
            for candidate in &choice.candidates {
                let tone = self.tone_of(&candidate.creative)?;
                appeals.push(appeal(moment.direction, subject, &tone, valence));
            }
            let tone = choice.creative.tone.to_string();
            let own = appeal(moment.direction, subject, &tone, valence);
            let mut random = Random::for_name(self.seed, &delivered.decision);
            let clicked = random.happens(own);
            let seen = at.plus_millis(1_000 + random.below(20_000) as i64);
            let id = &delivered.decision;
            outcomes.push(json!({"decision": id, "kind": "impression", "at": seen, "id": "seen"}));
            if clicked {
                let at = seen.plus_millis(1_000 + random.below(60_000) as i64);
                outcomes.push(json!({"decision": id, "kind": "click", "at": at, "id": "clicked"}));
            }
            self.shown.push(Shown {
                decision: delivered.decision.clone(),
                at,
                direction: moment.direction,
                tone,
                appeal: own,
                best: appeals.iter().copied().fold(own, f64::max),
                uniform: appeals.iter().sum::<f64>() / appeals.len().max(1) as f64,
                clicked,
            });
            self.done.insert(delivered.decision);
        }
        if !outcomes.is_empty() {
            let items = outcomes.into_iter().map(Ok).collect();
            let receipt = self.node.edge.accept_outcomes(&self.tenant, items, None)?;
            ensure!(
                receipt.rejected.is_empty(),
                "the edge rejects {:?}",
                receipt.rejected.first()
            );
            self.outcomes += receipt.accepted;
            self.settle(STILL)?;
        }
        Ok(())
    }

    fn look_up(&self, decision: &str) -> anyhow::Result<Option<(Utc, Decision, Moment)>> {
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

    /// The tone of a creative, learnt from the sets that the gate has cleared.
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

    /// The tone of every creative that the town was shown or could have been.
    pub fn tones(&self) -> &BTreeMap<String, String> {
        &self.tones
    }

    /// How many people are in distress.
    pub fn in_distress(&self) -> usize {
        self.distress.len()
    }

    /// The books must balance: every accepted post became a record and a reading, nothing died, and nobody who was
    /// heard in distress, by that audience or by another, is in any decision that chose something.
    pub fn check(&mut self, books: &Counts) -> anyhow::Result<()> {
        let of = |stage: &str, topic: &str| {
            books
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
        for (stage, counts) in books {
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
        let mut missed = BTreeSet::new();
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
                // The protection of a cue fades in days; the town is sure of hours.
                if at.millis_since(*since) > PROTECTED {
                    continue;
                }
                let heard = self
                    .heard
                    .get(&(person.clone(), decision.audience.subject().to_owned()));
                if heard.is_some_and(|heard| *heard <= at) {
                    bail!(
                        "a decision for {} reaches {person}, who is in distress",
                        decision.audience
                    );
                }
                missed.insert((decision.moment.clone(), person.clone()));
            }
        }
        ensure!(
            missed.is_empty(),
            "{} times a decision reaches somebody whose distress was spoken to another audience",
            missed.len()
        );
        let chosen = self.shown.len();
        let delivered = of("deliver", "outcomes") as usize;
        ensure!(
            chosen == delivered,
            "{delivered} ads delivered, {chosen} seen by the town"
        );
        Ok(())
    }
}
