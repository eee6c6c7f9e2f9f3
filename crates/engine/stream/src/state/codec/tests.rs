//! The tests of [`codec`](super).

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Everything {
    unsigned: u64,
    signed: i64,
    number: f64,
    at: Utc,
    texts: Vec<String>,
    person: Pseudonym,
    consent: ConsentState,
    flag: bool,
    inner: u64,
}

impl StateValue for Everything {
    const VERSION: u8 = 3;

    fn encode(&self, to: &mut Encoder) {
        to.unsigned(self.unsigned);
        to.signed(self.signed);
        to.number(self.number);
        to.time(self.at);
        to.length(self.texts.len());
        for text in &self.texts {
            to.text(text);
        }
        to.pseudonym(&self.person);
        to.consent(self.consent);
        to.flag(self.flag);
        to.nested(&self.inner);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        Ok(Self {
            unsigned: from.unsigned()?,
            signed: from.signed()?,
            number: from.number()?,
            at: from.time()?,
            texts: (0..from.length()?)
                .map(|_| from.text().map(str::to_owned))
                .collect::<Result<_, _>>()?,
            person: from.pseudonym()?,
            consent: from.consent()?,
            flag: from.flag()?,
            inner: from.nested()?,
        })
    }
}

#[test]
fn an_infinite_number_is_stored_as_the_largest_one_and_what_is_no_number_is_not_stored() {
    let mut written = Encoder(Vec::new());
    for number in [f64::INFINITY, f64::NEG_INFINITY, -0.0] {
        written.number(number);
    }
    // As an older program wrote it.
    written
        .0
        .extend_from_slice(&f64::INFINITY.to_bits().to_le_bytes());
    written.0.extend_from_slice(&f64::NAN.to_bits().to_le_bytes());
    let mut read = Decoder {
        version: 1,
        rest: &written.0,
    };
    for expected in [f64::MAX, f64::MIN, -0.0, f64::MAX] {
        assert_eq!(read.number().map(f64::to_bits), Ok(expected.to_bits()));
    }
    assert_eq!(read.number(), Err(DecodeProblem::Damaged));
    let refused = std::panic::catch_unwind(|| Encoder(Vec::new()).number(f64::NAN));
    assert!(refused.is_err());
}

fn everything() -> impl Strategy<Value = Everything> {
    let consent = prop_oneof![
        Just(ConsentState::Given),
        Just(ConsentState::Denied),
        Just(ConsentState::Unknown),
        Just(ConsentState::NotRequired)
    ];
    let numbers = (
        any::<u64>(),
        any::<i64>(),
        proptest::num::f64::NORMAL,
        any::<i64>(),
    );
    let rest = (any::<bool>(), any::<u64>());
    (
        numbers,
        proptest::collection::vec(".{0,9}", 0..4),
        "[0-9a-f]{32}",
        consent,
        rest,
    )
        .prop_map(
            |((unsigned, signed, number, at), texts, person, consent, (flag, inner))| Everything {
                unsigned,
                signed,
                number,
                at: Utc::from_millis(at),
                texts,
                person: Pseudonym::new(&person).unwrap(),
                consent,
                flag,
                inner,
            },
        )
}

proptest! {
    #[test]
    fn a_value_decodes_to_itself_and_a_truncated_or_longer_one_is_refused(value in everything()) {
        let bytes = value.to_bytes();
        for end in 0..bytes.len() {
            prop_assert!(Everything::from_bytes(&bytes[..end]).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(Everything::from_bytes(&longer), Err(DecodeProblem::Damaged));
        prop_assert_eq!(Everything::from_bytes(&bytes), Ok(value));
    }

    #[test]
    fn decoding_arbitrary_bytes_never_panics(bytes: Vec<u8>) {
        let _ = Everything::from_bytes(&bytes);
    }
}

#[test]
fn a_later_version_and_a_damaged_length_are_distinguished() {
    let later = [u64::VERSION + 1, 0];
    assert_eq!(
        u64::from_bytes(&later),
        Err(DecodeProblem::TooNew { found: 2, known: 1 })
    );
    let mut decoder = Decoder {
        version: 1,
        rest: &[0xff, 0xff, 0xff, 0xff, 0x0f, 0],
    };
    assert_eq!(decoder.length(), Err(DecodeProblem::Damaged));
}

#[test]
fn small_numbers_take_one_byte() {
    let mut encoder = Encoder(Vec::new());
    encoder.signed(-1);
    encoder.unsigned(127);
    encoder.length(3);
    assert_eq!(encoder.0, [1, 127, 3]);
}
