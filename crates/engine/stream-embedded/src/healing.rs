//! After a write has failed: what became of it, and how the log goes on.

use crate::commit::{Committer, Written, answer_all};
use crate::store::{Store, failure};
use limbic_stream::{Error, Result};

impl Committer {
    /// fjall takes no more writes after one has failed. Opening it again tells whether this one is there.
    pub(super) fn after_failure(&mut self, written: Written, error: &fjall::Error) {
        tracing::error!(%error, "the log's disk failed: opening the log again");
        let bytes = written.batches.iter().map(|(_, batch)| batch.bytes.len()).sum();
        let no_trace = match failure(&self.shared.path, "committing", error) {
            full @ Error::DiskFull { .. } => full,
            other => self
                .check_room(bytes)
                .err()
                .unwrap_or_else(|| Error::Aborted(other.to_string())),
        };
        self.in_doubt = Some((written, no_trace));
        *self.shared.store.write() = None;
        if let Err(error) = self.heal()
            && let Some((written, _)) = &mut self.in_doubt
        {
            written.answered = true;
            let unknown = Error::Unavailable {
                context: "committing".into(),
                message: format!("whether it was written is not known yet: {error}"),
            };
            // Their partitions stay where they are until it is known; they themselves must join again.
            let mut groups = self.shared.groups.lock();
            for (member, _) in written.steps.iter().filter_map(|step| step.member.as_ref()) {
                groups.leave(member);
            }
            drop(groups);
            answer_all(&written.steps, &unknown);
        }
    }

    /// Opens the store if it is not open, and learns what became of a group in doubt.
    pub(super) fn heal(&mut self) -> Result<()> {
        if self.shared.store.read().is_some() {
            return Ok(());
        }
        let (store, meta) = Store::open(&self.shared.path, &self.shared.options)?;
        *self.shared.store.write() = Some(store);
        self.listed = meta.segments.keys().copied().collect();
        let listed = &self.listed;
        self.active.retain(|_, active| listed.contains(&active.id));
        self.commits = meta.commits;
        if let Some(swap) = &self.swapping {
            if self.listed.contains(&swap.target) {
                self.finish_swap();
            } else {
                self.swapping = None;
            }
        }
        let Some((written, no_trace)) = self.in_doubt.take() else {
            return Ok(());
        };
        if written.number == meta.commits {
            self.publish(written);
        } else if written.answered
            || matches!(no_trace, Error::DiskFull { .. })
            || self.restore_segments(&written).is_err()
        {
            self.settle(&written.steps);
            answer_all(&written.steps, &no_trace);
        } else {
            // It left no trace and its caller still waits: most likely fjall had stopped before.
            match self.write(&written) {
                Ok(()) => self.publish(written),
                Err(error) => {
                    let again = failure(&self.shared.path, "committing", &error);
                    self.in_doubt = Some((written, no_trace));
                    *self.shared.store.write() = None;
                    return Err(again);
                }
            }
        }
        Ok(())
    }
}
