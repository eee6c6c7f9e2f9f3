//! Exact counts of records.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use limbic_domain::{TenantId, topics};
use limbic_stream::runtime::{StageCounts, count_stages};
use serde::Serialize;

use crate::App;
use crate::auth::Operator;
use crate::problem::Problem;

/// `GET /v1/counts`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    topics: BTreeMap<String, TopicCounts>,
    stages: BTreeMap<String, StageView>,
}

#[derive(Debug, Default, Serialize)]
struct TopicCounts {
    /// Records written to it since it was created.
    records: u64,
    /// Its records that became dead letters, by reason.
    dead: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Serialize)]
struct StageView {
    /// Records consumed since the stage first ran.
    consumed: u64,
    /// Records that are not consumed yet.
    lag: u64,
    /// Records that retention deleted before the stage read them, by topic. They are lost for this stage.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    skipped: BTreeMap<String, u64>,
    /// Records written since the stage first ran, by topic.
    produced: BTreeMap<String, u64>,
}

/// For operators, because the counts are totals of all tenants.
pub(crate) async fn show(State(app): State<App>, _: Operator) -> Result<Json<Counts>, Problem> {
    let turn = app.turn_to_read(&TenantId::default()).await?;
    let counted = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut all = Vec::new();
        for stage in &app.context.stages {
            let counts = count_stages(&*app.context.log, stage)?;
            all.push((stage.name.to_string(), counts));
        }
        Ok::<_, limbic_stream::Error>(add_up(all))
    });
    match counted.await {
        Ok(Ok(counts)) => Ok(Json(counts)),
        Ok(Err(error)) => Err(Problem::log_busy(&error, "retry after a second")),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

fn add_up(stages: Vec<(String, StageCounts)>) -> Counts {
    let mut counts = Counts::default();
    for topic in topics::ALL {
        counts.topics.insert(topic.to_owned(), TopicCounts::default());
    }
    for (name, stage) in stages {
        // Only the edge writes `intake`, so its records are those that were read plus the lag.
        if let Some(consumed) = stage.consumed_by_topic.get(topics::INTAKE) {
            let lag = stage.lag_by_topic.get(topics::INTAKE).copied().unwrap_or(0);
            counts
                .topics
                .entry(topics::INTAKE.to_owned())
                .or_default()
                .records += consumed + lag;
        }
        for (topic, n) in &stage.produced {
            counts.topics.entry(topic.clone()).or_default().records += n;
        }
        for (topic, reasons) in &stage.dead {
            let dead = &mut counts.topics.entry(topic.clone()).or_default().dead;
            for (reason, n) in reasons {
                *dead.entry(reason.clone()).or_default() += n;
            }
        }
        let view = StageView {
            consumed: stage.consumed,
            lag: stage.lag,
            skipped: stage.skipped,
            produced: stage.produced,
        };
        counts.stages.insert(name, view);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_a_topic_is_the_sum_over_the_stages_that_write_it() {
        let wrote = |n| StageCounts {
            produced: [("outcomes".to_owned(), n)].into(),
            ..StageCounts::default()
        };
        let counts = add_up(vec![
            ("ingest".to_owned(), wrote(2)),
            ("deliver".to_owned(), wrote(3)),
        ]);
        assert_eq!(counts.topics["outcomes"].records, 5);
        assert_eq!(
            counts.topics["posts"].records, 0,
            "every topic is named, also before its first record"
        );
    }
}
