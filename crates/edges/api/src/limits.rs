//! What this node has refused, and how full it is.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use prometheus::IntCounterVec;
use prometheus::core::Collector as _;
use serde::Serialize;

use crate::App;
use crate::auth::Operator;

/// `GET /v1/limits`. Numbers of this node since it started, of all tenants.
#[derive(Debug, Serialize)]
pub(crate) struct Limits {
    /// Requests that were refused, by reason.
    requests: BTreeMap<String, u64>,
    /// Connections that were refused, by reason.
    connections: BTreeMap<String, u64>,
    /// Connections that the node closed, by reason.
    closed: BTreeMap<String, u64>,
    /// What is taken now, and of how much.
    taken: Taken,
}

#[derive(Debug, Serialize)]
struct Taken {
    connections: Share,
    /// Bytes of request bodies.
    bodies: Share,
    /// Bytes of answers that clients have not read.
    answers: Share,
}

#[derive(Debug, Serialize)]
struct Share {
    now: u64,
    of: u64,
}

/// For operators, because the numbers are totals of all tenants.
pub(crate) async fn show(State(app): State<App>, _: Operator) -> Json<Limits> {
    let (meters, settings) = (&app.context.meters, &app.context.settings);
    let connections = u64::try_from(meters.connections.get()).unwrap_or(0);
    Json(Limits {
        requests: by_reason(&meters.requests_refused),
        connections: by_reason(&meters.refused),
        closed: by_reason(&meters.closed),
        taken: Taken {
            connections: Share {
                now: connections,
                of: settings.connections as u64,
            },
            bodies: Share {
                now: app.bodies.taken(),
                of: settings.bodies.get(),
            },
            answers: Share {
                now: app.answers.taken(),
                of: settings.answers.get(),
            },
        },
    })
}

/// The counters that are not 0, by their label.
fn by_reason(counters: &IntCounterVec) -> BTreeMap<String, u64> {
    let families = counters.collect();
    let metrics = families
        .iter()
        .flat_map(prometheus::proto::MetricFamily::get_metric);
    metrics
        .filter_map(|metric| {
            let reason = metric.get_label().first()?.value().to_owned();
            let count = metric.get_counter().get_value() as u64;
            (count > 0).then_some((reason, count))
        })
        .collect()
}
