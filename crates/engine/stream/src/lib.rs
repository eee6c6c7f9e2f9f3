//! The engine: a durable log, transactions over it, and stages that cannot lose or double a record.
//!
//! ```text
//!             ┌────────────── one stage instance, one thread ──────────────┐
//!  Log ──poll──▶ Batch ──Stage::process──▶ Outputs ──Transaction::commit──▶ Log
//!   ▲        (records of the            (records, dead letters,     (outputs + dead letters +
//!   │         partitions assigned)       state changes)              state + consumed offsets: all or nothing)
//!   └──────────────────────── rewind after an abort ──────────────────────┘
//! ```
//!
//! * [`Log`] is the broker, [`Consumer`] one member of a group, [`Transaction`] one atomic step of it. There are two
//!   backends, [`embedded`] (on fjall, no server) and [`kafka`] (librdkafka); `tests/conformance` holds both to one suite.
//! * [`Stage`] is what stage crates write: a batch in, [`Outputs`] out. It sees no broker, no offset, no retry.
//! * [`run`] owns everything around it: polling, batching, retries with back-off, isolating a poison record, dead
//!   letters, watermarks, metrics, drain.
//!
//! The core is *blocking by design*: a stage instance is one thread of its own, so a stage may compute for as long as
//! it likes without starving an async executor, and librdkafka's and fjall's blocking calls are where they belong.
//!
//! # Invariants
//!
//! * A record is **acknowledged** ([`Log::publish`], [`Transaction::commit`]) only once it is durable.
//! * Outputs, dead letters, state and consumed offsets of a batch commit in **one** transaction, or none of them does.
//! * Records of one key are in one partition ([`partition_of`], Kafka's murmur2) and are seen in the order written.
//! * Nothing of an aborted transaction is ever seen by a consumer.
//! * A member that lost its partitions (a zombie) cannot commit: [`Error::is_fenced`].
//! * Stage state belongs to a partition *number*: every input topic of a stage has equally many partitions, and one
//!   instance holds the same number of each.

mod backoff;
mod control;
mod error;
mod log;
mod overlay;
mod partition;
mod record;
pub mod reference;
pub mod runtime;
mod stage;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
pub mod window;

pub use backoff::Backoff;
pub use control::{Control, WatermarkMark};
pub use error::{Error, Result};
pub use log::{
    BatchLimits, Cleanup, Committed, Consumer, GroupProgress, Log, Polled, Retention, StateReader,
    Subscription, TOMBSTONE_RETENTION, TopicInfo, TopicPartition, TopicSpec, Transaction,
};
pub use partition::partition_of;
pub use record::{Headers, NewRecord, Record, header};
pub use reference::{Reference, References};
pub use stage::{
    Batch, Broadcast, Cause, DeadLetter, Effects, EventTime, Forward, Input, Output, Outputs, Stage,
    StageError, StageSpec, StateChange,
};
pub use state::{DecodeProblem, Decoder, Encoder, KeyFor, StateKey, StateValue, Table, Timer, Timers};
