//! What strings state, and that another reader reads the same in them.

use iab_gpp::sections::{DecodableSection, tcfcav1::TcfCaV1, tcfeuv2::TcfEuV2};
use iab_gpp::v1::GPPString;
use proptest::prelude::*;

use super::*;

/// Writes numbers as base64url, six bits a character.
#[derive(Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn number(mut self, bits: usize, number: u64) -> Self {
        self.0.extend((0..bits).rev().map(|bit| number >> bit & 1 == 1));
        self
    }

    fn flags(mut self, flags: impl IntoIterator<Item = bool>) -> Self {
        self.0.extend(flags);
        self
    }

    fn text(mut self) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        self.0.resize(self.0.len().next_multiple_of(6), false);
        let character = |bits: &[bool]| bits.iter().fold(0, |sum, bit| sum << 1 | usize::from(*bit));
        self.0
            .chunks(6)
            .map(|bits| char::from(ALPHABET[character(bits)]))
            .collect()
    }
}

/// A list of vendors as one bit each, or as ranges.
fn vendors(writer: Writer, ids: &[u16], as_ranges: bool) -> Writer {
    let largest = ids.iter().max().copied().unwrap_or(0);
    let writer = writer.number(16, largest.into()).flags([as_ranges]);
    if as_ranges {
        let writer = writer.number(12, ids.len() as u64);
        return ids.iter().fold(writer, |writer, id| {
            writer.number(1, 0).number(16, u64::from(*id))
        });
    }
    writer.flags((1..=largest).map(|id| ids.contains(&id)))
}

/// A string of TCF 2: the purposes agreed to as 24 bits, and who is named. `restrictions`: purpose, kind, vendor.
fn europe(purposes: u64, ids: &[u16], as_ranges: bool, restrictions: &[(u64, u64, u16)]) -> String {
    let head = Writer::default()
        .number(6, 2)
        .number(36, 1)
        .number(36, 1)
        .number(12, 7)
        .number(12, 1);
    let head = head
        .number(6, 1)
        .number(12, 134)
        .number(12, 50)
        .number(6, 4)
        .number(2, 0)
        .number(12, 0);
    let writer = vendors(
        head.number(24, purposes)
            .number(24, 0)
            .number(1, 0)
            .number(12, 134),
        ids,
        as_ranges,
    );
    let writer = vendors(writer, &[2, 9], true).number(12, restrictions.len() as u64);
    let restrict = |writer: Writer, (purpose, kind, id): &(u64, u64, u16)| {
        let one = writer.number(6, *purpose).number(2, *kind).number(12, 1);
        // A range, as most writers make it even of one id.
        one.number(1, 1)
            .number(16, u64::from(*id))
            .number(16, u64::from(*id))
    };
    restrictions.iter().fold(writer, restrict).text()
}

/// Purposes 3 and 4.
const BOTH: u64 = 0b0011 << 20;

fn consent(text: &str, vendor: Option<u16>) -> Option<ConsentState> {
    read(text, vendor).unwrap().consent
}

#[test]
fn tcf_permits_only_the_vendor_that_it_names() {
    use ConsentState::{Denied, Given, Unknown};
    for as_ranges in [true, false] {
        let agreed = europe(BOTH, &[5, 40], as_ranges, &[]);
        assert_eq!(consent(&agreed, Some(40)), Some(Given));
        assert_eq!(consent(&agreed, Some(41)), Some(Denied));
        assert_eq!(consent(&agreed, None), Some(Unknown));
        for purposes in [0, 0b0010 << 20, 0b0001 << 20, !BOTH & 0xff_ffff] {
            let refused = europe(purposes, &[5, 40], as_ranges, &[]);
            assert_eq!(consent(&refused, Some(40)), Some(Denied), "{purposes:b}");
            assert_eq!(consent(&refused, None), Some(Denied), "{purposes:b}");
        }
    }
}

#[test]
fn a_publisher_can_forbid_what_the_person_agreed_to() {
    use ConsentState::{Denied, Given};
    for (restriction, expected) in [
        ((3, 0, 40), Denied),
        ((4, 0, 40), Denied),
        ((3, 1, 40), Given),
        ((2, 0, 40), Given),
        ((3, 0, 41), Given),
    ] {
        let text = europe(BOTH, &[40], false, &[(7, 0, 40), restriction]);
        assert_eq!(consent(&text, Some(40)), Some(expected), "{restriction:?}");
    }
}

