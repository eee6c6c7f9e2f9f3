//! The sections of the United States in GPP, and the older US Privacy string.
//!
//! American law asks for no consent, but for a way to opt out: who has not opted out has not given consent either.

use limbic_domain::ConsentState;

use super::bits::Bits;
use super::{Fault, Stated};

/// How the first segment of a section is laid out: the version (6 bits), then fields of two bits.
struct Layout {
    section: u64,
    version: u64,
    /// Fields before the opt-outs: which notices were shown.
    notices: usize,
    /// Opt-outs of sale, of sharing (in two sections) and of targeted advertising (in all but California's).
    opt_outs: usize,
    /// Fields about sensitive data.
    sensitive: usize,
    /// Fields about known children; 0 in each of them: not known to be a child.
    children: usize,
    /// Whether a second segment can carry the Global Privacy Control.
    control: bool,
}

const fn state(section: u64, notices: usize, sensitive: usize, children: usize, control: bool) -> Layout {
    Layout {
        section,
        version: 1,
        notices,
        opt_outs: 2,
        sensitive,
        children,
        control,
    }
}

const fn nation(version: u64, sensitive: usize, children: usize) -> Layout {
    Layout {
        section: 7,
        version,
        notices: 6,
        opt_outs: 3,
        sensitive,
        children,
        control: true,
    }
}

const LAYOUTS: [Layout; 18] = [
    nation(1, 12, 2),
    nation(2, 16, 3),
    // California, Virginia, Colorado, Utah, Connecticut, Florida, Montana, Oregon
    state(8, 3, 9, 2, true),
    state(9, 3, 8, 1, false),
    state(10, 3, 7, 1, true),
    state(11, 4, 8, 1, false),
    state(12, 3, 8, 3, true),
    state(13, 3, 8, 3, false),
    state(14, 3, 8, 3, true),
    state(15, 3, 11, 3, true),
    // Texas, Delaware, Iowa, Nebraska, New Hampshire, New Jersey, Tennessee, Minnesota
    state(16, 3, 8, 1, true),
    state(17, 3, 9, 5, true),
    state(18, 4, 8, 1, true),
    state(19, 3, 8, 1, true),
    state(20, 3, 8, 3, true),
    state(21, 3, 10, 5, true),
    state(22, 3, 8, 1, true),
    state(23, 3, 8, 1, true),
];

/// Whether GPP's number of a section is one of these.
pub(super) fn is_section(number: u64) -> bool {
    LAYOUTS.iter().any(|layout| layout.section == number)
}

/// Reads a section by GPP's number.
pub(super) fn section(number: u64, text: &str) -> Result<Stated, Fault> {
    const OPTED_OUT: u64 = 1;
    let mut segments = text.split('.');
    let mut bits = Bits::of(segments.next().unwrap_or(text));
    let found = bits.number(6)?;
    let layout = LAYOUTS
        .iter()
        .find(|layout| layout.section == number && layout.version == found)
        .ok_or(Fault::Version {
            part: "a section of the United States",
            found,
            known: if number == 7 { "1 or 2" } else { "1" },
        })?;
    bits.skip(2 * layout.notices);
    let mut refuses = false;
    for _ in 0..layout.opt_outs {
        refuses |= bits.number(2)? == OPTED_OUT;
    }
    bits.skip(2 * layout.sensitive);
    let minor = bits.number(2 * layout.children)? != 0;
    if layout.control {
        for segment in segments {
            refuses |= is_control(segment)?;
        }
    }
    Ok(Stated {
        consent: refuses.then_some(ConsentState::Denied),
        minor,
    })
}

/// Whether a further segment says that the browser sends the Global Privacy Control.
fn is_control(segment: &str) -> Result<bool, Fault> {
    const CONTROL: u64 = 1;
    let mut bits = Bits::of(segment);
    Ok(bits.number(2)? == CONTROL && bits.flag()?)
}

/// Whether these are the three flags behind the version of a US Privacy string.
pub(super) fn is_privacy_string(flags: &[u8]) -> bool {
    flags.len() == 3 && flags.iter().all(|flag| matches!(flag, b'Y' | b'N' | b'-'))
}

/// Reads the three flags of a US Privacy string: notice given, opted out of the sale, covered by the agreement of limited service.
pub(super) fn privacy_string(flags: &[u8]) -> Stated {
    Stated {
        consent: (flags.get(1) == Some(&b'Y')).then_some(ConsentState::Denied),
        minor: false,
    }
}
