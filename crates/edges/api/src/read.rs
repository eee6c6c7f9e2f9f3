//! Reads from the view and the time series.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use limbic_domain::{TenantId, Utc};
use limbic_metrics::SeriesError;
use limbic_views::{Cursor, Kind, Selection, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::App;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::refusal::Refusal;
use crate::turns::Turn;

/// The parameters of every list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    after: Option<String>,
    limit: Option<u32>,
    #[serde(alias = "platform")]
    network: Option<String>,
    id: Option<String>,
    audience: Option<String>,
    campaign: Option<String>,
    decision: Option<String>,
    /// Only events at this time or later.
    from: Option<String>,
    /// Only events before this time.
    to: Option<String>,
    #[serde(default)]
    order: Order,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// In the order in which the events were written.
    #[default]
    #[serde(alias = "asc")]
    Oldest,
    /// The last written event first.
    #[serde(alias = "desc")]
    Newest,
}

/// The part of a list that is asked for.
struct Part {
    after: Option<String>,
    limit: Option<u32>,
    from: Option<String>,
    to: Option<String>,
    order: Order,
}

impl ListParams {
    /// The part, and what is left of the parameters.
    fn part(&mut self) -> Part {
        Part {
            after: self.after.take(),
            limit: self.limit,
            from: self.from.take(),
            to: self.to.take(),
            order: self.order,
        }
    }
}

type Listed = Result<Response, Problem>;
type Params = Result<Query<ListParams>, QueryRejection>;

pub(crate) fn store(app: &App) -> Result<&Store, Problem> {
    let store = app.context.store.as_ref();
    store.map_err(|reason| Problem::new(StatusCode::NOT_FOUND, "view not open", reason.clone()))
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(crate) fn store_problem(error: StoreError) -> Problem {
    match &error {
        StoreError::BadCursor(_) => Problem::bad_request(error.to_string()).of_field("after"),
        StoreError::Database { .. } => {
            tracing::warn!(%error, "the view did not answer");
            Problem::busy(
                Refusal::Database,
                "the database of the view does not answer: retry",
            )
        }
        StoreError::Overtaken(_)
        | StoreError::Body { .. }
        | StoreError::Unsealed(_)
        | StoreError::DamagedId
        | StoreError::TooNew { .. } => Problem::internal(&error),
    }
}

async fn list(app: &App, tenant: &TenantId, kind: Kind, subject: Option<String>, part: Part) -> Listed {
    let after: Option<Cursor> = part
        .after
        .map(|text| text.parse())
        .transpose()
        .map_err(store_problem)?;
    let limit = part.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(Problem::bad_request(format!(
            "{limit} is not between 1 and 1000: give for instance limit=100"
        ))
        .of_field("limit"));
    }
    let time = |name: &'static str, text: Option<String>| {
        let time = text.map(|text| text.parse::<Utc>());
        time.transpose()
            .map_err(|error| Problem::bad_request(error.to_string()).of_field(name))
    };
    let (from, to) = (time("from", part.from)?, time("to", part.to)?);
    let turn = app.turn_to_read(tenant).await?;
    let selection = Selection {
        entity: subject.as_deref(),
        after,
        newest_first: part.order == Order::Newest,
        from,
        to,
        limit,
    };
    let page = store(app)?.select(tenant, kind, &selection).await;
    written(turn, page.map_err(store_problem)?).await
}

/// A large answer as JSON. It is written outside the async threads, because other requests wait for those, and within the turn, so
/// that one tenant does not have many of them written at once.
async fn written<T: Serialize + Send + 'static>(turn: Turn, answer: T) -> Listed {
    let written = tokio::task::spawn_blocking(move || {
        let bytes = serde_json::to_vec(&answer);
        drop((answer, turn));
        bytes
    });
    let bytes = written.await.map_err(|panic| Problem::internal(&panic))?;
    let bytes = bytes.map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

fn params(given: Params) -> Result<ListParams, Problem> {
    given.map(|Query(params)| params).map_err(Problem::of_query)
}

pub(crate) async fn readings(State(app): State<App>, Caller(tenant): Caller, given: Params) -> Listed {
    let mut given = params(given)?;
    let part = given.part();
    let subject = match (given.network, given.id) {
        (Some(network), Some(id)) => Some(format!("{network}/{id}")),
        (None, None) => None,
        _ => {
            return Err(Problem::bad_request("give both `network` and `id`, or neither").of_field("network"));
        }
    };
    list(&app, &tenant, Kind::Reading, subject, part).await
}

pub(crate) async fn moments(State(app): State<App>, Caller(tenant): Caller, given: Params) -> Listed {
    let mut given = params(given)?;
    let part = given.part();
    list(&app, &tenant, Kind::Moment, given.audience, part).await
}

pub(crate) async fn creatives(State(app): State<App>, Caller(tenant): Caller, given: Params) -> Listed {
    let mut given = params(given)?;
    let part = given.part();
    list(&app, &tenant, Kind::CreativeSet, given.campaign, part).await
}

pub(crate) async fn decisions(State(app): State<App>, Caller(tenant): Caller, given: Params) -> Listed {
    let mut given = params(given)?;
    let part = given.part();
    list(&app, &tenant, Kind::Decision, given.campaign, part).await
}

pub(crate) async fn outcomes(State(app): State<App>, Caller(tenant): Caller, given: Params) -> Listed {
    let mut given = params(given)?;
    let part = given.part();
    list(&app, &tenant, Kind::Outcome, given.decision, part).await
}

