//! A server that does what the API reference of Qdrant 1.19 says of the calls that the index makes, and refuses what it refuses.
//! <https://api.qdrant.tech/v-1-19-x/api-reference>, read 2026-11-30.

#![expect(
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    reason = "axum answers with what a handler returns: a reply or a response"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Clone)]
struct Server {
    key: String,
    collections: Arc<Mutex<BTreeMap<String, Collection>>>,
}

struct Collection {
    size: usize,
    points: BTreeMap<String, (Vec<f64>, Value)>,
}

type Reply = Result<Json<Value>, Response>;

fn error(status: StatusCode, text: &str) -> Response {
    (
        status,
        Json(json!({"time": 0.0, "status": {"error": text}, "result": null})),
    )
        .into_response()
}

fn bad(text: &str) -> Response {
    error(
        StatusCode::BAD_REQUEST,
        &format!("Format error in JSON body: {text}"),
    )
}

fn ok(result: &Value) -> Reply {
    Ok(Json(json!({"time": 0.000_1, "status": "ok", "result": result})))
}

fn not_found(name: &str) -> Response {
    error(
        StatusCode::NOT_FOUND,
        &format!("Not found: Collection `{name}` doesn't exist!"),
    )
}

/// Serves at an address of this machine, which is returned. An empty key = none is asked for.
pub(crate) async fn start(key: &str) -> String {
    let server = Server {
        key: key.to_owned(),
        collections: Arc::default(),
    };
    let router = Router::new()
        .route("/", get(version))
        .route("/collections/{name}", put(create))
        .route("/collections/{name}/exists", get(exists))
        .route("/collections/{name}/index", put(index))
        .route("/collections/{name}/points", put(upsert))
        .route("/collections/{name}/points/query", post(query))
        .layer(from_fn_with_state(server.clone(), authorised))
        .with_state(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn authorised(State(server): State<Server>, request: Request, next: Next) -> Response {
    let given = request.headers().get("api-key").map(HeaderValue::as_bytes);
    if !server.key.is_empty() && given != Some(server.key.as_bytes()) {
        // The real server answers with a text, and not with JSON.
        return (
            StatusCode::UNAUTHORIZED,
            "Must provide an API key or an Authorization bearer token",
        )
            .into_response();
    }
    next.run(request).await
}

async fn version() -> Json<Value> {
    Json(json!({"title": "qdrant - vector search engine", "version": "1.19.0"}))
}

async fn create(State(server): State<Server>, Path(name): Path<String>, Json(body): Json<Value>) -> Reply {
    let size = body["vectors"]["size"].as_u64().filter(|size| *size > 0);
    let size = size.ok_or_else(|| bad("vectors.size"))?;
    if body["vectors"]["distance"] != "Cosine" {
        return Err(bad("vectors.distance: this server knows Cosine"));
    }
    let mut collections = server.collections.lock().unwrap();
    if collections.contains_key(&name) {
        let text = format!("Wrong input: Collection `{name}` already exists!");
        return Err(error(StatusCode::CONFLICT, &text));
    }
    let created = Collection {
        size: usize::try_from(size).unwrap(),
        points: BTreeMap::new(),
    };
    collections.insert(name, created);
    ok(&json!(true))
}

async fn exists(State(server): State<Server>, Path(name): Path<String>) -> Reply {
    let exists = server.collections.lock().unwrap().contains_key(&name);
    ok(&json!({"exists": exists}))
}

async fn index(State(server): State<Server>, Path(name): Path<String>, Json(body): Json<Value>) -> Reply {
    if !server.collections.lock().unwrap().contains_key(&name) {
        return Err(not_found(&name));
    }
    if body["field_name"].as_str().is_none() || body["field_schema"]["type"] != "keyword" {
        return Err(bad("field_name, field_schema"));
    }
    ok(&json!({"operation_id": 0, "status": "completed"}))
}

fn vector(value: &Value, size: usize) -> Result<Vec<f64>, Response> {
    let numbers: Option<Vec<f64>> = value
        .as_array()
        .and_then(|numbers| numbers.iter().map(Value::as_f64).collect());
    let numbers = numbers.ok_or_else(|| bad("a vector is an array of numbers"))?;
    if numbers.len() != size {
        let text = format!(
            "Wrong input: Vector dimension error: expected dim: {size}, got {}",
            numbers.len()
        );
        return Err(error(StatusCode::BAD_REQUEST, &text));
    }
    // Vectors of a collection with the distance Cosine are normalised when they arrive.
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    let length = if length == 0.0 { 1.0 } else { length };
    Ok(numbers.into_iter().map(|number| number / length).collect())
}

/// A UUID with hyphens: another text is not an id.
fn is_uuid(id: &str) -> bool {
    let parts: Vec<&str> = id.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts
            .iter()
            .all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

async fn upsert(State(server): State<Server>, Path(name): Path<String>, Json(body): Json<Value>) -> Reply {
    let mut collections = server.collections.lock().unwrap();
    let collection = collections.get_mut(&name).ok_or_else(|| not_found(&name))?;
    let points = body["points"].as_array().filter(|points| !points.is_empty());
    let points = points.ok_or_else(|| error(StatusCode::BAD_REQUEST, "Wrong input: Empty update request"))?;
    let mut read = Vec::new();
    for point in points {
        let id = point["id"].as_str().filter(|id| is_uuid(id));
        let id = id.ok_or_else(|| bad("an id is a number or a UUID"))?;
        read.push((
            id.to_owned(),
            (
                vector(&point["vector"], collection.size)?,
                point["payload"].clone(),
            ),
        ));
    }
    collection.points.extend(read);
    ok(&json!({"operation_id": 1, "status": "completed"}))
}

async fn query(State(server): State<Server>, Path(name): Path<String>, Json(body): Json<Value>) -> Reply {
    let collections = server.collections.lock().unwrap();
    let collection = collections.get(&name).ok_or_else(|| not_found(&name))?;
    let wanted = vector(&body["query"], collection.size)?;
    let conditions = body["filter"]["must"].as_array().cloned().unwrap_or_default();
    let is_meant = |payload: &Value| {
        conditions.iter().all(|condition| {
            let key = condition["key"].as_str().unwrap_or_default();
            payload[key] == condition["match"]["value"]
        })
    };
    let mut points: Vec<(f64, &String, &Value)> = collection
        .points
        .iter()
        .filter(|(_, (_, payload))| is_meant(payload))
        .map(|(id, (vector, payload))| {
            let score = vector.iter().zip(&wanted).map(|(one, other)| one * other).sum();
            (score, id, payload)
        })
        .collect();
    points.sort_by(|one, other| other.0.total_cmp(&one.0));
    points.truncate(usize::try_from(body["limit"].as_u64().unwrap_or(10)).unwrap());
    let with_payload = body["with_payload"] == true;
    let points: Vec<Value> = points
        .into_iter()
        .map(|(score, id, payload)| {
            let mut point = json!({"id": id, "version": 1, "score": score});
            if with_payload {
                point["payload"] = payload.clone();
            }
            point
        })
        .collect();
    ok(&json!({ "points": points }))
}
