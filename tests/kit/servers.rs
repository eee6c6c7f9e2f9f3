//! The real servers of `scripts/services`, with databases and prefixes that only one test uses.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::made::{at, items};

/// The address of the test broker. If there is none, prints that the test is skipped.
pub(crate) fn kafka() -> Option<String> {
    variable("LIMBIC_TEST_KAFKA")
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        eprintln!("\n*** SKIPPED: {name} is not set (scripts/services up) ***\n");
    }
    value
}

/// Flags of the only node on a Kafka log. `name` separates its topics from those of other tests.
pub(crate) fn on_kafka(broker: &str, name: &str, partitions: u32) -> Vec<String> {
    let mut flags = vec!["--log".to_owned(), format!("kafka://{broker}")];
    for setting in [
        format!("kafka.prefix={name}-{}", std::process::id()),
        format!("partitions={partitions}"),
        "stream.single_node=true".to_owned(),
    ] {
        flags.extend(["--set".to_owned(), setting]);
    }
    flags
}

/// A Kafka prefix, a PostgreSQL database and an InfluxDB bucket for the nodes of one test. Database and bucket are deleted
/// at the end.
pub(crate) struct SharedServers {
    broker: String,
    name: String,
    postgres: String,
    influx: Influx,
    bucket_id: String,
    runtime: tokio::runtime::Runtime,
}

struct Influx {
    url: String,
    org: String,
    token: String,
    client: reqwest::Client,
}

impl SharedServers {
    /// Creates them, if all servers are available.
    pub(crate) fn create(test: &str) -> Option<Self> {
        let broker = kafka()?;
        let postgres = variable("LIMBIC_TEST_POSTGRES")?;
        let influx = Influx {
            url: variable("LIMBIC_TEST_INFLUX_URL")?,
            org: variable("LIMBIC_TEST_INFLUX_ORG")?,
            token: variable("LIMBIC_TEST_INFLUX_TOKEN")?,
            client: reqwest::Client::new(),
        };
        let name = format!("{test}_{}", std::process::id());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(execute(&postgres, format!("CREATE DATABASE {name}")));
        let bucket_id = runtime.block_on(influx.create_bucket(&name));
        Some(Self {
            broker,
            name,
            postgres,
            influx,
            bucket_id,
            runtime,
        })
    }

    /// Flags of every node that shares these servers. The nodes name their instances themselves.
    pub(crate) fn flags(&self, partitions: u32) -> Vec<String> {
        let (server, _) = self.postgres.rsplit_once('/').unwrap();
        let mut flags = vec!["--log".to_owned(), format!("kafka://{}", self.broker)];
        for setting in [
            format!("kafka.prefix={}", self.name),
            format!("partitions={partitions}"),
            format!("view={server}/{}", self.name),
            format!("series={}", self.influx.url),
            format!("influxdb.org={}", self.influx.org),
            format!("influxdb.bucket={}", self.name),
            format!("influxdb.token={}", self.influx.token),
        ] {
            flags.extend(["--set".to_owned(), setting]);
        }
        flags
    }
}

impl Drop for SharedServers {
    fn drop(&mut self) {
        // After a failed assertion a second panic would hide the first.
        if std::thread::panicking() {
            return;
        }
        let drop_database = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        self.runtime.block_on(execute(&self.postgres, drop_database));
        self.runtime.block_on(self.influx.delete_bucket(&self.bucket_id));
    }
}

async fn execute(url: &str, statement: String) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

impl Influx {
    async fn create_bucket(&self, name: &str) -> String {
        let orgs = self
            .client
            .get(format!("{}/api/v2/orgs?org={}", self.url, self.org));
        let orgs = self.answer(orgs).await;
        let org = at(&items(&orgs, "/orgs")[0], "/id").clone();
        let bucket = json!({"orgID": org, "name": name, "retentionRules": []});
        let request = self
            .client
            .post(format!("{}/api/v2/buckets", self.url))
            .json(&bucket);
        let created = self.answer(request).await;
        at(&created, "/id").as_str().unwrap().to_owned()
    }

    async fn delete_bucket(&self, id: &str) {
        let request = self.client.delete(format!("{}/api/v2/buckets/{id}", self.url));
        let answer = self.authorised(request).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = self.authorised(request).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "InfluxDB answers {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.header("Authorization", format!("Token {}", self.token))
    }
}
