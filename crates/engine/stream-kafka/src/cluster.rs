//! Topics of the cluster: their offsets, and how they are created and checked.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use crate::aside::Aside;
use crate::context::ObserverContext;
use crate::failure::{is_refusal, to_log_error};
use crate::names::Names;
use crate::options::{Clients, KafkaOptions};
use crate::wanted::Wanted;
use limbic_stream::{Error, Result, TopicInfo, TopicSpec};

/// The time limit of one metadata request while connecting. After it, the client's errors are checked.
const CONNECT_ATTEMPT: Duration = Duration::from_secs(1);

/// How long an observer waits for an offset commit that is still undecided.
const DECISION: Duration = Duration::from_secs(2);

/// A topic that records are written to.
#[derive(Debug)]
pub(super) struct Target {
    /// Its name in the cluster.
    pub(super) name: String,
    pub(super) partitions: u32,
}

type Observer = Arc<Aside<BaseConsumer<ObserverContext>>>;

pub(super) struct Cluster {
    pub(super) clients: Clients,
    pub(super) names: Names,
    pub(super) options: KafkaOptions,
    /// Asks for metadata and ends. One that gets no answer in time is replaced.
    observer: RwLock<Observer>,
    admin: Aside<AdminClient<DefaultClientContext>>,
    targets: RwLock<HashMap<Arc<str>, Arc<Target>>>,
    /// One observer for each group and kind of answer (decided offsets only, or not).
    groups: Mutex<HashMap<(String, bool), Observer>>,
}

impl Cluster {
    /// Connects, and returns when a broker has answered.
    pub(super) fn connect(url: &str, options: KafkaOptions) -> Result<Self> {
        let clients = Clients::new(url, &options)?;
        let failed = |error| to_log_error("connecting to Kafka", &error);
        let observer = observer(&clients).map_err(failed)?;
        let admin = Aside::new(clients.observer().create().map_err(failed)?);
        let cluster = Self {
            names: Names::new(&options.prefix),
            clients,
            options,
            observer: RwLock::new(observer),
            admin,
            targets: RwLock::default(),
            groups: Mutex::default(),
        };
        cluster.await_broker()?;
        Ok(cluster)
    }

