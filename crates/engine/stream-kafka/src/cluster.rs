//! The cluster seen from outside: its topics, their ends, and how they are made.

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

use crate::context::Onlooker;
use crate::failure::{is_refusal, told};
use crate::names::Names;
use crate::options::{Clients, KafkaOptions};
use crate::wanted::Wanted;
use limbic_stream::{Error, Result, TopicInfo, TopicSpec};

/// How long the first question waits for an answer before it is looked at why there is none.
const GREETING: Duration = Duration::from_secs(1);

/// How long a commit that is undecided is waited for by those who only look.
const DECISION: Duration = Duration::from_secs(2);

/// Where the records of a topic go.
#[derive(Debug)]
pub(super) struct Target {
    /// Its name in the cluster.
    pub(super) name: String,
    pub(super) partitions: u32,
}

type GroupObserver = Arc<BaseConsumer<Onlooker>>;

pub(super) struct Cluster {
    pub(super) clients: Clients,
    pub(super) names: Names,
    pub(super) options: KafkaOptions,
    observer: BaseConsumer<Onlooker>,
    admin: AdminClient<DefaultClientContext>,
    targets: RwLock<HashMap<Arc<str>, Arc<Target>>>,
    /// One observer for each group that was asked about, by what it sees.
    groups: Mutex<HashMap<(String, bool), GroupObserver>>,
}

impl Cluster {
    /// Connects, and answers only once a broker has answered.
    pub(super) fn connect(url: &str, options: KafkaOptions) -> Result<Self> {
        let clients = Clients::new(url, &options)?;
        let told = |error| told("connecting to Kafka", &error);
        let observer: BaseConsumer<Onlooker> = clients
            .observer()
            .create_with_context(Onlooker::default())
            .map_err(told)?;
        let admin = clients.observer().create().map_err(told)?;
        let cluster = Self {
            names: Names::new(&options.prefix),
            clients,
            options,
            observer,
            admin,
            targets: RwLock::default(),
            groups: Mutex::default(),
        };
        cluster.greet()?;
        Ok(cluster)
    }

