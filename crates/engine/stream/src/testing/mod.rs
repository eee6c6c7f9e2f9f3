//! Kits for tests: nothing here runs in production. Behind the feature `testing`.

pub mod conformance;
