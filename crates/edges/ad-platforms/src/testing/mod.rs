//! For tests: an ad platform that behaves as real ones do on their bad days.

mod chaos;
mod io;
mod server;

pub use chaos::{Behaviour, Chaos};
pub use server::{PlatformServer, Received, ServerOptions};
