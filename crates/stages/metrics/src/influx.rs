//! Time series in InfluxDB 2: writes line protocol, reads with Flux.
//! <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>

use std::fmt::Write as _;
use std::time::Duration;

use limbic_domain::{ConnectionUrl, HumanDuration, TenantId, Utc};
use limbic_http::explain;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};

use crate::point::{Answer, Pending, Point, Query, SeriesError, SeriesStore, Written};

/// The address of InfluxDB, and the bucket to use.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfluxOptions {
    /// `http://HOST:PORT`.
    pub url: ConnectionUrl,
    /// The organisation.
    pub org: String,
    /// The bucket's name.
    pub bucket: String,
    /// An API token with permission to read and write the bucket. Never printed.
    #[serde(skip_serializing)]
    pub token: String,
}

impl std::fmt::Debug for InfluxOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InfluxOptions")
            .field("url", &self.url)
            .field("org", &self.org)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

/// Time series in a bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Influx {
    client: Client,
    options: InfluxOptions,
}

/// The answer of `/health`.
#[derive(Default, Deserialize)]
struct Health {
    version: Option<String>,
}

/// Points in one request: the maximum that InfluxDB's guide recommends.
const POINTS_AT_ONCE: usize = 5_000;

impl Influx {
    /// A client for `options`. Sends nothing yet.
    pub fn new(options: InfluxOptions) -> Result<Self, SeriesError> {
        let client = Client::builder()
            .timeout(Duration::from_secs(10))
            // The token goes to the address of the settings, and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| SeriesError::Unavailable(format!("preparing to call InfluxDB: {error}")))?;
        Ok(Self { client, options })
    }

    async fn post(
        &self,
        call: &str,
        parameters: &[(&str, &str)],
        kind: &str,
        body: String,
    ) -> Result<(StatusCode, String), SeriesError> {
        let url = format!(
            "{}/api/v2/{call}",
            self.options.url.reveal().trim_end_matches('/')
        );
        let failed = |error: reqwest::Error| {
            SeriesError::Unavailable(format!(
                "InfluxDB at {} does not answer: {}",
                self.options.url,
                explain(error)
            ))
        };
        let url = reqwest::Url::parse_with_params(&url, parameters).map_err(|error| {
            let url = &self.options.url;
            SeriesError::Unavailable(format!(
                "`{url}` is not an address: {error}: write http://HOST:PORT"
            ))
        })?;
        let answer = self
            .client
            .post(url)
            .header("Authorization", format!("Token {}", self.options.token))
            .header("Content-Type", kind)
            .header("Accept", "application/csv")
            .body(body)
            .send()
            .await
            .map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        Ok((status, text))
    }

    /// The name and version that the server states at `/health`, without the token.
    async fn version(&self) -> Result<Option<String>, SeriesError> {
        let address = format!("{}/health", self.options.url.reveal().trim_end_matches('/'));
        let failed = |error: reqwest::Error| {
            SeriesError::Unavailable(format!(
                "InfluxDB at {} does not answer: {}",
                self.options.url,
                explain(error)
            ))
        };
        let answer = self.client.get(address).send().await.map_err(failed)?;
        let text = answer.text().await.map_err(failed)?;
        let health: Health = serde_json::from_str(&text).unwrap_or_default();
        Ok(health.version.map(|version| format!("InfluxDB {version}")))
    }

