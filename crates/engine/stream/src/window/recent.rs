//! Windows as they were last written, decoded.
//!
//! A window that a batch adds to is often closed by the watermark of the same batch. [`Recent`] saves decoding it again. It
//! returns a window only for the same bytes in memory that the batch wrote. If the batch is processed again, or if another
//! instance has changed the state, the bytes are different ones, and the window is decoded.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use foldhash::HashMap as FastMap;

use super::Stored;

/// The windows that the last batch has written. Empty in a clone.
pub(super) struct Recent<A>(RefCell<HashMap<u32, FastMap<Bytes, Written<A>>>>);

struct Written<A> {
    bytes: Bytes,
    stored: Stored<A>,
}

impl<A> Default for Recent<A> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<A> Clone for Recent<A> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<A> std::fmt::Debug for Recent<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recent")
            .field(&self.0.borrow().values().map(FastMap::len).sum::<usize>())
            .finish()
    }
}

impl<A> Recent<A> {
    /// A window was written to `key` as `bytes`.
    pub(super) fn hold(&self, partition: u32, key: Bytes, bytes: Bytes, stored: Stored<A>) {
        let mut held = self.0.borrow_mut();
        let of_partition = held.entry(partition).or_default();
        of_partition.insert(key, Written { bytes, stored });
    }

    /// The window that was written to `key`, if `bytes` are those that were written, not only equal to them.
    pub(super) fn take(&self, partition: u32, key: &[u8], bytes: &Bytes) -> Option<Stored<A>> {
        let mut held = self.0.borrow_mut();
        let written = held.get_mut(&partition)?.remove(key)?;
        let is_same = written.bytes.as_ptr() == bytes.as_ptr() && written.bytes.len() == bytes.len();
        is_same.then_some(written.stored)
    }

    /// Forgets the windows of a partition: a new batch begins.
    pub(super) fn forget(&self, partition: u32) {
        if let Some(of_partition) = self.0.borrow_mut().get_mut(&partition) {
            of_partition.clear();
        }
    }
}
