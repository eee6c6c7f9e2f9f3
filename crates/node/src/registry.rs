//! The registry: every component of this program, one line each.

use anyhow::anyhow;
use limbic_component::{Kind, Registration};

use crate::settings::nearest;

/// Every component. Stages stand upstream first.
pub static COMPONENTS: [Registration; 12] = [
    Registration::stage::<limbic_ingest::IngestStage>(),
    Registration::stage::<limbic_affect_stage::AffectStage>(),
    Registration::stage::<limbic_profile::ProfileStage>(),
    Registration::stage::<limbic_profile::MomentStage>(),
    Registration::stage::<limbic_creative::CreativeStage>(),
    Registration::stage::<limbic_safety::SafetyStage>(),
    Registration::stage::<limbic_optimize::OptimizeStage>(),
    Registration::stage::<limbic_deliver::DeliverStage>(),
    Registration::stage::<limbic_metrics::MetricsStage>(),
    Registration::stage::<limbic_views::ViewsStage>(),
    Registration::of::<limbic_ad_platforms::WebhookPlatform>(),
    Registration::of::<limbic_ad_platforms::FilePlatform>(),
];

/// The stages, upstream first.
pub fn stages() -> impl Iterator<Item = &'static Registration> {
    COMPONENTS
        .iter()
        .filter(|component| component.kind == Kind::Stage)
}

/// The stage of this name.
pub fn stage(name: &str) -> anyhow::Result<&'static Registration> {
    stages().find(|stage| stage.name == name).ok_or_else(|| {
        let names: Vec<&str> = stages().map(|stage| stage.name).collect();
        let hint = nearest(name, names.iter().copied())
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        anyhow!(
            "there is no stage `{name}`{hint} The stages are: {}",
            names.join(", ")
        )
    })
}

/// The first stage of each section of the settings file: it stands for the section's type.
pub(crate) fn sections() -> impl Iterator<Item = &'static Registration> {
    // A stage has one section. Of an ad platform there can be many: `[ad_platforms.NAME]`, a setting of the node.
    stages().enumerate().filter_map(|(place, stage)| {
        let mut before = stages().take(place);
        before
            .all(|other| other.section != stage.section)
            .then_some(stage)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Settings;

    #[test]
    fn a_name_is_unique_within_its_kind_and_a_summary_is_a_sentence() {
        let mut names = BTreeSet::new();
        for component in &COMPONENTS {
            assert!(
                names.insert((component.kind, component.name)),
                "{component:?} is listed twice"
            );
            assert!(
                component.summary.ends_with('.'),
                "{component:?}: {}",
                component.summary
            );
        }
    }

    #[test]
    fn components_of_one_section_take_the_same_settings() {
        let settings = Settings::default();
        for stage in stages() {
            // A section of another type is an error of `spec`.
            let spec = stage.spec(settings.section_of(stage)).unwrap();
            assert_eq!(&*spec.unwrap().name, stage.name);
        }
    }

    #[test]
    fn an_unknown_stage_is_answered_with_the_nearest() {
        let error = stage("profil").unwrap_err().to_string();
        assert!(error.contains("did you mean `profile`?"), "{error}");
    }
}
