//! The bits of the base64url texts in which consent is encoded.

use super::Fault;

/// Reads numbers, most significant bit first, from characters of six bits each.
pub(super) struct Bits<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
        }
    }

    /// The next `bits` bits, at most 64.
    pub(super) fn number(&mut self, bits: usize) -> Result<u64, Fault> {
        let mut number = 0;
        for _ in 0..bits {
            let character = *self.text.get(self.at / 6).ok_or(Fault::TooShort)?;
            let value = six_bits(character).ok_or(Fault::Character(char::from(character)))?;
            number = number << 1 | u64::from(value >> (5 - self.at % 6) & 1);
            self.at += 1;
        }
        Ok(number)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Fault> {
        Ok(self.number(1)? == 1)
    }

    /// Leaves out `bits` bits. That they exist is known when the next number is read.
    pub(super) const fn skip(&mut self, bits: usize) {
        self.at = self.at.saturating_add(bits);
    }

    /// A number in Fibonacci coding, at least 1: the sum of the Fibonacci numbers 1, 2, 3, 5, … whose bit is set, up to two ones in a
    /// row. A section of GPP has a number of two digits, so anything above 65,535 is a fault.
    pub(super) fn fibonacci(&mut self) -> Result<u64, Fault> {
        const MOST: u64 = u16::MAX as u64;
        let (mut sum, mut current, mut next) = (0, 1, 2);
        let mut last = false;
        while current <= MOST {
            let bit = self.flag()?;
            if bit && last {
                return Ok(sum);
            }
            if bit {
                sum += current;
            }
            (current, next) = (next, current + next);
            last = bit;
        }
        Err(Fault::Number)
    }

    /// Whether one of the ranges that follow contains `id`. Nothing is expanded: an entry of four bytes can name 65,535 ids.
    pub(super) fn ranges_contain(&mut self, id: u16) -> Result<bool, Fault> {
        let mut contains = false;
        for _ in 0..self.number(12)? {
            let is_range = self.flag()?;
            let first = self.number(16)?;
            let last = if is_range { self.number(16)? } else { first };
            contains |= (first..=last).contains(&u64::from(id));
        }
        Ok(contains)
    }

    /// Whether the list of ids that follows contains `id`: ranges, or one bit for each id up to the largest.
    pub(super) fn ids_contain(&mut self, id: u16) -> Result<bool, Fault> {
        let largest = self.number(16)?;
        if self.flag()? {
            return self.ranges_contain(id);
        }
        let mut contains = false;
        for one in 1..=largest {
            contains |= self.flag()? && one == u64::from(id);
        }
        Ok(contains)
    }
}

/// The six bits that a character of base64url stands for.
const fn six_bits(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}
