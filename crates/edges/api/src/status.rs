//! The state of audiences, campaigns and ad platforms, and explanations of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use limbic_domain::{CampaignStatus, CreativeSet, Decision, DecisionResult, TenantId, Utc};
use limbic_ingest::SourceStatus;
use limbic_views::{Cursor, Kind, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::App;
use crate::auth::Caller;
use crate::explain::{
    self, AudienceView, ExplainError, Explanation, PlatformView, Tables, audience_view, interval,
    platform_views,
};
use crate::problem::Problem;
use crate::read::{store, store_problem};
use crate::refusal::Refusal;

/// Most rows that one request looks at for a filter.
const MOST_LOOKED_AT: u32 = 2_000;
/// The newest sets of ads in which the bodies of ads are looked for.
const NEWEST_SETS: u32 = 20;
/// The newest decisions of a campaign that are counted by rule.
const NEWEST_DECISIONS: u32 = 1_000;

/// The parameters of `GET /v1/audiences`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AudienceParams {
    subject: Option<String>,
    segment: Option<String>,
    /// Only audiences whose last moment is not older, and that have one.
    moment_since: Option<Utc>,
    after: Option<String>,
    limit: Option<u32>,
}

/// A page of audiences.
#[derive(Debug, Serialize)]
pub(crate) struct Audiences {
    items: Vec<AudienceView>,
    next: Option<String>,
    position: String,
}

