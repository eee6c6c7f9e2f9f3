//! For tests: an ad platform that fails in the ways in which real ones fail.

mod chaos;
mod io;
mod server;

pub use chaos::{Behaviour, Chaos};
pub use server::{PlatformServer, Received, ServerOptions};
