//! The settings of the views stage.

use limbic_domain::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Kind;

/// The shortest time for which events can be kept. It is far above the disorder of a stream.
const SHORTEST: HumanDuration = HumanDuration::from_hours(1);

/// The settings of the view.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ViewsSettings {
    /// How long the view keeps events of each kind. An event is deleted when it is older than this both by the newest
    /// events of its kind and tenant, and by the node's clock.
    pub keep: KeepEvents,
}

/// How long the view keeps events, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepEvents {
    /// Posts. At least 1h; `0s` = no limit (default).
    pub posts: HumanDuration,
    /// Readings. At least 1h; `0s` = no limit (default).
    pub readings: HumanDuration,
    /// Moments. At least 1h; `0s` = no limit (default).
    pub moments: HumanDuration,
    /// Sets of ads. At least 1h; `0s` = no limit (default).
    pub creatives: HumanDuration,
    /// Decisions. At least 1h; `0s` = no limit (default).
    pub decisions: HumanDuration,
    /// Outcomes. At least 1h; `0s` = no limit (default).
    pub outcomes: HumanDuration,
}

impl KeepEvents {
    /// How long events of `kind` are kept. `None` = no limit.
    pub fn of(&self, kind: Kind) -> Option<HumanDuration> {
        let keep = match kind {
            Kind::Post => self.posts,
            Kind::Reading => self.readings,
            Kind::Moment => self.moments,
            Kind::CreativeSet => self.creatives,
            Kind::Decision => self.decisions,
            Kind::Outcome => self.outcomes,
            // A status is no event: its latest row stays.
            Kind::AudienceStatus | Kind::CampaignStatus | Kind::PlatformStatus => return None,
        };
        (!keep.is_zero()).then_some(keep)
    }

    /// Whether events of any kind are deleted.
    pub fn is_limited(&self) -> bool {
        Kind::ALL.into_iter().any(|kind| self.of(kind).is_some())
    }
}

impl ViewsSettings {
    /// Returns an error if a time is too short.
    pub fn check(&self) -> Result<(), InvalidViewsSetting> {
        for kind in Kind::ALL {
            if let Some(keep) = self.keep.of(kind).filter(|keep| *keep < SHORTEST) {
                return Err(InvalidViewsSetting { kind, keep });
            }
        }
        Ok(())
    }

    /// What the settings do, in a sentence for people.
    pub fn explain(&self) -> String {
        if !self.keep.is_limited() {
            return "the view keeps every event: to delete old ones, set for instance views.keep.posts = \"90d\"".into();
        }
        let part = |kind: Kind| match self.keep.of(kind) {
            Some(keep) => format!("{} {keep}", kind.plural()),
            None => format!("{} without limit", kind.plural()),
        };
        format!(
            "the view keeps {}. An event is deleted when it is older both by the newest events of its kind and tenant, and \
             by the node's clock. An old event that comes later is not stored",
            Kind::ALL.map(part).join(", ")
        )
    }
}

/// A time to keep events that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("views.keep.{} = {keep}: must be at least {SHORTEST}, or 0s for no limit", .kind.plural())]
pub struct InvalidViewsSetting {
    /// The kind of the events.
    pub kind: Kind,
    /// The time.
    pub keep: HumanDuration,
}
