//! The components of this node, and which stores it has opened.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};

use crate::App;

/// A component as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentView {
    /// What it is one of: `stage`, `connector`, `ad platform`, `LLM provider` or `store`.
    pub kind: &'static str,
    /// Its name, unique within its kind.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The section of the settings file that it reads.
    pub section: &'static str,
    /// What it works with.
    pub needs: Vec<&'static str>,
    /// Whether this node runs it.
    pub runs_here: bool,
}

/// `GET /v1/components`.
pub(crate) async fn show(State(app): State<App>) -> Json<Value> {
    let store = |closed: Option<&String>| json!({"open": closed.is_none(), "reason": closed});
    Json(json!({
        "items": app.context.components,
        "stores": {
            "view": store(app.context.store.as_ref().err()),
            "series": store(app.context.series.as_ref().err()),
        },
    }))
}
