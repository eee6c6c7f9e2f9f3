//! The connectors of this node: one thread for each `[connectors.NAME]` of the settings.
//!
//! The position of a connector and whether it is paused are in the compacted topic `connectors`, so they survive a restart, on another
//! machine too. If two nodes run the same connector, each post arrives twice, and is removed once.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use limbic_api::{HookRefusal, HookRequest};
use limbic_component::Resources;
use limbic_connectors::{
    Accepted, AuthorIds, ConnectorMeters, Cursor, Hook, HookError, Item, Phase, Receiver, Runner, Running,
    Source, Status, Target, TargetError, Terms,
};
use limbic_domain::{
    ConnectorPause, ConnectorPosition, Envelope, Record as DomainRecord, Slug, TenantId, Utc, event_id,
    random, topics,
};
use limbic_ingest::{Edge, EdgeError};
use limbic_stream::reference::read_table;
use limbic_stream::{Headers, Log, NewRecord};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::settings::Settings;
use crate::stores::open_entries;
use crate::terms;

/// The connectors that run here, shared with the API. Empty until [`Connectors::start`].
pub(crate) struct Connectors {
    log: Arc<dyn Log>,
    edge: Arc<Edge>,
    meters: ConnectorMeters,
    running: Mutex<BTreeMap<Slug, One>>,
}

struct One {
    tenant: TenantId,
    /// The component.
    kind: &'static str,
    terms: Terms,
    how: How,
}

/// How posts come.
enum How {
    Pulled {
        running: Running,
        /// What receives hints that there is something to pull.
        hints: Option<Arc<dyn Receiver>>,
    },
    Sent(Box<Mutex<Hooked>>),
}

/// A source that sends by itself.
struct Hooked {
    receiver: Arc<dyn Receiver>,
    target: EdgeTarget,
    status: Status,
}

impl Connectors {
    pub(crate) fn new(log: Arc<dyn Log>, edge: Arc<Edge>, meters: ConnectorMeters) -> Self {
        Self {
            log,
            edge,
            meters,
            running: Mutex::default(),
        }
    }

    /// Starts every connector of the settings, where it stopped.
    pub(crate) fn start(&self, settings: &Settings, resources: &Resources) -> anyhow::Result<()> {
        let sources: BTreeMap<Slug, Source> = open_entries(settings, "connectors", resources)?;
        if sources.is_empty() {
            return Ok(());
        }
        let known = settings.tenant_ids();
        let table = read_table(&self.log, topics::CONNECTORS).context("cannot read the stored positions")?;
        for ((name, source), (_, entry)) in sources.into_iter().zip(settings.entries.of("connectors")) {
            let Source {
                tenant,
                connector,
                receiver,
                is_pulled,
            } = source;
            anyhow::ensure!(
                known.contains(&tenant),
                "connectors.{name}.tenant = \"{tenant}\": there is no such tenant: add [tenants.{tenant}], or name one of the settings"
            );
            let of_source = terms::of(entry).with_context(|| format!("connectors.{name}"))?;
            terms::check(&of_source, settings).with_context(|| format!("connectors.{name}"))?;
            let pause = table.get(key(&tenant, &name, PAUSE).as_bytes());
            let is_paused = pause
                .and_then(|value| Envelope::<ConnectorPause>::decode(value).ok())
                .is_some_and(|pause| pause.data.paused);
            let target = EdgeTarget {
                log: Arc::clone(&self.log),
                edge: Arc::clone(&self.edge),
                tenant: tenant.clone(),
                name: name.clone(),
                authors: of_source.author_ids,
            };
            let how = if let Some(receiver) = receiver.as_ref().filter(|_| !is_pulled) {
                let status = Status {
                    phase: if is_paused { Phase::Paused } else { Phase::Running },
                    ..Status::default()
                };
                How::Sent(Box::new(Mutex::new(Hooked {
                    receiver: Arc::clone(receiver),
                    target,
                    status,
                })))
            } else {
                let runner = Runner::new(connector, target, random::hash(name.as_str().as_bytes()));
                let running = Running::start(name.as_str(), runner, is_paused, self.meters.clone());
                How::Pulled {
                    running: running
                        .with_context(|| format!("cannot start the thread of connectors.{name}"))?,
                    hints: receiver,
                }
            };
            let one = One {
                tenant,
                kind: entry.component.name,
                terms: of_source,
                how,
            };
            self.running.lock().insert(name, one);
        }
        Ok(())
    }

    /// Stops all connectors, and stores their positions.
    pub(crate) fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        for one in running.values() {
            if let How::Pulled { running, .. } = &one.how {
                running.stop();
            }
        }
        // Waits for their threads.
        drop(running);
    }
}

