//! Compares the series with the windows in the stage's state.

use std::collections::{BTreeMap, BTreeSet};

use limbic_domain::{TenantId, Utc};
use limbic_stream::StateReader;
use limbic_stream::verify::Verdict;
use tokio::runtime::Handle;

use crate::point::{Query, SeriesError, SeriesStore};
use crate::settings::MetricsSettings;
use crate::stage::{Kept, kept, tenant_of};

/// The field that every measurement with one has in all of its groups.
const COUNT: &str = "count";

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The series cannot be read.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The state of the stage cannot be read.
    #[error(transparent)]
    State(#[from] limbic_stream::Error),
}

/// Windows of one length and partition, which one query reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    tenant: TenantId,
    measurement: String,
    seconds: u32,
    partition: u32,
}

/// What the series must have of the windows of a [`Place`].
#[derive(Debug, Default)]
struct Expected {
    fields: BTreeSet<String>,
    /// The records in each window by its start. 0 if the measurement does not count them.
    records: BTreeMap<i64, f64>,
}

/// Compares the points of `store` with the windows that `state`, the state of the stage, still has and that were written: those
/// that are not too old for late records. Reads both, and writes nothing. The series may have more than the state, because they are
/// written first.
pub fn compare(
    store: &dyn SeriesStore,
    state: &impl StateReader,
    settings: &MetricsSettings,
    partitions: u32,
    handle: &Handle,
) -> Result<Verdict, CompareError> {
    let mut expected = BTreeMap::<Place, Expected>::new();
    for kept in kept(settings)? {
        for partition in 0..partitions {
            expect(&kept, state, partition, &mut expected)?;
        }
    }
    let (mut windows, mut missing, mut first) = (0, 0, None);
    for (place, expected) in expected {
        let deleted_before = handle.block_on(store.deleted_before(&place.tenant, &place.measurement))?;
        let kept_from = deleted_before.map_or(i64::MIN, Utc::as_millis);
        let records: BTreeMap<i64, f64> = expected
            .records
            .into_iter()
            .filter(|(at, _)| *at >= kept_from)
            .collect();
        let Some((start, end)) = records.keys().next().zip(records.keys().last()) else {
            continue;
        };
        let step = i64::from(place.seconds) * 1_000;
        let answer = handle.block_on(store.sums(&Query {
            tenant: place.tenant.clone(),
            measurement: place.measurement.clone(),
            tags: place.tags(),
            fields: expected.fields.into_iter().collect(),
            from: Utc::from_millis(*start),
            to: Utc::from_millis(end + step),
            step,
        }))?;
        for (at, records) in records {
            windows += 1;
            let found = answer
                .get(&at)
                .map(|sums| sums.get(COUNT).copied().unwrap_or_default());
            // Half a record is more than what floating-point sums can be wrong by.
            if found.is_none_or(|found| found < records - 0.5) {
                missing += 1;
                first.get_or_insert_with(|| place.missing(at, found, records));
            }
        }
    }
    let result = match first {
        None => Ok(format!(
            "{windows} windows of the stage's state are in the series, with all of their records"
        )),
        Some(first) => Err(format!(
            "{missing} of the {windows} windows in the stage's state are not in the series, or with fewer records. The first is {first}. \
             The series were restored from an older backup, or points were deleted; older windows may be missing, too. Restore a newer \
             backup of the series"
        )),
    };
    Ok(Verdict {
        what: "series".to_owned(),
        result,
    })
}

/// Adds the written windows of a partition to what the series must have.
fn expect(
    kept: &Kept,
    state: &impl StateReader,
    partition: u32,
    expected: &mut BTreeMap<Place, Expected>,
) -> Result<(), CompareError> {
    for written in kept.windows.emitted(state, partition)? {
        let Some(tenant) = tenant_of(&written.key) else {
            continue;
        };
        for (group, fields) in written.value.into_groups() {
            let place = Place {
                tenant: tenant.clone(),
                measurement: kept.measurement_of(&group).to_owned(),
                seconds: kept.seconds,
                partition,
            };
            let expected = expected.entry(place).or_default();
            let counted = fields.iter().find(|(name, _)| name.as_str() == COUNT);
            *expected.records.entry(written.window.start).or_default() +=
                counted.map_or(0.0, |(_, count)| *count);
            let names = fields.iter().map(|(name, _)| name.to_string());
            expected.fields.extend(names);
        }
    }
    Ok(())
}

impl Place {
    fn tags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("window".to_owned(), crate::settings::window_tag(self.seconds)),
            ("partition".to_owned(), self.partition.to_string()),
        ])
    }

    fn missing(&self, at: i64, found: Option<f64>, records: f64) -> String {
        let found = found.map_or_else(
            || "is not there".to_owned(),
            |found| format!("has {found} records instead of {records}"),
        );
        format!(
            "that of {} s of `{}` of tenant {} in partition {} at {}, which {found}",
            self.seconds,
            self.measurement,
            self.tenant,
            self.partition,
            Utc::from_millis(at)
        )
    }
}
