//! The metrics stage: aggregates every topic into time series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use limbic_domain::{TenantId, Utc, topics};
use limbic_stream::window::{Added, WindowKind, Windows};
use limbic_stream::{
    Batch, BatchLimits, Error, EventTime, Outputs, Stage, StageError, StageSpec, StateSchema,
};
use tokio::runtime::Handle;

use crate::campaigns::CampaignMeters;
use crate::measured;
use crate::meters::SeriesMeters;
use crate::names::Name;
use crate::point::{Point, Series, SeriesStore};
use crate::retention::{Retention, TICK};
use crate::settings::{MetricsSettings, window_tag};
use crate::sums::{ALL, Entry, Sums};

/// The measurements, and the tag that distinguishes their groups. The windows of `emotion` also hold the sums of all readings.
const MEASUREMENTS: [(&str, &str); 5] = [
    ("emotion", "subject"),
    ("moments", "audience"),
    ("decisions", "campaign"),
    ("outcomes", "campaign"),
    ("holds", "subject"),
];
/// The measurement of all readings.
const EMOTION_ALL: &str = "emotion_all";
/// The maximum number of series that an instance remembers, so that it need not name them again.
const MOST_SERIES: usize = 8_192;

/// Most records in a batch. Each is in memory as a record and with what it adds.
const BATCH: usize = 2_000;

/// The windows of one measurement and length.
pub(crate) struct Kept {
    measurement: &'static str,
    tag: &'static str,
    /// The length.
    pub(crate) seconds: u32,
    window: String,
    pub(crate) windows: Windows<Sums>,
    /// The windows in which older programs kept the sums of all readings. They are moved to `windows`.
    of_all: Option<Windows<Sums>>,
}

/// Writes sums of readings, moments, decisions, outcomes and holds to a [`SeriesStore`].
///
/// The store is written *before* the log commits. If the commit then fails, the same windows close again with the same or
/// more records, and their points replace the earlier ones.
pub struct MetricsStage {
    store: Arc<dyn SeriesStore>,
    handle: Handle,
    kept: Vec<Kept>,
    most: usize,
    series: KnownSeries,
    retention: Retention,
    campaigns: CampaignMeters,
}

/// What distinguishes a series within this stage: the place in [`MetricsStage::kept`], the partition, the window's key and the
/// group.
type SeriesKey = (usize, u32, Bytes, Name);

impl std::fmt::Debug for MetricsStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsStage")
            .field("windows", &self.kept.len())
            .finish_non_exhaustive()
    }
}

