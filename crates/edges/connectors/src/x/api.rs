//! The requests of the X API, each within its quota.

use limbic_domain::{Secret, Utc};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;

use super::NAME;
use super::post::{EXPANSIONS, FIELDS, PLACE_FIELDS};
use crate::access::{Scope, insufficient_scope, said};
use crate::http::{Answer, Http, unavailable};
use crate::quota::Quota;
use crate::{ConnectorError, Failure, access};

/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 16 << 20;

/// What the account must have for a part of the API.
const fn part(needed_for: &'static str) -> Scope {
    Scope {
        name: "an access level with this part of the API",
        wider: &[],
        needed_for,
        how: "choose it for the project of the app in the developer console (console.x.com), or set up the connector without this part",
    }
}

const RULES: Scope = part("the rules of the stream");
const SEARCH: Scope = part("recent search (mode = \"search\", and gaps of the stream)");
const LOOKUP: Scope = part("posts by their ids (edits that the compliance streams tell of)");
const STREAM: Scope = part("the filtered stream (mode = \"stream\")");
const JOBS: Scope = part("batch compliance (remember above 0)");
const COMPLIANCE: Scope = part("the compliance streams (compliance_stream)");
/// What a token must be.
const APP_ONLY: Scope = Scope {
    name: "OAuth 2.0 Application-Only",
    wider: &[],
    needed_for: "everything that this connector reads",
    how: "copy the bearer token of the app from the developer console (console.x.com, Keys and tokens), and set `token`: a token of a \
          person does not open streams",
};
/// What a token of a person must permit.
const READ: Scope = Scope {
    name: "tweet.read users.read",
    wider: &[],
    needed_for: "posts",
    how: APP_ONLY.how,
};

/// What is asked for of each post.
const WANTED: [(&str, &str); 3] = [
    ("tweet.fields", FIELDS),
    ("expansions", EXPANSIONS),
    ("place.fields", PLACE_FIELDS),
];

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
    lookup: Quota,
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
            lookup: Quota::default(),
            stream: Quota::default(),
            jobs: Quota::default(),
            compliance: Quota::default(),
        }
    }

    /// The rules of the app, or the answer to a change of them.
    pub(super) fn rules(&mut self, change: Option<&Value>) -> Result<Answer, ConnectorError> {
        let url = self.at("/2/tweets/search/stream/rules");
        let quota = &mut self.rules;
        send(
            &mut self.http,
            quota,
            &RULES,
            &self.token,
            |client| match change {
                None => client.get(url),
                Some(change) => with_json(client.post(url), change),
            },
        )
    }

    /// A page of recent search.
    pub(super) fn search(&mut self, query: &[(&str, &str)]) -> Result<Answer, ConnectorError> {
        let mut url = self.at("/2/tweets/search/recent");
        url.query_pairs_mut().extend_pairs(query).extend_pairs(WANTED);
        let quota = &mut self.search;
        send(&mut self.http, quota, &SEARCH, &self.token, |client| {
            client.get(url)
        })
    }

    /// Posts by their ids, at most 100.
    pub(super) fn lookup(&mut self, ids: &[String]) -> Result<Answer, ConnectorError> {
        let mut url = self.at("/2/tweets");
        url.query_pairs_mut()
            .append_pair("ids", &ids.join(","))
            .extend_pairs(WANTED);
        let quota = &mut self.lookup;
        send(&mut self.http, quota, &LOOKUP, &self.token, |client| {
            client.get(url)
        })
    }

    /// Opens the filtered stream.
    pub(super) fn stream(&mut self, backfill_minutes: u64) -> Result<Response, ConnectorError> {
        let mut url = self.at("/2/tweets/search/stream");
        url.query_pairs_mut().extend_pairs(WANTED);
        if backfill_minutes > 0 {
            url.query_pairs_mut()
                .append_pair("backfill_minutes", &backfill_minutes.to_string());
        }
        open(&mut self.http, &mut self.stream, &STREAM, &self.token, url)
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
        open(
            &mut self.http,
            &mut self.compliance,
            &COMPLIANCE,
            &self.token,
            url,
        )
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
        send(&mut self.http, quota, &JOBS, &self.token, |client| match new {
            None => client.get(url),
            Some(new) => with_json(client.post(url), new),
        })
    }

    /// The jobs of batch compliance.
    pub(super) fn list_jobs(&mut self) -> Result<Answer, ConnectorError> {
        let mut url = self.at("/2/compliance/jobs");
        url.query_pairs_mut().append_pair("type", "tweets");
        send(&mut self.http, &mut self.jobs, &JOBS, &self.token, |client| {
            client.get(url)
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
fn open(
    http: &mut Http,
    quota: &mut Quota,
    part: &Scope,
    token: &Secret,
    url: Url,
) -> Result<Response, ConnectorError> {
    spare(quota)?;
    let opened = http.try_stream(|client| client.get(url).bearer_auth(token.reveal()))?;
    match opened {
        Ok(response) => {
            quota.note(response.headers(), Utc::now());
            Ok(response)
        }
        Err(answer) => {
            quota.note(&answer.headers, Utc::now());
            Err(judged(&answer, quota, part))
        }
    }
}

fn send(
    http: &mut Http,
    quota: &mut Quota,
    part: &Scope,
    token: &Secret,
    request: impl FnOnce(&Client) -> RequestBuilder,
) -> Result<Answer, ConnectorError> {
    spare(quota)?;
    let answer = http.ask(LONGEST_ANSWER, |client| {
        request(client).bearer_auth(token.reveal())
    })?;
    quota.note(&answer.headers, Utc::now());
    if answer.status >= 300 {
        return Err(judged(&answer, quota, part));
    }
    Ok(answer)
}

/// The error for an answer, with the wait until the quota is full again.
fn judged(answer: &Answer, quota: &Quota, part: &Scope) -> ConnectorError {
    if let Some(error) = lacks(answer, part) {
        return error;
    }
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

/// The error of an answer that says that the account or the token has too little. X states its problems by `type` and `reason`.
fn lacks(answer: &Answer, part: &Scope) -> Option<ConnectorError> {
    if !matches!(answer.status, 401 | 403) {
        return None;
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let kind = text("type").rsplit('/').next().unwrap_or_default();
    let message = match text("detail") {
        "" => text("title"),
        detail => detail,
    };
    let said = said(answer.status, message);
    let missing = if kind == "unsupported-authentication" {
        APP_ONLY.missing(said)
    } else if kind == "client-forbidden" || text("reason") == "client-not-enrolled" {
        let level = text("required_enrollment").chars().take(100).collect();
        part.missing_as(level, said)
    } else {
        READ.missing_as(insufficient_scope(&answer.headers)?, said)
    };
    Some(access::error(NAME, missing))
}
