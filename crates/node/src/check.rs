//! Checks the settings: every component that they name, and every server.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use limbic_affect_stage::AffectStage;
use limbic_api::Tls;
use limbic_component::{CallTimeout, Kind, NamePrefix, OnlyReading, Resources};
use limbic_connectors::{ConnectorError, Source};
use limbic_creative::CreativeStage;
use limbic_domain::{ConnectionUrl, Slug, TenantId, Utc};
use limbic_ingest::SeenIds;
use limbic_metrics::{MetricsStage, Query, SeriesStore};
use limbic_qdrant::QdrantIndex;
use limbic_safety::missing_advertiser;
use limbic_stream::Log;
use limbic_views::{Store, ViewsStage};
use tokio::runtime::Handle;

use crate::adapters::check_adapters;
use crate::local::{About, running};
use crate::log::{connect, has_log, topic_specs};
use crate::registry::{self, usage};
use crate::resources;
use crate::server::{advice_for, check_exposure};
use crate::settings::{Entry, Settings, nearest};
use crate::sharing::unshared;
use crate::stages::check_stage;
use crate::stores::open_chosen;
use crate::terms;

/// The time limit for a server's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time limit for a connection to a server that is sent nothing.
const REACH: Duration = Duration::from_secs(3);

/// One check and its result.
#[derive(Debug)]
pub struct Finding {
    /// The checked item, as the settings file names it.
    pub what: String,
    /// The result.
    pub verdict: Verdict,
}

/// The result of a check.
#[derive(Debug)]
pub enum Verdict {
    /// It works. The text says what was found.
    Fine(String),
    /// It works, and a person should know this.
    Note(String),
    /// It does not work. The error says what is wrong and what to do.
    Wrong(anyhow::Error),
}

impl From<anyhow::Result<String>> for Verdict {
    fn from(result: anyhow::Result<String>) -> Self {
        match result {
            Ok(found) => Self::Fine(found),
            Err(error) => Self::Wrong(error),
        }
    }
}

impl Finding {
    /// The finding about `what`.
    pub fn new(what: impl Into<String>, verdict: impl Into<Verdict>) -> Self {
        Self {
            what: what.into(),
            verdict: verdict.into(),
        }
    }
}

/// Checks every component that the settings name, the address to listen at, and what `limbic run` would need. Contacts the
/// servers. Requests run on `handle`.
pub fn check(settings: &Settings, handle: &Handle) -> Vec<Finding> {
    let mut resources = resources::of(settings);
    resources.insert(handle.clone());
    resources.insert(CallTimeout(PATIENCE));
    resources.insert(NamePrefix("limbic:check".to_owned()));
    let node = if settings.is_embedded() {
        running(&settings.data_dir)
    } else {
        None
    };
    let of_sharing = unshared(settings).into_iter().map(|one| {
        let problem = anyhow::anyhow!("{}: {}", one.problem, one.remedy);
        Finding::new(one.setting, Err(problem))
    });
    let of_urls = settings.urls().into_iter().map(|(setting, url)| {
        let result = ask(settings, setting, url, &resources).map_err(|error| match setting {
            _ if url.is_embedded() => error,
            setting => error.context(format!("start the server, or correct `{setting}`")),
        });
        Finding::new(format!("{setting} {url}"), result)
    });
    let of_stages = registry::stages().map(|stage| {
        let result = if stage.name == AffectStage::NAME {
            check_reader(settings)
        } else {
            check_stage(stage, settings).map(|()| VALID.to_owned())
        };
        Finding::new(format!("stage {}", stage.name), result)
    });
    let of_entries = settings
        .entries
        .all()
        .map(|(table, name, entry)| of_entry(table, name, entry));
    [of_data_folder(settings), of_listener(settings, node.as_ref())]
        .into_iter()
        .chain(of_certificate(settings))
        .chain(of_sharing)
        .chain(of_urls)
        .chain(of_stages)
        .chain(of_retention(settings))
        .chain(of_campaigns(settings))
        .chain(check_adapters(settings))
        .chain(of_models(settings))
        .chain(of_index(settings, handle))
        .chain(of_entries)
        .chain(of_terms(settings))
        .chain(of_access(settings))
        .collect()
}

/// What reads: the model, its place, and the kernels that this processor runs.
fn check_reader(settings: &Settings) -> anyhow::Result<String> {
    let affect = settings.section::<AffectStage>();
    affect.tagger()?;
    let opened = affect.open()?;
    Ok(opened
        .remark
        .map_or(opened.description, |remark| format!("the lexica read: {remark}")))
}

