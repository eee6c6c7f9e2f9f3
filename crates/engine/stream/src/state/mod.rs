//! Typed state: tables and timers over the keys and bytes that the log stores.

mod codec;
mod schema;
mod table;
mod timers;

pub use codec::{DecodeProblem, Decoder, Encoder, StateValue};
pub use schema::StateSchema;
pub use table::{KeyFor, StateKey, Table};
pub use timers::{Timer, Timers};