async fn tables(app: &App, tenant: &TenantId) -> Result<Tables, Problem> {
    let (log, tenant) = (Arc::clone(&app.context.log), tenant.clone());
    match tokio::task::spawn_blocking(move || Tables::read(&log, &tenant)).await {
        Ok(read) => read.map_err(problem),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

fn problem(error: ExplainError) -> Problem {
    match error {
        ExplainError::View(error) => store_problem(error),
        ExplainError::Table { .. } => {
            tracing::warn!(%error, "the log did not serve a request");
            Problem::busy(Refusal::Log, "the log does not answer: retry after a second")
        }
        ExplainError::NotNamed(_) => Problem::bad_request(error.to_string()).of_field("of"),
        ExplainError::NotFound(detail) => Problem::new(StatusCode::NOT_FOUND, "not found", detail),
    }
}

/// `GET /v1/audiences`: those that changed last come last.
pub(crate) async fn audiences(
    State(app): State<App>,
    Caller(tenant): Caller,
    given: Result<Query<AudienceParams>, QueryRejection>,
) -> Result<Json<Audiences>, Problem> {
    let _turn = app.turn_to_read(&tenant).await?;
    let Query(given) = given.map_err(Problem::of_query)?;
    let limit = given.limit.unwrap_or(100);
    if !(1..=200).contains(&limit) {
        let detail = format!("{limit} is not between 1 and 200: give for instance limit=100");
        return Err(Problem::bad_request(detail).of_field("limit"));
    }
    let after = given.after.as_deref().map(str::parse::<Cursor>);
    let mut after = after.transpose().map_err(store_problem)?;
    let store = store(&app)?;
    let tables = tables(&app, &tenant).await?;
    let mut items = Vec::new();
    let mut looked_at = 0;
    // A filter may leave little of a page: further pages follow, within a bound.
    let (next, position) = loop {
        let page = store
            .list(
                &tenant,
                Kind::AudienceStatus,
                None,
                after,
                limit - items.len() as u32,
            )
            .await
            .map_err(store_problem)?;
        looked_at += page.items.len() as u32;
        for row in page.items {
            if !is_wanted(&row, &given) {
                continue;
            }
            items.extend(
                audience_view(store, &tables, &tenant, row)
                    .await
                    .map_err(problem)?,
            );
        }
        let is_enough = items.len() as u32 >= limit || looked_at >= MOST_LOOKED_AT;
        match page.next {
            Some(next) if !is_enough => after = Some(next.parse().map_err(store_problem)?),
            next => break (next, page.position),
        }
    };
    Ok(Json(Audiences {
        items,
        next,
        position,
    }))
}

fn is_wanted(row: &Value, given: &AudienceParams) -> bool {
    let audience = row["audience"].as_str().unwrap_or_default();
    let (segment, subject) = audience.split_once(':').unwrap_or_default();
    let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
    let moment = row["last_moment"]["at"]
        .as_str()
        .and_then(|at| at.parse::<Utc>().ok());
    let is_recent = given
        .moment_since
        .is_none_or(|since| moment.is_some_and(|at| at >= since));
    is(&given.subject, subject) && is(&given.segment, segment) && is_recent
}

/// The parameters of `GET /v1/explain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainParams {
    of: String,
}

/// `GET /v1/explain?of=…`.
pub(crate) async fn explain(
    State(app): State<App>,
    Caller(tenant): Caller,
    given: Result<Query<ExplainParams>, QueryRejection>,
) -> Result<Json<Explanation>, Problem> {
    let _turn = app.turn_to_read(&tenant).await?;
    let Query(given) = given.map_err(Problem::of_query)?;
    let store = store(&app)?;
    let tables = tables(&app, &tenant).await?;
    let explained = explain::explain(store, &tables, &tenant, &given.of).await;
    let mut explained = explained.map_err(problem)?;
    if let Some((network, _)) = given.of.split_once('/') {
        let sources = own_sources(&app, &tenant);
        let source = sources.iter().find(|source| source.network == network);
        explained
            .sentences
            .extend(source.and_then(SourceStatus::of_dropped));
    }
    Ok(Json(explained))
}

/// What this node did with the posts of each network. Empty if it accepts none.
fn own_sources(app: &App, tenant: &TenantId) -> Vec<SourceStatus> {
    let edge = app.context.edge.as_ref();
    edge.map_or_else(Vec::new, |edge| edge.sources(tenant))
}

/// `GET /v1/sources`: what this node did with the posts of each social network since it started.
pub(crate) async fn sources(State(app): State<App>, Caller(tenant): Caller) -> Result<Json<Value>, Problem> {
    let _turn = app.turn_to_read(&tenant).await?;
    Ok(Json(json!({"items": own_sources(&app, &tenant)})))
}

/// `GET /v1/platforms`: how the deliveries to each ad platform stand.
pub(crate) async fn platforms(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> Result<Json<Value>, Problem> {
    let _turn = app.turn_to_read(&tenant).await?;
    let views = platform_views(store(&app)?, &tenant, None)
        .await
        .map_err(problem)?;
    let items: Vec<PlatformView> = views.into_values().collect();
    Ok(Json(json!({"items": items})))
}

/// `GET /v1/campaigns`: what each campaign has chosen, and what came of it.
pub(crate) async fn campaigns(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> Result<Json<Value>, Problem> {
    let _turn = app.turn_to_read(&tenant).await?;
    let tables = tables(&app, &tenant).await?;
    let store = store(&app)?;
    let mut items = Vec::new();
    for campaign in &tables.campaigns {
        items.push(
            campaign_view(store, &tables, &tenant, campaign.id.as_str())
                .await
                .map_err(problem)?,
        );
    }
    Ok(Json(json!({"items": items})))
}

/// `GET /v1/campaigns/{id}`.
pub(crate) async fn campaign(
    State(app): State<App>,
    Caller(tenant): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let _turn = app.turn_to_read(&tenant).await?;
    let tables = tables(&app, &tenant).await?;
    let view = campaign_view(store(&app)?, &tables, &tenant, &id).await;
    view.map(Json).map_err(problem)
}

/// A campaign: its settings, what it has chosen with what result, and what withheld its ads.
pub async fn campaign_view(
    store: &Store,
    tables: &Tables,
    tenant: &TenantId,
    id: &str,
) -> Result<Value, ExplainError> {
    let settings = tables
        .campaigns
        .iter()
        .find(|campaign| campaign.id.as_str() == id);
    let row = store.by_id(tenant, Kind::CampaignStatus, id).await?;
    if settings.is_none() && row.is_none() {
        let known: Vec<&str> = tables
            .campaigns
            .iter()
            .map(|campaign| campaign.id.as_str())
            .collect();
        let known = if known.is_empty() {
            "there are none: add [[campaigns]] to the settings file".to_owned()
        } else {
            format!("the campaigns are {}", known.join(", "))
        };
        return Err(ExplainError::NotFound(format!(
            "there is no campaign `{id}`; {known}"
        )));
    }
    let at = row.as_ref().map(|row| row["at"].clone());
    let status = row.and_then(|row| serde_json::from_value::<CampaignStatus>(row).ok());
    let bodies = bodies(store, tenant, id).await?;
    let creatives: Vec<Value> = status
        .iter()
        .flat_map(|status| &status.creatives)
        .map(|creative| {
            let mut value = json!(creative);
            if let Some(body) = bodies.get(&creative.creative) {
                value["body"] = json!(body);
            }
            let (hits, trials) = (creative.clicks, creative.impressions);
            if let Some((low, high)) = interval(hits, trials) {
                value["clicks_per_impression"] =
                    json!({"estimate": hits as f64 / trials as f64, "at_least": low, "at_most": high});
            }
            value
        })
        .collect();
    let newest = store
        .newest(tenant, Kind::Decision, Some(id), None, NEWEST_DECISIONS)
        .await?;
    let counted = newest.items.len();
    let (mut chosen, mut held_out) = (0_u64, 0_u64);
    let mut withheld = BTreeMap::<String, u64>::new();
    for row in newest.items {
        match serde_json::from_value::<Decision>(row).map(|decision| decision.result) {
            Ok(DecisionResult::Chosen(_)) => chosen += 1,
            Ok(DecisionResult::HeldOut(_)) => held_out += 1,
            Ok(DecisionResult::Suppressed(suppressed)) => *withheld.entry(suppressed.rule).or_default() += 1,
            Err(_) => {}
        }
    }
    Ok(json!({
        "campaign": id,
        "settings": settings,
        "at": at,
        "since": status.as_ref().map(|status| status.since),
        "creatives": creatives,
        "periods": status.map(|status| status.periods).unwrap_or_default(),
        "newest_decisions": {"counted": counted, "chosen": chosen, "held_out": held_out, "withheld": withheld},
    }))
}

/// The bodies of the ads in the newest sets of a campaign, by the creative's id: several ads may have the same headline.
async fn bodies(
    store: &Store,
    tenant: &TenantId,
    campaign: &str,
) -> Result<BTreeMap<String, String>, ExplainError> {
    let newest = store
        .newest(tenant, Kind::CreativeSet, Some(campaign), None, NEWEST_SETS)
        .await?;
    let sets = newest.items.into_iter();
    let sets = sets.filter_map(|row| serde_json::from_value::<CreativeSet>(row).ok());
    let creatives = sets.flat_map(|set| set.creatives);
    Ok(creatives
        .map(|creative| (creative.id, creative.rendering.body))
        .collect())
}
