//! Posts that the edge has accepted and that are not read yet: what they say may put a subject on hold, so ads wait for them.
//!
//! `ingest` and `profile` publish how far they have read each partition ([`Progress`]). The difference is the backlog of `affect`
//! and `profile`, by the clock of acceptance.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use limbic_domain::{DecodeError, Envelope, HumanDuration, Progress, Utc, topics};
use limbic_stream::outbox::LastLook;
use limbic_stream::{Outputs, StageError};

use crate::Settings;

/// The stage that has read a post when it was accepted, and the one that has read it when its feeling is known.
const ACCEPTED: &str = "ingest";
const READ: &str = "profile";

/// Whether posts wait unread, as of the latest tick.
#[derive(Debug)]
pub(crate) struct Backlog {
    bound: HumanDuration,
    /// How long it must be over before an ad is sent: a hold may be on its way.
    settle: HumanDuration,
    most: HumanDuration,
    /// The version of the table that `behind` was computed from.
    version: String,
    /// What is not read, in a sentence.
    behind: Option<String>,
    /// The latest tick that found posts that waited.
    last: Option<Utc>,
    now: Utc,
}

impl Backlog {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            bound: settings.max_unread,
            settle: settings.second_look,
            most: settings.unread_wait,
            version: String::new(),
            behind: None,
            last: None,
            now: Utc::MIN,
        }
    }

    /// Looks at the progress of the stages at `now`, the wall-clock time of a tick.
    pub(crate) fn look(&mut self, out: &Outputs<'_>, now: Utc) -> Result<(), StageError> {
        let table = out.reference(topics::PROGRESS)?;
        let was_behind = self.behind.is_some();
        if self.version != table.version() {
            table.version().clone_into(&mut self.version);
            self.behind = behind(table.scan::<Progress>(""), self.bound.as_millis());
        }
        self.now = now;
        match &self.behind {
            Some(behind) => {
                self.last = Some(now);
                if !was_behind {
                    tracing::warn!(behind, "ads wait until the posts that were accepted are read");
                }
            }
            None if was_behind => tracing::info!("the accepted posts are read: ads are delivered again"),
            None => {}
        }
        Ok(())
    }

    /// Whether an ad may be sent now.
    pub(crate) fn verdict(&self) -> LastLook {
        let Some(last) = self.last else {
            return LastLook::Send;
        };
        let settled = self.now.millis_since(last) >= self.settle.as_millis();
        if self.behind.is_none() && settled {
            return LastLook::Send;
        }
        let what = self.behind.as_deref().unwrap_or("Posts were read late.");
        LastLook::Wait {
            // Often enough, and seldom enough for many ads that wait.
            wait: self.settle.get().max(Duration::from_secs(1)),
            most: self.most.get(),
            detail: what.to_owned(),
        }
    }
}

/// The partition that is furthest behind, if it is behind by more than `bound` milliseconds. A progress that cannot be read counts as
/// behind.
fn behind<'a>(
    progress: impl Iterator<Item = (&'a Bytes, Result<Envelope<Progress>, DecodeError>)>,
    bound: i64,
) -> Option<String> {
    let mut accepted = BTreeMap::new();
    let mut read = BTreeMap::new();
    for (key, progress) in progress {
        let Progress {
            stage,
            partition,
            accepted_until,
        } = match progress {
            Ok(progress) => progress.data,
            Err(error) => {
                let key = String::from_utf8_lossy(key);
                return Some(format!("The progress `{key}` cannot be read: {error}."));
            }
        };
        match stage.as_str() {
            ACCEPTED => accepted.insert(partition, accepted_until),
            READ => read.insert(partition, accepted_until),
            _ => None,
        };
    }
    let behind = accepted.into_iter().map(|(partition, accepted)| {
        let read = read.get(&partition).copied();
        let millis = accepted.millis_since(read.unwrap_or(Utc::MIN));
        (millis, partition, accepted, read)
    });
    let (millis, partition, accepted, read) = behind.max_by_key(|(millis, ..)| *millis)?;
    if millis <= bound {
        return None;
    }
    let read = read.map_or("none are".to_owned(), |read| {
        format!("those accepted until {read} are")
    });
    Some(format!(
        "Posts of partition {partition} that were accepted until {accepted} are not read yet ({read}): what they say may stop the ad."
    ))
}

#[cfg(test)]
mod tests {
    use limbic_domain::{Slug, TenantId};
    use limbic_stream::References;
    use limbic_stream::testing::MemoryState;

    use super::*;

    fn table(progress: &[(&str, u32, i64)]) -> References {
        let records = progress.iter().map(|&(stage, partition, millis)| {
            let at = Utc::from_millis(millis);
            let progress = Progress {
                stage: Slug::new(stage).unwrap(),
                partition,
                accepted_until: at,
            };
            let envelope = Envelope::new(TenantId::default(), "p".into(), at, progress);
            (limbic_stream::progress::key(stage, partition), envelope.encode())
        });
        References::new().with(topics::PROGRESS, records.collect::<Vec<_>>())
    }

    fn verdict(backlog: &mut Backlog, references: &References, now: i64) -> LastLook {
        let state = MemoryState::default();
        let out = Outputs::with_references(&state, references);
        backlog.look(&out, Utc::from_millis(now)).unwrap();
        backlog.verdict()
    }

    fn waits(look: &LastLook) -> bool {
        matches!(look, LastLook::Wait { .. })
    }

    #[test]
    fn ads_wait_while_any_partition_has_posts_that_were_accepted_long_before_they_are_read() {
        let mut backlog = Backlog::new(&Settings::default());
        let none = table(&[]);
        assert_eq!(verdict(&mut backlog, &none, 0), LastLook::Send);
        let quiet = [
            ("ingest", 0, 5_000),
            ("profile", 0, 5_000),
            ("ingest", 1, 90_000),
            ("profile", 1, 81_000),
        ];
        assert_eq!(
            verdict(&mut Backlog::new(&Settings::default()), &table(&quiet), 1_000_000),
            LastLook::Send
        );
        let one = [
            ("ingest", 0, 100_000),
            ("profile", 0, 100_000),
            ("ingest", 1, 100_000),
            ("profile", 1, 89_000),
        ];
        let mut late = Backlog::new(&Settings::default());
        assert!(waits(&verdict(&mut late, &table(&one), 100_000)));
        let never = [("ingest", 3, 1_000)];
        let mut unread = Backlog::new(&Settings::default());
        assert!(waits(&verdict(&mut unread, &table(&never), 1_000)));
    }

    #[test]
    fn after_a_backlog_ads_wait_for_the_holds_that_it_may_raise() {
        let mut backlog = Backlog::new(&Settings::default());
        let behind = table(&[("ingest", 0, 100_000), ("profile", 0, 1_000)]);
        assert!(waits(&verdict(&mut backlog, &behind, 100_000)));
        let read = table(&[("ingest", 0, 100_000), ("profile", 0, 100_000)]);
        backlog.version.clear();
        assert!(waits(&verdict(&mut backlog, &read, 100_100)));
        assert_eq!(verdict(&mut backlog, &read, 102_000), LastLook::Send);
    }

    #[test]
    fn progress_that_cannot_be_read_lets_ads_wait() {
        let mut backlog = Backlog::new(&Settings::default());
        let odd = References::new().with(topics::PROGRESS, [("default/ingest/0", b"odd".to_vec())]);
        let LastLook::Wait { detail, .. } = verdict(&mut backlog, &odd, 0) else {
            panic!("it does not wait");
        };
        assert!(detail.contains("`default/ingest/0`"), "{detail}");
    }
}
