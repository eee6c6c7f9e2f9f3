//! The models of this node that write texts, paint pictures and make clips: its gateway, as the API sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use limbic_api::{
    BY_A_MODEL, CacheMode, GenerateBody, GenerateError, GenerateEvent, GeneratedPicture, GeneratedText,
    GeneratedVideo, LanguageModels, PictureBody, PictureQuality, VideoBody, Viewer,
};
use limbic_component::Resources;
use limbic_creative::CreativeStage;
use limbic_domain::{ConnectionUrl, Slug, TenantId};
use limbic_llm::gateway::{
    Ask, CacheUse, Clock, Gateway, GatewayError, GatewayMeters, Ledger, Maker, Outcome, PaintAsk,
    PaintedFile, Piece, PriceTable, Seller, SystemClock, Upstream, price, route,
};
use limbic_llm::{Filmer, Generate, Paint, Painter, Provider, Quality};
use limbic_safety::{Rules, SafetyStage};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::film::{self, VideoAsk};
use crate::folder;
use crate::settings::{Entry, Settings};
use crate::stores::open_entries;

/// The tables of the settings with the providers: of texts, of pictures, and of clips.
const TABLES: [&str; 3] = ["llm_providers", "picture_providers", "video_providers"];

/// A gateway as the API sees it.
struct Models {
    gateway: Gateway,
    handle: Handle,
    /// The rules that judge scripts of videos.
    rules: Arc<Rules>,
}

/// Returns an error if the gateway's settings are not valid, or a setting names a model that there is not.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    let mut tables: BTreeMap<&Slug, &str> = BTreeMap::new();
    for table in TABLES {
        for (name, _) in settings.entries.of(table) {
            if let Some(other) = tables.insert(name, table) {
                anyhow::bail!(
                    "{table}.{name}: there is a [{other}.{name}] too: give one of them another name, because routes name providers"
                );
            }
        }
    }
    let llm = &settings.llm;
    llm.check(tables.keys().copied())?;
    let of = |wanted: &str| -> Vec<&Slug> {
        let names = tables.iter().filter(|(_, table)| **table == wanted);
        names.map(|(name, _)| *name).collect()
    };
    let (writers, painters) = (of(TABLES[0]), of(TABLES[1]));
    let creative = settings.section::<CreativeStage>();
    for (setting, model, table, providers) in [
        (
            "creative.generate.model",
            &creative.generate.model,
            TABLES[0],
            writers,
        ),
        ("creative.paint.model", &creative.paint.model, TABLES[1], painters),
    ] {
        let chain = route(&llm.routes, |provider| providers.contains(&provider), model);
        let is_known = chain.is_some_and(|chain| {
            let mut targets = chain.iter();
            targets.all(|target| providers.contains(&&target.provider))
        });
        if !model.is_empty() && !is_known {
            anyhow::bail!(
                "{setting} = {model}: there is no such model: name a route of llm.routes, or PROVIDER/MODEL, with providers of [{table}]"
            );
        }
    }
    Ok(())
}

/// Opens the providers of the settings and the gateway to them. A node without providers has none.
pub(crate) fn open(
    settings: &Settings,
    resources: &Resources,
    handle: &Handle,
    meters: &Registry,
) -> anyhow::Result<Option<Gateway>> {
    let [texts, pictures, clips] = TABLES;
    let writers: BTreeMap<Slug, Arc<dyn Provider>> = open_entries(settings, texts, resources)?;
    let painters: BTreeMap<Slug, Arc<dyn Painter>> = open_entries(settings, pictures, resources)?;
    let writers = writers
        .into_iter()
        .map(|(name, writer)| (name, Maker::Texts(writer)));
    let painters = painters
        .into_iter()
        .map(|(name, painter)| (name, Maker::Pictures(painter)));
    let filmers: BTreeMap<Slug, Arc<dyn Filmer>> = open_entries(settings, clips, resources)?;
    let filmers = filmers
        .into_iter()
        .map(|(name, filmer)| (name, Maker::Clips(filmer)));
    let mut makers: BTreeMap<Slug, Maker> = writers.chain(painters).chain(filmers).collect();
    if makers.is_empty() {
        return Ok(None);
    }
    folder::create(&settings.data_dir)
        .with_context(|| format!("cannot create {}", settings.data_dir.display()))?;
    let clock = Arc::new(SystemClock::default());
    let keep = settings.llm.keep_results.as_millis();
    let ledger = handle.block_on(Ledger::open(&settings.data_dir, keep, clock.now()))?;
    let upstreams = entries(settings).filter_map(|(name, entry)| {
        let upstream = Upstream {
            maker: makers.remove(name)?,
            kind: entry.component.name.to_owned(),
            host: host(entry),
        };
        Some((name.clone(), upstream))
    });
    let meters = GatewayMeters::register(meters).context("cannot register the metrics of language models")?;
    let gateway = Gateway::metered(
        settings.llm.clone(),
        upstreams.collect(),
        ledger,
        clock as Arc<dyn Clock>,
        meters,
    )?;
    let _inside = handle.enter();
    gateway.resume_jobs();
    Ok(Some(gateway))
}

