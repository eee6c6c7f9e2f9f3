//! Strings of the Global Privacy Platform: a header that names sections, and the sections, joined by `~`.

use limbic_domain::ConsentState;

use super::bits::Bits;
use super::{Fault, Stated, tcf, us};

/// The type of a header.
const HEADER: u64 = 3;
/// Most sections in one string; some twenty exist.
const MOST_SECTIONS: usize = 64;

/// GPP's numbers of its sections.
mod number {
    /// TCF 2 of Europe.
    pub(super) const EUROPE: u64 = 2;
    /// TCF 1 of Canada.
    pub(super) const CANADA: u64 = 5;
    /// The US Privacy string.
    pub(super) const PRIVACY: u64 = 6;
}

/// Reads every section; the strictest counts. A section that is not known here permits nothing.
pub(super) fn read(text: &str, vendor: Option<u16>) -> Result<Stated, Fault> {
    let mut parts = text.split('~');
    let named = sections(parts.next().unwrap_or(text))?;
    let parts: Vec<&str> = parts.take(MOST_SECTIONS + 1).collect();
    if parts.len() != named.len() {
        return Err(Fault::Sections {
            named: named.len(),
            found: parts.len(),
        });
    }
    let mut all = Stated::default();
    for (number, part) in named.into_iter().zip(parts) {
        let one = match number {
            number::EUROPE => tcf::europe(part, vendor)?,
            number::CANADA => tcf::canada(part, vendor)?,
            number::PRIVACY => match part.as_bytes() {
                [b'1', flags @ ..] if us::is_privacy_string(flags) => us::privacy_string(flags),
                _ => return Err(Fault::NoStatement),
            },
            known if us::is_section(known) => us::section(known, part)?,
            _ => Stated::consent(ConsentState::Unknown),
        };
        all = all.and(one);
    }
    Ok(all)
}

/// The numbers of the sections that a header names, in order.
fn sections(header: &str) -> Result<Vec<u64>, Fault> {
    let mut bits = Bits::of(header);
    let (kind, version) = (bits.number(6)?, bits.number(6)?);
    if kind != HEADER || version != 1 {
        return Err(Fault::Version {
            part: "the GPP string",
            found: version,
            known: "1",
        });
    }
    let mut numbers = Vec::new();
    let mut last = 0;
    for _ in 0..bits.number(12)? {
        let is_range = bits.flag()?;
        let first = last + bits.fibonacci()?;
        last = if is_range {
            first + bits.fibonacci()?
        } else {
            first
        };
        if numbers.len() as u64 + (last - first) >= MOST_SECTIONS as u64 {
            return Err(Fault::Number);
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}
