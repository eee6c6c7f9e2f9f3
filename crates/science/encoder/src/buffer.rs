//! Buffers that are reused between calls and aligned to a cache line.

/// A growing buffer whose first element is on a 64-byte boundary.
pub(crate) struct Buffer<T> {
    memory: Vec<T>,
    start: usize,
    len: usize,
}

/// The alignment in bytes: a cache line, and a row of a tile.
const LINE: usize = 64;

impl<T: Copy + Default> Buffer<T> {
    pub(crate) fn new() -> Buffer<T> {
        Buffer {
            memory: Vec::new(),
            start: 0,
            len: 0,
        }
    }

    /// The first `len` elements, with their previous content. Allocates only if the buffer was never this long.
    pub(crate) fn room_for(&mut self, len: usize) -> &mut [T] {
        if len > self.len {
            let mut grown = vec![T::default(); len + LINE];
            let start = grown.as_ptr().align_offset(LINE).min(LINE);
            grown[start..start + self.len].copy_from_slice(self.get());
            (self.memory, self.start, self.len) = (grown, start, len);
        }
        &mut self.memory[self.start..self.start + len]
    }

    pub(crate) fn get(&self) -> &[T] {
        &self.memory[self.start..self.start + self.len]
    }
}
