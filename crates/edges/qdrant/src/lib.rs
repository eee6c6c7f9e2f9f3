//! The index of earlier ads in a Qdrant server, over its REST API.
//!
//! ```text
//!  stage `texts` ──▶ AdIndex ──▶ QdrantIndex ──HTTP──▶ collection limbic-past-ads-SIZE: id, vector, {tenant, headline, impressions, clicks}
//! ```
//!
//! The crate does not embed texts and does not judge ads: the stage does. It deletes nothing: an ad that no status names any more stays
//! findable with the numbers that were stored last.
//!
//! Written from the API reference of Qdrant 1.19 (<https://api.qdrant.tech/v-1-19-x/api-reference>, read 2026-11-30). The calls are
//! in all versions since 1.10.
//!
//! ```no_run
//! use limbic_creative::AdIndex as _;
//! use limbic_domain::{ConnectionUrl, Secret, TenantId};
//! use limbic_qdrant::QdrantIndex;
//!
//! let runtime = tokio::runtime::Runtime::new()?;
//! let url = ConnectionUrl::new("http://127.0.0.1:6333");
//! let index = QdrantIndex::new(&url, &Secret::default(), runtime.handle().clone())?;
//! let near = index.near(&TenantId::default(), &[0.1, 0.9], 10)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Laws
//!
//! * Every point has its tenant, and every query names one.
//! * An id is a function of tenant and headline, so that several nodes that store an ad store one point.
//! * A query is exact, so that it finds what the index of the process would.
//! * No error contains the key or the path of the address.

use std::time::Duration;

use limbic_creative::{AdIndex, IndexError, NearAd, PastAd};
use limbic_domain::{ConnectionUrl, Secret, TenantId};
use limbic_http::explain;
use limbic_stream::outbox::excerpt;
use reqwest::{Client, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Maximum duration of one call.
const PATIENCE: Duration = Duration::from_secs(5);

/// An index in a Qdrant server.
#[derive(Debug, Clone)]
pub struct QdrantIndex {
    client: Client,
    url: ConnectionUrl,
    key: Secret,
    handle: Handle,
}

/// What is stored with a vector.
#[derive(Serialize, Deserialize)]
struct Payload {
    tenant: TenantId,
    #[serde(flatten)]
    ad: PastAd,
}

#[derive(Deserialize)]
struct Found {
    result: Points,
}

#[derive(Deserialize)]
struct Points {
    points: Vec<ScoredPoint>,
}

#[derive(Deserialize)]
struct ScoredPoint {
    score: f64,
    payload: Payload,
}

impl QdrantIndex {
    /// An index at `http://HOST:PORT`, with the server's API key if it needs one. Calls run on `handle`, from threads that may block. Sends
    /// nothing yet.
    pub fn new(url: &ConnectionUrl, key: &Secret, handle: Handle) -> Result<Self, IndexError> {
        let client = Client::builder()
            .timeout(PATIENCE)
            // The key goes to the address of the settings, and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| IndexError(format!("preparing to call Qdrant: {error}")))?;
        Ok(Self {
            client,
            url: url.clone(),
            key: key.clone(),
            handle,
        })
    }

    /// The version of the server.
    pub fn version(&self) -> Result<String, IndexError> {
        let (status, answer) = self.call(Method::GET, "", None)?;
        match answer["version"].as_str() {
            Some(version) if status.is_success() => Ok(version.to_owned()),
            _ => Err(self.refused(status, &answer)),
        }
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), IndexError> {
        let url = format!("{}/{path}", self.url.reveal().trim_end_matches('/'));
        let mut request = self.client.request(method, url);
        if !self.key.is_empty() {
            request = request.header("api-key", self.key.reveal());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answered = self.handle.block_on(async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok((status, answer.bytes().await?))
        });
        let (status, bytes) = answered.map_err(|error: reqwest::Error| {
            IndexError(format!(
                "Qdrant at {} does not answer: {}: start it, or correct `creative.generate.index`",
                self.url,
                explain(error)
            ))
        })?;
        let answer = serde_json::from_slice(&bytes);
        Ok((
            status,
            answer.unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))),
        ))
    }

    /// Calls, and fails unless the server says that it is done.
    fn done(&self, method: Method, path: &str, body: &Value) -> Result<Value, IndexError> {
        let (status, answer) = self.call(method, path, Some(body))?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(self.refused(status, &answer))
        }
    }

    fn refused(&self, status: StatusCode, answer: &Value) -> IndexError {
        let said = answer["status"]["error"].as_str().or(answer.as_str());
        let said = said.map_or_else(|| excerpt(&answer.to_string()), excerpt);
        let advice = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": set `creative.generate.index_key`",
            _ => "",
        };
        IndexError(format!("Qdrant at {} answers {status}: {said}{advice}", self.url))
    }

    /// Creates the collection for vectors of this length, unless it is there.
    fn ensure(&self, collection: &str, length: usize) -> Result<(), IndexError> {
        let is_there = || -> Result<bool, IndexError> {
            let (status, answer) = self.call(Method::GET, &format!("{collection}/exists"), None)?;
            match answer["result"]["exists"].as_bool() {
                Some(exists) if status.is_success() => Ok(exists),
                _ => Err(self.refused(status, &answer)),
            }
        };
        if is_there()? {
            return Ok(());
        }
        let vectors = json!({"vectors": {"size": length, "distance": "Cosine"}});
        if let Err(refused) = self.done(Method::PUT, collection, &vectors)
            // Another node may have created it in the meantime.
            && !is_there()?
        {
            return Err(refused);
        }
        let by_tenant =
            json!({"field_name": "tenant", "field_schema": {"type": "keyword", "is_tenant": true}});
        self.done(Method::PUT, &format!("{collection}/index?wait=true"), &by_tenant)?;
        Ok(())
    }
}

