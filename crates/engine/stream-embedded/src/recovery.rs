//! Recovery after a failed write: the write is taken back and made again.
//!
//! After a flush that failed, the system drops the bytes that it could not write, but programs that read the file still see them.
//! So a commit that is found in the journal then proves nothing. It is cut off, and written again from memory.

use crate::commit::{Committer, Written, answer_all};
use crate::store::{Store, failure};
use limbic_stream::{Error, Result};

impl Committer {
    /// fjall accepts no more writes after a failed one, so the database is opened again.
    pub(super) fn after_failure(&mut self, written: Written, error: &fjall::Error) {
        tracing::error!(%error, "a write to the log's disk failed: the log is opened again");
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
        if let Err(error) = self.reopen()
            && let Some((written, _)) = &mut self.in_doubt
        {
            written.answered = true;
            let unknown = Error::Unavailable {
                context: "committing".into(),
                message: format!(
                    "the records may or may not be stored; this is known when the log is open again: {error}"
                ),
            };
            // Their partitions stay assigned until the outcome is known. The members must join again.
            let mut groups = self.shared.groups.lock();
            for (member, _) in written.steps.iter().filter_map(|step| step.member.as_ref()) {
                groups.leave(member);
            }
            drop(groups);
            answer_all(&written.steps, &unknown);
        }
    }

    /// Opens the store if it is not open, and resolves the group whose outcome is unknown.
    pub(super) fn reopen(&mut self) -> Result<()> {
        if self.shared.store.read().is_some() {
            return Ok(());
        }
        if let Some((written, _)) = &self.in_doubt {
            crate::journal::cut_commit(&self.shared.path, written.number)
                .map_err(|error| failure(&self.shared.path, "opening the log", &fjall::Error::Io(error)))?;
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
        self.follow(&meta);
        let Some((written, no_trace)) = self.in_doubt.take() else {
            return Ok(());
        };
        if written.number == meta.commits {
            // fjall has started another journal since, and has flushed the commit with the old one.
            self.publish(written);
        } else if written.answered
            || matches!(no_trace, Error::DiskFull { .. })
            || self.restore_segments(&written).is_err()
        {
            self.settle(&written.steps);
            answer_all(&written.steps, &no_trace);
        } else {
            // Its caller still waits.
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