/// The records of a batch by partition number, tenant and measurement, in order.
type Sorted = BTreeMap<(u32, TenantId, &'static str), Vec<(Utc, Entry)>>;

impl MetricsStage {
    /// The stage's name, and that of its consumer group.
    pub const NAME: &'static str = "metrics";

    /// A stage that writes to `store`, with calls that run on `handle`. Settings that are not valid are an error.
    pub fn new(
        store: Arc<dyn SeriesStore>,
        handle: Handle,
        settings: &MetricsSettings,
    ) -> Result<Self, Error> {
        Ok(Self {
            store,
            handle,
            kept: kept(settings)?,
            most: settings.most_groups,
            series: KnownSeries::default(),
            retention: Retention::new(settings.keep.clone(), SeriesMeters::unregistered()),
            campaigns: CampaignMeters::unregistered(),
        })
    }

    /// Counts the deleted points, and what happens to campaigns, in `meters`.
    #[must_use]
    pub fn metered(mut self, meters: SeriesMeters) -> Self {
        self.campaigns = meters.campaigns.clone();
        self.retention.count_in(meters);
        self
    }

    /// The stage's topics and requirements, for the runtime.
    pub fn spec(settings: &MetricsSettings) -> StageSpec {
        let disorder = settings.disorder.get();
        let mut spec = StageSpec::new(Self::NAME).stateful().batches(BatchLimits {
            records: BATCH,
            ..BatchLimits::default()
        });
        if settings.keep.is_limited() {
            spec = spec.ticks(TICK);
        }
        // Windows do not wait for what the readings cause: the windows of the readings would stay in the state until then.
        let following = [topics::MOMENTS, topics::DECISIONS, topics::OUTCOMES];
        following
            .into_iter()
            .fold(
                spec.reads(topics::READINGS, EventTime::Records { disorder }),
                |spec, topic| spec.reads(topic, EventTime::Following { disorder }),
            )
            // Most logs never have a hold, and windows must not wait for one.
            .reads(topics::HOLDS, EventTime::Ignored)
    }

    /// Closes the windows that are due and writes their points.
    fn close(
        &mut self,
        out: &mut Outputs<'_>,
        due: impl IntoIterator<Item = (u32, TenantId)>,
        watermark: Utc,
    ) -> Result<(), StageError> {
        let mut points = Vec::new();
        for (partition, tenant) in &due.into_iter().collect::<Vec<_>>() {
            for (place, kept) in self.kept.iter().enumerate() {
                for closed in kept.windows.advance(out, *partition, tenant, watermark)? {
                    let at = Utc::from_millis(closed.window.start);
                    for (group, fields) in closed.value.into_groups() {
                        let key = (place, *partition, closed.key.clone(), group);
                        let series = self
                            .series
                            .get(key, |group| kept.series(*partition, &closed.key, group))?;
                        points.push(Point { series, fields, at });
                    }
                }
            }
        }
        if points.is_empty() {
            return Ok(());
        }
        let written = self
            .handle
            .block_on(self.store.write(&points))
            .map_err(|error| StageError::unavailable("series_unavailable", error.to_string()))?;
        for refused in &written.refused {
            tracing::error!(refused, "the series store refused points permanently");
        }
        self.retention.count_not_stored(&written);
        Ok(())
    }
}

/// The windows that the settings ask for. Settings that are not valid are an error.
pub(crate) fn kept(settings: &MetricsSettings) -> Result<Vec<Kept>, Error> {
    settings
        .check()
        .map_err(|error| Error::Settings(error.to_string()))?;
    let unique = settings.window_seconds().unwrap_or_default();
    let mut kept = Vec::new();
    for seconds in unique {
        let window = window_tag(seconds);
        let kind = WindowKind::Tumbling {
            size: i64::from(seconds) * 1_000,
        };
        // Moments, decisions, outcomes and holds are rare, and arrive after the readings that caused them. The readings
        // advance the watermark without them.
        let windows = |measurement: &str| {
            let lateness = match measurement {
                "emotion" | EMOTION_ALL => settings.lateness,
                _ => settings.lateness_of_effects.max(settings.lateness),
            };
            let lateness = lateness.as_millis();
            let windows = Windows::new(&format!("{measurement}/{window}"), kind, lateness)?;
            Ok::<_, Error>(windows.late_by_own_records())
        };
        for (measurement, tag) in MEASUREMENTS {
            let of_all = (measurement == "emotion")
                .then(|| windows(EMOTION_ALL))
                .transpose()?;
            kept.push(Kept {
                measurement,
                tag,
                seconds,
                window: window.clone(),
                windows: windows(measurement)?,
                of_all,
            });
        }
    }
    Ok(kept)
}

/// The tenant that the key of a window is.
pub(crate) fn tenant_of(key: &[u8]) -> Option<TenantId> {
    TenantId::new(std::str::from_utf8(key).ok()?).ok()
}

impl Kept {
    /// The measurement that the points of a group have.
    pub(crate) fn measurement_of(&self, group: &Name) -> &'static str {
        if group.as_str() == ALL {
            EMOTION_ALL
        } else {
            self.measurement
        }
    }

    /// The series of a group. `key` is the key of its windows.
    fn series(&self, partition: u32, key: &Bytes, group: &Name) -> Result<Series, StageError> {
        let tenant = tenant_of(key)
            .ok_or_else(|| StageError::internal("window_key", "a window's key is not a tenant"))?;
        let mut tags = BTreeMap::from([
            ("window".to_owned(), self.window.clone()),
            ("partition".to_owned(), partition.to_string()),
        ]);
        if group.as_str() != ALL {
            tags.insert(self.tag.to_owned(), group.to_string());
        }
        Ok(Series {
            tenant,
            measurement: self.measurement_of(group).to_owned(),
            tags,
        })
    }
}

