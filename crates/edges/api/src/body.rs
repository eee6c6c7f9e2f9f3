//! Receives the body of a request within limits.

use std::io::Read;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use limbic_domain::TenantId;
use serde::de::DeserializeOwned;

use crate::App;
use crate::budget::Share;
use crate::problem::Problem;
use crate::refusal::Refusal;

/// The memory of a body grows by at least this many bytes at a time.
const STEP: usize = 64 << 10;
/// The largest window of a zstd body, as a power of two: 8 MiB, what levels up to 19 use.
const WINDOW_LOG: u32 = 23;
/// The byte-order mark that some programs write at the start of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body, and the bytes that it takes from the budget of all bodies.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    share: Share,
    encoding: Encoding,
    limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    None,
    Gzip,
    Zstd,
}

/// Receives a body of at most `limit` bytes.
pub(crate) async fn receive(
    app: &App,
    tenant: &TenantId,
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
) -> Result<Received, Problem> {
    let encoding = encoding(headers)?;
    let mut received = Received {
        bytes: Vec::new(),
        share: app.bodies.share_of(tenant.as_str()),
        encoding,
        limit,
    };
    let stated = headers.get(header::CONTENT_LENGTH);
    let stated = stated.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|stated| stated > limit as u64) {
        return Err(refuse(app, body, too_large(limit)).await);
    }
    loop {
        let part = tokio::time::timeout(app.context.settings.stall_timeout.get(), body.frame()).await;
        let part = match part {
            Err(_) => return Err(stalled(app)),
            Ok(None) => return Ok(received),
            Ok(Some(Err(_))) => return Err(Problem::bad_request("the body ended early: send it again")),
            Ok(Some(Ok(part))) => part,
        };
        let Ok(part) = part.into_data() else { continue };
        if let Err(problem) = received.push(&part, limit) {
            return Err(refuse(app, body, problem).await);
        }
    }
}

impl Received {
    /// Appends bytes, after it has taken the memory for them from the budget.
    fn push(&mut self, part: &[u8], limit: usize) -> Result<(), Problem> {
        let needed = self.bytes.len() + part.len();
        if needed > limit {
            return Err(too_large(limit));
        }
        if needed > self.bytes.capacity() {
            let doubled = (self.bytes.capacity() * 2).max(STEP).min(limit);
            let more = doubled.max(needed) - self.bytes.capacity();
            if !self.share.grow(more as u64) {
                return Err(too_many());
            }
            self.bytes.reserve_exact(doubled.max(needed) - self.bytes.len());
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// The decompressed bytes without a byte-order mark, and the share of the budget to hold with them. It computes, so it runs
    /// outside the async threads.
    pub(crate) fn decoded(self) -> Result<(Vec<u8>, Share), Problem> {
        let mut bytes = match self.encoding {
            Encoding::None => return Ok((without_mark(self.bytes), self.share)),
            Encoding::Gzip => {
                let mut decoded = self.empty();
                let reader = flate2::read::MultiGzDecoder::new(&*self.bytes);
                decoded.read(reader, self.limit, "gzip")?;
                decoded
            }
            Encoding::Zstd => {
                let mut decoded = self.empty();
                let mut window = self.empty();
                if !window.share.grow(1 << WINDOW_LOG) {
                    return Err(too_many());
                }
                let reader = zstd::stream::read::Decoder::with_buffer(&*self.bytes);
                let mut reader = reader.map_err(|error| not_encoded("zstd", &error))?;
                reader
                    .window_log_max(WINDOW_LOG)
                    .map_err(|error| not_encoded("zstd", &error))?;
                decoded.read(reader, self.limit, "zstd")?;
                decoded
            }
        };
        Ok((without_mark(std::mem::take(&mut bytes.bytes)), bytes.share))
    }

    /// The bytes as they arrived, for a signature of them.
    pub(crate) fn raw(self) -> Result<(Vec<u8>, Share), Problem> {
        if self.encoding == Encoding::None {
            return Ok((self.bytes, self.share));
        }
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported content encoding",
            "this address takes no compressed bodies, because their signature is of the bytes: send no content-encoding",
        ))
    }

    /// No bytes, of the same owner.
    fn empty(&self) -> Self {
        Self {
            bytes: Vec::new(),
            share: self.share.another(),
            encoding: Encoding::None,
            limit: self.limit,
        }
    }

    fn read(&mut self, mut from: impl Read, limit: usize, encoding: &str) -> Result<(), Problem> {
        let mut part = vec![0; STEP];
        loop {
            match from.read(&mut part) {
                Ok(0) => return Ok(()),
                Ok(length) => self.push(&part[..length], limit)?,
                Err(error) => return Err(not_encoded(encoding, &error)),
            }
        }
    }
}

/// The value of a body that is one JSON document.
pub(crate) fn one_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let detail = format!("{}: /openapi.json describes the body", error.inner());
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad request", detail);
        if path == "." {
            problem
        } else {
            problem.of_field(path)
        }
    })?;
    json.end().map_err(|_| {
        Problem::bad_request("the body contains more than one JSON document: send one request at a time")
    })?;
    Ok(body)
}

fn without_mark(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    bytes
}

/// Reads the rest of a refused body, a bounded part of it, and throws it away: many clients read the answer only when they have sent
/// the body.
async fn refuse(app: &App, mut body: Body, problem: Problem) -> Problem {
    let most = app.context.settings.max_body.get().saturating_mul(4);
    let mut passed = 0;
    while passed < most {
        let part = tokio::time::timeout(app.context.settings.stall_timeout.get(), body.frame()).await;
        let Ok(Some(Ok(part))) = part else { break };
        passed += part.data_ref().map_or(0, bytes::Bytes::len) as u64;
    }
    problem
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = given.next() else {
        return Ok(Encoding::None);
    };
    let text = value.to_str().unwrap_or("").trim().to_ascii_lowercase();
    match (&*text, given.next()) {
        ("" | "identity", None) => Ok(Encoding::None),
        ("gzip" | "x-gzip", None) => Ok(Encoding::Gzip),
        ("zstd", None) => Ok(Encoding::Zstd),
        _ => {
            let detail = "this content-encoding is not known: send gzip, zstd, or no content-encoding";
            let mut problem = Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported content encoding",
                detail,
            );
            problem.accept_encoding = Some("gzip, zstd");
            Err(problem)
        }
    }
}

fn not_encoded(encoding: &str, error: &std::io::Error) -> Problem {
    Problem::bad_request(format!(
        "the body is not {encoding} as its content-encoding says ({error}): compress it again, or leave the header out"
    ))
    .of_field("body")
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body too large",
        format!("the body exceeds {limit} bytes: send the posts in several requests"),
    )
    .because(Refusal::BodySize)
}

fn too_many() -> Problem {
    Problem::busy(
        Refusal::Bodies,
        "too many request bodies are being received: retry after a second, or send smaller requests",
    )
}

fn stalled(app: &App) -> Problem {
    let limit = app.context.settings.stall_timeout;
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "request timeout",
        format!("no byte of the body came for {limit}: send it again"),
    )
    .because(Refusal::Stalled)
}