    /// Waits for the first answer. Returns at once if the cluster refuses the credentials.
    fn await_broker(&self) -> Result<()> {
        let deadline = Instant::now() + self.options.call_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let observer = self.observer();
            match self.metadata_within(&observer, None, left.min(CONNECT_ATTEMPT)) {
                Ok(_) => return Ok(()),
                Err(Error::Unavailable { context, message }) if observer.context().0.is_refused() => {
                    return Err(Error::Settings(format!("{context}: {message}")));
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// The cluster's id.
    pub(super) fn identity(&self) -> Result<Arc<str>> {
        let id = self
            .observer()
            .client()
            .fetch_cluster_id(self.options.call_timeout);
        id.map(Arc::from).ok_or_else(|| Error::Unavailable {
            context: "asking for the id of the Kafka cluster".into(),
            message: "no broker has named it".into(),
        })
    }

    /// The number of partitions of one topic, or of all topics, by their names in the cluster.
    fn metadata(&self, topic: Option<&str>) -> Result<HashMap<String, u32>> {
        let observer = self.observer();
        let metadata = self.metadata_within(&observer, topic, self.options.call_timeout);
        if metadata.is_err() {
            self.replace(&observer);
        }
        metadata
    }

    fn observer(&self) -> Observer {
        Arc::clone(&self.observer.read())
    }

    /// Replaces an observer that got no answer. The client may be waiting for a time that is far ahead, see [`Aside`].
    fn replace(&self, failed: &Observer) {
        let mut current = self.observer.write();
        if Arc::ptr_eq(&current, failed)
            && let Ok(new) = observer(&self.clients)
        {
            *current = new;
        }
    }

    fn metadata_within(
        &self,
        observer: &BaseConsumer<ObserverContext>,
        topic: Option<&str>,
        timeout: Duration,
    ) -> Result<HashMap<String, u32>> {
        drain(observer);
        let metadata = match observer.fetch_metadata(topic, timeout) {
            Ok(metadata) => metadata,
            Err(error) => {
                drain(observer);
                let context = format!("connecting to Kafka at {}", self.clients.servers());
                return Err(
                    match (to_log_error(&context, &error), observer.context().0.take()) {
                        (Error::Unavailable { context, .. }, Some(reason)) => Error::Unavailable {
                            context,
                            message: reason,
                        },
                        (error, _) => error,
                    },
                );
            }
        };
        Ok(metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none() && !topic.partitions().is_empty())
            .map(|topic| (topic.name().to_owned(), topic.partitions().len() as u32))
            .collect())
    }

    /// The topic in the cluster. The first result is kept, because Limbic never adds partitions to a topic.
    pub(super) fn target(&self, topic: &Arc<str>) -> Result<Arc<Target>> {
        if let Some(known) = self.targets.read().get(topic) {
            return Ok(Arc::clone(known));
        }
        let name = self.names.topic(topic);
        let Some(partitions) = self.metadata(Some(&name))?.get(&name).copied() else {
            return Err(Error::UnknownTopic(topic.to_string()));
        };
        let target = Arc::new(Target { name, partitions });
        self.targets
            .write()
            .insert(Arc::clone(topic), Arc::clone(&target));
        Ok(target)
    }

    /// Whether there is a topic of this name in the cluster.
    pub(super) fn exists(&self, topic: &str) -> Result<bool> {
        Ok(self.metadata(Some(topic))?.contains_key(topic))
    }

    /// The earliest offset and the high watermark, which includes open transactions.
    pub(super) fn watermarks(&self, topic: &str, partition: u32) -> Result<(u64, u64)> {
        let observer = self.observer();
        let ends = ends(&observer, topic, partition, self.options.call_timeout);
        if ends.is_err() {
            self.replace(&observer);
        }
        ends
    }

    /// All topics of this installation, without changelogs.
    pub(super) fn topics(&self) -> Result<Vec<TopicInfo>> {
        let mut topics: Vec<_> = self
            .metadata(None)?
            .into_iter()
            .filter_map(|(name, partitions)| Some((self.names.logical(&name)?, name, partitions)))
            .collect();
        topics.sort();
        topics
            .into_iter()
            .map(|(logical, name, partitions)| {
                let offsets = (0..partitions).map(|partition| self.watermarks(&name, partition));
                Ok(TopicInfo {
                    name: logical,
                    offsets: offsets.collect::<Result<_>>()?,
                })
            })
            .collect()
    }

    /// The offsets of one topic. If its number of partitions is known, only the offsets are requested.
    pub(super) fn topic(&self, name: &Arc<str>) -> Result<TopicInfo> {
        let target = self.target(name)?;
        let offsets = (0..target.partitions).map(|partition| self.watermarks(&target.name, partition));
        Ok(TopicInfo {
            name: Arc::clone(name),
            offsets: offsets.collect::<Result<_>>()?,
        })
    }

    /// What `group` has committed in these partitions, without joining the group. Brokers answer a commit before its
    /// offsets are visible everywhere, so an undecided commit is waited for. The wait is short, because a process that
    /// was killed may have left it undecided. A coordinator that starts or moves is waited for too.
    pub(super) fn committed_offsets(
        &self,
        group: &str,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<TopicPartitionList> {
        let deadline = Instant::now() + self.options.call_timeout;
        loop {
            match self.decided_offsets(group, partitions) {
                Err(error) if Instant::now() < deadline && is_without_coordinator(&error) => {
                    drop(self.group_observer(group, true)?.poll(Duration::from_millis(100)));
                }
                answer => return answer,
            }
        }
    }

    fn decided_offsets(
        &self,
        group: &str,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<TopicPartitionList> {
        let timeout = self.options.call_timeout;
        let decided = self
            .group_observer(group, true)?
            .committed_offsets(partitions.clone(), timeout.min(DECISION));
        match decided {
            Err(error) if is_late(&error) => self
                .group_observer(group, false)?
                .committed_offsets(partitions.clone(), timeout)
                .inspect_err(|error| {
                    if is_late(error) {
                        self.forget_group(group);
                    }
                }),
            answer => answer,
        }
    }

    /// The next question about the group is asked by new clients.
    fn forget_group(&self, group: &str) {
        let name = self.names.group(group);
        self.groups.lock().retain(|(known, _), _| *known != name);
    }

    fn group_observer(&self, group: &str, decided: bool) -> KafkaResult<Observer> {
        let name = (self.names.group(group), decided);
        let mut groups = self.groups.lock();
        if let Some(known) = groups.get(&name) {
            return Ok(Arc::clone(known));
        }
        let observer = self
            .clients
            .group_observer(&name.0, decided)
            .create_with_context(ObserverContext::default());
        let observer = Arc::new(Aside::new(observer?));
        groups.insert(name, Arc::clone(&observer));
        Ok(observer)
    }

    pub(super) fn forget_groups(&self) {
        self.groups.lock().clear();
    }

    /// Creates the topics that are missing and checks the others.
    pub(super) fn ensure(&self, specs: &[TopicSpec]) -> Result<()> {
        if let Some(spec) = specs.iter().find(|spec| Names::is_reserved(&spec.name)) {
            return Err(Error::Settings(format!(
                "a topic cannot be named `{}`: names with this suffix are reserved for changelogs",
                spec.name
            )));
        }
        let wanted: Vec<Wanted> = specs
            .iter()
            .map(|spec| Wanted::topic(spec, &self.names))
            .collect();
        self.ensure_all(&wanted)
    }

    /// Creates the changelog of a group, or checks it.
    pub(super) fn ensure_changelog(&self, group: &str, partitions: u32) -> Result<()> {
        self.ensure_all(&[Wanted::changelog(self.names.state(group), partitions)])
    }

    fn ensure_all(&self, wanted: &[Wanted]) -> Result<()> {
        let existing = self.metadata(None)?;
        let (there, missing): (Vec<&Wanted>, Vec<&Wanted>) = wanted
            .iter()
            .partition(|topic| existing.contains_key(&topic.name));
        for topic in &there {
            topic.check_partitions(existing[&topic.name])?;
        }
        self.check_settings(&there)?;
        if missing.is_empty() {
            return Ok(());
        }
        let replication = self.options.replication.map_or(-1, i32::from);
        let new: Vec<NewTopic<'_>> = missing.iter().map(|topic| topic.request(replication)).collect();
        let results = wait_for(self.admin.create_topics(&new, &self.admin_options()))
            .map_err(|error| to_log_error("creating topics", &error))?;
        for result in results {
            match result {
                // Another process has created it in the meantime.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(Error::Settings(format!(
                        "Kafka refused to create the topic `{name}`: {code}"
                    )));
                }
            }
        }
        self.await_topics(&missing)
    }

