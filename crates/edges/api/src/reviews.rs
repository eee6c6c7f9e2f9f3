//! The ads that wait for a person, and what people decide about them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use limbic_domain::{
    Campaign, Creative, DecodeError, EarlierVerdict, Envelope, Record, Rendering, ReviewRequest,
    ReviewVerdict, Slug, TenantId, Utc, Verdict, event_id, text_id, topics,
};
use limbic_stream::reference::read_table;
use limbic_stream::{Headers, Log, NewRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::App;
use crate::auth::{Caller, NamedCaller, Reviewer};
use crate::body::{one_json, receive};
use crate::problem::Problem;
use crate::refusal::Refusal;

/// Maximum bytes of the body of a verdict.
const LIMIT: usize = 64 << 10;

/// Longest reason of a rejection, in characters.
const LONGEST_REASON: usize = 500;

/// Items of a page, unless the caller says otherwise, and at most.
const PAGE: (usize, usize) = (100, 1_000);

/// Judges texts of a person as the stages will: platform fit, brand kit, safety rules.
pub trait JudgeEdits: Send + Sync {
    /// Returns the reason if the ad may not have these texts. `edited` is the ad with the texts of the person.
    fn judge(&self, tenant: &TenantId, campaign: &Campaign, edited: &Creative) -> Result<(), String>;
}

/// Where an ad stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// Nobody has decided about it.
    Waiting,
    /// It may run.
    Approved,
    /// It may run with other texts.
    Edited,
    /// It does not run.
    Rejected,
}

impl ReviewState {
    const fn of(verdict: Option<&Verdict>) -> Self {
        match verdict {
            None => Self::Waiting,
            Some(Verdict::Approve) => Self::Approved,
            Some(Verdict::Edit { .. }) => Self::Edited,
            Some(Verdict::Reject { .. }) => Self::Rejected,
        }
    }
}

/// A piece of a text that has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiffPiece {
    /// It is in both texts.
    Same(String),
    /// It is in the old text only.
    Removed(String),
    /// It is in the new text only.
    Added(String),
}

/// What changed in the texts of an ad, word by word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TextChange {
    /// The id of the ad with the old texts: this one, if a person edited it; otherwise the last one of the same generator, campaign
    /// and platform that a person approved.
    pub from: String,
    /// The headline.
    pub headline: Vec<DiffPiece>,
    /// The body.
    pub body: Vec<DiffPiece>,
}

/// An ad in the queue, or one about which a person has decided.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ReviewView {
    /// The id of the ad.
    pub id: String,
    /// Where it stands.
    pub state: ReviewState,
    /// The time of the first moment that it was written for.
    pub requested_at: Utc,
    /// The ad, and the moment.
    #[serde(flatten)]
    pub request: ReviewRequest,
    /// What was decided, by whom and when; absent while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<ReviewVerdict>,
    /// The id of the decision: a later decision names it in `replaces`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// What changed. Absent if there is nothing to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<TextChange>,
}

/// `GET /v1/reviews`.
#[derive(Debug, Serialize)]
pub(crate) struct ReviewPage {
    /// The oldest first.
    items: Vec<ReviewView>,
    /// The id to pass as `after`. `None` = there are no more.
    next: Option<String>,
}

/// The parameters of `GET /v1/reviews`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListParams {
    state: Option<ReviewState>,
    campaign: Option<Slug>,
    after: Option<String>,
    limit: Option<usize>,
}

/// The body of `POST /v1/reviews/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum ReviewBody {
    /// The ad may run.
    Approve {
        /// The `decision_id` of the decision that this one replaces, if there is one.
        #[serde(default)]
        replaces: Option<String>,
    },
    /// The ad may run with these texts. They must fit the platform, and pass brand kit and safety rules.
    Edit {
        /// One line.
        headline: String,
        /// One line.
        body: String,
        /// As above.
        #[serde(default)]
        replaces: Option<String>,
    },
    /// The ad never runs.
    Reject {
        /// Why, 1 to 500 characters.
        reason: String,
        /// As above.
        #[serde(default)]
        replaces: Option<String>,
    },
}

impl ReviewBody {
    fn into_parts(self) -> (Verdict, Option<String>) {
        match self {
            Self::Approve { replaces } => (Verdict::Approve, replaces),
            Self::Edit {
                headline,
                body,
                replaces,
            } => (Verdict::Edit { headline, body }, replaces),
            Self::Reject { reason, replaces } => (Verdict::Reject { reason }, replaces),
        }
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    params: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<ReviewPage>, Problem> {
    let Query(params) = params.map_err(Problem::of_query)?;
    let limit = params.limit.unwrap_or(PAGE.0);
    if !(1..=PAGE.1).contains(&limit) {
        let detail = format!("is not between 1 and {}: give for instance 100", PAGE.1);
        return Err(Problem::bad_request(detail).of_field("limit"));
    }
    let turn = app.turn_to_read(&tenant).await?;
    let read = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let reviews = Reviews::read(&app.context.log, &tenant)?;
        reviews.page(&params, limit)
    });
    read.await.map_err(|panic| Problem::internal(&panic))?.map(Json)
}

