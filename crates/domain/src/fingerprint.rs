//! A fingerprint of a text, by which near-copies are noticed.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::TextVisitor;

/// 64 bits of a text, of which texts that differ in few words share most (a `SimHash`). On the wire 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextFingerprint(u64);

impl TextFingerprint {
    /// Two texts are near-copies if their fingerprints differ in at most this many of the 64 bits. Texts of different posts differ in
    /// 32 bits on average.
    pub const NEAR: u32 = 6;

    /// From its bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the texts are the same or nearly the same.
    pub const fn is_near(self, other: Self) -> bool {
        (self.0 ^ other.0).count_ones() <= Self::NEAR
    }
}

impl fmt::Display for TextFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fingerprint: 16 lower-case hexadecimal digits")]
pub struct InvalidFingerprint(String);

impl FromStr for TextFingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(InvalidFingerprint(text.chars().take(40).collect()));
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidFingerprint(text.to_owned()))
    }
}

impl Serialize for TextFingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TextFingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(str::parse::<Self>))
    }
}

impl JsonSchema for TextFingerprint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextFingerprint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9a-f]{16}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_its_zeros_on_the_wire_and_refuses_other_forms() {
        let fingerprint = TextFingerprint::from_bits(0xab);
        let text = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(text, r#""00000000000000ab""#);
        assert_eq!(
            serde_json::from_str::<TextFingerprint>(&text).unwrap(),
            fingerprint
        );
        for bad in [
            "",
            "ab",
            "00000000000000AB",
            "+0000000000000ab",
            "00000000000000abc",
        ] {
            assert!(bad.parse::<TextFingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn near_is_six_bits() {
        let text = TextFingerprint::from_bits(0);
        assert!(text.is_near(TextFingerprint::from_bits(0b11_1111)));
        assert!(!text.is_near(TextFingerprint::from_bits(0b111_1111)));
    }
}
