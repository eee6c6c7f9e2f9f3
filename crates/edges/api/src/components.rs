//! The components of this node, and which stores it has opened.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};

use crate::App;
use crate::auth::Caller;

/// A component as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentView {
    /// The kind: `stage`, `log`, `view store`, `series store`, `id store`, `ad platform`, `connector` or `LLM provider`.
    pub kind: &'static str,
    /// Its name, unique within its kind.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The section of the settings file that it reads, if it has one.
    pub section: Option<&'static str>,
    /// How to configure it, for instance `[profile]` or `view = "postgres://HOST:PORT/DATABASE"`.
    pub settings: String,
    /// The resources that it uses.
    pub needs: Vec<&'static str>,
    /// What uses the components of its kind, in one sentence.
    pub usage: &'static str,
    /// The entries of the settings file for this component, for instance the names of ad platforms.
    pub entries: Vec<String>,
    /// Whether this node runs it, or has opened it.
    pub runs_here: bool,
}

/// `GET /v1/components`.
pub(crate) async fn show(State(app): State<App>, _: Caller) -> Json<Value> {
    let store = |closed: Option<&String>| json!({"open": closed.is_none(), "reason": closed});
    Json(json!({
        "items": app.context.components,
        "stores": {
            "view": store(app.context.store.as_ref().err()),
            "series": store(app.context.series.as_ref().err()),
        },
    }))
}
