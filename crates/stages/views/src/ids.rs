//! Ids of events as SQLite stores them.
//!
//! Most ids are 32 hexadecimal digits of a hash ([`limbic_domain::event_id`]). Their 16 bytes are stored instead. The first byte
//! of a stored id says which of the two follows.
//!
//! An index of the whole ids of posts and readings would double the time of an insertion, because neighbours in such an index
//! were written at different times. So a post has an indexed 32-bit hash of its id, and a reading is found by its post.

use limbic_domain::random;

use crate::Kind;

/// The id follows as text.
const TEXT: u8 = 0;
/// 16 bytes follow. The id is their 32 hexadecimal digits.
const HEX: u8 = 1;

/// `id` as it is stored.
pub(crate) fn pack(id: &str) -> Vec<u8> {
    let mut stored = Vec::with_capacity(17);
    if let Some(bytes) = hex(id.as_bytes()) {
        stored.push(HEX);
        stored.extend_from_slice(&bytes);
    } else {
        stored.push(TEXT);
        stored.extend_from_slice(id.as_bytes());
    }
    stored
}

/// The id whose stored form is `stored`. `None` if the bytes are not the result of [`pack`].
pub(crate) fn unpack(stored: &[u8]) -> Option<String> {
    match stored.split_first()? {
        (&TEXT, text) => String::from_utf8(text.to_vec()).ok(),
        (&HEX, bytes) if bytes.len() == 16 => {
            let digit = |value: u8| char::from_digit(value.into(), 16);
            bytes
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
                .collect()
        }
        _ => None,
    }
}

/// The hash by which an event of this kind is found, if it is found by a hash.
pub(crate) fn hash(kind: &str, id: &str) -> Option<i64> {
    (kind == Kind::Post.as_str()).then(|| i64::from(random::hash(id.as_bytes()) as u32))
}

fn hex(digits: &[u8]) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = digits.try_into().ok()?;
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_unchanged_after_packing_and_unpacking() {
        let hash = limbic_domain::event_id("post", &["1"]);
        for id in [
            "",
            "o25",
            "acme.0f",
            "0123456789abcdef",
            &hash,
            &hash.to_uppercase(),
            &hash[..31],
            "ä",
        ] {
            assert_eq!(unpack(&pack(id)).as_deref(), Some(id));
        }
        assert_eq!(pack(&hash).len(), 17);
    }

    #[test]
    fn bytes_that_are_not_a_packed_id_are_refused() {
        for stored in [&b""[..], b"\x01short", b"\x07text", b"\x00\xff"] {
            assert_eq!(unpack(stored), None);
        }
    }
}
