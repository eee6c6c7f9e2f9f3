//! Answers from a running node, or from the log and the view themselves.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use limbic_api::explain::{Explanation, Tables, explain};
use limbic_domain::TenantId;
use limbic_ingest::SourceStatus;
use limbic_node::{Settings, connect, open_view};
use limbic_stream::Log;
use limbic_views::{Kind, Store};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::cli::{AskArgs, Common};

/// How long a node may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the answers come from.
pub struct Source {
    runtime: Runtime,
    from: From,
}

enum From {
    Node {
        client: reqwest::Client,
        url: String,
        key: Option<String>,
    },
    Folder {
        log: Arc<dyn Log>,
        store: Store,
        tenant: TenantId,
    },
}

/// The API key that the user gave: the option, or the variable `LIMBIC_KEY`.
pub fn key(option: Option<&String>) -> Option<String> {
    option
        .cloned()
        .or_else(|| std::env::var("LIMBIC_KEY").ok())
        .filter(|key| !key.trim().is_empty())
}

fn one_thread() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

/// The tenant's key in the settings. It is for the node of these settings, and for no other.
fn own_key(settings: &Settings, args: &AskArgs) -> Option<String> {
    let tenant = tenant_of(settings, args.tenant.as_ref()).ok()?;
    let of_tenant = settings.tenants.get(&tenant)?;
    // A reviewer's key may do what others may, and decide about ads.
    let mut keys = of_tenant.reviewer_keys.iter().chain(&of_tenant.api_keys);
    keys.next().map(|key| key.reveal().to_owned())
}

impl Source {
    /// The node that `--from` names. Without it, the log and the view of the settings; if a node uses them, that node.
    pub fn open(common: &Common, args: &AskArgs) -> anyhow::Result<Self> {
        let runtime = one_thread()?;
        let given = key(args.key.as_ref());
        if let Some(url) = &args.from {
            return Self::node(runtime, url, given);
        }
        let settings = common.settings(&[])?;
        match connect(&settings) {
            Ok(log) => {
                let opened = open_view(&settings, runtime.handle());
                match opened {
                    Ok(store) => {
                        let tenant = tenant_of(&settings, args.tenant.as_ref())?;
                        let from = From::Folder { log, store, tenant };
                        Ok(Self { runtime, from })
                    }
                    Err(error) => {
                        log.close()?;
                        Err(error)
                    }
                }
            }
            Err(error) if is_in_use(&error) => {
                let given = given.or_else(|| own_key(&settings, args));
                Self::node(runtime, &settings.listen, given).with_context(|| {
                    format!(
                        "a node uses the folder {}: give its address with --from if it is not {}",
                        settings.data_dir.display(),
                        settings.listen
                    )
                })
            }
            Err(error) => Err(error),
        }
    }

    /// The node that `--from` names, or the one of the settings. Connectors run nowhere else.
    pub fn running_node(common: &Common, args: &AskArgs) -> anyhow::Result<Self> {
        let runtime = one_thread()?;
        let given = key(args.key.as_ref());
        if let Some(url) = &args.from {
            return Self::node(runtime, url, given);
        }
        let settings = common.settings(&[])?;
        let address = limbic_node::running(&settings.data_dir)
            .filter(|_| settings.is_embedded())
            .and_then(|about| about.address)
            .map_or_else(|| settings.listen.clone(), |address| address.to_string());
        Self::node(runtime, &address, given.or_else(|| own_key(&settings, args)))
    }

