//! The gateway in front of real providers and their local servers. The time is passed in.

mod cached;
mod filmed;
mod kit;
mod limited;
mod metered;
mod once;
mod painted;
mod recorded;
mod routed;
