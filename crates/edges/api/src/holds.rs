//! The subjects that are on hold, and their release by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use limbic_domain::{Envelope, Hold, Release, Slug, TenantId, Utc, event_id, topics};
use limbic_stream::reference::read_table;
use limbic_stream::{Headers, Log, NewRecord};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::auth::{Caller, NamedCaller};
use crate::problem::Problem;
use crate::refusal::Refusal;

/// Longest reason of a release, in characters.
const LONGEST_REASON: usize = 500;

/// `GET /v1/holds`.
#[derive(Debug, Serialize)]
pub(crate) struct Holds {
    /// By subject.
    items: Vec<HoldView>,
}

/// A hold. Those that are over or released are listed until the topic forgets them.
#[derive(Debug, Serialize)]
pub(crate) struct HoldView {
    /// The time of the post that raised or last extended the hold.
    at: Utc,
    #[serde(flatten)]
    hold: Hold,
    /// The hold in a sentence.
    reason: String,
}

impl HoldView {
    fn of(envelope: Envelope<Hold>) -> Self {
        Self {
            at: envelope.at,
            reason: envelope.data.reason(),
            hold: envelope.data,
        }
    }
}

/// The parameters of `DELETE /v1/holds/{subject}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseParams {
    reason: Option<String>,
}

