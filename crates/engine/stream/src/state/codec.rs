//! The encoding of values in the state.

use limbic_domain::{ConsentState, Pseudonym, Utc};

/// Why bytes of the state cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeProblem {
    /// A later version of this program wrote the value.
    #[error(
        "it has version {found}, and this program reads up to version {known}: upgrade this program first"
    )]
    TooNew {
        /// The version found.
        found: u8,
        /// The newest version that this program reads.
        known: u8,
    },
    /// The bytes are truncated or have another structure.
    #[error("the bytes are damaged")]
    Damaged,
}

/// A value that a [`Table`](super::Table) or [`Timers`](super::Timers) can hold.
///
/// The first byte of a value is the version of its format. The fields follow in a fixed order: floating-point numbers and
/// times with all their bits, lengths and integers as variable-length integers, texts preceded by their length.
pub trait StateValue: Sized {
    /// The version that this program writes. If you change the format, increase it, and let [`Self::decode`] also read
    /// the older versions.
    const VERSION: u8;

    /// Bytes to reserve for the encoded value. A good estimate saves copies.
    fn size_hint(&self) -> usize {
        64
    }

    /// Writes the fields, without the version.
    fn encode(&self, to: &mut Encoder);

    /// Reads the fields. [`Decoder::version`] is the version that wrote them. Values of older versions are migrated here,
    /// and are written in the newest version at their next change.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem>;

    /// The whole value: version and fields.
    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder(Vec::with_capacity(1 + self.size_hint()));
        encoder.nested(self);
        encoder.0
    }

    /// Decodes the result of [`Self::to_bytes`]. All bytes must be used.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeProblem> {
        let mut decoder = Decoder {
            version: 0,
            rest: bytes,
        };
        let value = decoder.nested()?;
        if decoder.rest.is_empty() {
            Ok(value)
        } else {
            Err(DecodeProblem::Damaged)
        }
    }
}

/// An empty value, for an entry whose key holds all information. It takes no bytes.
impl StateValue for () {
    const VERSION: u8 = 0;

    fn encode(&self, _: &mut Encoder) {}

    fn decode(_: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeProblem> {
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(DecodeProblem::Damaged)
        }
    }
}

impl StateValue for u64 {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Encoder) {
        to.unsigned(*self);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        from.unsigned()
    }
}

impl StateValue for Utc {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Encoder) {
        to.time(*self);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        from.time()
    }
}

/// Writes the fields of a value; see [`StateValue`].
#[derive(Debug)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Writes one byte.
    pub fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Writes a flag as one byte.
    pub fn flag(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    /// Writes a whole number in 1 to 10 bytes: seven bits a byte, the lowest first (LEB128).
    pub fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// Writes an integer in 1 to 10 bytes. Numbers near zero are short, with both signs (zigzag).
    pub fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Writes the number of elements that follow.
    pub fn length(&mut self, value: usize) {
        self.unsigned(value as u64);
    }

    /// Writes a time in 8 bytes.
    pub fn time(&mut self, value: Utc) {
        self.0.extend_from_slice(&value.as_millis().to_le_bytes());
    }

    /// Writes a floating-point number in 8 bytes, with all its bits. An infinite one becomes the largest finite one of its sign.
    ///
    /// # Panics
    /// If it is not a number. State that cannot be read again would stop the stage for good, so nothing may be committed: the
    /// runtime makes the record that caused it a dead letter.
    pub fn number(&mut self, value: f64) {
        assert!(
            !value.is_nan(),
            "the stage has computed a value for its state that is not a number"
        );
        let finite = value.clamp(f64::MIN, f64::MAX);
        self.0.extend_from_slice(&finite.to_bits().to_le_bytes());
    }

    /// Writes bytes with their length.
    pub fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    /// Writes a text with its length.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Writes a pseudonym's 32 hexadecimal digits in 16 bytes.
    pub fn pseudonym(&mut self, value: &Pseudonym) {
        for pair in value.as_str().as_bytes().chunks_exact(2) {
            self.byte((nibble(pair[0]) << 4) | nibble(pair[1]));
        }
    }

    /// Writes a state of consent in one byte.
    pub fn consent(&mut self, value: ConsentState) {
        self.byte(match value {
            ConsentState::NotRequired => 0,
            ConsentState::Given => 1,
            ConsentState::Denied => 2,
            ConsentState::Unknown => 3,
        });
    }

    /// Writes a value with its own version inside this one.
    pub fn nested<V: StateValue>(&mut self, value: &V) {
        self.byte(V::VERSION);
        value.encode(self);
    }
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.wrapping_sub(b'a').wrapping_add(10),
    }
}

