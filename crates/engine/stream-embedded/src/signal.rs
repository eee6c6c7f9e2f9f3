//! Wakes the threads that wait for a commit or a new assignment.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// A counter that threads can wait for. Read [`Signal::seen`] before the condition that you check: then no change in
/// between is missed.
#[derive(Debug, Default)]
pub(super) struct Signal {
    changes: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn seen(&self) -> u64 {
        *self.changes.lock()
    }

    pub(super) fn raise(&self) {
        *self.changes.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits for a change after `seen`. Returns `false` if `deadline` passes first.
    pub(super) fn wait(&self, seen: u64, deadline: Instant) -> bool {
        let mut changes = self.changes.lock();
        while *changes == seen {
            if self.changed.wait_until(&mut changes, deadline).timed_out() {
                return *changes != seen;
            }
        }
        true
    }
}
