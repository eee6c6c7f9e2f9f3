//! Aggregates what the stages read, decide and deliver into time series.
//!
//! ```text
//!  readings, moments, ──▶ MetricsStage ──Point──▶ SeriesStore ◀──sums── SeriesReader ◀── API
//!  decisions, outcomes,   (windows)              (SQLite, InfluxDB 2)
//!  holds
//! ```
//!
//! [`MetricsStage`] keeps tumbling windows and writes each closed window as [`Point`]s to a [`SeriesStore`]: [`Embedded`] (a
//! SQLite file) or [`Influx`] (InfluxDB 2). [`SeriesReader`] reads both. The program's own metrics (lag, batches, errors)
//! are not here: Prometheus reads them from `/metrics`.
//!
//! ```
//! use limbic_metrics::{MetricsSettings, MetricsStage};
//!
//! let spec = MetricsStage::spec(&MetricsSettings::default());
//! let topics: Vec<&str> = spec.inputs.iter().map(|input| &*input.topic).collect();
//! assert_eq!(topics, ["readings", "moments", "decisions", "outcomes", "holds"]);
//! assert!(spec.stateful && spec.outputs.is_empty());
//! ```
//!
//! # Measurements
//!
//! | measurement | tag | sums | means |
//! |---|---|---|---|
//! | `emotion` | `subject` | `count`, `distress` | `valence`, `arousal`, `distress_share`, `emotion.NAME` |
//! | `emotion_all` | | the same, each reading once | |
//! | `moments` | `audience` | `count`, `up`, `down` | `valence` |
//! | `decisions` | `campaign` | `count`, `chosen`, `price` (the most that the chosen ads can cost), `suppressed`, `suppressed.RULE`; with a challenger `challenger.shadow`, `challenger.live`, `challenger.rolled_back` (decisions in each mode), `challenger.decisions` (decisions by the challenger), `challenger.ratio_alarm` | |
//! | `outcomes` | `campaign` | `delivered`, `refused`, `withdrawn`, `paused`, `impressions`, `clicks`, `conversions`, `dismissals`, `value` | |
//! | `holds` | `subject` | `sensitive_events`, `unread`, `suspected` (holds that were raised or extended, by cause), `released` | |
//!
//! Every point also has the tags `tenant`, `window` (`10s`) and `partition`.
//!
//! # Laws
//!
//! * A point contains **sums and counts, never means**. Topics have different keys, so each partition has a part of a
//!   window, and a reader adds the parts.
//! * A window is written when event time has passed its end by [`MetricsSettings::disorder`]. Event time does not advance
//!   while no record comes. So the windows of the last records stay open and are in no series until a later record closes
//!   them, or `POST /v1/watermark`, which `limbic replay` sends at its end.
//! * Measurement, tags and time identify a point. Writing it again replaces it. So a replay counts nothing twice, and a
//!   correction replaces the earlier result.
//! * An outcome that is stated again is taken out of its window and added as it is now. A correction of a window that is too
//!   old is dropped and counted like a late record.
//! * The embedded series delete a point when it is older than [`KeepPoints`] says, both by the newest point of its measurement
//!   and tenant and by the node's clock. What is deleted does not come back, and answers say that it is deleted. InfluxDB
//!   deletes points itself, after the retention of its bucket.
//! * Sums are whole millionths, so they do not depend on the order of addition.

mod campaigns;
mod compare;
mod component;
mod embedded;
mod fields;
mod influx;
mod measured;
mod meters;
mod names;
mod point;
mod reader;
mod retention;
mod settings;
mod stage;
mod sums;

pub use compare::{CompareError, compare};
pub use component::InfluxSettings;
pub use embedded::Embedded;
pub use influx::{Influx, InfluxOptions};
pub use meters::SeriesMeters;
pub use names::Name;
pub use point::{Answer, Older, Pending, Point, Query, Series, SeriesError, SeriesStore, Written};
pub use reader::{SeriesReader, Value, Values};
pub use settings::{InvalidMetricsSetting, KeepPoints, MetricsSettings};
pub use stage::MetricsStage;