pub(crate) async fn show(State(app): State<App>, Caller(tenant): Caller) -> Result<Json<Holds>, Problem> {
    let turn = app.turn_to_read(&tenant).await?;
    let read = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        read_table(&app.context.log, topics::HOLDS).map(|table| of(&tenant, table.values()))
    });
    match read.await {
        Ok(Ok(Ok(holds))) => Ok(Json(holds)),
        Ok(Ok(Err(error))) => Err(Problem::busy(
            Refusal::Log,
            format!("a hold cannot be read: {error}"),
        )),
        Ok(Err(error)) => Err(Problem::log_busy(&error, "retry after a second")),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

/// Ends a hold before its time. The answer is the released hold; if it was released before, nothing changes.
pub(crate) async fn release(
    State(app): State<App>,
    caller: NamedCaller,
    Path(subject): Path<String>,
    params: Result<Query<ReleaseParams>, QueryRejection>,
) -> Result<Json<HoldView>, Problem> {
    let Query(ReleaseParams { reason }) = params.map_err(Problem::of_query)?;
    if let Some(length) = reason.as_ref().map(|reason| reason.chars().count())
        && length > LONGEST_REASON
    {
        let detail = format!("the reason has {length} characters: give at most {LONGEST_REASON}");
        return Err(Problem::bad_request(detail).of_field("reason"));
    }
    let subject =
        Slug::new(&subject).map_err(|error| Problem::bad_request(error.to_string()).of_field("subject"))?;
    let turn = app.writers.try_take(&caller.tenant);
    let turn = turn.ok_or_else(Problem::too_many_writers)?;
    let released = tokio::task::spawn_blocking(move || {
        let release = Release {
            at: Utc::now(),
            by: caller.by,
            reason,
        };
        let released = write_release(&app.context.log, &caller.tenant, &subject, release);
        drop(turn);
        released
    });
    match released.await {
        Ok(done) => done.map(|hold| Json(HoldView::of(hold))),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

/// Publishes the released hold under the key of the hold. It is durable when this returns.
fn write_release(
    log: &Arc<dyn Log>,
    tenant: &TenantId,
    subject: &Slug,
    release: Release,
) -> Result<Envelope<Hold>, Problem> {
    let key = Hold::key(tenant, subject.as_str());
    let table =
        read_table(log, topics::HOLDS).map_err(|error| Problem::log_busy(&error, "retry after a second"))?;
    let value = table.get(key.as_bytes()).ok_or_else(|| {
        let detail = format!("no hold on the subject `{subject}`: GET /v1/holds lists the holds");
        Problem::new(StatusCode::NOT_FOUND, "not found", detail)
    })?;
    let mut hold = Envelope::<Hold>::decode(value)
        .map_err(|error| Problem::busy(Refusal::Log, format!("the hold cannot be read: {error}")))?;
    if hold.data.released.is_some() {
        return Ok(hold);
    }
    let Release { at, by, reason } = &release;
    tracing::warn!(%tenant, %subject, %at, by, reason, hold = hold.id, "a person released a hold");
    let now = *at;
    hold.id = event_id("release", &[tenant.as_str(), subject.as_str(), &hold.id]);
    hold.data.released = Some(release);
    let record = NewRecord {
        topic: topics::HOLDS.into(),
        partition: None,
        key: key.into(),
        value: hold.encode().into(),
        headers: Headers::new(),
        timestamp: now,
    };
    log.publish(vec![record]).map_err(|error| {
        Problem::log_busy(
            &error,
            "the hold may still be in force: send the same request again",
        )
    })?;
    Ok(hold)
}

/// The holds of one tenant.
fn of<'a>(
    tenant: &TenantId,
    values: impl Iterator<Item = &'a bytes::Bytes>,
) -> Result<Holds, limbic_domain::DecodeError> {
    let mut items = Vec::new();
    for value in values {
        let envelope = Envelope::<Hold>::decode(value)?;
        if envelope.tenant == *tenant {
            items.push(HoldView::of(envelope));
        }
    }
    items.sort_by(|a, b| a.hold.subject.cmp(&b.hold.subject));
    Ok(Holds { items })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use limbic_domain::{HoldCause, PostRef};
    use limbic_stream::TopicSpec;
    use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};

    use super::*;

    fn slug(text: &str) -> Slug {
        Slug::new(text).unwrap()
    }

    fn hold(tenant: &str, subject: &str) -> (String, Bytes) {
        let hold = Hold {
            subject: slug(subject),
            since: Utc::from_millis(0),
            until: Utc::from_millis(1),
            posts: 9,
            sensitive_events: 4,
            unread: 0,
            trigger: PostRef {
                network: slug("bluesky"),
                id: "1".into(),
            },
            cause: HoldCause::SensitiveEvents,
            released: None,
        };
        let tenant = TenantId::new(tenant).unwrap();
        let key = Hold::key(&tenant, subject);
        let value = Envelope::new(tenant, "h".into(), Utc::from_millis(0), hold).encode();
        (key, value.into())
    }

    #[test]
    fn a_tenant_sees_its_own_holds_by_subject() {
        let table = [
            hold("mine", "tennis").1,
            hold("other", "golf").1,
            hold("mine", "football").1,
        ];
        let holds = of(&TenantId::new("mine").unwrap(), table.iter()).unwrap();
        let subjects: Vec<_> = holds
            .items
            .iter()
            .map(|item| item.hold.subject.as_str())
            .collect();
        assert_eq!(subjects, ["football", "tennis"]);
        let json = serde_json::to_value(&holds).unwrap();
        assert!(
            json["items"][0]["reason"]
                .as_str()
                .unwrap()
                .contains("no ad runs")
        );
        assert!(of(&TenantId::default(), [Bytes::from_static(b"{}")].iter()).is_err());
    }

    #[test]
    fn a_release_names_who_and_when_is_the_tenants_own_and_is_still_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || -> Arc<dyn Log> {
            let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).unwrap();
            log.ensure_topics(&[TopicSpec::new(topics::HOLDS, 2).compacted()])
                .unwrap();
            Arc::new(log)
        };
        let log = open();
        let record = |(key, value): (String, Bytes)| NewRecord {
            topic: topics::HOLDS.into(),
            partition: None,
            key: key.into(),
            value,
            headers: Headers::new(),
            timestamp: Utc::from_millis(0),
        };
        log.publish(vec![
            record(hold("mine", "football")),
            record(hold("other", "golf")),
        ])
        .unwrap();
        let release = |by: &str| Release {
            at: Utc::from_millis(7),
            by: by.to_owned(),
            reason: Some("the bus timetable".to_owned()),
        };
        let mine = TenantId::new("mine").unwrap();
        let foreign = write_release(&log, &mine, &slug("golf"), release("key:00000000")).unwrap_err();
        assert_eq!(foreign.status, StatusCode::NOT_FOUND);
        let released = write_release(&log, &mine, &slug("football"), release("key:00000001")).unwrap();
        assert!(!released.data.covers(Utc::from_millis(0)));
        log.close().unwrap();
        drop(log);
        let log = open();
        let again = write_release(&log, &mine, &slug("football"), release("key:00000002")).unwrap();
        assert_eq!(again, released, "the first release counts");
        assert_eq!(again.data.released, Some(release("key:00000001")));
        let (_, other) = hold("other", "golf");
        let table = read_table(&log, topics::HOLDS).unwrap();
        assert_eq!(table.get(&b"other/golf"[..]), Some(&other));
        log.close().unwrap();
    }
}