    /// After which time the bucket deletes points. `None` = never, or the token may not read it.
    async fn bucket_retention(&self) -> Result<Option<HumanDuration>, SeriesError> {
        let address = format!(
            "{}/api/v2/buckets",
            self.options.url.reveal().trim_end_matches('/')
        );
        let parameters = [
            ("org", self.options.org.as_str()),
            ("name", self.options.bucket.as_str()),
        ];
        let url = reqwest::Url::parse_with_params(&address, parameters).map_err(|error| {
            let url = &self.options.url;
            SeriesError::Unavailable(format!(
                "`{url}` is not an address: {error}: write http://HOST:PORT"
            ))
        })?;
        let failed = |error: reqwest::Error| {
            SeriesError::Unavailable(format!(
                "InfluxDB at {} does not answer: {}",
                self.options.url,
                explain(error)
            ))
        };
        let answer = self
            .client
            .get(url)
            .header("Authorization", format!("Token {}", self.options.token))
            .send()
            .await
            .map_err(failed)?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let text = answer.text().await.map_err(failed)?;
        let buckets: Buckets = serde_json::from_str(&text).unwrap_or_default();
        let rules = buckets.buckets.into_iter().flat_map(|bucket| bucket.rules);
        let shortest = rules
            .map(|rule| rule.seconds)
            .filter(|seconds| *seconds > 0)
            .min();
        Ok(shortest.map(HumanDuration::from_secs))
    }

    fn refusal(&self, status: StatusCode, text: &str) -> SeriesError {
        let remedy = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "check the token and its permissions",
            StatusCode::NOT_FOUND => "create the organisation and the bucket, or correct their names",
            _ => "the request is retried",
        };
        let text: String = text.chars().take(300).collect();
        SeriesError::Unavailable(format!(
            "InfluxDB at {} answers {status}: {text} ({remedy})",
            self.options.url
        ))
    }

    async fn write_all(&self, points: &[Point]) -> Result<Written, SeriesError> {
        let mut written = Written::default();
        let mut waiting: Vec<&[Point]> = points.chunks(POINTS_AT_ONCE).rev().collect();
        while let Some(chunk) = waiting.pop() {
            let mut lines = String::new();
            for point in chunk {
                line(&mut lines, point);
            }
            let parameters = [
                ("org", self.options.org.as_str()),
                ("bucket", self.options.bucket.as_str()),
                ("precision", "ms"),
            ];
            let (status, text) = self
                .post("write", &parameters, "text/plain; charset=utf-8", lines)
                .await?;
            match status {
                status if status.is_success() => {}
                StatusCode::PAYLOAD_TOO_LARGE if chunk.len() > 1 => {
                    let (first, second) = chunk.split_at(chunk.len() / 2);
                    waiting.extend([second, first]);
                }
                // InfluxDB has stored the valid part of such a request. A retry of the rest cannot succeed.
                StatusCode::BAD_REQUEST
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::PAYLOAD_TOO_LARGE => {
                    written.refused.push(format!(
                        "{status}: {}",
                        text.chars().take(300).collect::<String>()
                    ));
                }
                status => return Err(self.refusal(status, &text)),
            }
        }
        Ok(written)
    }

    async fn add_up(&self, query: &Query) -> Result<Answer, SeriesError> {
        let flux = flux(&self.options.bucket, query);
        let body = serde_json::json!({"query": flux, "dialect": {"annotations": [], "header": true}});
        let parameters = [("org", self.options.org.as_str())];
        let (status, text) = self
            .post("query", &parameters, "application/json", body.to_string())
            .await?;
        if !status.is_success() {
            return Err(self.refusal(status, &text));
        }
        read_csv(&text)
    }
}

/// The answer of `GET /api/v2/buckets`.
#[derive(Default, Deserialize)]
struct Buckets {
    #[serde(default)]
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    #[serde(default, rename = "retentionRules")]
    rules: Vec<RetentionRule>,
}

#[derive(Deserialize)]
struct RetentionRule {
    /// 0 = no limit.
    #[serde(default, rename = "everySeconds")]
    seconds: u64,
}

/// Appends one line of the protocol.
fn line(lines: &mut String, point: &Point) {
    let series = &point.series;
    escape(lines, &series.measurement, &[',', ' ']);
    let own = [("tenant", series.tenant.as_str())];
    let tags = series
        .tags
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.into_iter().chain(tags).filter(|(_, value)| !value.is_empty()) {
        lines.push(',');
        escape(lines, name, &[',', '=', ' ']);
        lines.push('=');
        escape(lines, value, &[',', '=', ' ']);
    }
    let mut separator = ' ';
    for (name, value) in &point.fields {
        lines.push(separator);
        separator = ',';
        escape(lines, name.as_str(), &[',', '=', ' ']);
        let _ = write!(lines, "={value}");
    }
    let _ = writeln!(lines, " {}", point.at.as_millis());
}

