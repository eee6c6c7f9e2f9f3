//! What the stream felt and did, as series of numbers over event time.
//!
//! [`MetricsStage`] keeps tumbling windows over readings, moments, decisions and outcomes and writes every closed one as
//! [`Point`]s to a [`SeriesStore`]: [`Embedded`] (a SQLite file) or [`Influx`] (InfluxDB 2). [`SeriesReader`] answers from either.
//!
//! Points hold **sums and counts, never means**, and are tagged with the partition number that they come from: topics are
//! keyed differently, so each partition sees its part of a window, and a reader adds the parts up. A point is identified by
//! measurement, tags and time; writing it again overwrites it. So a replay doubles nothing and a correction replaces.
//!
//! | measurement | tag | sums | means |
//! |---|---|---|---|
//! | `emotion` | `subject` | `count`, `distress` | `valence`, `arousal`, `distress_share`, `emotion.NAME` |
//! | `emotion_all` | | the same, each reading once | |
//! | `moments` | `audience` | `count`, `up`, `down` | `valence` |
//! | `decisions` | `campaign` | `count`, `chosen`, `suppressed`, `suppressed.RULE`; in a contest `contest.shadow`, `contest.live`, `contest.rolled_back`, `contest.challenger` (decided by it), `contest.ratio_alarm` | |
//! | `outcomes` | `campaign` | `delivered`, `refused`, `impressions`, `clicks`, `conversions`, `dismissals`, `value` | |
//!
//! Every point also has the tags `tenant`, `window` (`10s`) and `partition`.

mod embedded;
mod fields;
mod influx;
mod point;
mod reader;
mod settings;
mod stage;
mod sums;

pub use embedded::Embedded;
pub use influx::{Influx, InfluxOptions};
pub use point::{Answer, Pending, Point, Query, SeriesError, SeriesStore, Written};
pub use reader::{SeriesReader, Value};
pub use settings::MetricsSettings;
pub use stage::MetricsStage;
