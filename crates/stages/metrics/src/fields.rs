//! The binary format of a point's fields: names as numbers, and values as whole millionths if they are exact.
//!
//! ```text
//! for each field: (name << 1 | exact) as LEB128; then, if exact = 0, the value in millionths, zigzag LEB128;
//!                 if exact = 1, the value as the 8 bytes of an IEEE 754 double, little-endian
//! ```

/// Millionths in a whole.
const MILLION: f64 = 1e6;
/// Above this value, a double cannot represent neighbouring millionths.
const LARGEST: f64 = 9e15;

/// Appends one field.
pub(crate) fn push(bytes: &mut Vec<u8>, name: i64, value: f64) {
    let name = name.cast_unsigned() << 1;
    let millionths = (value * MILLION).round();
    let whole = millionths as i64;
    let is_whole = millionths.abs() <= LARGEST && (whole as f64 / MILLION).to_bits() == value.to_bits();
    if is_whole {
        put(bytes, name);
        put(bytes, (whole << 1 ^ whole >> 63).cast_unsigned());
    } else {
        put(bytes, name | 1);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
}

/// Names and values, in the order in which they were appended. Stops at the first byte that cannot be parsed.
pub(crate) fn read(mut bytes: &[u8]) -> impl Iterator<Item = (i64, f64)> + '_ {
    std::iter::from_fn(move || {
        let name = take(&mut bytes)?;
        let value = if name & 1 == 0 {
            let zigzag = take(&mut bytes)?;
            let whole = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            whole as f64 / MILLION
        } else {
            let (value, rest) = bytes.split_first_chunk::<8>()?;
            bytes = rest;
            f64::from_le_bytes(*value)
        };
        Some(((name >> 1).cast_signed(), value))
    })
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_fields_are_equal_to_the_last_bit() {
        let values = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            0.3,
            -2.000_001,
            1e-7,
            1e15,
            -1e300,
            f64::MIN_POSITIVE,
            12_345.678_9,
        ];
        let mut bytes = Vec::new();
        for (name, value) in values.into_iter().enumerate() {
            push(&mut bytes, name as i64 + 1, value);
        }
        let read: Vec<(i64, u64)> = read(&bytes)
            .map(|(name, value)| (name, value.to_bits()))
            .collect();
        let written: Vec<(i64, u64)> = (1..).zip(values.map(f64::to_bits)).collect();
        assert_eq!(read, written);
    }

    #[test]
    fn a_count_takes_few_bytes_and_a_truncated_field_is_ignored() {
        let mut bytes = Vec::new();
        push(&mut bytes, 3, 1.0);
        assert!(bytes.len() <= 4, "{bytes:?}");
        let whole = bytes.len();
        push(&mut bytes, 4, 0.1 + 0.2);
        assert_eq!(read(&bytes[..bytes.len() - 1]).count(), 1);
        assert_eq!(read(&bytes[..whole]).next(), Some((3, 1.0)));
    }
}