/// The gateway as the API sees it.
pub(crate) fn of_api(
    gateway: Option<Gateway>,
    settings: &Settings,
    handle: &Handle,
) -> anyhow::Result<Arc<dyn LanguageModels>> {
    let Some(gateway) = gateway else {
        return Ok(Arc::new(()));
    };
    Ok(Arc::new(Models {
        gateway,
        handle: handle.clone(),
        rules: Arc::new(Rules::new(settings.section::<SafetyStage>())?),
    }))
}

/// The models of routes whose price is not known, each with its route.
pub(crate) fn without_price(settings: &Settings) -> Vec<String> {
    let shipped = PriceTable::shipped();
    let llm = &settings.llm;
    let mut missing = Vec::new();
    for (place, route) in llm.routes.iter().enumerate() {
        for target in &route.chain {
            let Some((name, entry)) = entries(settings).find(|(name, _)| **name == target.provider) else {
                continue;
            };
            let host = host(entry);
            let seller = Seller {
                name,
                kind: entry.component.name,
                host: &host,
            };
            if price(&llm.prices, &shipped, llm.default_price, &seller, &target.model).is_none() {
                missing.push(format!(
                    "llm.routes[{place}]: `{}` of `{}`",
                    target.model, target.provider
                ));
            }
        }
    }
    missing
}

/// The providers of the settings.
fn entries(settings: &Settings) -> impl Iterator<Item = (&Slug, &Entry)> {
    TABLES.into_iter().flat_map(|table| settings.entries.of(table))
}

/// The host of a provider's URL. Empty if it cannot be read.
fn host(entry: &Entry) -> String {
    let url = entry.component.address(&entry.settings);
    let read = |url: ConnectionUrl| {
        url.reveal()
            .parse::<axum::http::Uri>()
            .ok()?
            .host()
            .map(str::to_owned)
    };
    url.and_then(read).unwrap_or_default()
}

impl LanguageModels for Models {
    fn generate(
        &self,
        tenant: &TenantId,
        key: Option<String>,
        body: GenerateBody,
    ) -> mpsc::UnboundedReceiver<GenerateEvent> {
        let ask = Ask {
            tenant: tenant.clone(),
            key,
            cache: match body.cache {
                CacheMode::Use => CacheUse::Use,
                CacheMode::Refresh => CacheUse::Refresh,
                CacheMode::Off => CacheUse::Off,
            },
            request: Generate {
                model: body.model,
                system: body.system,
                prompt: body.prompt,
                max_tokens: body.max_tokens,
                temperature: body.temperature,
                seed: body.seed,
                schema: body.schema,
            },
        };
        let gateway = self.gateway.clone();
        let (sender, events) = mpsc::unbounded_channel();
        self.handle.spawn(async move {
            let mut pass_on = |piece| {
                let event = match piece {
                    Piece::Text(text) => GenerateEvent::Text(text),
                    Piece::Restart => GenerateEvent::Restart,
                };
                let _ = sender.send(event);
            };
            let result = gateway.generate(ask, &mut pass_on).await;
            let result = result.map(|outcome| text(&gateway, &outcome)).map_err(error);
            let _ = sender.send(GenerateEvent::Done(result));
        });
        events
    }

    fn paint(
        &self,
        tenant: &TenantId,
        key: String,
        body: GenerateBody,
        picture: PictureBody,
    ) -> oneshot::Receiver<Result<GeneratedPicture, GenerateError>> {
        let ask = PaintAsk {
            tenant: tenant.clone(),
            key: Some(key),
            request: Paint {
                model: body.model,
                prompt: body.prompt,
                width: picture.width,
                height: picture.height,
                quality: match picture.quality {
                    PictureQuality::Low => Quality::Low,
                    PictureQuality::Medium => Quality::Medium,
                    PictureQuality::High => Quality::High,
                },
            },
        };
        let gateway = self.gateway.clone();
        let (sender, painted) = oneshot::channel();
        self.handle.spawn(async move {
            let result = gateway.paint(ask).await;
            let result = result
                .map(|outcome| self::picture(&gateway, &outcome))
                .map_err(error);
            let _ = sender.send(result);
        });
        painted
    }