/// A line break would end the line, and a backslash at the end would escape the next character. Both become `_`.
fn escape(lines: &mut String, text: &str, special: &[char]) {
    for c in text.chars() {
        if c.is_control() || c == '\\' {
            lines.push('_');
            continue;
        }
        if special.contains(&c) {
            lines.push('\\');
        }
        lines.push(c);
    }
}

/// A string literal of Flux. `${` would start an interpolation.
fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace("${", "\\${");
    format!("\"{text}\"")
}

fn flux(bucket: &str, query: &Query) -> String {
    let moment = |at: Utc| format!("time(v: {})", i128::from(at.as_millis()) * 1_000_000);
    let mut filter = format!(
        "r._measurement == {} and r.tenant == {}",
        quoted(&query.measurement),
        quoted(query.tenant.as_str())
    );
    for (name, value) in &query.tags {
        let _ = write!(filter, " and r[{}] == {}", quoted(name), quoted(value));
    }
    let fields: Vec<String> = query
        .fields
        .iter()
        .map(|field| format!("r._field == {}", quoted(field)))
        .collect();
    let _ = write!(filter, " and ({})", fields.join(" or "));
    format!(
        "from(bucket: {}) |> range(start: {}, stop: {}) |> filter(fn: (r) => {filter}) |> group(columns: [\"_field\"]) \
         |> aggregateWindow(every: {}ms, fn: sum, createEmpty: false, timeSrc: \"_start\") \
         |> keep(columns: [\"_time\", \"_field\", \"_value\"])",
        quoted(bucket),
        moment(query.from),
        moment(query.to),
        query.step
    )
}

fn read_csv(text: &str) -> Result<Answer, SeriesError> {
    let wrong = |what: &str| SeriesError::Unavailable(format!("InfluxDB's answer cannot be read: {what}"));
    let mut answer = Answer::new();
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader
        .headers()
        .map_err(|error| wrong(&error.to_string()))?
        .clone();
    if header.iter().all(str::is_empty) {
        return Ok(answer);
    }
    let column = |name: &str| {
        header
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| wrong(&format!("no column `{name}`: {text}")))
    };
    let (time, field, value) = (column("_time")?, column("_field")?, column("_value")?);
    for row in reader.records() {
        let row = row.map_err(|error| wrong(&error.to_string()))?;
        let (Some(at), Some(name), Some(total)) = (row.get(time), row.get(field), row.get(value)) else {
            continue;
        };
        // The header is repeated before each table.
        if name == "_field" || at.is_empty() {
            continue;
        }
        let at: Utc = at.parse().map_err(|_| wrong(at))?;
        let total: f64 = total.parse().map_err(|_| wrong(total))?;
        answer
            .entry(at.as_millis())
            .or_default()
            .insert(name.to_owned(), total);
    }
    Ok(answer)
}

impl SeriesStore for Influx {
    fn write<'a>(&'a self, points: &'a [Point]) -> Pending<'a, Written> {
        Box::pin(self.write_all(points))
    }

    fn sums<'a>(&'a self, query: &'a Query) -> Pending<'a, Answer> {
        Box::pin(self.add_up(query))
    }

    fn own_retention(&self) -> Pending<'_, Option<HumanDuration>> {
        Box::pin(self.bucket_retention())
    }

    fn server(&self) -> Pending<'_, Option<String>> {
        Box::pin(self.version())
    }

    /// By the clock, as InfluxDB deletes.
    fn deleted_before<'a>(&'a self, _: &'a TenantId, _: &'a str) -> Pending<'a, Option<Utc>> {
        Box::pin(async {
            let keep = self.bucket_retention().await?;
            Ok(keep.map(|keep| Utc::now().plus_millis(-keep.as_millis())))
        })
    }
}