    /// Waits for an answer. A wrong password is no matter of patience.
    fn greet(&self) -> Result<()> {
        let deadline = Instant::now() + self.options.patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.metadata_within(None, left.min(GREETING)) {
                Ok(_) => return Ok(()),
                Err(Error::Unavailable { context, message }) if self.observer.context().0.is_refused() => {
                    return Err(Error::Settings(format!("{context}: {message}")));
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Partition counts of one topic, or of all, by their names in the cluster.
    fn metadata(&self, topic: Option<&str>) -> Result<HashMap<String, u32>> {
        self.metadata_within(topic, self.options.patience)
    }

    fn metadata_within(&self, topic: Option<&str>, patience: Duration) -> Result<HashMap<String, u32>> {
        drain(&self.observer);
        let metadata = match self.observer.fetch_metadata(topic, patience) {
            Ok(metadata) => metadata,
            Err(error) => {
                drain(&self.observer);
                let context = format!("asking Kafka at {}", self.clients.servers());
                return Err(match (told(&context, &error), self.observer.context().0.take()) {
                    (Error::Unavailable { context, .. }, Some(reason)) => Error::Unavailable {
                        context,
                        message: reason,
                    },
                    (error, _) => error,
                });
            }
        };
        Ok(metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none() && !topic.partitions().is_empty())
            .map(|topic| (topic.name().to_owned(), topic.partitions().len() as u32))
            .collect())
    }

    /// The topic in the cluster, once looked up and then remembered: partitions are never added to a topic of ours.
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

    /// The earliest offset and the high watermark, open transactions included.
    pub(super) fn watermarks(&self, topic: &str, partition: u32) -> Result<(u64, u64)> {
        ends(&self.observer, topic, partition, self.options.patience)
    }

    /// All topics of this installation, changelogs left out.
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

    /// One topic, asked for nothing but its ends once its partitions are known.
    pub(super) fn topic(&self, name: &Arc<str>) -> Result<TopicInfo> {
        let target = self.target(name)?;
        let offsets = (0..target.partitions).map(|partition| self.watermarks(&target.name, partition));
        Ok(TopicInfo {
            name: Arc::clone(name),
            offsets: offsets.collect::<Result<_>>()?,
        })
    }

    /// What `group` has committed in these partitions, asked without joining it. The brokers answer a commit before its
    /// offsets are seen by everyone, so what is undecided is waited for; not for long, since a process that was killed
    /// may have left it so.
    pub(super) fn committed_offsets(
        &self,
        group: &str,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<TopicPartitionList> {
        let patience = self.options.patience;
        let decided = self
            .group_observer(group, true)?
            .committed_offsets(partitions.clone(), patience.min(DECISION));
        match decided {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) => self
                .group_observer(group, false)?
                .committed_offsets(partitions.clone(), patience),
            answer => answer,
        }
    }

    fn group_observer(&self, group: &str, decided: bool) -> KafkaResult<GroupObserver> {
        let name = (self.names.group(group), decided);
        let mut groups = self.groups.lock();
        if let Some(known) = groups.get(&name) {
            return Ok(Arc::clone(known));
        }
        let observer = self
            .clients
            .group_observer(&name.0, decided)
            .create_with_context(Onlooker::default());
        let observer = Arc::new(observer?);
        groups.insert(name, Arc::clone(&observer));
        Ok(observer)
    }

    pub(super) fn forget_groups(&self) {
        self.groups.lock().clear();
    }

    /// Creates the topics that are missing, checks those that are there.
    pub(super) fn ensure(&self, specs: &[TopicSpec]) -> Result<()> {
        if let Some(spec) = specs.iter().find(|spec| Names::is_reserved(&spec.name)) {
            return Err(Error::Settings(format!(
                "no topic may be called `{}`: such names are the log's own",
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
            .map_err(|error| told("creating topics", &error))?;
        for result in results {
            match result {
                // Somebody else was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(Error::Settings(format!(
                        "Kafka does not create the topic `{name}`: {code}"
                    )));
                }
            }
        }
        self.await_topics(&missing)
    }

    fn admin_options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.options.patience))
            .operation_timeout(Some(self.options.patience))
    }

    /// Compares what the cluster keeps of topics with what should be kept. Everything that differs is said at once.
    fn check_settings(&self, topics: &[&Wanted]) -> Result<()> {
        if topics.is_empty() {
            return Ok(());
        }
        let context = "asking Kafka for the settings of topics";
        let names: Vec<ResourceSpecifier<'_>> = topics
            .iter()
            .map(|topic| ResourceSpecifier::Topic(&topic.name))
            .collect();
        let described = wait_for(self.admin.describe_configs(&names, &self.admin_options()))
            .map_err(|error| told(context, &error))?;
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
                    tracing::warn!(%code, "not allowed to see how long a topic keeps its records: not checked");
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

    /// A topic is of use once the broker that answers knows it.
    fn await_topics(&self, topics: &[&Wanted]) -> Result<()> {
        let deadline = Instant::now() + self.options.patience;
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
                    message: "it was created but does not appear".into(),
                });
            }
            drop(self.observer.poll(Duration::from_millis(20)));
        }
    }
}

/// The earliest offset of a partition and its end, as this consumer's isolation lets it see it.
pub(super) fn ends(
    consumer: &BaseConsumer<Onlooker>,
    topic: &str,
    partition: u32,
    patience: Duration,
) -> Result<(u64, u64)> {
    let deadline = Instant::now() + patience;
    loop {
        match consumer.fetch_watermarks(topic, partition as i32, patience) {
            Ok((low, end)) => return Ok((low.max(0) as u64, end.max(0) as u64)),
            // A partition that was just made or is moving has no leader for a moment.
            Err(error) if Instant::now() < deadline && is_passing(&error) => {
                drop(consumer.poll(Duration::from_millis(20)));
            }
            Err(error) => {
                return Err(told(
                    &format!("asking Kafka for the end of {topic}/{partition}"),
                    &error,
                ));
            }
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
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

/// Lets log lines and errors through, which would pile up in a client that nobody polls.
fn drain(consumer: &BaseConsumer<Onlooker>) {
    // One call stops at a log line, and does not say so.
    for _ in 0..32 {
        drop(consumer.poll(Duration::ZERO));
    }
}

/// Waits for a future of the administration client, which has a thread of its own to complete it.
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