impl limbic_api::Connectors for Connectors {
    fn list(&self, tenant: &TenantId) -> Vec<Value> {
        let running = self.running.lock();
        let of_tenant = running.iter().filter(|(_, one)| one.tenant == *tenant);
        of_tenant.map(|(name, one)| one.view(name)).collect()
    }

    fn pause(
        &self,
        tenant: &TenantId,
        name: &str,
        is_paused: bool,
        by: &str,
    ) -> limbic_stream::Result<Option<Value>> {
        let running = self.running.lock();
        let found = running.iter().find(|(known, _)| known.as_str() == name);
        let Some((name, one)) = found.filter(|(_, one)| one.tenant == *tenant) else {
            return Ok(None);
        };
        let pause = ConnectorPause {
            connector: name.clone(),
            paused: is_paused,
            by: by.to_owned(),
        };
        // First what survives a restart.
        publish(&self.log, tenant, name, PAUSE, pause)?;
        tracing::info!(connector = %name, is_paused, by, "a person has paused or resumed a connector");
        match &one.how {
            How::Pulled { running, .. } => running.pause(is_paused),
            How::Sent(hooked) => {
                let phase = if is_paused { Phase::Paused } else { Phase::Running };
                hooked.lock().status.phase = phase;
            }
        }
        Ok(Some(one.view(name)))
    }

    fn receives(&self, name: &str) -> Option<TenantId> {
        let running = self.running.lock();
        let (_, one) = running.iter().find(|(known, _)| known.as_str() == name)?;
        let receives = match &one.how {
            How::Sent(_) => true,
            How::Pulled { hints, .. } => hints.is_some(),
        };
        receives.then(|| one.tenant.clone())
    }

    fn receive(&self, request: &HookRequest) -> Result<String, HookRefusal> {
        let gone = || HookRefusal::NotUnderstood("this node does not run the connector any more".to_owned());
        let now = Utc::now();
        let hook = Hook {
            is_post: request.is_post,
            query: &request.query,
            headers: &request.headers,
            body: &request.body,
        };
        // The map is free while the edge writes, so that one source does not hold the others back.
        let (receiver, target) = {
            let running = self.running.lock();
            let (_, one) = running
                .iter()
                .find(|(known, _)| known.as_str() == request.name)
                .ok_or_else(gone)?;
            let hooked = match &one.how {
                How::Sent(hooked) => hooked.lock(),
                How::Pulled { running, hints } => {
                    let hints = hints.as_deref().ok_or_else(gone)?;
                    return hint(running, hints, &hook, now);
                }
            };
            if hooked.status.phase == Phase::Paused {
                return Err(HookRefusal::Paused);
            }
            (Arc::clone(&hooked.receiver), hooked.target.clone())
        };
        let done = match receiver.receive(&hook, now) {
            Err(error) => Err(refusal(&error)),
            Ok(brought) => match target.write(&brought.items) {
                Ok(accepted) => Ok((brought, accepted)),
                Err(error) => Err(HookRefusal::Edge(error)),
            },
        };
        self.note(&request.name, now, &done);
        done.map(|(brought, _)| brought.answer)
    }
}

/// Takes a request that brings no posts, and pulls the connector soon if there is something to pull. The connector counts it.
fn hint(
    running: &Running,
    receiver: &dyn Receiver,
    hook: &Hook<'_>,
    now: Utc,
) -> Result<String, HookRefusal> {
    if running.status().phase == Phase::Paused {
        return Err(HookRefusal::Paused);
    }
    let hinted = receiver.receive(hook, now).map_err(|error| refusal(&error))?;
    if hinted.wakes {
        running.wake();
    }
    Ok(hinted.answer)
}

fn refusal(error: &HookError) -> HookRefusal {
    let detail = error.to_string();
    match error {
        HookError::NotProven(_) => HookRefusal::NotProven(detail),
        HookError::NotUnderstood(_) => HookRefusal::NotUnderstood(detail),
        HookError::NotWanted(_) => HookRefusal::NotWanted(detail),
    }
}