#[test]
fn the_strictest_section_of_a_platform_string_counts() {
    use ConsentState::{Denied, Given};
    let agreed = europe(BOTH, &[40], true, &[]);
    // The header names the sections 2 and 6.
    assert_eq!(consent(&format!("DBACNY~{agreed}~1YNN"), Some(40)), Some(Given));
    assert_eq!(consent(&format!("DBACNY~{agreed}~1YYN"), Some(40)), Some(Denied));
    assert_eq!(consent("DBABTA~1YNN", Some(40)), None);
}

#[test]
fn a_section_that_is_not_known_permits_nothing() {
    // One section, 34, which is a Fibonacci number of its own: the eighth.
    let header = Writer::default()
        .number(6, 3)
        .number(6, 1)
        .number(12, 1)
        .number(1, 0);
    let header = header
        .flags([false, false, false, false, false, false, false, true, true])
        .text();
    assert_eq!(
        consent(&format!("{header}~BAAA"), Some(40)),
        Some(ConsentState::Unknown)
    );
}

#[test]
fn a_child_that_a_section_knows_is_a_minor() {
    // Texas: no opt-out, and consent for a known child.
    let section = |child: u64| {
        Writer::default()
            .number(6, 1)
            .number(6, 0)
            .number(4, 0)
            .number(16, 0)
            .number(2, child)
            .number(8, 0b0001_0101)
    };
    let header = Writer::default()
        .number(6, 3)
        .number(6, 1)
        .number(12, 1)
        .number(1, 0);
    // 16 = 13 + 3
    let header = header
        .flags([false, false, true, false, false, true, true])
        .text();
    for (child, minor) in [(0, false), (1, true), (2, true)] {
        let stated = read(&format!("{header}~{}", section(child).text()), None).unwrap();
        assert_eq!(stated, Stated { consent: None, minor });
    }
}

#[test]
fn ranges_are_not_expanded() {
    // 180 ranges of 65,535 vendors: a reader that lists them makes millions of entries of a text of one kilobyte.
    let head = Writer::default()
        .number(6, 2)
        .flags([false; 36 + 36 + 12 + 12 + 6 + 12 + 18])
        .number(14, 0)
        .number(24, BOTH)
        .number(37, 0);
    let all = head.number(16, 65_535).number(1, 1).number(12, 180);
    let all = (0..180).fold(all, |writer, _| {
        writer.number(1, 1).number(16, 1).number(16, 65_535)
    });
    let text = all.number(16, 0).number(1, 0).number(12, 0).text();
    assert_eq!(consent(&text, Some(700)), Some(ConsentState::Given));
}

#[test]
fn what_is_cut_or_broken_is_refused_with_a_reason() {
    let agreed = europe(BOTH, &[5, 40], true, &[(3, 1, 40)]);
    for end in SHORTEST_TCF..agreed.len() - 1 {
        assert_eq!(read(&agreed[..end], Some(40)), Err(Fault::TooShort), "{end}");
    }
    // At any place, also among the bits that decide nothing.
    for at in 1..agreed.len() {
        let broken = format!("{}*{}", &agreed[..at], &agreed[at + 1..]);
        assert_eq!(read(&broken, Some(40)), Err(Fault::Character('*')), "{at}");
    }
    assert!(matches!(
        read("DBABM", None),
        Err(Fault::Sections { named: 1, found: 0 })
    ));
    assert_eq!(
        read("DBABMA~1YNN~1YNN", None).unwrap_err().to_string(),
        "it names 1 sections and has 2"
    );
    assert_eq!(read("", None), Err(Fault::NoStatement));
    assert_eq!(read("Consent", None), Err(Fault::NoStatement));
}

/// Whether any field of a decoded section whose name has `part` (and not `notice`) has a value that `is` accepts.
fn has(section: &serde_json::Value, part: &str, is: fn(&serde_json::Value) -> bool) -> bool {
    let Some(fields) = section.as_object() else {
        return false;
    };
    fields.iter().any(|(name, value)| {
        let is_named = name.contains(part) && !name.contains("notice") && !name.contains("mode");
        let is_group = value.is_object();
        is_named && !is_group && is(value)
            || is_group && (is_named && has(value, "", is) || has(value, part, is))
    })
}