    fn admin_options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.options.call_timeout))
            .operation_timeout(Some(self.options.call_timeout))
    }

    /// Compares the topics' settings in the cluster with the wanted ones. The error lists all differences.
    fn check_settings(&self, topics: &[&Wanted]) -> Result<()> {
        if topics.is_empty() {
            return Ok(());
        }
        let context = "reading the topics' settings from Kafka";
        let names: Vec<ResourceSpecifier<'_>> = topics
            .iter()
            .map(|topic| ResourceSpecifier::Topic(&topic.name))
            .collect();
        let described = wait_for(self.admin.describe_configs(&names, &self.admin_options()))
            .map_err(|error| to_log_error(context, &error))?;
        let mut differences = Vec::new();
        for described in described {
            match described {
                Ok(settings) => {
                    let topic = topics.iter().find(|topic| {
                        settings.specifier == OwnedResourceSpecifier::Topic(topic.name.clone())
                    });
                    differences.extend(topic.and_then(|topic| topic.differences(&settings)));
                }
                Err(code) if is_refusal(code) => {
                    tracing::warn!(%code, "no permission to read the settings of a topic: its retention is not checked");
                }
                Err(code) => {
                    return Err(Error::Unavailable {
                        context: context.to_owned(),
                        message: code.to_string(),
                    });
                }
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Settings(differences.join("; ")))
    }

    /// Deletes the records before these offsets, by the topics' names in the cluster.
    pub(super) fn delete_records(&self, before: &TopicPartitionList) -> Result<()> {
        let context = "deleting records of transient topics";
        let deleted = wait_for(self.admin.delete_records(before, &self.admin_options()));
        let deleted = deleted.map_err(|error| to_log_error(context, &error))?;
        for partition in deleted.elements() {
            if let Err(error) = partition.error() {
                let context = format!("{context}: {}/{}", partition.topic(), partition.partition());
                return Err(to_log_error(&context, &error));
            }
        }
        Ok(())
    }

    /// Waits until the brokers know the new topics.
    fn await_topics(&self, topics: &[&Wanted]) -> Result<()> {
        let deadline = Instant::now() + self.options.call_timeout;
        loop {
            let known = self.metadata(None)?;
            let unknown = topics.iter().find(|topic| !known.contains_key(&topic.name));
            let Some(unknown) = unknown else {
                return topics
                    .iter()
                    .try_for_each(|topic| topic.check_partitions(known[&topic.name]));
            };
            if Instant::now() > deadline {
                return Err(Error::Unavailable {
                    context: format!("creating the topic `{}`", unknown.name),
                    message: "the brokers created it, but do not list it yet".into(),
                });
            }
            drop(self.observer().poll(Duration::from_millis(20)));
        }
    }
}