/// The path of the collection for vectors of this length.
fn collection_of(length: usize) -> String {
    format!("collections/limbic-past-ads-{length}")
}

/// The id of an ad: a UUID that is a function of tenant and headline.
fn id_of(tenant: &TenantId, headline: &str) -> String {
    let hash = blake3::hash(format!("{tenant}\n{headline}").as_bytes()).to_hex();
    format!(
        "{}-{}-{}-{}-{}",
        &hash[..8],
        &hash[8..12],
        &hash[12..16],
        &hash[16..20],
        &hash[20..32]
    )
}

impl AdIndex for QdrantIndex {
    fn put(&self, tenant: &TenantId, ads: &[(PastAd, Vec<f32>)]) -> Result<(), IndexError> {
        // A vector without a direction is near to nothing.
        let usable = ads
            .iter()
            .filter(|(_, vector)| vector.iter().any(|part| *part != 0.0));
        let points: Vec<Value> = usable
            .map(|(ad, vector)| {
                let payload = Payload {
                    tenant: tenant.clone(),
                    ad: ad.clone(),
                };
                json!({"id": id_of(tenant, &ad.headline), "vector": vector, "payload": payload})
            })
            .collect();
        let Some(length) = ads.first().map(|(_, vector)| vector.len()) else {
            return Ok(());
        };
        if points.is_empty() {
            return Ok(());
        }
        let collection = collection_of(length);
        self.ensure(&collection, length)?;
        let points = json!({ "points": points });
        self.done(Method::PUT, &format!("{collection}/points?wait=true"), &points)?;
        Ok(())
    }

    fn near(&self, tenant: &TenantId, vector: &[f32], most: usize) -> Result<Vec<NearAd>, IndexError> {
        let query = json!({
            "query": vector,
            "filter": {"must": [{"key": "tenant", "match": {"value": tenant}}]},
            "params": {"exact": true},
            "limit": most,
            "with_payload": true,
        });
        let path = format!("{}/points/query", collection_of(vector.len()));
        let (status, answer) = self.call(Method::POST, &path, Some(&query))?;
        if status == StatusCode::NOT_FOUND {
            // Nothing was stored yet.
            return Ok(Vec::new());
        }
        if !status.is_success() {
            return Err(self.refused(status, &answer));
        }
        let found: Found = serde_json::from_value(answer).map_err(|error| {
            IndexError(format!(
                "the answer of Qdrant at {} cannot be read: {error}: is it a Qdrant server of version 1.10 or later?",
                self.url
            ))
        })?;
        let points = found.result.points.into_iter();
        // The filter is the server's. What it returns is looked at once more, because it is another tenant's secret.
        let points = points.filter(|point| point.payload.tenant == *tenant);
        let near = points.map(|point| NearAd {
            ad: point.payload.ad,
            similarity: point.score,
        });
        Ok(near.collect())
    }
}
