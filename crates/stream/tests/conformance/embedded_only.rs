//! What only a log on this machine's own disk can meet: a second process, a torn tail, a full disk; and its retention.

pub(crate) fn run_child_if_asked() {}