/// Reads the fields of a value; see [`StateValue`].
#[derive(Debug)]
pub struct Decoder<'a> {
    version: u8,
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// The version that wrote the value: at most [`StateValue::VERSION`].
    pub const fn version(&self) -> u8 {
        self.version
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeProblem> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeProblem::Damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeProblem> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeProblem::Damaged)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> Result<u8, DecodeProblem> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Reads a flag.
    pub fn flag(&mut self) -> Result<bool, DecodeProblem> {
        Ok(self.byte()? != 0)
    }

    /// Reads what [`Encoder::unsigned`] wrote.
    pub fn unsigned(&mut self) -> Result<u64, DecodeProblem> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeProblem::Damaged);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeProblem::Damaged)
    }

    /// Reads what [`Encoder::signed`] wrote.
    pub fn signed(&mut self) -> Result<i64, DecodeProblem> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Reads the number of elements that follow. Every element has at least one byte, so a damaged length never causes a
    /// large allocation.
    pub fn length(&mut self) -> Result<usize, DecodeProblem> {
        let length = usize::try_from(self.unsigned()?).map_err(|_| DecodeProblem::Damaged)?;
        if length > self.rest.len() {
            return Err(DecodeProblem::Damaged);
        }
        Ok(length)
    }

    /// Reads a time.
    pub fn time(&mut self) -> Result<Utc, DecodeProblem> {
        Ok(Utc::from_millis(i64::from_le_bytes(self.array()?)))
    }

    /// Reads a number, which is finite: older programs wrote infinite ones too, which are read as the largest finite ones.
    pub fn number(&mut self) -> Result<f64, DecodeProblem> {
        let number = f64::from_bits(u64::from_le_bytes(self.array()?));
        if number.is_nan() {
            Err(DecodeProblem::Damaged)
        } else {
            Ok(number.clamp(f64::MIN, f64::MAX))
        }
    }

    /// Reads bytes with their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeProblem> {
        let length = self.length()?;
        self.take(length)
    }

    /// Reads a text with its length.
    pub fn text(&mut self) -> Result<&'a str, DecodeProblem> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeProblem::Damaged)
    }

    /// Reads a text that is an id of the domain.
    pub fn id<T: std::str::FromStr>(&mut self) -> Result<T, DecodeProblem> {
        self.text()?.parse().map_err(|_| DecodeProblem::Damaged)
    }

    /// Reads a pseudonym.
    pub fn pseudonym(&mut self) -> Result<Pseudonym, DecodeProblem> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.array::<16>()?) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        let digits = std::str::from_utf8(&text).map_err(|_| DecodeProblem::Damaged)?;
        Pseudonym::new(digits).map_err(|_| DecodeProblem::Damaged)
    }

    /// Reads a state of consent.
    pub fn consent(&mut self) -> Result<ConsentState, DecodeProblem> {
        match self.byte()? {
            0 => Ok(ConsentState::NotRequired),
            1 => Ok(ConsentState::Given),
            2 => Ok(ConsentState::Denied),
            3 => Ok(ConsentState::Unknown),
            _ => Err(DecodeProblem::Damaged),
        }
    }

    /// Reads a value that has its own version.
    pub fn nested<V: StateValue>(&mut self) -> Result<V, DecodeProblem> {
        let found = self.byte()?;
        if found > V::VERSION {
            return Err(DecodeProblem::TooNew {
                found,
                known: V::VERSION,
            });
        }
        let outer = std::mem::replace(&mut self.version, found);
        let value = V::decode(self)?;
        self.version = outer;
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
