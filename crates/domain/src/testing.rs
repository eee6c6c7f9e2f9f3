//! For tests: the folder of the public data sets, and records.

use std::path::PathBuf;

use crate::{
    AudienceId, Change, Direction, Emotions, Evidence, Moment, MomentKind, MoodSummary, PostRef, Recipient,
    Slug, Utc,
};

/// The folder of public data sets: `$LIMBIC_DATA`, or `../shared/data` beside the repository.
///
/// `None` if the folder does not exist. It then prints a notice to standard error, and the caller skips its test.
#[expect(
    clippy::print_stderr,
    reason = "the person who runs the tests must see a skipped one"
)]
pub fn data_dir() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("LIMBIC_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "\n*** SKIPPED: no data sets at {} (set LIMBIC_DATA to their folder) ***\n",
        folder.display()
    );
    None
}

/// A moment of a calm audience: 40 posts since the change, none of them in distress.
pub fn moment(audience: AudienceId, direction: Direction, people: Vec<Recipient>) -> Moment {
    let mood = MoodSummary {
        valence: 0.4,
        arousal: 0.6,
        emotions: Emotions::new(),
        distress: 0.0,
        offence: 0.0,
        hate: 0.0,
        weight: 40.0,
    };
    Moment {
        audience,
        kind: MomentKind::Change,
        direction,
        change: Change {
            since: Utc::from_millis(0),
            posts: 40,
            distressed: 0,
            sensitive_events: 0,
            unread: 0,
            copied: 0,
            automated: 0,
            judged: 40,
            offensive: 0,
            hateful: 0,
            intents: std::collections::BTreeMap::new(),
            brands: std::collections::BTreeMap::new(),
            mood: mood.clone(),
            valence_error: 0.05,
        },
        mood,
        baseline: 0.1,
        evidence: Evidence {
            test: "t-1".to_owned(),
            statistic: 120.0,
            threshold: 100.0,
            posts: 50,
        },
        trigger: PostRef {
            network: Slug::new("bluesky").expect("it is a slug"),
            id: "1".to_owned(),
        },
        people,
    }
}