impl Connectors {
    /// Counts a request of a source that sends by itself.
    fn note(
        &self,
        name: &str,
        now: Utc,
        done: &Result<(limbic_connectors::Received, Accepted), HookRefusal>,
    ) {
        let running = self.running.lock();
        let Some((_, one)) = running.iter().find(|(known, _)| known.as_str() == name) else {
            return;
        };
        let How::Sent(hooked) = &one.how else { return };
        let mut hooked = hooked.lock();
        let before = hooked.status.clone();
        let status = &mut hooked.status;
        match done {
            Ok((received, accepted)) => {
                status.accepted += accepted.accepted;
                status.duplicates += accepted.duplicates;
                status.rejected += accepted.rejected.len() as u64;
                for (reason, events) in &received.dropped {
                    *status.dropped.entry(*reason).or_default() += events;
                }
                status.moved_at = Some(now);
                status.problem = accepted.rejected.first().cloned();
            }
            Err(refusal) => {
                status.failures += 1;
                status.problem = Some(match refusal {
                    HookRefusal::NotProven(detail)
                    | HookRefusal::NotUnderstood(detail)
                    | HookRefusal::NotWanted(detail) => {
                        format!("a request was refused: {detail}")
                    }
                    HookRefusal::Edge(error) => error.to_string(),
                    HookRefusal::Paused => "paused".to_owned(),
                });
            }
        }
        self.meters.update(name, &before, &hooked.status);
    }
}

impl One {
    fn view(&self, name: &Slug) -> Value {
        let mut view = match &self.how {
            How::Pulled { running, .. } => json!(running.status()),
            How::Sent(hooked) => json!(hooked.lock().status),
        };
        view["name"] = name.as_str().into();
        view["kind"] = self.kind.into();
        view["terms"] = json!(self.terms);
        view
    }
}

const POSITION: &str = "position";
const PAUSE: &str = "pause";

fn key(tenant: &TenantId, name: &Slug, what: &str) -> String {
    format!("{tenant}/{}/{what}", name.as_str())
}

fn publish<T: DomainRecord>(
    log: &Arc<dyn Log>,
    tenant: &TenantId,
    name: &Slug,
    what: &str,
    data: T,
) -> limbic_stream::Result<()> {
    let now = Utc::now();
    let id = event_id(
        T::TYPE,
        &[tenant.as_str(), name.as_str(), &now.as_millis().to_string()],
    );
    let value = Envelope::new(tenant.clone(), id, now, data).encode();
    log.publish(vec![NewRecord {
        topic: topics::CONNECTORS.into(),
        partition: None,
        key: key(tenant, name, what).into(),
        value: value.into(),
        headers: Headers::new(),
        timestamp: now,
    }])
}

/// The edge of this node, and the topic of positions.
#[derive(Clone)]
struct EdgeTarget {
    log: Arc<dyn Log>,
    edge: Arc<Edge>,
    tenant: TenantId,
    name: Slug,
    /// How the terms of the source allow to store authors.
    authors: AuthorIds,
}

impl EdgeTarget {
    /// Passes items to the edge. Returns when they are durable.
    fn write(&self, items: &[Item]) -> Result<Accepted, EdgeError> {
        let mut accepted = Accepted::default();
        for items in items.chunks(self.edge.most_items().max(1)) {
            let items = items.iter().map(|item| match item {
                Item::Post(value) | Item::Deletion(value) => terms::obeying(self.authors, value.clone()),
                Item::Unreadable(problem) => Err(problem.clone()),
            });
            let receipt = self.edge.accept_changes(&self.tenant, items)?;
            accepted.accepted += receipt.accepted;
            accepted.duplicates += receipt.duplicates;
            let rejected = receipt.rejected.into_iter();
            accepted
                .rejected
                .extend(rejected.map(|rejection| format!("{}: {}", rejection.field, rejection.problem)));
        }
        Ok(accepted)
    }
}

impl Target for EdgeTarget {
    fn accept(&mut self, items: &[Item]) -> Result<Accepted, TargetError> {
        self.write(items).map_err(|error| TargetError {
            retry_after: match &error {
                EdgeError::Quota { wait } => Some(*wait),
                _ => None,
            },
            detail: error.to_string(),
        })
    }

    fn load(&mut self) -> Result<Option<Cursor>, TargetError> {
        let table = read_table(&self.log, topics::CONNECTORS).map_err(|error| of_log(&error))?;
        let Some(value) = table.get(key(&self.tenant, &self.name, POSITION).as_bytes()) else {
            return Ok(None);
        };
        let position = Envelope::<ConnectorPosition>::decode(value).map_err(|error| TargetError {
            detail: format!(
                "the stored position of connectors.{} cannot be read: {error}",
                self.name
            ),
            retry_after: None,
        })?;
        Ok(Some(Cursor(position.data.cursor)))
    }

    fn store(&mut self, cursor: &Cursor) -> Result<(), TargetError> {
        let position = ConnectorPosition {
            connector: self.name.clone(),
            cursor: cursor.0.clone(),
        };
        publish(&self.log, &self.tenant, &self.name, POSITION, position).map_err(|error| of_log(&error))
    }
}

fn of_log(error: &limbic_stream::Error) -> TargetError {
    TargetError {
        detail: error.to_string(),
        retry_after: None,
    }
}
