//! How state is written: one byte of version, then fixed little-endian numbers and texts with their length before them.
//!
//! Numbers are kept bit for bit, which decimal JSON does only with care, and nothing is parsed on the way of every record.

use limbic_domain::{ConsentState, Pseudonym, Utc};
use limbic_stream::StageError;

/// State bytes are not what this program writes: another program's, or a damaged disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by a later program.
    #[error("{what} state of version {found}, this program reads up to {known}: upgrade it first")]
    TooNew {
        /// Whose state it is.
        what: &'static str,
        /// The version found.
        found: u8,
        /// The newest version that is known.
        known: u8,
    },
    /// Cut short, or of another shape.
    #[error("{0} state is damaged")]
    Damaged(&'static str),
}

/// State that this program cannot read: nothing that comes in is to blame.
impl From<StateError> for StageError {
    fn from(error: StateError) -> Self {
        Self::internal("state", error.to_string())
    }
}

pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(version: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(version);
        Self(bytes)
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn count(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn length(&mut self, value: usize) {
        self.0.extend_from_slice(&(value as u32).to_le_bytes());
    }

    pub(crate) fn time(&mut self, value: Utc) {
        self.0.extend_from_slice(&value.as_millis().to_le_bytes());
    }

    pub(crate) fn number(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// A pseudonym's 32 hexadecimal digits as 16 bytes.
    pub(crate) fn pseudonym(&mut self, value: &Pseudonym) {
        for pair in value.as_str().as_bytes().chunks_exact(2) {
            self.0.push((nibble(pair[0]) << 4) | nibble(pair[1]));
        }
    }

    pub(crate) fn consent(&mut self, value: ConsentState) {
        self.byte(match value {
            ConsentState::NotRequired => 0,
            ConsentState::Given => 1,
            ConsentState::Denied => 2,
            ConsentState::Unknown => 3,
        });
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.wrapping_sub(b'a').wrapping_add(10),
    }
}

pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins to read `bytes`, written by `known` or an earlier version.
    pub(crate) fn new(what: &'static str, known: u8, bytes: &'a [u8]) -> Result<Self, StateError> {
        let (&found, rest) = bytes.split_first().ok_or(StateError::Damaged(what))?;
        if found > known {
            return Err(StateError::TooNew { what, found, known });
        }
        Ok(Self { what, rest })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(StateError::Damaged(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let what = self.what;
        self.take(N)?.try_into().map_err(|_| StateError::Damaged(what))
    }

    pub(crate) const fn damaged(&self) -> StateError {
        StateError::Damaged(self.what)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, StateError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn flag(&mut self) -> Result<bool, StateError> {
        Ok(self.byte()? != 0)
    }

    pub(crate) fn count(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn length(&mut self) -> Result<usize, StateError> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        // Everything counted has at least one byte: a damaged length must not become an allocation.
        if length > self.rest.len() {
            return Err(self.damaged());
        }
        Ok(length)
    }

    pub(crate) fn time(&mut self) -> Result<Utc, StateError> {
        Ok(Utc::from_millis(i64::from_le_bytes(self.array()?)))
    }

    /// A number; what is written is always finite.
    pub(crate) fn number(&mut self) -> Result<f64, StateError> {
        let number = f64::from_bits(u64::from_le_bytes(self.array()?));
        if number.is_finite() {
            Ok(number)
        } else {
            Err(self.damaged())
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], StateError> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, StateError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.damaged())
    }

    /// A text that is an id of the domain.
    pub(crate) fn id<T: std::str::FromStr>(&mut self) -> Result<T, StateError> {
        self.text()?.parse().map_err(|_| self.damaged())
    }

    pub(crate) fn pseudonym(&mut self) -> Result<Pseudonym, StateError> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.array::<16>()?) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        let digits = std::str::from_utf8(&text).map_err(|_| self.damaged())?;
        Pseudonym::new(digits).map_err(|_| self.damaged())
    }

    pub(crate) fn consent(&mut self) -> Result<ConsentState, StateError> {
        match self.byte()? {
            0 => Ok(ConsentState::NotRequired),
            1 => Ok(ConsentState::Given),
            2 => Ok(ConsentState::Denied),
            3 => Ok(ConsentState::Unknown),
            _ => Err(self.damaged()),
        }
    }

    /// Ends; nothing may be left over.
    pub(crate) const fn finish(self) -> Result<(), StateError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(StateError::Damaged(self.what))
        }
    }
}

/// A time as eight bytes whose order is the time's order.
pub(crate) const fn time_key(at: Utc) -> [u8; 8] {
    (at.as_millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time that [`time_key`] wrote.
pub(crate) const fn time_of_key(bytes: [u8; 8]) -> Utc {
    Utc::from_millis((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn time_keys_sort_as_time_does(a: i64, b: i64) {
            let (a, b) = (Utc::from_millis(a), Utc::from_millis(b));
            prop_assert_eq!(time_key(a).cmp(&time_key(b)), a.cmp(&b));
            prop_assert_eq!(time_of_key(time_key(a)), a);
        }

        #[test]
        fn a_pseudonym_survives(digits in "[0-9a-f]{32}") {
            let person = Pseudonym::new(&digits).unwrap();
            let mut writer = Writer::new(1, 0);
            writer.pseudonym(&person);
            let bytes = writer.finish();
            prop_assert_eq!(bytes.len(), 17);
            prop_assert_eq!(Reader::new("test", 1, &bytes).unwrap().pseudonym().unwrap(), person);
        }
    }

    #[test]
    fn a_later_version_and_a_torn_value_are_told() {
        assert!(matches!(
            Reader::new("test", 1, &[2]),
            Err(StateError::TooNew { found: 2, .. })
        ));
        let torn = [1, 255, 255, 255, 255];
        assert_eq!(
            Reader::new("test", 1, &torn).unwrap().text(),
            Err(StateError::Damaged("test"))
        );
    }
}