    fn film(
        &self,
        tenant: &TenantId,
        key: String,
        body: GenerateBody,
        video: VideoBody,
    ) -> oneshot::Receiver<Result<GeneratedVideo, GenerateError>> {
        let ask = VideoAsk {
            tenant: tenant.clone(),
            key,
            model: body.model,
            prompt: body.prompt,
            script: video.script,
            shape: video.shape,
        };
        let (gateway, rules) = (self.gateway.clone(), Arc::clone(&self.rules));
        let (sender, filmed) = oneshot::channel();
        self.handle.spawn(async move {
            let _ = sender.send(film::film(&gateway, &rules, &ask).await);
        });
        filmed
    }

    fn providers(&self, viewer: Viewer<'_>) -> Value {
        let mut items = self.gateway.providers();
        if !viewer.is_operator {
            for item in &mut items {
                item.attempts = None;
            }
        }
        let mut shown = json!({
            "items": items,
            "currency": self.gateway.currency(),
            "prices_of": self.gateway.price_date(),
        });
        if let Some(tenant) = viewer.tenant {
            let (spending, limits) = self.gateway.spending(tenant);
            shown["spent_today"] = json!(spending);
            shown["limits"] = json!(limits);
        }
        shown
    }

    fn cache(&self, tenant: &TenantId) -> Value {
        json!(self.gateway.cached(tenant))
    }

    fn clear_cache(&self, tenant: &TenantId) -> Value {
        json!(self.gateway.clear_cache(tenant))
    }

    fn cache_health(&self) -> Value {
        json!(self.gateway.cache())
    }
}

fn text(gateway: &Gateway, outcome: &Outcome) -> GeneratedText {
    let answered = &outcome.answered;
    let generated = &answered.generated;
    let source = json!(outcome.source);
    GeneratedText {
        text: generated.text.clone(),
        model: generated.model.clone(),
        provider: answered.provider.to_string(),
        is_cut_off: generated.is_cut_off,
        prompt_tokens: generated.usage.map(|usage| usage.prompt_tokens),
        completion_tokens: generated.usage.map(|usage| usage.completion_tokens),
        cost_micros: outcome.cost().0,
        currency: gateway.currency().to_owned(),
        source: source.as_str().unwrap_or_default().to_owned(),
    }
}

fn picture(gateway: &Gateway, outcome: &Outcome<PaintedFile>) -> GeneratedPicture {
    let answered = &outcome.answered;
    let painted = &answered.generated;
    let source = json!(outcome.source);
    GeneratedPicture {
        file: painted.file.clone(),
        media_type: painted.media_type.clone(),
        width: painted.width,
        height: painted.height,
        bytes: painted.bytes,
        digital_source: BY_A_MODEL,
        model: painted.model.clone(),
        provider: answered.provider.to_string(),
        cost_micros: outcome.cost().0,
        currency: gateway.currency().to_owned(),
        source: source.as_str().unwrap_or_default().to_owned(),
    }
}

pub(crate) fn error(error: GatewayError) -> GenerateError {
    let retry_after = error.wait().map(seconds);
    match error {
        GatewayError::UnknownModel { known, model } => GenerateError::Invalid {
            field: "model",
            detail: format!("there is no model `{model}`: {known}"),
        },
        GatewayError::Invalid { field, problem } => GenerateError::Invalid {
            field,
            detail: problem,
        },
        GatewayError::OverLimit(_) => GenerateError::OverLimit {
            detail: error.to_string(),
            retry_after,
        },
        GatewayError::Refused { .. } | GatewayError::Ended { .. } => {
            GenerateError::Refused(error.to_string())
        }
        GatewayError::Rejected { .. } => GenerateError::Rejected(error.to_string()),
        GatewayError::Failed { .. } => GenerateError::Failed {
            detail: error.to_string(),
            retry_after,
        },
        GatewayError::NoPrice { .. } => GenerateError::Invalid {
            field: "model",
            detail: error.to_string(),
        },
        GatewayError::Ledger(_) | GatewayError::Stopped => GenerateError::Unavailable(error.to_string()),
    }
}

/// Whole seconds, rounded up.
fn seconds(wait: Duration) -> u32 {
    wait.as_secs_f64().ceil() as u32
}
