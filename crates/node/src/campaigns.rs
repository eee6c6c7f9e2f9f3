//! Campaigns from the settings: published at start, and again when the settings file changes. Their subjects are then known to the edge.
//!
//! The topic `campaigns` is compacted and keyed `tenant/campaign`. Only differences are published: new and changed
//! campaigns, and an empty value for each removed one. All nodes of an installation that run the creative stage must have
//! the same campaigns in their settings, because each node publishes its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use limbic_creative::{Campaigns, CreativeStage};
use limbic_domain::{Campaign, Envelope, Utc, topics};
use limbic_ingest::KnownSubjects;
use limbic_optimize::OptimizeStage;
use limbic_stream::reference::read_table;
use limbic_stream::{Headers, Log, NewRecord};

use crate::edge::known_subjects;
use crate::settings::{Settings, nearest};

/// How often the settings file is checked.
const INTERVAL: Duration = Duration::from_secs(1);

/// The campaigns of the settings, by tenant.
pub(crate) fn of(settings: &Settings) -> Campaigns {
    settings.campaigns.iter().fold(Campaigns::new(), |all, one| {
        all.with(one.tenant.clone(), one.campaign.clone())
    })
}

/// Checks that the templates of the settings can write ads for all their campaigns.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    let creative = settings.section::<CreativeStage>();
    Ok(creative.check(&of(settings))?)
}

/// Returns an error if `[optimize]` has settings for a campaign that does not exist: a slip of the pen would leave the campaign
/// without its budget.
///
/// Without any campaign nothing is known: a node that runs other stages alone may have none in its settings.
pub(crate) fn check_names(settings: &Settings) -> anyhow::Result<()> {
    if settings.campaigns.is_empty() && !runs_creative(settings) {
        return Ok(());
    }
    let known: BTreeSet<String> = settings
        .campaigns
        .iter()
        .flat_map(|one| {
            let name = one.campaign.id.to_string();
            [format!("{}/{name}", one.tenant), name]
        })
        .collect();
    let optimize = settings.section::<OptimizeStage>();
    let budgets = optimize.budgets.keys().map(|name| ("budgets", name));
    let engines = optimize.campaigns.keys().map(|name| ("campaigns", name));
    for (table, name) in budgets.chain(engines) {
        if known.contains(name) {
            continue;
        }
        let names = known
            .iter()
            .filter(|known| known.contains('/') == name.contains('/'));
        let hint = match nearest(name, names.map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "there are no campaigns: add [[campaigns]]".to_owned(),
            None => {
                let ids: Vec<&str> = known
                    .iter()
                    .map(String::as_str)
                    .filter(|name| !name.contains('/'))
                    .collect();
                format!("the campaigns are {}", ids.join(", "))
            }
        };
        anyhow::bail!("optimize.{table}.{name}: there is no campaign `{name}`; {hint}");
    }
    Ok(())
}

fn runs_creative(settings: &Settings) -> bool {
    settings.stages.is_empty()
        || settings
            .stages
            .iter()
            .any(|stage| stage == limbic_creative::STAGE)
}

/// Publishes the differences between these campaigns and those in the topic. Returns the number of records.
pub(crate) fn publish(log: &Arc<dyn Log>, campaigns: &Campaigns, now: Utc) -> anyhow::Result<usize> {
    let published = read_table(log, topics::CAMPAIGNS).context("cannot read the published campaigns")?;
    let mut wanted = BTreeSet::new();
    let mut records = Vec::new();
    for (key, envelope) in campaigns.records(now) {
        let known = published.get(key.as_bytes());
        let is_known = known
            .and_then(|value| Envelope::<Campaign>::decode(value).ok())
            .is_some_and(|known| known.id == envelope.id);
        if !is_known {
            records.push(record(key.clone().into(), envelope.encode().into(), now));
        }
        wanted.insert(key);
    }
    let gone = published
        .keys()
        .filter(|key| !std::str::from_utf8(key).is_ok_and(|key| wanted.contains(key)));
    records.extend(gone.map(|key| record(key.clone(), bytes::Bytes::new(), now)));
    let count = records.len();
    log.publish(records).context("cannot publish the campaigns")?;
    Ok(count)
}

fn record(key: bytes::Bytes, value: bytes::Bytes, now: Utc) -> NewRecord {
    NewRecord {
        topic: topics::CAMPAIGNS.into(),
        partition: None,
        key,
        value,
        headers: Headers::new(),
        timestamp: now,
    }
}

/// Reads all layers of the settings again.
pub(crate) type Load = Box<dyn Fn() -> anyhow::Result<Settings> + Send>;

/// A thread that takes over the campaigns when the settings file changes. It ends when this value is dropped.
pub(crate) struct Watcher {
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Watches `file`, the file of `settings`.
    pub(crate) fn spawn(
        target: Target,
        settings: Settings,
        file: PathBuf,
        load: Load,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = bounded(0);
        let mut watched = Watched {
            seen: std::fs::read(&file).ok(),
            target,
            settings,
            file,
            load,
        };
        let thread = std::thread::Builder::new()
            .name("limbic-settings".into())
            .spawn(move || watched.watch(&stopped))
            .context("cannot start the thread that watches the settings file")?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the settings file panicked");
        }
    }
}

/// What follows the campaigns.
pub(crate) struct Target {
    /// The log to publish to. `None` = this node does not publish campaigns.
    pub(crate) log: Option<Arc<dyn Log>>,
    /// The subjects that posts may name.
    pub(crate) subjects: KnownSubjects,
}

struct Watched {
    target: Target,
    /// The settings that were applied last.
    settings: Settings,
    file: PathBuf,
    /// The file's content at the last check. `None` if it could not be read.
    seen: Option<Vec<u8>>,
    load: Load,
}