fn observer(clients: &Clients) -> KafkaResult<Observer> {
    let observer = clients
        .observer()
        .create_with_context(ObserverContext::default())?;
    Ok(Arc::new(Aside::new(observer)))
}

/// No answer came in time.
fn is_late(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut)
}

/// The earliest and the end offset of a partition, at the isolation level of this consumer.
pub(super) fn ends(
    consumer: &BaseConsumer<ObserverContext>,
    topic: &str,
    partition: u32,
    timeout: Duration,
) -> Result<(u64, u64)> {
    let deadline = Instant::now() + timeout;
    loop {
        match consumer.fetch_watermarks(topic, partition as i32, timeout) {
            Ok((low, end)) => return Ok((low.max(0) as u64, end.max(0) as u64)),
            // A partition that was just created, or that moves to another broker, has no leader for a short time.
            Err(error) if Instant::now() < deadline && is_transient(&error) => {
                drop(consumer.poll(Duration::from_millis(20)));
            }
            Err(error) => {
                return Err(to_log_error(
                    &format!("reading the end offset of {topic}/{partition} from Kafka"),
                    &error,
                ));
            }
        }
    }
}

fn is_transient(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
        )
    )
}

/// The brokers have not decided yet which one coordinates the group: at their start, and when one of them stops.
fn is_without_coordinator(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// Handles queued log lines and errors. They would accumulate in a client that is never polled.
fn drain(consumer: &BaseConsumer<ObserverContext>) {
    // Each call stops at a log line without reporting it.
    for _ in 0..32 {
        drop(consumer.poll(Duration::ZERO));
    }
}

/// Waits for a future of the administration client. The client's own thread completes it.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_client_that_gets_no_answer_is_replaced() {
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic("limbic.posts", 3, 1).unwrap();
        let options = KafkaOptions {
            call_timeout: Duration::from_secs(2),
            ..KafkaOptions::default()
        };
        let cluster = Cluster::connect(&format!("kafka://{}", brokers.bootstrap_servers()), options).unwrap();
        let first = cluster.observer();
        assert!(cluster.exists("limbic.posts").unwrap());
        assert!(Arc::ptr_eq(&first, &cluster.observer()), "one that works stays");
        brokers
            .broker_round_trip_time(1, Duration::from_hours(1))
            .unwrap();
        cluster.exists("limbic.posts").unwrap_err();
        cluster.watermarks("limbic.posts", 0).unwrap_err();
        brokers.broker_round_trip_time(1, Duration::ZERO).unwrap();
        // The answers to the first client are still an hour away.
        assert!(cluster.exists("limbic.posts").unwrap());
        assert_eq!(cluster.watermarks("limbic.posts", 2).unwrap(), (0, 0));
        assert!(!Arc::ptr_eq(&first, &cluster.observer()));
    }
}
