//! For tests: an ad platform with the failures of real ones.

mod chaos;
mod io;
mod server;

pub use chaos::{Behaviour, Chaos};
pub use server::{PlatformServer, Received, ServerOptions};
