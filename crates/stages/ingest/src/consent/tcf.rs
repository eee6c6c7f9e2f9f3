//! Strings of the Transparency and Consent Framework: Europe (version 2) and Canada (version 1).

use limbic_domain::ConsentState;

use super::bits::Bits;
use super::{Fault, Stated};

/// The purposes that an ad chosen by what a person writes needs: to create a profile for personalised advertising, and to use it.
/// Since TCF 2.2 both rest on consent alone, never on legitimate interest.
const PURPOSES: [u64; 2] = [3, 4];

/// Bits of the fields before the version of the vendor list: two times, the consent manager's id and version, the screen, the language.
const BEFORE_VENDOR_LIST: usize = 36 + 36 + 12 + 12 + 6 + 12;
/// Bits of the version of the vendor list and of the policy.
const LIST_AND_POLICY: usize = 12 + 6;
const SPECIAL_FEATURES: usize = 12;
const ALL_PURPOSES: usize = 24;

/// Reads a string of TCF 2.
pub(super) fn europe(text: &str, vendor: Option<u16>) -> Result<Stated, Fault> {
    let mut bits = core(text, "the TCF string", 2, "2")?;
    // Whether it holds for one service, and whether the texts are the standard ones.
    bits.skip(1 + 1 + SPECIAL_FEATURES);
    let is_agreed = agrees(bits.number(ALL_PURPOSES)?);
    // Purposes by legitimate interest, the treatment of purpose 1, the publisher's country.
    bits.skip(ALL_PURPOSES + 1 + 12);
    let is_named = bits.ids_contain(vendor.unwrap_or(0))?;
    // Vendors by legitimate interest.
    bits.ids_contain(0)?;
    let is_restricted = restricts(&mut bits, vendor.unwrap_or(0))?;
    Ok(stated(is_agreed && !is_restricted, is_named, vendor))
}

/// Reads a string of TCF Canada. What a person feels is sensitive, so only express consent counts, not implied consent.
pub(super) fn canada(text: &str, vendor: Option<u16>) -> Result<Stated, Fault> {
    let mut bits = core(text, "the section of Canada", 1, "1")?;
    bits.skip(1 + SPECIAL_FEATURES);
    let is_agreed = agrees(bits.number(ALL_PURPOSES)?);
    bits.skip(ALL_PURPOSES);
    let is_named = bits.ids_contain(vendor.unwrap_or(0))?;
    Ok(stated(is_agreed, is_named, vendor))
}

/// The bits of the first segment, behind the version of the policy.
fn core<'a>(text: &'a str, part: &'static str, version: u64, known: &'static str) -> Result<Bits<'a>, Fault> {
    let first = text.split('.').next().unwrap_or(text);
    let mut bits = Bits::of(first);
    let found = bits.number(6)?;
    if found != version {
        return Err(Fault::Version { part, found, known });
    }
    bits.skip(BEFORE_VENDOR_LIST + LIST_AND_POLICY);
    Ok(bits)
}

fn agrees(purposes: u64) -> bool {
    PURPOSES.iter().all(|purpose| purposes >> (24 - purpose) & 1 == 1)
}

/// Whether the publisher forbids one of the purposes to the vendor.
fn restricts(bits: &mut Bits<'_>, vendor: u16) -> Result<bool, Fault> {
    const NOT_ALLOWED: u64 = 0;
    let mut restricts = false;
    for _ in 0..bits.number(12)? {
        let (purpose, kind) = (bits.number(6)?, bits.number(2)?);
        let names = bits.ranges_contain(vendor)?;
        restricts |= names && kind == NOT_ALLOWED && PURPOSES.contains(&purpose);
    }
    Ok(restricts)
}

const fn stated(is_agreed: bool, is_named: bool, vendor: Option<u16>) -> Stated {
    let consent = match vendor {
        _ if !is_agreed => ConsentState::Denied,
        None => ConsentState::Unknown,
        Some(_) if is_named => ConsentState::Given,
        Some(_) => ConsentState::Denied,
    };
    Stated::consent(consent)
}
