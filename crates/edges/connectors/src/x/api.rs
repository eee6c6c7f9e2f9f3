//! The requests of the X API, each within its quota.

use limbic_domain::{Secret, Utc};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;

use super::NAME;
use super::post::FIELDS;
use crate::http::{Answer, Http, unavailable};
use crate::quota::Quota;
use crate::{ConnectorError, Failure};

/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 16 << 20;

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Since {
    Now,
    /// So many minutes are repeated.
    Minutes(u64),
    Time(Utc),
}

/// The API, with the quotas of its parts.
pub(super) struct Api {
    pub(super) url: Url,
    token: Secret,
    http: Http,
    rules: Quota,
    pub(super) search: Quota,
    stream: Quota,
    jobs: Quota,
    compliance: Quota,
}

impl Api {
    pub(super) fn new(url: Url, token: Secret) -> Self {
        Self {
            url,
            token,
            http: Http::new(NAME),
            rules: Quota::default(),
            search: Quota::default(),
            stream: Quota::default(),
            jobs: Quota::default(),
            compliance: Quota::default(),
        }
    }

    /// The rules of the app, or the answer to a change of them.
    pub(super) fn rules(&mut self, change: Option<&Value>) -> Result<Answer, ConnectorError> {
        let url = self.at("/2/tweets/search/stream/rules");
        let quota = &mut self.rules;
        send(&mut self.http, quota, &self.token, |client| match change {
            None => client.get(url),
            Some(change) => with_json(client.post(url), change),
        })
    }

    /// A page of recent search.
    pub(super) fn search(&mut self, query: &[(&str, &str)]) -> Result<Answer, ConnectorError> {
        let mut url = self.at("/2/tweets/search/recent");
        url.query_pairs_mut()
            .extend_pairs(query)
            .append_pair("tweet.fields", FIELDS);
        let quota = &mut self.search;
        send(&mut self.http, quota, &self.token, |client| client.get(url))
    }

    /// Opens the filtered stream.
    pub(super) fn stream(&mut self, backfill_minutes: u64) -> Result<Response, ConnectorError> {
        let mut url = self.at("/2/tweets/search/stream");
        url.query_pairs_mut().append_pair("tweet.fields", FIELDS);
        if backfill_minutes > 0 {
            url.query_pairs_mut()
                .append_pair("backfill_minutes", &backfill_minutes.to_string());
        }
        open(&mut self.http, &mut self.stream, &self.token, url)
    }

    /// Opens a partition of the compliance stream of `kind` (`tweets` or `users`).
    pub(super) fn compliance(
        &mut self,
        kind: &str,
        partition: u8,
        since: Since,
    ) -> Result<Response, ConnectorError> {
        let mut url = self.at(&format!("/2/{kind}/compliance/stream"));
        let mut query = url.query_pairs_mut();
        query.append_pair("partition", &partition.to_string());
        match since {
            Since::Now => {}
            Since::Minutes(minutes) => drop(query.append_pair("backfill_minutes", &minutes.to_string())),
            Since::Time(at) => {
                // Whole seconds, as the documentation has them.
                let at = Utc::from_millis(at.as_millis().div_euclid(1_000) * 1_000);
                query.append_pair("start_time", &at.to_string().replace(".000Z", "Z"));
            }
        }
        drop(query);
        open(&mut self.http, &mut self.compliance, &self.token, url)
    }

    /// The next bytes of a stream. If `is_patient`, waits for half a second.
    pub(super) fn chunk(
        &mut self,
        response: &mut Response,
        is_patient: bool,
    ) -> Result<Option<Vec<u8>>, String> {
        self.http.chunk(response, is_patient)
    }

    /// A job of batch compliance, or a new one.
    pub(super) fn jobs(&mut self, id: Option<&str>, new: Option<&Value>) -> Result<Answer, ConnectorError> {
        let mut url = self.at("/2/compliance/jobs");
        if let (Some(id), Ok(mut path)) = (id, url.path_segments_mut()) {
            path.push(id);
        }
        let quota = &mut self.jobs;
        send(&mut self.http, quota, &self.token, |client| match new {
            None => client.get(url),
            Some(new) => with_json(client.post(url), new),
        })
    }

    /// Asks an address that X has named, or puts a text there. The token is not sent.
    pub(super) fn elsewhere(&mut self, url: &Url, text: Option<String>) -> Result<Vec<u8>, ConnectorError> {
        let url = url.clone();
        let answer = self.http.send(LONGEST_ANSWER, |client| match text {
            None => client.get(url),
            Some(text) => client.put(url).header("content-type", "text/plain").body(text),
        })?;
        Ok(answer.body)
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }
}

fn with_json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// Refuses a request that would exceed the quota.
fn spare(quota: &Quota) -> Result<(), ConnectorError> {
    match quota.wait(Utc::now()) {
        None => Ok(()),
        Some(wait) => {
            let detail = "the quota of requests is spent".to_owned();
            Err(unavailable(NAME, detail, Failure::RateLimit, Some(wait)))
        }
    }
}

/// Opens a stream.
fn open(http: &mut Http, quota: &mut Quota, token: &Secret, url: Url) -> Result<Response, ConnectorError> {
    spare(quota)?;
    let opened = http.try_stream(|client| client.get(url).bearer_auth(token.reveal()))?;
    match opened {
        Ok(response) => {
            quota.note(response.headers(), Utc::now());
            Ok(response)
        }
        Err(answer) => {
            quota.note(&answer.headers, Utc::now());
            Err(judged(&answer, quota))
        }
    }
}

fn send(
    http: &mut Http,
    quota: &mut Quota,
    token: &Secret,
    request: impl FnOnce(&Client) -> RequestBuilder,
) -> Result<Answer, ConnectorError> {
    spare(quota)?;
    let answer = http.ask(LONGEST_ANSWER, |client| {
        request(client).bearer_auth(token.reveal())
    })?;
    quota.note(&answer.headers, Utc::now());
    if answer.status >= 300 {
        return Err(judged(&answer, quota));
    }
    Ok(answer)
}

/// The error for an answer, with the wait until the quota is full again.
fn judged(answer: &Answer, quota: &Quota) -> ConnectorError {
    let mut error = crate::http::answered(NAME, answer.status, &answer.headers, &answer.body);
    if let ConnectorError::Unavailable {
        failure: Failure::RateLimit,
        retry_after,
        ..
    } = &mut error
    {
        *retry_after = (*retry_after).max(quota.wait(Utc::now()));
    }
    error
}