pub(crate) async fn show(
    State(app): State<App>,
    Caller(tenant): Caller,
    Path(id): Path<String>,
) -> Result<Json<ReviewView>, Problem> {
    let turn = app.turn_to_read(&tenant).await?;
    let read = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let reviews = Reviews::read(&app.context.log, &tenant)?;
        let review = reviews.find(&id)?;
        Ok(reviews.view(review))
    });
    read.await.map_err(|panic| Problem::internal(&panic))?.map(Json)
}

/// Decides about an ad. If the same caller sends the same decision again, nothing changes.
pub(crate) async fn decide(
    State(app): State<App>,
    Reviewer(NamedCaller { tenant, by }): Reviewer,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ReviewView>, Problem> {
    let received = receive(&app, &tenant, &headers, body, LIMIT).await?;
    let turn = app.writers.try_take(&tenant);
    let turn = turn.ok_or_else(Problem::too_many_writers)?;
    let decided = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let (bytes, _share) = received.decoded()?;
        let (verdict, replaces) = one_json::<ReviewBody>(&bytes)?.into_parts();
        let decision = Decision {
            verdict,
            replaces,
            by,
            at: Utc::now(),
        };
        // Of two people who decide at the same time, the second one sees the decision of the first.
        let _deciding = app.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        write_verdict(&app.context.log, &*app.context.edits, &tenant, &id, decision)
    });
    decided
        .await
        .map_err(|panic| Problem::internal(&panic))?
        .map(Json)
}

/// Forgets an ad and what was decided about it. If it is written again, it waits again.
pub(crate) async fn forget(
    State(app): State<App>,
    Reviewer(NamedCaller { tenant, by }): Reviewer,
    Path(id): Path<String>,
) -> Result<Json<ReviewView>, Problem> {
    let turn = app.writers.try_take(&tenant);
    let turn = turn.ok_or_else(Problem::too_many_writers)?;
    let forgotten = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let log = &app.context.log;
        let reviews = Reviews::read(log, &tenant)?;
        let review = reviews.find(&id)?;
        let campaign = &review.request.data.campaign;
        tracing::info!(%tenant, %campaign, ad = id, by, "a person deleted a review");
        let keys = [
            ReviewRequest::key(&tenant, campaign, &id),
            ReviewVerdict::key(&tenant, campaign, &id),
        ];
        let now = Utc::now();
        publish(log, keys.map(|key| record(key, Bytes::new(), now)).into())?;
        Ok(reviews.view(review))
    });
    forgotten
        .await
        .map_err(|panic| Problem::internal(&panic))?
        .map(Json)
}

/// What a person decides.
struct Decision {
    verdict: Verdict,
    replaces: Option<String>,
    by: String,
    at: Utc,
}

/// Publishes the verdict. It is durable when this returns.
fn write_verdict(
    log: &Arc<dyn Log>,
    edits: &dyn JudgeEdits,
    tenant: &TenantId,
    id: &str,
    decision: Decision,
) -> Result<ReviewView, Problem> {
    let mut reviews = Reviews::read(log, tenant)?;
    let review = reviews.find(id)?;
    let Decision {
        verdict,
        replaces,
        by,
        at,
    } = decision;
    if let Some(known) = &review.verdict {
        if known.data.verdict == verdict && known.data.by == by {
            return Ok(reviews.view(review));
        }
        if replaces.as_ref() != Some(&known.id) {
            return Err(conflict(known));
        }
    } else if replaces.is_some() {
        let detail = "nobody has decided about this ad: send the verdict without `replaces`";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", detail).of_field("replaces"));
    }
    let request = &review.request.data;
    let rendering = check(log, edits, tenant, request, &verdict)?;
    let mut earlier = Vec::new();
    if let Some(known) = &review.verdict {
        earlier.clone_from(&known.data.earlier);
        earlier.push(EarlierVerdict {
            verdict: known.data.verdict.clone(),
            by: known.data.by.clone(),
            at: known.data.at,
        });
        let surplus = earlier.len().saturating_sub(ReviewVerdict::MOST_EARLIER);
        earlier.drain(..surplus);
    }
    let before = review.verdict.as_ref().map_or("", |known| known.id.as_str());
    let causes = [
        tenant.as_str(),
        request.campaign.as_str(),
        id,
        before,
        &by,
        &at.to_string(),
    ];
    let campaign = request.campaign.clone();
    tracing::info!(%tenant, %campaign, ad = id, verdict = verdict.name(), by, "a person decided about an ad");
    let envelope = Envelope::new(
        tenant.clone(),
        event_id("review_verdict", &causes),
        at,
        ReviewVerdict {
            campaign: campaign.clone(),
            creative: id.to_owned(),
            text: text_id(&rendering),
            verdict,
            by,
            at,
            earlier,
        },
    );
    let key = ReviewVerdict::key(tenant, &campaign, id);
    publish(log, vec![record(key, envelope.encode().into(), at)])?;
    let review = reviews.0.get_mut(id).expect("it was found above");
    review.verdict = Some(envelope);
    let review = &reviews.0[id];
    Ok(reviews.view(review))
}