impl Watched {
    fn watch(&mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let content = std::fs::read(&self.file).ok();
            if content == self.seen {
                continue;
            }
            match self.take_over() {
                Ok(true) => self.seen = content,
                // The log does not answer. The same content is tried again.
                Ok(false) => {}
                Err(error) => {
                    self.seen = content;
                    let file = self.file.display();
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the settings file {file} has changed and is not valid: the campaigns do not change; correct the file"
                    );
                }
            }
        }
    }

    /// Publishes the campaigns of the changed file. Returns whether the log accepted them. An error concerns the file.
    fn take_over(&mut self) -> anyhow::Result<bool> {
        anyhow::ensure!(Path::new(&self.file).is_file(), "the file does not exist");
        let settings = (self.load)()?;
        check(&settings)?;
        check_names(&settings)?;
        self.target.subjects.replace(known_subjects(&settings));
        let published = match &self.target.log {
            Some(log) => publish(log, &of(&settings), Utc::now()),
            None => Ok(0),
        };
        match published {
            Ok(changes) => tracing::info!(changes, "published the campaigns of the changed settings file"),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the campaigns were not published: the next attempt follows"
                );
                return Ok(false);
            }
        }
        if needs_restart(&self.settings, &settings) {
            tracing::warn!(
                "the settings file has changed in more than its campaigns: the other changes take effect after a restart of this node"
            );
        }
        self.settings = settings;
        Ok(true)
    }
}

/// Whether settings other than the campaigns differ.
fn needs_restart(before: &Settings, after: &Settings) -> bool {
    let rest = |settings: &Settings| {
        let settings = Settings {
            campaigns: Vec::new(),
            ..settings.clone()
        };
        settings.to_table().ok()
    };
    rest(before) != rest(after)
}

#[cfg(test)]
mod tests {
    use limbic_stream::TopicSpec;
    use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

    use super::*;
    use crate::settings::Overrides;

    fn campaign(id: &str, product: &str) -> String {
        format!(
            "[[campaigns]]\nid = '{id}'\nbid = 1000\nplatforms = [{{ name = 'file', headline = 60, body = 180 }}]\n[campaigns.brief]\n\
             product = '{product}'\npromise = 'It works'\ncall_to_action = 'Try it'\nlink = 'https://example.com'\n"
        )
    }

    /// A settings file with these campaigns, and the ad platform that they name.
    fn with_platform(campaigns: &str) -> String {
        format!("{campaigns}\n[ad_platforms.file]\nkind = 'file'\npath = 'ads.jsonl'\n")
    }

    fn watched(folder: &Path, text: &str) -> Watched {
        let log: Arc<dyn Log> =
            Arc::new(EmbeddedLog::open(folder.join("log"), EmbeddedOptions::default()).unwrap());
        log.ensure_topics(&[TopicSpec::new(topics::CAMPAIGNS, 2).compacted()])
            .unwrap();
        let file = folder.join("limbic.toml");
        std::fs::write(&file, with_platform(text)).unwrap();
        let overrides = Overrides {
            config: Some(file.clone()),
            ..Overrides::default()
        };
        let load = move || Settings::load(&overrides, &[]);
        Watched {
            target: Target {
                log: Some(log),
                subjects: KnownSubjects::any(),
            },
            settings: load().unwrap(),
            file,
            seen: None,
            load: Box::new(load),
        }
    }

    fn products(watched: &Watched) -> Vec<String> {
        let table = read_table(watched.target.log.as_ref().unwrap(), topics::CAMPAIGNS).unwrap();
        let product = |(key, value): (&bytes::Bytes, &bytes::Bytes)| {
            let campaign = Envelope::<Campaign>::decode(value).unwrap();
            format!("{} {}", String::from_utf8_lossy(key), campaign.data.brief.product)
        };
        table.iter().map(product).collect()
    }

    #[test]
    fn only_changed_campaigns_are_published_and_missing_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let both = campaign("spring", "Boots") + &campaign("summer", "Sandals");
        let mut watched = watched(folder.path(), &both);
        let now = Utc::from_millis(7);
        let log = watched.target.log.clone().unwrap();
        let publish = |settings: &Settings| publish(&log, &of(settings), now).unwrap();
        assert_eq!(publish(&watched.settings), 2);
        assert_eq!(publish(&watched.settings), 0);
        assert_eq!(
            products(&watched),
            ["default/spring Boots", "default/summer Sandals"]
        );
        std::fs::write(&watched.file, with_platform(&campaign("summer", "Shoes"))).unwrap();
        assert!(watched.take_over().unwrap());
        assert_eq!(products(&watched), ["default/summer Shoes"]);
    }

    #[test]
    fn a_file_that_is_not_valid_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut watched = watched(folder.path(), &campaign("spring", "Boots"));
        assert!(watched.take_over().unwrap());
        let cannot_fit = with_platform(&campaign("spring", &"much too long ".repeat(20)));
        let cases = [
            ("campaigns = [", "TOML"),
            ("campaign = []", "did you mean"),
            (&*cannot_fit, "default/spring"),
        ];
        for (text, part) in cases {
            std::fs::write(&watched.file, text).unwrap();
            let error = format!("{:#}", watched.take_over().unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        std::fs::remove_file(&watched.file).unwrap();
        assert!(watched.take_over().is_err());
        assert_eq!(products(&watched), ["default/spring Boots"]);
    }

    #[test]
    fn only_campaigns_take_effect_without_a_restart() {
        let before = Settings::default();
        let mut after = before.clone();
        after.campaigns.extend(
            toml::from_str::<Settings>(&campaign("spring", "Boots"))
                .unwrap()
                .campaigns,
        );
        assert!(!needs_restart(&before, &after));
        after.partitions += 1;
        assert!(needs_restart(&before, &after));
    }
}