    fn node(runtime: Runtime, url: &str, key: Option<String>) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/');
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            // A key goes to the address that was given, and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let from = From::Node { client, url, key };
        Ok(Self { runtime, from })
    }

    /// What `GET path?query` answers.
    fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.request(reqwest::Method::GET, path, query)
    }

    fn request(&self, method: reqwest::Method, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.send(method, path, query, None)
    }

    fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let From::Node { client, url, key } = &self.from else {
            bail!("there is no node to ask");
        };
        let mut address = reqwest::Url::parse(&format!("{url}{path}"))
            .with_context(|| format!("`{url}` is not an address: give for instance http://127.0.0.1:8080"))?;
        if !query.is_empty() {
            address.query_pairs_mut().extend_pairs(query);
        }
        let mut request = client.request(method, address);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let answer = request
                .send()
                .await
                .map_err(|error| {
                    let error = anyhow::Error::from(error.without_url());
                    let cause = error.root_cause();
                    anyhow!("{url} does not answer: {cause}; is `limbic run` running there? --from names another address")
                })?;
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            if status.is_success() {
                return serde_json::from_str(&text)
                    .with_context(|| format!("{url} did not answer as a node of Limbic"));
            }
            let problem: Option<Value> = serde_json::from_str(&text).ok();
            let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
            let detail = detail.unwrap_or("without a reason").to_owned();
            if status == StatusCode::UNAUTHORIZED {
                bail!("{url}: {detail}; give the key with --key KEY or in the variable LIMBIC_KEY");
            }
            bail!("{detail}")
        })
    }

    /// Why `of` is what it is.
    pub fn explain(&self, of: &str) -> anyhow::Result<Explanation> {
        match &self.from {
            From::Node { .. } => Ok(serde_json::from_value(self.get("/v1/explain", &[("of", of)])?)?),
            From::Folder { log, store, tenant } => {
                let tables = Tables::read(log, tenant)?;
                Ok(self.runtime.block_on(explain(store, &tables, tenant, of))?)
            }
        }
    }

    /// The audiences, in the order in which they changed.
    pub fn audiences(&self) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        match &self.from {
            From::Node { .. } => {
                let mut after = String::new();
                loop {
                    let query = [("limit", "200"), ("after", &*after)];
                    let query = if after.is_empty() { &query[..1] } else { &query[..] };
                    let page = self.get("/v1/audiences", query)?;
                    all.extend(page["items"].as_array().cloned().unwrap_or_default());
                    match page["next"].as_str() {
                        Some(next) => next.clone_into(&mut after),
                        None => return Ok(all),
                    }
                }
            }
            From::Folder { store, tenant, .. } => {
                let mut after = None;
                loop {
                    let page = store.list(tenant, Kind::AudienceStatus, None, after, 1_000);
                    let page = self.runtime.block_on(page)?;
                    all.extend(page.items);
                    match page.next {
                        Some(next) => after = Some(next.parse()?),
                        None => return Ok(all),
                    }
                }
            }
        }
    }

    /// The campaigns with their results: all, or one.
    pub fn campaigns(&self, id: Option<&str>) -> anyhow::Result<Vec<Value>> {
        match (&self.from, id) {
            (From::Node { .. }, None) => {
                let page = self.get("/v1/campaigns", &[])?;
                Ok(page["items"].as_array().cloned().unwrap_or_default())
            }
            (From::Node { .. }, Some(id)) => Ok(vec![self.get(&format!("/v1/campaigns/{id}"), &[])?]),
            (From::Folder { log, store, tenant }, id) => {
                let tables = Tables::read(log, tenant)?;
                let ids: Vec<String> = match id {
                    Some(id) => vec![id.to_owned()],
                    None => tables
                        .campaigns
                        .iter()
                        .map(|campaign| campaign.id.to_string())
                        .collect(),
                };
                let views = ids.iter().map(|id| {
                    self.runtime
                        .block_on(limbic_api::campaign_view(store, &tables, tenant, id))
                });
                Ok(views.collect::<Result<_, _>>()?)
            }
        }
    }

    /// The connectors that the node runs.
    pub fn connectors(&self) -> anyhow::Result<Vec<Value>> {
        let page = self.get("/v1/connectors", &[])?;
        Ok(page["items"].as_array().cloned().unwrap_or_default())
    }

    /// Pauses or resumes a connector of the node. Returns its state.
    pub fn change_connector(&self, name: &str, action: &str) -> anyhow::Result<Value> {
        // The path has the name: a text that is not a slug could name another path.
        let name = limbic_domain::Slug::new(name)?;
        self.request(
            reqwest::Method::POST,
            &format!("/v1/connectors/{name}/{action}"),
            &[],
        )
    }

    /// The ads in a state (`all` = every one), the oldest first.
    pub fn reviews(&self, state: &str, campaign: Option<&str>) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let mut query = vec![("limit", "500")];
            query.extend((state != "all").then_some(("state", state)));
            query.extend(campaign.map(|campaign| ("campaign", campaign)));
            query.extend((!after.is_empty()).then_some(("after", &*after)));
            let page = self.get("/v1/reviews", &query)?;
            all.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => return Ok(all),
            }
        }
    }

    /// Decides about an ad. Returns the review.
    pub fn decide(&self, id: &str, decision: &Value) -> anyhow::Result<Value> {
        self.send(
            reqwest::Method::POST,
            &format!("/v1/reviews/{id}"),
            &[],
            Some(decision),
        )
    }

    /// What the node did with the posts of each social network since it started. Empty if there is no node, or if it is one that
    /// does not tell.
    pub fn sources(&self) -> Vec<SourceStatus> {
        let From::Node { .. } = &self.from else {
            return Vec::new();
        };
        let page = self.get("/v1/sources", &[]).ok();
        let items = page.and_then(|page| serde_json::from_value(page["items"].clone()).ok());
        items.unwrap_or_default()
    }

    /// How the deliveries to each ad platform stand.
    pub fn platforms(&self) -> anyhow::Result<Vec<Value>> {
        match &self.from {
            From::Node { .. } => {
                let page = self.get("/v1/platforms", &[])?;
                Ok(page["items"].as_array().cloned().unwrap_or_default())
            }
            From::Folder { store, tenant, .. } => {
                let views = limbic_api::explain::platform_views(store, tenant, None);
                let views = self.runtime.block_on(views)?;
                Ok(views.into_values().map(|view| json!(view)).collect())
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let From::Folder { log, store, .. } = &self.from {
            self.runtime.block_on(store.close());
            if let Err(error) = log.close() {
                tracing::warn!(%error, "the log did not close cleanly");
            }
        }
    }
}

/// The tenant that is asked about: the option, the only tenant of the settings, or `default`.
fn tenant_of(settings: &Settings, option: Option<&String>) -> anyhow::Result<TenantId> {
    if let Some(tenant) = option {
        return Ok(TenantId::new(tenant)?);
    }
    let mut tenants = settings.tenants.keys();
    match (tenants.next(), tenants.next()) {
        (None, _) => Ok(TenantId::default()),
        (Some(only), None) => Ok(only.clone()),
        _ => {
            let names: Vec<String> = settings.tenants.keys().map(ToString::to_string).collect();
            bail!(
                "there are several tenants: name one with --tenant ({})",
                names.join(", ")
            )
        }
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let is = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(limbic_stream::Error::InUse { .. }))
    };
    error.chain().any(is)
}