/// The texts that the verdict is about, if it may be given.
fn check(
    log: &Arc<dyn Log>,
    edits: &dyn JudgeEdits,
    tenant: &TenantId,
    request: &ReviewRequest,
    verdict: &Verdict,
) -> Result<Rendering, Problem> {
    let unprocessable =
        |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad request", detail);
    match verdict {
        Verdict::Approve => Ok(request.creative.rendering.clone()),
        Verdict::Reject { reason } => {
            let length = reason.trim().chars().count();
            if !(1..=LONGEST_REASON).contains(&length) {
                let detail = format!("the reason has {length} characters: give 1 to {LONGEST_REASON}");
                return Err(unprocessable(detail).of_field("reason"));
            }
            Ok(request.creative.rendering.clone())
        }
        Verdict::Edit { headline, body } => {
            let mut edited = request.creative.clone();
            edited.rendering.headline.clone_from(headline);
            edited.rendering.body.clone_from(body);
            let table = read_table(log, topics::CAMPAIGNS)
                .map_err(|error| Problem::log_busy(&error, "retry after a second"))?;
            let campaign = table.get(format!("{tenant}/{}", request.campaign).as_bytes());
            let campaign = campaign.ok_or_else(|| {
                let detail = format!(
                    "the campaign `{}` does not exist any more: the texts cannot be judged; reject the ad, or delete the review",
                    request.campaign
                );
                Problem::new(StatusCode::CONFLICT, "conflict", detail)
            })?;
            let campaign = decode::<Campaign>(campaign)?;
            edits
                .judge(tenant, &campaign.data, &edited)
                .map_err(|reason| unprocessable(format!("these texts may not run: {reason}")))?;
            Ok(edited.rendering)
        }
    }
}

fn conflict(known: &Envelope<ReviewVerdict>) -> Problem {
    let detail = format!(
        "{} decided `{}` at {}: to replace this decision, send `replaces` with its id, {}",
        known.data.by,
        known.data.verdict.name(),
        known.data.at,
        known.id
    );
    Problem::new(StatusCode::CONFLICT, "conflict", detail).of_field("replaces")
}

fn record(key: String, value: Bytes, now: Utc) -> NewRecord {
    NewRecord {
        topic: topics::REVIEWS.into(),
        partition: None,
        key: key.into(),
        value,
        headers: Headers::new(),
        timestamp: now,
    }
}

fn publish(log: &Arc<dyn Log>, records: Vec<NewRecord>) -> Result<(), Problem> {
    let published = log.publish(records);
    published.map(drop).map_err(|error| {
        Problem::log_busy(
            &error,
            "the decision may not be stored: send the same request again",
        )
    })
}

fn decode<T: Record>(value: &[u8]) -> Result<Envelope<T>, Problem> {
    Envelope::<T>::decode(value).map_err(|error: DecodeError| {
        Problem::busy(
            Refusal::Log,
            format!("a record cannot be read ({error}): upgrade this program"),
        )
    })
}

/// A request with its verdict.
struct Review {
    request: Envelope<ReviewRequest>,
    verdict: Option<Envelope<ReviewVerdict>>,
}

/// The reviews of a tenant, by the id of the ad.
struct Reviews(BTreeMap<String, Review>);

impl Reviews {
    fn read(log: &Arc<dyn Log>, tenant: &TenantId) -> Result<Self, Problem> {
        let table = read_table(log, topics::REVIEWS)
            .map_err(|error| Problem::log_busy(&error, "retry after a second"))?;
        let prefix = format!("{tenant}/");
        let own = table
            .range(Bytes::from(prefix.clone())..)
            .take_while(|(key, _)| key.starts_with(prefix.as_bytes()));
        let mut reviews = BTreeMap::new();
        // The request of an ad comes before its verdict, in the order of keys.
        for (key, value) in own {
            if key.ends_with(b"/request") {
                let request = decode::<ReviewRequest>(value)?;
                let id = request.data.creative.id.clone();
                reviews.insert(
                    id,
                    Review {
                        request,
                        verdict: None,
                    },
                );
            } else if key.ends_with(b"/verdict") {
                let verdict = decode::<ReviewVerdict>(value)?;
                if let Some(review) = reviews.get_mut(&verdict.data.creative) {
                    review.verdict = Some(verdict);
                }
            }
        }
        Ok(Self(reviews))
    }