pub(crate) async fn decision(
    State(app): State<App>,
    Caller(tenant): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let _turn = app.turn_to_read(&tenant).await?;
    let found = store(&app)?
        .by_id(&tenant, Kind::Decision, &id)
        .await
        .map_err(store_problem)?;
    if let Some(found) = found {
        return Ok(Json(found));
    }
    Err(not_found(
        &app,
        &tenant,
        Kind::Decision,
        format!("there is no decision `{id}`; a new decision appears after about a second"),
    )
    .await)
}

/// The answer if there is no event, with the time before which events are deleted, if any are.
async fn not_found(app: &App, tenant: &TenantId, kind: Kind, detail: String) -> Problem {
    let deleted = match store(app) {
        Ok(store) => store.deleted(tenant, kind).await.map_err(store_problem),
        Err(problem) => Err(problem),
    };
    match deleted {
        Err(problem) => problem,
        Ok(None) => Problem::new(StatusCode::NOT_FOUND, "not found", detail),
        Ok(Some(deleted)) => {
            let detail = format!(
                "{detail}; {} from before {} are deleted because of their age (views.keep.{})",
                kind.plural(),
                deleted.before,
                kind.plural()
            );
            Problem::new(StatusCode::NOT_FOUND, "not found", detail)
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostParams {
    #[serde(alias = "platform")]
    network: Option<String>,
}

/// `GET /v1/posts/{id}?network=…`: the network's own id, or the post's event id.
pub(crate) async fn post(
    State(app): State<App>,
    Caller(tenant): Caller,
    Path(id): Path<String>,
    given: Result<Query<PostParams>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(given) = given.map_err(Problem::of_query)?;
    if let Some(network) = given.network {
        return post_by_network(State(app), Caller(tenant), Path((network, id))).await;
    }
    let _turn = app.turn_to_read(&tenant).await?;
    let found = store(&app)?
        .by_id(&tenant, Kind::Post, &id)
        .await
        .map_err(store_problem)?;
    if let Some(found) = found {
        return Ok(Json(found));
    }
    let detail = format!(
        "there is no post with the event id `{id}`; to find it by the id of its social network, add ?network=NAME"
    );
    Err(not_found(&app, &tenant, Kind::Post, detail).await)
}

pub(crate) async fn post_by_network(
    State(app): State<App>,
    Caller(tenant): Caller,
    Path((network, id)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let subject = format!("{network}/{id}");
    let _turn = app.turn_to_read(&tenant).await?;
    let page = store(&app)?
        .list(&tenant, Kind::Post, Some(&subject), None, 1)
        .await
        .map_err(store_problem)?;
    if let Some(found) = page.items.into_iter().next() {
        return Ok(Json(found));
    }
    let detail = format!("there is no post `{id}` of `{network}`; a new post appears after about a second");
    Err(not_found(&app, &tenant, Kind::Post, detail).await)
}

/// `GET /v1/series?measurement=…&field=…&from=…&to=…&step=…&tag.NAME=…`.
pub(crate) async fn series(
    State(app): State<App>,
    Caller(tenant): Caller,
    Query(mut given): Query<BTreeMap<String, String>>,
) -> Listed {
    let series = app.context.series.as_ref();
    let series =
        series.map_err(|reason| Problem::new(StatusCode::NOT_FOUND, "series not open", reason.clone()))?;
    let mut required = |name: &'static str, example: &str| {
        given.remove(name).ok_or_else(|| {
            let detail = format!("`{name}` is missing: give one, for instance {name}={example}");
            Problem::bad_request(detail).of_field(name)
        })
    };
    let measurement = required("measurement", "emotion")?;
    let field = required("field", "valence")?;
    let time = |name: &'static str, text: Option<String>, default: Utc| match text {
        None => Ok(default),
        Some(text) => text
            .parse::<Utc>()
            .map_err(|error| Problem::bad_request(error.to_string()).of_field(name)),
    };
    let now = Utc::now();
    let to = time("to", given.remove("to"), now.plus_millis(60_000))?;
    let from = time("from", given.remove("from"), to.plus_millis(-3_600_000))?;
    let step_seconds = match given.remove("step") {
        None => 10,
        Some(text) => seconds(&text).ok_or_else(|| {
            Problem::bad_request(format!(
                "`{text}` is not a step: write for instance 10s, 1m or 1h"
            ))
            .of_field("step")
        })?,
    };
    let mut tags = BTreeMap::new();
    for (name, value) in given {
        let Some(tag) = name.strip_prefix("tag.") else {
            return Err(Problem::bad_request(format!(
                "unknown parameter `{name}`: write a tag as tag.NAME=VALUE"
            ))
            .of_field(name));
        };
        tags.insert(tag.to_owned(), value);
    }
    let turn = app.turn_to_read(&tenant).await?;
    match series
        .query(&tenant, &measurement, &tags, &field, from, to, step_seconds)
        .await
    {
        Ok(values) => {
            let mut answer = json!({"items": values.items, "next": null});
            if let Some(before) = values.deleted_before {
                answer["deleted_before"] = json!(before);
            }
            written(turn, answer).await
        }
        Err(SeriesError::BadQuery(problem)) => Err(Problem::bad_request(problem).of_field("query")),
        Err(SeriesError::Unavailable(problem)) => {
            tracing::warn!(%problem, "the time series did not answer");
            Err(Problem::busy(
                Refusal::Database,
                "the store of time series does not answer: retry",
            ))
        }
    }
}

/// `10s`, `5m`, `1h` in seconds.
fn seconds(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    number.parse::<u32>().ok().filter(|n| *n > 0)?.checked_mul(unit)
}
