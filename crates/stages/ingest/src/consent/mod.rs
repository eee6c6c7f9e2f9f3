//! Consent as a source states it: in a word, or in a consent string of the IAB.
//!
//! Strings of TCF (version 2), GPP and US Privacy are read; the strictest statement in them counts. Written from the specifications
//! "Consent string and vendor list formats v2" (TCF 2.2), "Consent String Specification" and the sections of the Global Privacy Platform,
//! and "US Privacy String" of the IAB Tech Lab, as of November 2026. The tests compare the results with another reader's.

mod bits;
mod gpp;
mod tcf;
mod us;

#[cfg(test)]
mod tests;

use limbic_domain::ConsentState;

/// What a source states about a person's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stated {
    /// The consent. `None`: the statement refuses nothing and permits nothing, as if there were none.
    pub(crate) consent: Option<ConsentState>,
    /// The person is known to be a child.
    pub(crate) minor: bool,
}

impl Stated {
    const fn consent(consent: ConsentState) -> Self {
        Self {
            consent: Some(consent),
            minor: false,
        }
    }

    /// Both statements: the stricter one counts.
    fn and(self, other: Self) -> Self {
        let strictness = |consent: &Option<ConsentState>| match consent {
            None | Some(ConsentState::NotRequired) => 0,
            Some(ConsentState::Given) => 1,
            Some(ConsentState::Unknown) => 2,
            Some(ConsentState::Denied) => 3,
        };
        Self {
            consent: [self.consent, other.consent]
                .into_iter()
                .max_by_key(strictness)
                .flatten(),
            minor: self.minor || other.minor,
        }
    }
}

/// Why a statement of consent cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it ends too early")]
    TooShort,
    #[error("`{}` is not a character of base64url", .0.escape_default())]
    Character(char),
    #[error("a number is too large")]
    Number,
    #[error("it names {named} sections and has {found}")]
    Sections { named: usize, found: usize },
    #[error("{part} has version {found}, and version {known} is read here")]
    Version {
        part: &'static str,
        found: u64,
        known: &'static str,
    },
    #[error("it is neither a word nor a consent string of TCF, GPP or US Privacy")]
    NoStatement,
}

/// Characters of a TCF string at least: its fields up to the first purposes.
const SHORTEST_TCF: usize = 36;

/// Reads what a source states. `vendor` is the number, in the Global Vendor List of TCF, for whom consent is asked.
///
/// A string of TCF names the vendors that may rely on it. Without `vendor`, it can refuse and cannot permit.
pub(crate) fn read(text: &str, vendor: Option<u16>) -> Result<Stated, Fault> {
    match text {
        "given" => return Ok(Stated::consent(ConsentState::Given)),
        "denied" => return Ok(Stated::consent(ConsentState::Denied)),
        "unknown" => return Ok(Stated::consent(ConsentState::Unknown)),
        _ => {}
    }
    let is_encoded = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    let is_string = text.starts_with("DB") || (text.starts_with(['B', 'C']) && text.len() >= SHORTEST_TCF);
    if is_string && let Some(other) = text.chars().find(|c| !is_encoded(c)) {
        return Err(Fault::Character(other));
    }
    match text.as_bytes() {
        [b'1', flags @ ..] if us::is_privacy_string(flags) => Ok(us::privacy_string(flags)),
        // A header of type 3 and version 1.
        [b'D', b'B', ..] => gpp::read(text, vendor),
        // Version 1 begins with B, and is told what version is read.
        [b'B' | b'C', ..] if is_string => tcf::europe(text, vendor),
        _ => Err(Fault::NoStatement),
    }
}