proptest! {
    #[test]
    fn another_reader_finds_the_same_in_europe(
        purposes in 0u64..1 << 24,
        force in any::<bool>(),
        ids in prop::collection::btree_set(1u16..200, 0..20),
        as_ranges in any::<bool>(),
        vendor in prop::option::of(1u16..200),
    ) {
        let ids: Vec<u16> = ids.into_iter().collect();
        let purposes = if force { purposes | BOTH } else { purposes };
        let text = europe(purposes, &ids, as_ranges, &[]);
        let other: TcfEuV2 = text.parse().unwrap();
        let is_agreed = [3, 4].iter().all(|purpose| other.core.purpose_consents.contains(purpose));
        let is_named = vendor.map(|vendor| other.core.vendor_consents.contains(&vendor));
        let expected = match (is_agreed, is_named) {
            (true, Some(true)) => ConsentState::Given,
            (true, None) => ConsentState::Unknown,
            _ => ConsentState::Denied,
        };
        prop_assert_eq!(consent(&text, vendor), Some(expected));
    }

    #[test]
    fn another_reader_finds_the_same_in_canada(
        express in 0u64..1 << 24,
        force in any::<bool>(),
        implied in 0u64..1 << 24,
        ids in prop::collection::btree_set(1u16..200, 0..20),
        vendor in 1u16..200,
    ) {
        let ids: Vec<u16> = ids.into_iter().collect();
        let express = if force { express | BOTH } else { express };
        let head = Writer::default().number(6, 1).number(36, 1).number(36, 1).number(12, 7).number(12, 1).number(6, 1);
        let head = head.number(12, 134).number(12, 50).number(6, 4).number(1, 0).number(12, 0);
        let writer = vendors(head.number(24, express).number(24, implied), &ids, false);
        let text = vendors(writer, &[1], false).number(12, 0).text();
        let other: TcfCaV1 = text.parse().unwrap();
        let is_agreed = [3, 4].iter().all(|purpose| other.core.purpose_express_consents.contains(purpose));
        let is_given = is_agreed && other.core.vendor_express_consents.contains(&vendor);
        let expected = if is_given { ConsentState::Given } else { ConsentState::Denied };
        prop_assert_eq!(tcf::canada(&text, Some(vendor)).unwrap().consent, Some(expected));
    }

    #[test]
    fn another_reader_finds_the_same_in_the_states(
        number in 7u64..=23,
        version in 1u64..=2,
        fields in prop::collection::vec(0u64..3, 40),
        control in prop::option::of(any::<bool>()),
    ) {
        let version = if number == 7 { version } else { 1 };
        let core = fields.iter().fold(Writer::default().number(6, version), |writer, field| writer.number(2, *field)).text();
        let without_control = [9, 11, 13].contains(&number);
        let text = match control.filter(|_| !without_control) {
            Some(sent) => format!("{core}.{}", Writer::default().number(2, 1).flags([sent]).text()),
            None => core,
        };
        // A header that names this section alone, in Fibonacci coding from the largest number down.
        let fibonacci = [1, 2, 3, 5, 8, 13, 21];
        let (mut bits, mut left) = ([false; 7], number);
        for at in (0..7).rev() {
            if fibonacci[at] <= left {
                bits[at] = true;
                left -= fibonacci[at];
            }
        }
        let last = bits.iter().rposition(|bit| *bit).unwrap();
        let header = Writer::default().number(6, 3).number(6, 1).number(12, 1).number(1, 0);
        let header = header.flags(bits[..=last].iter().copied()).flags([true]).text();
        let all: GPPString = format!("{header}~{text}").parse().unwrap();
        let found = all.decode_all_sections().remove(0);
        match found {
            Ok(found) => {
                let found = serde_json::to_value(found).unwrap();
                let refuses = has(&found, "opt_out", |value| value == "OptedOut") || has(&found, "gpc", |value| value == true);
                let minor = has(&found, "known_child", |value| value.is_string() && value != "NotApplicable");
                let expected = Stated { consent: refuses.then_some(ConsentState::Denied), minor };
                prop_assert_eq!(read(&format!("{header}~{text}"), None).unwrap(), expected);
            }
            // The other reader refuses an agreement that is neither there nor not there, which decides nothing here.
            Err(error) => prop_assert!(error.to_string().contains("1 or 2"), "{error}"),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[A-Za-z0-9_.~-]{0,200}", vendor in prop::option::of(any::<u16>())) {
        let _ = read(&text, vendor);
        let _ = read(&format!("DB{text}"), vendor);
        let _ = read(&format!("C{text}"), vendor);
    }
}

#[test]
fn the_other_reader_knows_the_sections_that_are_read_here() {
    assert_eq!(TcfEuV2::ID as u64, 2);
    assert!((7..=23).all(us::is_section));
}
