//! The test kit: nodes, their results, posts, servers.

mod made;
mod node;
mod posts;
mod servers;

pub(crate) use made::{Made, assert_same, at, count, is_chosen, items};
pub(crate) use node::{PATIENCE, TestNode, pause, wait_for};
pub(crate) use posts::{END, posts};
pub(crate) use servers::{SharedServers, kafka, on_kafka};
