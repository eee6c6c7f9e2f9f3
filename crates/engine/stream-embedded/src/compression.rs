//! Batches on disk, compressed with LZ4.
//!
//! Records of one topic are similar, so a batch of JSON shrinks to about a fifth. Batches in memory are not compressed,
//! so readers of new records do not have to decompress.
//!
//! ```text
//! header   40 bytes as in `packed`, with format version 2
//! size      4 bytes, length of the payload before compression, little-endian
//! block     the payload as one LZ4 block
//! ```

use std::collections::HashMap;

use bytes::{BufMut as _, Bytes};
use limbic_stream::{Error, Result};

use crate::packed::{COMPRESSED, HEADER, PLAIN};

/// Batches below this number of bytes are not compressed.
const LEAST: usize = 512;
/// The result of a compression that saves less than a sixteenth is discarded.
const WORTH: usize = 16;
/// After a batch that did not shrink, this many batches of the topic are written without compression.
const SKIPPED: u8 = 31;
/// A larger buffer is given back after its use.
const LARGEST_ROOM: usize = 4 << 20;
/// The maximum bytes of a payload that is decompressed. It is far above the size of a commit.
const LARGEST: usize = 1 << 30;

/// Compresses the batches of topics whose records shrink.
#[derive(Debug, Default)]
pub(super) struct Compressor {
    /// For each topic, the number of batches that are still written without compression.
    skip: HashMap<u32, u8>,
    /// Room for the result of a compression, at least as large as the last one needed.
    out: Vec<u8>,
}

impl Compressor {
    /// `batch` as it is written to disk: compressed if that saves space.
    pub(super) fn write(&mut self, topic: u32, batch: &Bytes) -> Bytes {
        if batch.len() < LEAST {
            return batch.clone();
        }
        let skip = self.skip.entry(topic).or_default();
        if *skip > 0 {
            *skip -= 1;
            return batch.clone();
        }
        let (header, payload) = batch.split_at(HEADER);
        let needed = HEADER + 4 + lz4_flex::block::get_maximum_output_size(payload.len());
        if self.out.len() < needed {
            self.out.resize(needed, 0);
        }
        let out = &mut self.out[..needed];
        let written = lz4_flex::block::compress_into(payload, &mut out[HEADER + 4..]);
        let written = written.expect("the buffer has the largest size that LZ4 can need");
        if written + payload.len() / WORTH >= payload.len() {
            *skip = SKIPPED;
            return batch.clone();
        }
        out[..HEADER].copy_from_slice(header);
        out[0] = COMPRESSED;
        (&mut out[HEADER..HEADER + 4]).put_u32_le(payload.len() as u32);
        // A copy of the right size: the buffer has room for the worst case.
        let stored = Bytes::copy_from_slice(&out[..HEADER + 4 + written]);
        if needed > LARGEST_ROOM {
            self.out = Vec::new();
        }
        stored
    }
}

/// The bytes of a stored batch before compression.
pub(super) fn original_length(stored: &[u8]) -> usize {
    match stored.first_chunk::<{ HEADER + 4 }>() {
        Some(start) if start[0] == COMPRESSED => HEADER + payload_length(start),
        _ => stored.len(),
    }
}

fn payload_length(start: &[u8; HEADER + 4]) -> usize {
    u32::from_le_bytes([
        start[HEADER],
        start[HEADER + 1],
        start[HEADER + 2],
        start[HEADER + 3],
    ]) as usize
}

/// Decompresses a stored batch. The caller verifies the checksums.
pub(super) fn read(stored: Bytes) -> Result<Bytes> {
    if stored.first() != Some(&COMPRESSED) {
        return Ok(stored);
    }
    let damaged = |what: &str| Error::Corrupt(format!("a compressed batch cannot be unpacked: {what}"));
    let start = stored
        .first_chunk::<{ HEADER + 4 }>()
        .ok_or_else(|| damaged("it ends before its payload"))?;
    let length = payload_length(start);
    if length > LARGEST {
        return Err(damaged("its size is larger than any batch"));
    }
    let mut batch = vec![0; HEADER + length];
    batch[..HEADER].copy_from_slice(&start[..HEADER]);
    batch[0] = PLAIN;
    let unpacked = lz4_flex::block::decompress_into(&stored[HEADER + 4..], &mut batch[HEADER..])
        .map_err(|error| damaged(&error.to_string()))?;
    if unpacked != length {
        return Err(damaged("its length differs from its header"));
    }
    Ok(Bytes::from(batch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(payload: &[u8]) -> Bytes {
        let mut bytes = vec![PLAIN; HEADER];
        bytes.extend_from_slice(payload);
        bytes.into()
    }

    proptest! {
        #[test]
        fn a_batch_is_unchanged_after_compression_and_decompression(
            payload in proptest::collection::vec(any::<u8>(), 0..2_000),
            repeated in 1_usize..20,
        ) {
            let batch = batch(&payload.repeat(repeated));
            let stored = Compressor::default().write(1, &batch);
            prop_assert!(stored.len() <= batch.len());
            prop_assert_eq!(original_length(&stored), batch.len());
            prop_assert_eq!(read(stored).unwrap(), batch);
        }

        #[test]
        fn decompressing_damaged_bytes_never_panics(mut stored in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(first) = stored.first_mut() {
                *first = COMPRESSED;
            }
            // Keeps the claimed size below a gigabyte.
            if stored.len() > HEADER + 3 {
                stored[HEADER + 2] = 0;
                stored[HEADER + 3] = 0;
            }
            let _ = read(stored.into());
        }
    }

    #[test]
    fn a_batch_of_repetitive_records_is_compressed() {
        let stored = Compressor::default().write(1, &batch(&b"{\"network\":\"townsquare\"}".repeat(100)));
        assert!(stored.len() < 400, "{}", stored.len());
    }

    #[test]
    fn after_an_incompressible_batch_the_topic_is_not_compressed_for_some_batches() {
        let mut compressor = Compressor::default();
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(4_096)
        .collect();
        assert_eq!(compressor.write(1, &batch(&noise)).len(), HEADER + noise.len());
        let plain = batch(&[b'a'; 4_096]);
        assert_eq!(compressor.write(1, &plain), plain, "compression is skipped");
        assert!(
            compressor.write(2, &plain).len() < 200,
            "another topic is compressed"
        );
    }
}