/// Whether the data folder can be written, and whether others can read it.
fn of_data_folder(settings: &Settings) -> Finding {
    let folder = &settings.data_dir;
    let what = format!("data_dir {}", folder.display());
    if !folder.exists() {
        let above = folder
            .ancestors()
            .skip(1)
            .find(|above| above.exists() || above.as_os_str().is_empty());
        let above = above
            .filter(|above| !above.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let made = tempfile::tempdir_in(above).map(|_| "`limbic run` creates it".to_owned());
        let made = made.with_context(|| {
            format!(
                "cannot create it in {}: make that folder writable, or choose another with --data",
                above.display()
            )
        });
        return Finding::new(what, made);
    }
    if let Err(error) = tempfile::tempfile_in(folder) {
        let error = anyhow::Error::new(error)
            .context("cannot write there: make it writable, or choose another with --data");
        return Finding::new(what, Err(error));
    }
    let mode = folder.metadata().map_or(0, |known| known.permissions().mode());
    if mode & 0o077 != 0 {
        let note = format!(
            "other users of this machine can open it: `chmod 700 {}` keeps posts and pseudonyms to you",
            folder.display()
        );
        return Finding::new(what, Verdict::Note(note));
    }
    Finding::new(what, Ok("can be written".to_owned()))
}

/// Whether the API can listen. The node that runs on the data folder may have the port.
fn of_listener(settings: &Settings, node: Option<&About>) -> Finding {
    let what = format!("listen {}", settings.listen);
    let bound = std::net::TcpListener::bind(settings.listen.as_str()).and_then(|bound| bound.local_addr());
    let error = match bound {
        Ok(address) => {
            let exposed = check_exposure(settings, &settings.listen, address);
            return Finding::new(what, exposed.map(|()| "is free".to_owned()));
        }
        Err(error) => error,
    };
    if let Some(About {
        process,
        address: Some(address),
        ..
    }) = node
    {
        let text =
            format!("a node runs on this data folder, with its API at http://{address}/ (process {process})");
        return Finding::new(what, Ok(text));
    }
    let advice = advice_for(&error);
    Finding::new(what, Err(anyhow::Error::new(error).context(advice)))
}

fn of_campaigns(settings: &Settings) -> Vec<Finding> {
    if settings.campaigns.is_empty() {
        let note =
            "there are none, so no moment leads to an ad: add [[campaigns]], as config/limbic.toml does";
        return vec![Finding::new("campaigns", Verdict::Note(note.to_owned()))];
    }
    let worded = &settings.section::<AffectStage>().subjects;
    let campaigns = settings.campaigns.iter().map(|of| &of.campaign);
    let notes = campaigns.flat_map(|campaign| {
        let missing = missing_advertiser(&campaign.declared);
        let of_advertiser = missing.map(|missing| format!("its ads do not run. {missing}"));
        let unworded = campaign.subjects.iter().filter(|subject| !worded.contains_key(*subject));
        let of_subjects = unworded.map(|subject| {
            let near = nearest(subject.as_str(), worded.keys().map(Slug::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!(
                "its subject `{subject}` has no words in [affect.subjects], so only posts that name it in their own field \
                 `subjects` count{near}"
            )
        });
        let notes = of_advertiser.into_iter().chain(of_subjects);
        notes.map(|note| Finding::new(format!("campaign {}", campaign.id), Verdict::Note(note)))
    });
    notes.collect()
}

/// Whether every model of the gateway's routes has a price.
fn of_models(settings: &Settings) -> Vec<Finding> {
    let missing = crate::models::without_price(settings);
    let wrong = missing.into_iter().map(|target| {
        let error = anyhow::anyhow!(
            "{target}: its price is not known, so requests to it are refused: add it to llm.prices, or set llm.default_price"
        );
        Finding::new("llm", Err(error))
    });
    wrong.collect()
}

/// Whether the index of earlier ads answers, if it is a server.
fn of_index(settings: &Settings, handle: &Handle) -> Option<Finding> {
    let generate = &settings.section::<CreativeStage>().generate;
    if generate.index.is_embedded() {
        return None;
    }
    let version = || -> anyhow::Result<String> {
        let index = QdrantIndex::new(&generate.index, &generate.index_key, handle.clone())?;
        Ok(format!("Qdrant {}", index.version()?))
    };
    Some(Finding::new(
        format!("creative.generate.index {}", generate.index),
        version(),
    ))
}

fn of_entry(table: &str, name: &Slug, entry: &Entry) -> Finding {
    let what = format!("{} {table}.{name}", entry.component.kind.name());
    let checked = entry.component.check(&entry.settings);
    if let Err(error) = checked.map_err(anyhow::Error::from_boxed) {
        return Finding::new(what, Err(error));
    }
    let reached = match entry.component.address(&entry.settings) {
        None => Ok(VALID.to_owned()),
        Some(url) => reach(&url),
    };
    let result = reached.map(|found| match usage(entry.component.kind) {
        registry::Usage::ByNodes(_) => found,
        registry::Usage::NotYet(text) => format!("{found}. {text}"),
    });
    Finding::new(what, result)
}

/// Connects to the host of a URL, and sends nothing.
fn reach(url: &ConnectionUrl) -> anyhow::Result<String> {
    let uri: axum::http::Uri = url.reveal().parse().context("the URL cannot be read")?;
    let host = uri.host().context("the URL has no host")?;
    let port = uri
        .port_u16()
        .unwrap_or(if ["https", "wss"].contains(&url.scheme()) {
            443
        } else {
            80
        });
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let advice = || format!("{host}:{port} cannot be reached: start the server, or correct the URL");
    let addresses = (name, port).to_socket_addrs().with_context(advice)?;
    let mut failed = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, REACH) {
            Ok(_) => {
                return Ok(format!(
                    "{VALID}; {host}:{port} accepts connections (nothing was sent)"
                ));
            }
            Err(error) => failed = Some(error),
        }
    }
    let error = failed.map_or_else(|| anyhow::anyhow!("the name has no address"), anyhow::Error::new);
    Err(error.context(advice()))
}

/// Whether the certificate of the API can be used.
fn of_certificate(settings: &Settings) -> Option<Finding> {
    let opened = Tls::open(&settings.api.tls)
        .map_err(anyhow::Error::from)
        .transpose()?;
    Some(Finding::new(
        "api.tls",
        opened.map(|_| "the certificate and its key are valid".to_owned()),
    ))
}

/// Whether the node keeps what the terms of each connector's source demand.
fn of_terms(settings: &Settings) -> Vec<Finding> {
    let of_entry = |(name, entry): (&Slug, &Entry)| {
        let kept = terms::of(entry).and_then(|terms| {
            terms::check(&terms, settings)?;
            Ok(format!(
                "the terms of {} are kept, as far as settings decide",
                terms.source
            ))
        });
        Finding::new(format!("terms of connectors.{name}"), kept)
    };
    settings.entries.of("connectors").map(of_entry).collect()
}

/// Whether the source of each connector permits what the connector needs. It is asked, and nothing is stored.
fn of_access(settings: &Settings) -> Vec<Finding> {
    let of_entry = |(name, entry): (&Slug, &Entry)| {
        let built: Result<Source, _> = entry.component.build(&entry.settings, &Resources::new("check"));
        // Settings that are not valid are a finding already.
        let mut connector = built.ok().filter(|source| source.is_pulled)?.connector;
        let verdict = match connector.check_access() {
            Ok(missing) if missing.is_empty() => return None,
            Ok(missing) => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                Verdict::Wrong(anyhow::anyhow!(missing.join("; ")))
            }
            Err(error @ ConnectorError::Unavailable { .. }) => Verdict::Note(format!("not known: {error}")),
            Err(error) => Verdict::Wrong(error.into()),
        };
        Some(Finding::new(format!("access of connectors.{name}"), verdict))
    };
    let connectors = settings.entries.of("connectors");
    connectors.filter_map(of_entry).collect()
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
            // A node that runs on the data folder is asked.
            if url.is_embedded() {
                if !has_log(settings) {
                    return Ok("`limbic run` creates it in the data folder".to_owned());
                }
                return ask_log(settings, &*connect(settings)?);
            }
            ask_log(
                settings,
                &*open_chosen::<Arc<dyn Log>>(settings, setting, url, resources)?,
            )
        }
        Kind::ViewStore => {
            let mut resources = resources.clone();
            resources.insert(OnlyReading);
            let store: Store = open_chosen(settings, setting, url, &resources)?;
            let server = handle.block_on(store.server())?;
            Ok(if handle.block_on(store.has_tables())? {
                format!("{server} answers")
            } else {
                format!("{server} answers; no tables yet (`limbic run` creates them)")
            })
        }
        Kind::SeriesStore => {
            let store: Arc<dyn SeriesStore> = open_chosen(settings, setting, url, resources)?;
            handle.block_on(store.sums(&one_second()))?;
            let server = handle
                .block_on(store.server())?
                .unwrap_or_else(|| "it".to_owned());
            if let Some(keep) = handle.block_on(store.own_retention())? {
                return Ok(format!(
                    "{server} answers; its bucket deletes points after {keep}"
                ));
            }
            Ok(format!("{server} answers"))
        }
        Kind::IdStore => {
            // Opening it includes a request.
            let ids = open_chosen::<Arc<dyn SeenIds>>(settings, setting, url, resources)?;
            Ok(format!(
                "{} answers",
                ids.server().unwrap_or_else(|| "it".to_owned())
            ))
        }
        kind @ (Kind::Stage
        | Kind::AdPlatform
        | Kind::Connector
        | Kind::LlmProvider
        | Kind::PictureProvider
        | Kind::VideoProvider) => {
            anyhow::bail!("{setting}: a URL cannot choose a {}", kind.name())
        }
    }
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
