//! Checks the settings: every component that they name, and every server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use limbic_component::{CallTimeout, Kind, NamePrefix, Resources};
use limbic_domain::{ConnectionUrl, TenantId, Utc};
use limbic_ingest::SeenIds;
use limbic_metrics::{MetricsStage, Query, SeriesStore};
use limbic_stream::Log;
use limbic_views::{Store, ViewsStage};
use tokio::runtime::Handle;

use crate::log::topic_specs;
use crate::registry::{self, usage};
use crate::resources;
use crate::settings::Settings;
use crate::sharing::unshared;
use crate::stages::check_stage;
use crate::stores::open_chosen;

/// The time limit for a server's answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One check and its result.
#[derive(Debug)]
pub struct Finding {
    /// The checked item, as the settings file names it.
    pub what: String,
    /// What was found, or what is wrong and what to do.
    pub result: anyhow::Result<String>,
}

impl Finding {
    fn new(what: impl Into<String>, result: anyhow::Result<String>) -> Self {
        let what = what.into();
        Self { what, result }
    }
}

/// Checks every component that the settings name. Contacts the servers, and creates nothing there. Requests run on
/// `handle`.
pub fn check(settings: &Settings, handle: &Handle) -> Vec<Finding> {
    let mut resources = resources::of(settings);
    resources.insert(handle.clone());
    resources.insert(CallTimeout(PATIENCE));
    resources.insert(NamePrefix("limbic:check".to_owned()));
    let of_sharing = unshared(settings).into_iter().map(|one| {
        let problem = anyhow::anyhow!("{}: {}", one.problem, one.remedy);
        Finding::new(one.setting, Err(problem))
    });
    let of_urls = settings.urls().into_iter().map(|(setting, url)| {
        let result = ask(settings, setting, url, &resources);
        Finding::new(format!("{setting} {url}"), result)
    });
    let of_stages = registry::stages().map(|stage| {
        let result = check_stage(stage, settings).map(|()| VALID.to_owned());
        Finding::new(format!("stage {}", stage.name), result)
    });
    let of_entries = settings.entries.all().map(|(table, name, entry)| {
        let checked = entry.component.check(&entry.settings);
        let result = checked
            .map_err(anyhow::Error::from_boxed)
            .map(|()| match usage(entry.component.kind) {
                registry::Usage::ByNodes(_) => VALID.to_owned(),
                registry::Usage::NotYet(text) => format!("{VALID}. {text}"),
            });
        Finding::new(format!("{} {table}.{name}", entry.component.kind.name()), result)
    });
    of_sharing
        .chain(of_urls)
        .chain(of_stages)
        .chain(of_retention(settings))
        .chain(of_entries)
        .collect()
}

/// How long the view and the series are kept, if the settings of their stages are valid.
fn of_retention(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let views = settings.section::<ViewsStage>();
    if views.check().is_ok() {
        findings.push(Finding::new("views.keep", Ok(views.explain())));
    }
    let metrics = settings.section::<MetricsStage>();
    if metrics.check().is_ok() {
        let result = if settings.series.is_embedded() {
            Ok(metrics.keep.explain())
        } else if metrics.keep.is_limited() {
            Err(anyhow::anyhow!(
                "has no effect, because `series` names an InfluxDB, which deletes points itself: set the retention of the \
                 bucket (`influx bucket update --retention 400d`), and remove metrics.keep"
            ))
        } else {
            Ok("InfluxDB deletes points itself, after the retention of its bucket".to_owned())
        };
        findings.push(Finding::new("metrics.keep", result));
    }
    findings
}

const VALID: &str = "settings are valid";

/// Opens the component that a URL selects, and sends it a harmless request.
fn ask(
    settings: &Settings,
    setting: &str,
    url: &ConnectionUrl,
    resources: &Resources,
) -> anyhow::Result<String> {
    let component = registry::chosen(setting, url)?;
    if component.kind != Kind::Log && url.is_embedded() {
        return Ok("in this process and its data folder".to_owned());
    }
    let handle: Handle = resources.get()?;
    match component.kind {
        Kind::Log => {
            return ask_log(
                settings,
                &*open_chosen::<Arc<dyn Log>>(settings, setting, url, resources)?,
            );
        }
        Kind::ViewStore => {
            let store: Store = open_chosen(settings, setting, url, resources)?;
            handle.block_on(store.ping())?;
        }
        Kind::SeriesStore => {
            let store: Arc<dyn SeriesStore> = open_chosen(settings, setting, url, resources)?;
            handle.block_on(store.sums(&one_second()))?;
            if let Some(keep) = handle.block_on(store.own_retention())? {
                return Ok(format!("answers; its bucket deletes points after {keep}"));
            }
        }
        Kind::IdStore => {
            // Opening it includes a request.
            open_chosen::<Arc<dyn SeenIds>>(settings, setting, url, resources)?;
        }
        kind @ (Kind::Stage | Kind::AdPlatform | Kind::Connector | Kind::LlmProvider) => {
            anyhow::bail!("{setting}: a URL cannot choose a {}", kind.name())
        }
    }
    Ok("answers".to_owned())
}

fn ask_log(settings: &Settings, log: &dyn Log) -> anyhow::Result<String> {
    let there = log.topics()?;
    // A check creates nothing. `limbic run` creates missing topics.
    let wanted: Vec<_> = topic_specs(settings)
        .into_iter()
        .filter(|spec| there.iter().any(|topic| topic.name == spec.name))
        .collect();
    let as_wanted = log.ensure_topics(&wanted);
    log.close()?;
    as_wanted.context("the topics differ from the settings")?;
    Ok(if there.is_empty() {
        "answers; no topics yet (`limbic run` and `limbic topics create` create them)".to_owned()
    } else {
        format!("answers; {} topics", there.len())
    })
}

/// One second in 1970. An answer shows that address, token, organisation and bucket are correct.
fn one_second() -> Query {
    Query {
        tenant: TenantId::default(),
        measurement: "emotion_all".to_owned(),
        tags: BTreeMap::new(),
        fields: vec!["count".to_owned()],
        from: Utc::from_millis(0),
        to: Utc::from_millis(1_000),
        step: 1_000,
    }
}
