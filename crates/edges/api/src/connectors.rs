//! The connectors of this node.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use limbic_domain::TenantId;
use serde_json::{Value, json};

use crate::App;
use crate::auth::{Caller, NamedCaller};
use crate::hooks::{HookRefusal, HookRequest};
use crate::problem::Problem;

/// The connectors of a node.
pub trait Connectors: Send + Sync {
    /// Those of a tenant, by name: their state, what they have read, and the terms of their sources.
    fn list(&self, tenant: &TenantId) -> Vec<Value>;

    /// Pauses a connector, or lets it continue; `by` is who says so. It stays so after a restart. Returns its state. `None` = this
    /// node runs no such connector of this tenant.
    fn pause(
        &self,
        tenant: &TenantId,
        name: &str,
        is_paused: bool,
        by: &str,
    ) -> limbic_stream::Result<Option<Value>>;

    /// The tenant of the connector of this name, if it is a source that sends by itself.
    fn receives(&self, name: &str) -> Option<TenantId>;

    /// Passes on a request of a source that sends by itself. Returns the text of the answer when its posts are durable.
    fn receive(&self, request: &HookRequest) -> Result<String, HookRefusal>;
}

/// A node without connectors.
impl Connectors for () {
    fn list(&self, _: &TenantId) -> Vec<Value> {
        Vec::new()
    }

    fn pause(&self, _: &TenantId, _: &str, _: bool, _: &str) -> limbic_stream::Result<Option<Value>> {
        Ok(None)
    }

    fn receives(&self, _: &str) -> Option<TenantId> {
        None
    }

    fn receive(&self, _: &HookRequest) -> Result<String, HookRefusal> {
        Err(HookRefusal::NotUnderstood(
            "this node runs no connectors".to_owned(),
        ))
    }
}

pub(crate) async fn list(State(app): State<App>, Caller(tenant): Caller) -> Json<Value> {
    Json(json!({"items": app.context.connectors.list(&tenant)}))
}

pub(crate) async fn pause(
    State(app): State<App>,
    caller: NamedCaller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    change(app, caller, name, true).await
}

pub(crate) async fn resume(
    State(app): State<App>,
    caller: NamedCaller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    change(app, caller, name, false).await
}

async fn change(
    app: App,
    caller: NamedCaller,
    name: String,
    is_paused: bool,
) -> Result<Json<Value>, Problem> {
    let connectors = Arc::clone(&app.context.connectors);
    let missing =
        format!("this node runs no connector `{name}`: GET /v1/connectors lists those that it runs");
    let changed =
        tokio::task::spawn_blocking(move || connectors.pause(&caller.tenant, &name, is_paused, &caller.by));
    match changed.await {
        Ok(Ok(Some(view))) => Ok(Json(view)),
        Ok(Ok(None)) => Err(Problem::new(StatusCode::NOT_FOUND, "not found", missing)),
        Ok(Err(error)) => Err(Problem::log_busy(&error, "send the same request again")),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}