    fn find(&self, id: &str) -> Result<&Review, Problem> {
        self.0.get(id).ok_or_else(|| {
            let detail = format!("no review of an ad `{id}`: GET /v1/reviews lists the reviews");
            Problem::new(StatusCode::NOT_FOUND, "not found", detail)
        })
    }

    fn page(&self, params: &ListParams, limit: usize) -> Result<ReviewPage, Problem> {
        let mut wanted: Vec<&Review> = self
            .0
            .values()
            .filter(|review| {
                let verdict = review.verdict.as_ref().map(|verdict| &verdict.data.verdict);
                params.state.is_none_or(|state| state == ReviewState::of(verdict))
                    && params
                        .campaign
                        .as_ref()
                        .is_none_or(|campaign| *campaign == review.request.data.campaign)
            })
            .collect();
        let place = |review: &Review| (review.request.at, review.request.data.creative.id.clone());
        wanted.sort_by_key(|review| place(review));
        if let Some(after) = &params.after {
            let after = place(self.find(after).map_err(|problem| problem.of_field("after"))?);
            wanted.retain(|review| place(review) > after);
        }
        let has_more = wanted.len() > limit;
        wanted.truncate(limit);
        let items: Vec<ReviewView> = wanted.into_iter().map(|review| self.view(review)).collect();
        let next = items.last().filter(|_| has_more).map(|last| last.id.clone());
        Ok(ReviewPage { items, next })
    }

    fn view(&self, review: &Review) -> ReviewView {
        let request = &review.request.data;
        let verdict = review.verdict.as_ref();
        ReviewView {
            id: request.creative.id.clone(),
            state: ReviewState::of(verdict.map(|verdict| &verdict.data.verdict)),
            requested_at: review.request.at,
            request: request.clone(),
            decision: verdict.map(|verdict| verdict.data.clone()),
            decision_id: verdict.map(|verdict| verdict.id.clone()),
            change: self.change(review),
        }
    }

    /// What changed: by the person who edited the ad, or since the last ad of its kind that a person approved.
    fn change(&self, review: &Review) -> Option<TextChange> {
        let request = &review.request.data;
        let written = &request.creative.rendering;
        match review.verdict.as_ref().map(|verdict| &verdict.data.verdict) {
            Some(Verdict::Edit { headline, body }) => Some(TextChange {
                from: request.creative.id.clone(),
                headline: compare(&written.headline, headline),
                body: compare(&written.body, body),
            }),
            Some(Verdict::Approve | Verdict::Reject { .. }) => None,
            None => {
                let is_of_its_kind = |other: &&Review| {
                    let of_other = &other.request.data;
                    of_other.campaign == request.campaign
                        && of_other.creative.generator == request.creative.generator
                        && of_other.creative.rendering.platform == written.platform
                };
                let approved = self.0.values().filter(is_of_its_kind).filter_map(|other| {
                    let verdict = &other.verdict.as_ref()?.data;
                    let old = &other.request.data.creative.rendering;
                    let (headline, body) = match &verdict.verdict {
                        Verdict::Approve => (&old.headline, &old.body),
                        Verdict::Edit { headline, body } => (headline, body),
                        Verdict::Reject { .. } => return None,
                    };
                    Some((verdict.at, other.request.data.creative.id.clone(), headline, body))
                });
                let (_, from, headline, body) = approved.max()?;
                Some(TextChange {
                    from,
                    headline: compare(headline, &written.headline),
                    body: compare(body, &written.body),
                })
            }
        }
    }
}

/// The words of two texts, compared.
fn compare(old: &str, new: &str) -> Vec<DiffPiece> {
    let diff = similar::TextDiff::from_words(old, new);
    let mut pieces: Vec<DiffPiece> = Vec::new();
    for change in diff.iter_all_changes() {
        let text = change.value();
        let piece = match (change.tag(), pieces.last_mut()) {
            (similar::ChangeTag::Equal, Some(DiffPiece::Same(before)))
            | (similar::ChangeTag::Delete, Some(DiffPiece::Removed(before)))
            | (similar::ChangeTag::Insert, Some(DiffPiece::Added(before))) => {
                before.push_str(text);
                continue;
            }
            (similar::ChangeTag::Equal, _) => DiffPiece::Same(text.to_owned()),
            (similar::ChangeTag::Delete, _) => DiffPiece::Removed(text.to_owned()),
            (similar::ChangeTag::Insert, _) => DiffPiece::Added(text.to_owned()),
        };
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests;
