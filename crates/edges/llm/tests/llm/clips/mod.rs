//! Clips by Veo's method of the Gemini API. A local server that behaves as Google's guide and reports say. No recording of the real one was
//! compared.

mod files;
mod server;
mod veo;

pub(crate) use files::{clip, cut};
pub(crate) use server::{Act, Studio};
