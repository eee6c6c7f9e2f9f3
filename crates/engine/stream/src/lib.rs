//! The engine: a durable log, transactions over it, and stages that lose no record and process none twice.
//!
//! ```text
//!             ┌────────────── one stage instance, one thread ──────────────┐
//!  Log ──poll──▶ Batch ──Stage::process──▶ Outputs ──Transaction::commit──▶ Log
//!   ▲        (records of the            (records, dead letters,     (outputs + dead letters +
//!   │      assigned partitions)          state changes)              state + consumed offsets: all or nothing)
//!   └──────────────────────── rewind after an abort ──────────────────────┘
//! ```
//!
//! It is a library for stages that run as consumer groups, on one node without a server or on many nodes over Kafka. It
//! is not an actor framework, a query engine or a job scheduler: a stage is a type with a method that receives a batch.
//!
//! * [`Log`] is the contract of a broker, [`Consumer`] is a member of a group, and [`Transaction`] is an atomic step of
//!   it. The backends are separate crates (`limbic-stream-embedded` on fjall, `limbic-stream-kafka` on librdkafka). Both
//!   pass the suite in `testing::conformance`.
//! * [`Stage`] is what a stage crate implements: a [`Batch`] in, [`Outputs`] out.
//! * [`Table`] and [`Timers`] are typed state. [`window`] divides event time into windows. [`mod@reference`] tables hold
//!   the topics that every instance reads completely. [`outbox`] runs slow or random work outside the engine.
//! * [`runtime::spawn`] runs a stage: polling, retries with [`Backoff`], isolation of a failing record, dead letters,
//!   watermarks, meters, shutdown.
//! * `testing` (a feature) drives a stage in a test, without a log.
//!
//! # A stage and its test
//!
//! ```
//! use bytes::Bytes;
//! use limbic_stream::testing::{Harness, record};
//! use limbic_stream::{Batch, Outputs, Stage, StageError, Table};
//!
//! /// Numbers the posts of each author.
//! struct Number;
//!
//! const POSTS: Table<Bytes, u64> = Table::new("posts of an author", b"p");
//!
//! impl Stage for Number {
//!     fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
//!         for record in &batch.records {
//!             let n = POSTS.get(out, record.partition, &&record.key[..])?.unwrap_or(0) + 1;
//!             POSTS.put(out, record.partition, &&record.key[..], &n);
//!             out.emit_bytes(&record.cause(), "numbers", "all", record.timestamp, n.to_string());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut harness = Harness::new(|| Number);
//! harness.process([record("posts").key("ada"), record("posts").key("bob"), record("posts").key("ada")]);
//! harness.restart();
//! harness.process([record("posts").key("ada")]);
//! let numbers: Vec<_> = harness.outputs().iter().map(|(_, record)| &record.value[..]).collect();
//! assert_eq!(numbers, [b"1", b"1", b"2", b"3"]);
//! ```
//!
//! # Laws
//!
//! * A record is **acknowledged** ([`Log::publish`], [`Transaction::commit`]) only when it is durable.
//! * Outputs, dead letters, state and consumed offsets of a batch commit in **one** transaction, or none of them does.
//! * Records of one key are in one partition ([`partition_of`], Kafka's murmur2), and a stage sees them in the order written.
//! * No consumer ever sees a record of an aborted transaction.
//! * A member that has lost its partitions cannot commit: [`Error::is_fenced`].
//! * State belongs to a partition *number*: all input topics of a stage have the same number of partitions, and one
//!   instance holds the same numbers of each.
//! * What a stage computes is a function of records, state and time. It sees no broker, no offset and no retry.
//!
//! Every call of the log blocks. A stage instance has its own thread, so a long computation does not block an async
//! executor.

mod backoff;
pub mod clock;
mod control;
mod error;
mod log;
pub mod outbox;
mod overlay;
mod partition;
pub mod progress;
mod record;
pub mod reference;
pub mod runtime;
mod stage;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
pub mod verify;
pub mod window;

pub use backoff::Backoff;
pub use control::{Control, WatermarkMark};
pub use error::{Error, Result};
pub use log::{
    BatchLimits, Cleanup, Committed, Consumer, GroupProgress, GroupState, Log, Polled, Retention, Skipped,
    StateReader, Subscription, TOMBSTONE_RETENTION, TopicInfo, TopicPartition, TopicSpec, Transaction,
};
pub use partition::partition_of;
pub use record::{Headers, NewRecord, Record, header};
pub use reference::{Reference, References};
pub use stage::{
    Batch, Broadcast, Cause, DeadLetter, Effects, EventTime, Forward, Input, Output, Outputs, Stage,
    StageError, StageSpec, StateChange,
};
pub use state::{
    DecodeProblem, Decoder, Encoder, KeyFor, StateKey, StateSchema, StateValue, Table, Timer, Timers,
};