/// The series that an instance has written to, so that it names them once.
#[derive(Default)]
struct KnownSeries(HashMap<SeriesKey, Arc<Series>>);

impl KnownSeries {
    fn get(
        &mut self,
        key: SeriesKey,
        make: impl FnOnce(&Name) -> Result<Series, StageError>,
    ) -> Result<Arc<Series>, StageError> {
        if let Some(known) = self.0.get(&key) {
            return Ok(Arc::clone(known));
        }
        if self.0.len() >= MOST_SERIES {
            self.0.clear();
        }
        let series = Arc::new(make(&key.3)?);
        self.0.insert(key, Arc::clone(&series));
        Ok(series)
    }
}

impl Stage for MetricsStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut measured = Sorted::new();
        for record in &batch.records {
            match measured::of(record, self.most) {
                Ok(all) => {
                    for one in all {
                        self.campaigns.count(&one);
                        let place = (record.partition, one.tenant, one.measurement);
                        measured.entry(place).or_default().push((one.at, one.entry));
                    }
                }
                Err(problem) => out.dead(record, "malformed", problem),
            }
        }
        let mut late: BTreeSet<(u32, TenantId)> = BTreeSet::new();
        for ((partition, tenant, measurement), entries) in &measured {
            let key = Bytes::copy_from_slice(tenant.as_str().as_bytes());
            for kept in self.kept.iter().filter(|kept| kept.measurement == *measurement) {
                let items = entries.iter().map(|(at, entry)| (key.clone(), *at, entry));
                let mut dropped = 0_u64;
                kept.windows
                    .add_all(out, *partition, tenant, items, |_, added| match added {
                        Added::OnTime => {}
                        Added::Late => {
                            late.insert((*partition, tenant.clone()));
                        }
                        Added::DroppedLate => dropped += 1,
                    })?;
                if dropped > 0 {
                    tracing::warn!(
                        partition,
                        %tenant,
                        measurement,
                        window = kept.window,
                        dropped,
                        "too late to be counted"
                    );
                }
            }
        }
        // A correction is emitted now and does not wait for a later watermark, because this may be the last record for a
        // while.
        self.close(out, late, Utc::MIN)
    }

    fn watermark(
        &mut self,
        partition: u32,
        tenant: &TenantId,
        watermark: Utc,
        out: &mut Outputs<'_>,
    ) -> Result<(), StageError> {
        self.close(out, [(partition, tenant.clone())], watermark)
    }

    fn divide_time(&mut self, partition: u32, out: &mut Outputs<'_>) -> Result<Vec<TenantId>, StageError> {
        let mut tenants = BTreeSet::new();
        for kept in &self.kept {
            // The windows in which still older programs kept the sums of all readings.
            if let Some(of_all) = &kept.of_all {
                kept.windows.absorb(out, partition, of_all, Sums::of_all)?;
            }
            tenants.extend(kept.windows.divide_time(out, partition, tenant_of)?);
        }
        Ok(tenants.into_iter().collect())
    }

    fn tick(&mut self, _: &[u32], now: Utc, _: &mut Outputs<'_>) -> Result<(), StageError> {
        let done = self.handle.block_on(self.retention.tick(&*self.store, now));
        if let Err(error) = done {
            // New points matter more. The next round deletes what this one did not.
            tracing::warn!(%error, "old points were not deleted: the next attempt follows");
        }
        Ok(())
    }
}

/// The tables of the stage's state.
pub(crate) fn schema() -> StateSchema {
    Windows::<Sums>::described_in(StateSchema::new())
}

#[cfg(test)]
mod tests;
