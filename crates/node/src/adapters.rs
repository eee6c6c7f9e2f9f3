//! Whether the adapters of the reader can read any post: the names in their conditions.

use std::collections::BTreeSet;

use limbic_affect::adapters::AdapterChoice;
use limbic_affect_stage::AffectStage;
use limbic_component::Kind;
use limbic_domain::Slug;
use limbic_ingest::IngestStage;

use crate::check::{Finding, Verdict};
use crate::edge::known_subjects;
use crate::registry;
use crate::settings::{Settings, nearest};

/// Networks of connectors that have another name.
const OTHER_NETWORKS: [&str; 2] = ["facebook", "instagram"];

/// What each adapter was fitted to, and the names in its conditions that no post has.
pub(crate) fn check_adapters(settings: &Settings) -> Vec<Finding> {
    let affect = settings.section::<AffectStage>();
    // What is wrong with the files is a finding of the stage.
    let Ok(adapters) = affect.open_adapters() else {
        return Vec::new();
    };
    let described = adapters.descriptions().zip(&affect.adapters).enumerate();
    let findings = described.flat_map(|(place, (description, choice))| {
        let what = format!("affect.adapters, entry {}", place + 1);
        let notes = of_networks(choice).map(Verdict::Note);
        let wrong = of_subjects(settings, choice);
        std::iter::once(Verdict::Fine(description))
            .chain(notes)
            .chain(wrong)
            .map(move |verdict| Finding::new(what.clone(), verdict))
            .collect::<Vec<_>>()
    });
    findings.collect()
}

/// The edge removes subjects that the settings do not name, so a post has such a subject only where the edge keeps all.
fn of_subjects(settings: &Settings, choice: &AdapterChoice) -> Vec<Verdict> {
    let known: BTreeSet<Slug> = known_subjects(settings).into_values().flatten().collect();
    let is_open = settings.section::<IngestStage>().open_subjects;
    let unknown = choice.subjects.iter().filter(|subject| !known.contains(*subject));
    let verdicts = unknown.map(|subject| {
        let near = nearest(subject.as_str(), known.iter().map(Slug::as_str));
        let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        let problem = format!("neither [affect.subjects] nor a campaign has the subject `{subject}`{near}");
        if is_open {
            Verdict::Note(format!(
                "{problem}: only posts that name it in their own field `subjects` have it"
            ))
        } else {
            Verdict::Wrong(anyhow::anyhow!(
                "{problem}, so no post has it: correct the name, or give it words in [affect.subjects]"
            ))
        }
    });
    verdicts.collect()
}

/// A network that no connector reads can be right: posts also come over the API and from files.
fn of_networks(choice: &AdapterChoice) -> impl Iterator<Item = String> + '_ {
    let read = || {
        let connectors = registry::COMPONENTS
            .iter()
            .filter(|one| one.kind == Kind::Connector);
        connectors.map(|one| one.name).chain(OTHER_NETWORKS)
    };
    let unknown = choice
        .networks
        .iter()
        .filter(move |network| read().all(|name| name != network.as_str()));
    unknown.map(move |network| {
        let near = nearest(network.as_str(), read());
        let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        format!(
            "no connector is called like the network `{network}`{near}: only posts of the API, of files and of mappings can have it"
        )
    })
}
