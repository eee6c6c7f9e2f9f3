//! What became of a post.

use limbic_domain::{AudienceStatus, ConsentState, Post, Reading, TenantId, Utc, event_id};
use limbic_views::{Kind, Store};
use serde_json::{Value, json};

use super::words::{clock, signed};
use super::{ExplainError, Explanation, Tables, audience_view};

/// Most audiences that are searched for a post's subjects.
const MOST_PAGES: usize = 20;

pub(super) async fn explain(
    store: &Store,
    tables: &Tables,
    tenant: &TenantId,
    (network, id): (&str, &str),
) -> Result<Explanation, ExplainError> {
    let entity = format!("{network}/{id}");
    let first = |kind| store.list(tenant, kind, Some(&entity), None, 1);
    let post = first(Kind::Post).await?.items.into_iter().next();
    let reading = first(Kind::Reading).await?.items.into_iter().next();
    if post.is_none() && reading.is_none() {
        return Err(ExplainError::NotFound(format!(
            "there is no post `{id}` of `{network}`. It was not sent, it was rejected (the answer to POST /v1/posts names the \
             field), or it is a dead letter (`limbic dead list`). A new post appears after about a second"
        )));
    }
    let mut sentences = Vec::new();
    if let Some(post) = post
        .clone()
        .and_then(|row| serde_json::from_value::<Post>(row).ok())
    {
        sentences.push(format!(
            "The post `{entity}` of {} is accepted.",
            clock(post.created_at)
        ));
    }
    let mut audiences = Vec::new();
    match reading
        .clone()
        .and_then(|row| serde_json::from_value::<Reading>(row).ok())
    {
        None => sentences
            .push("It is not read yet: the stage `affect` may be behind (GET /v1/counts).".to_owned()),
        Some(read) => {
            sentences.extend(of_reading(&read));
            for row in of_subjects(store, tenant, &read).await? {
                let audience = row["audience"].as_str().unwrap_or_default().to_owned();
                let causes = [tenant.as_str(), &audience, &read.post.to_string()];
                let moment = event_id("moment", &causes);
                let tipped = store.by_id(tenant, Kind::Moment, &moment).await?.is_some();
                let Some(view) = audience_view(store, tables, tenant, row).await? else {
                    continue;
                };
                if tipped {
                    sentences.push(format!(
                        "This post tipped the moment of the audience `{audience}`."
                    ));
                }
                sentences.push(format!("About the audience `{audience}`:"));
                sentences.extend(view.sentences.iter().cloned());
                audiences.push(view);
            }
            if audiences.is_empty() && !read.subjects.is_empty() {
                sentences.push(
                    "It counts for no audience yet: it waits for event time, which a later post or POST /v1/watermark moves, or \
                     its author is in no segment of [[profile.segments]]."
                        .to_owned(),
                );
            }
        }
    }
    Ok(Explanation {
        of: entity,
        kind: "post".to_owned(),
        sentences,
        facts: json!({"post": post, "reading": reading, "audiences": audiences}),
    })
}

fn of_reading(read: &Reading) -> Vec<String> {
    let affect = &read.affect;
    let mut emotions: Vec<(&String, &f64)> = affect
        .emotions
        .iter()
        .filter(|(_, score)| **score >= 0.1)
        .collect();
    emotions.sort_by(|a, b| b.1.total_cmp(a.1));
    let emotions: Vec<&str> = emotions.iter().take(3).map(|(name, _)| name.as_str()).collect();
    let emotions = if emotions.is_empty() {
        "no emotion stands out".to_owned()
    } else {
        format!("mostly {}", emotions.join(", "))
    };
    let mut said = vec![format!(
        "It was read by `{}`: valence {}, {emotions}.",
        affect.model,
        signed(affect.valence)
    )];
    if read.subjects.is_empty() {
        said.push(
            "It has no subject, so it counts for no audience: name `subjects` in the post, or add words to [affect.subjects]."
                .to_owned(),
        );
    } else {
        let subjects: Vec<&str> = read.subjects.iter().map(limbic_domain::Slug::as_str).collect();
        said.push(format!("Its subjects: {}.", subjects.join(", ")));
    }
    match read.consent {
        ConsentState::Given | ConsentState::NotRequired => {}
        ConsentState::Denied => said.push("Its author refuses ads: no ad reaches them.".to_owned()),
        ConsentState::Unknown => {
            said.push("Its author did not say whether they consent, and their network requires it: no ad reaches them.".to_owned());
        }
    }
    if read.minor {
        said.push("Its author may be a minor: no ad reaches them.".to_owned());
    }
    if affect.distress.score.get() >= 0.5 {
        said.push("It shows distress: no ad reaches its author while that lasts.".to_owned());
    }
    said
}

/// The audiences of the subjects of a reading.
async fn of_subjects(store: &Store, tenant: &TenantId, read: &Reading) -> Result<Vec<Value>, ExplainError> {
    let mut found = Vec::new();
    let mut after = None;
    for _ in 0..MOST_PAGES {
        let page = store
            .list(tenant, Kind::AudienceStatus, None, after, 1_000)
            .await?;
        for row in page.items {
            let status = serde_json::from_value::<AudienceStatus>(row.clone());
            let is_of_subject = |status: AudienceStatus| {
                let subject = status.audience.subject().to_owned();
                read.subjects.iter().any(|known| known.as_str() == subject)
            };
            if status.is_ok_and(is_of_subject) {
                found.push(row);
            }
        }
        match page.next {
            Some(next) => after = Some(next.parse()?),
            None => break,
        }
    }
    found.sort_by_key(|row| row["at"].as_str().and_then(|at| at.parse::<Utc>().ok()));
    Ok(found)
}
