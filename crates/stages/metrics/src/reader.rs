//! Reads time series for the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbic_domain::{TenantId, Utc};
use serde::Serialize;

use crate::point::{Query, SeriesError, SeriesStore};
use crate::settings::{MetricsSettings, window_tag};

/// A field's value over one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Value {
    /// The step's start.
    pub at: Utc,
    /// The sum or the mean, depending on the field.
    pub value: f64,
}

/// The values of a field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Values {
    /// One value for each step that has points.
    pub items: Vec<Value>,
    /// Points from before this time are deleted because of their age, and the query asks for earlier ones. `None` = none of
    /// the points that it asks for are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_before: Option<Utc>,
}

/// Reads time series from either store. Cheap to clone.
#[derive(Clone)]
pub struct SeriesReader {
    store: Arc<dyn SeriesStore>,
    windows: Vec<u32>,
}

impl std::fmt::Debug for SeriesReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeriesReader")
            .field("windows", &self.windows)
            .finish_non_exhaustive()
    }
}

/// Maximum number of steps in one answer.
const MOST_STEPS: i64 = 10_000;

impl SeriesReader {
    /// Reads the series that a stage with these settings writes to `store`.
    pub fn new(store: Arc<dyn SeriesStore>, settings: &MetricsSettings) -> Self {
        let windows = settings.window_seconds().unwrap_or_default();
        Self {
            store,
            windows: windows.into_iter().collect(),
        }
    }

    /// `field` of `measurement` over points with all of `tags`, for each step of `step_seconds`. `from` is rounded down
    /// and `to` is rounded up to a whole step; `to` is excluded. Steps without points are absent.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parameters of the HTTP call, one by one"
    )]
    pub async fn query(
        &self,
        tenant: &TenantId,
        measurement: &str,
        tags: &BTreeMap<String, String>,
        field: &str,
        from: Utc,
        to: Utc,
        step_seconds: u32,
    ) -> Result<Values, SeriesError> {
        let fits = |window: &&u32| step_seconds > 0 && step_seconds.is_multiple_of(**window);
        let Some(window) = self.windows.iter().rev().find(fits) else {
            return Err(SeriesError::BadQuery(format!(
                "a step of {step_seconds} s is not a multiple of any window kept ({:?} s)",
                self.windows
            )));
        };
        let step = i64::from(step_seconds) * 1_000;
        let first = from.as_millis().div_euclid(step).saturating_mul(step);
        let end = to
            .as_millis()
            .saturating_add(step - 1)
            .div_euclid(step)
            .saturating_mul(step);
        if end <= first || (end.saturating_sub(first)) / step > MOST_STEPS {
            return Err(SeriesError::BadQuery(format!(
                "`to` must be after `from`, and at most {MOST_STEPS} steps of {step_seconds} s after it"
            )));
        }
        let (above, below) = parts(measurement, field).ok_or_else(|| {
            SeriesError::BadQuery(format!(
                "there is no measurement `{measurement}`: give emotion, emotion_all, moments, decisions, outcomes or holds"
            ))
        })?;
        let mut tags = tags.clone();
        tags.insert("window".into(), window_tag(*window));
        let query = Query {
            tenant: tenant.clone(),
            measurement: measurement.to_owned(),
            tags,
            fields: std::iter::once(above.clone()).chain(below.clone()).collect(),
            from: Utc::from_millis(first),
            to: Utc::from_millis(end),
            step,
        };
        let sums = self.store.sums(&query).await?;
        let values = sums.into_iter().filter_map(|(at, fields)| {
            let value = fields.get(&above).copied()?;
            let value = match &below {
                None => value,
                Some(below) => value / fields.get(below).copied().filter(|count| *count > 0.0)?,
            };
            Some(Value {
                at: Utc::from_millis(at),
                value,
            })
        });
        let deleted_before = self.store.deleted_before(tenant, measurement).await?;
        Ok(Values {
            items: values.collect(),
            deleted_before: deleted_before.filter(|before| query.from < *before),
        })
    }
}

/// The field to add up, and the field to divide by if `field` is a mean.
fn parts(measurement: &str, field: &str) -> Option<(String, Option<String>)> {
    let sum = |field: &str| (field.to_owned(), None);
    Some(match (measurement, field) {
        ("emotion" | "emotion_all", "distress_share") => ("distress".to_owned(), Some("count".to_owned())),
        ("emotion" | "emotion_all", "valence" | "arousal") | ("moments", "valence") => {
            (format!("{field}_sum"), Some("count".to_owned()))
        }
        ("emotion" | "emotion_all", name) if name.starts_with("emotion.") => {
            (format!("{name}_sum"), Some(format!("{name}_count")))
        }
        ("emotion" | "emotion_all" | "moments" | "decisions" | "outcomes" | "holds", _) => sum(field),
        _ => return None,
    })
}
