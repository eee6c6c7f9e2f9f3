//! Reads one item of a request as JSON, within limits that hold before memory is used.
//!
//! A short text can describe a very large value: each `{"":0}` of seven bytes needs some 700 bytes in memory. So the number of values
//! is counted while they are read.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problem::clip;

/// Maximum bytes of one item.
pub const ITEM_LIMIT: usize = 1 << 20;
/// Maximum depth of objects and arrays in an item, the item itself included.
pub const DEPTH_LIMIT: usize = 32;
/// Maximum number of values in an item: texts, numbers, objects and arrays at any depth.
pub const VALUES_LIMIT: usize = 4_096;

/// Reads an item. The error says what is wrong and, after a colon, what to do.
///
/// A key that occurs twice in one object is an error, because readers of JSON differ in which of the two counts: one may see consent
/// where another sees a refusal. Each failed item leaves the others of its request untouched.
pub fn json(bytes: &[u8]) -> Result<Value, String> {
    if bytes.len() > ITEM_LIMIT {
        return Err(format!(
            "is {} bytes of JSON, the limit is {ITEM_LIMIT}: shorten it",
            bytes.len()
        ));
    }
    let found = Found {
        values: Cell::new(0),
        is_rounded: Cell::new(false),
        problem: RefCell::new(None),
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Bounded {
        found: &found,
        depth: 0,
    };
    let read = seed.deserialize(&mut reader);
    let read = read.and_then(|value| reader.end().map(|()| value));
    let value = read.map_err(|error| {
        let problem = found.problem.borrow_mut().take();
        problem.unwrap_or_else(|| format!("is not JSON: {error}: send one JSON object"))
    })?;
    // The reader makes a float of an integer of more than 64 bits.
    match found.is_rounded.get().then(|| long_integer(bytes)).flatten() {
        None => Ok(value),
        Some(digits) => Err(format!(
            "has the whole number {}, which has more than 64 bits and would lose digits: send it as text, in quotes",
            clip(digits)
        )),
    }
}

/// The first integer of a JSON text that fits in neither `i64` nor `u64`.
fn long_integer(json: &[u8]) -> Option<&str> {
    let mut rest = json;
    while let Some((&first, others)) = rest.split_first() {
        if first == b'"' {
            rest = after_text(others);
        } else if first == b'-' || first.is_ascii_digit() {
            let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
            let length = rest.iter().take_while(|byte| is_part(byte)).count();
            let (number, after) = rest.split_at(length);
            let number = std::str::from_utf8(number).ok()?;
            let is_whole = !number.contains(['.', 'e', 'E']);
            if is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                return Some(number);
            }
            rest = after;
        } else {
            rest = others;
        }
    }
    None
}

/// What follows the text whose opening quotation mark was before `json`.
fn after_text(json: &[u8]) -> &[u8] {
    let mut rest = json;
    loop {
        match rest {
            [] => return rest,
            [b'"', after @ ..] => return after,
            [b'\\', _, after @ ..] | [_, after @ ..] => rest = after,
        }
    }
}

/// What has been found so far.
struct Found {
    values: Cell<usize>,
    /// A number is so large that it may have been an integer that lost digits.
    is_rounded: Cell<bool>,
    /// The limit that was exceeded, in words.
    problem: RefCell<Option<String>>,
}

/// Reads one value within the limits.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    found: &'a Found,
    /// The number of objects and arrays around the value.
    depth: usize,
}

impl Bounded<'_> {
    fn refuse<E: serde::de::Error>(self, problem: String) -> E {
        *self.found.problem.borrow_mut() = Some(problem);
        E::custom("a limit is exceeded")
    }

    /// The reader of the values inside.
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_LIMIT {
            return Err(self.refuse(format!(
                "is nested more than {DEPTH_LIMIT} deep: send fewer levels of objects and arrays"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let values = self.found.values.get() + 1;
        if values > VALUES_LIMIT {
            return Err(self.refuse(format!(
                "has more than {VALUES_LIMIT} values: leave some of them out"
            )));
        }
        self.found.values.set(values);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        /// 2^63: the magnitude from which an integer may not fit in 64 bits.
        const LARGE: f64 = 9_223_372_036_854_775_808.0;
        if number.abs() >= LARGE {
            self.found.is_rounded.set(true);
        }
        Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(self.refuse(format!(
                    "has the key `{}` twice in one object, so its meaning is not clear: remove one of them",
                    clip(&key)
                )));
            }
            let value = map.next_value_seed(inside)?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_that_occurs_twice_is_refused_at_every_depth() {
        for text in [
            r#"{"consent": "denied", "consent": "given"}"#,
            r#"{"consent": "denied", "\u0063onsent": "given"}"#,
            r#"{"meta": [{"a": {"minor": true, "minor": false}}]}"#,
        ] {
            let problem = json(text.as_bytes()).unwrap_err();
            assert!(
                problem.contains("twice") && problem.ends_with("remove one of them"),
                "{problem}"
            );
        }
        assert!(json(br#"[{"a": 1}, {"a": 1}]"#).is_ok());
    }

    #[test]
    fn the_limits_hold_and_what_is_within_them_is_read() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(json(nested(DEPTH_LIMIT).as_bytes()).is_ok());
        for depth in [DEPTH_LIMIT + 1, 125, 400_000] {
            let problem = json(nested(depth).as_bytes()).unwrap_err();
            assert!(problem.contains("deep"), "{problem}");
        }
        let values = |n: usize| format!("[{}]", vec!["0"; n - 1].join(","));
        assert!(json(values(VALUES_LIMIT).as_bytes()).is_ok());
        let problem = json(values(VALUES_LIMIT + 1).as_bytes()).unwrap_err();
        assert!(problem.contains("4096 values"), "{problem}");
        let long = format!("\"{}\"", "x".repeat(ITEM_LIMIT));
        let problem = json(long.as_bytes()).unwrap_err();
        assert!(problem.contains("the limit is 1048576"), "{problem}");
    }

    #[test]
    fn an_integer_keeps_its_digits_or_is_refused() {
        for kept in [
            "18446744073709551615",
            "-9223372036854775808",
            "9007199254740993",
            "0",
        ] {
            let value = json(kept.as_bytes()).unwrap();
            assert_eq!(value.to_string(), kept);
        }
        for lost in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
        ] {
            let text = format!(
                r#"{{"text": "1e5 \\\" 99999999999999999999999", "meta": {{"likes": [1.5, {lost}]}}}}"#
            );
            let problem = json(text.as_bytes()).unwrap_err();
            assert!(
                problem.contains(lost) && problem.contains("in quotes"),
                "{problem}"
            );
        }
        // A sender of a number with a fraction expects that it is rounded. Digits in a text stay text.
        for float in [
            "1e20",
            "18446744073709551616.0",
            r#"["99999999999999999999999", 1e300]"#,
        ] {
            assert!(json(float.as_bytes()).is_ok(), "{float}");
        }
    }

    #[test]
    fn what_is_not_json_is_said() {
        for text in ["", "{", "nul", "1e400", r#""\ud83d""#, "{} {}", "\"\u{1}\""] {
            let problem = json(text.as_bytes()).unwrap_err();
            assert!(problem.starts_with("is not JSON: "), "{text}: {problem}");
        }
        assert!(json(b"\"\xff\"").unwrap_err().starts_with("is not JSON: "));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1.0e300..1.0e300).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            let key = any::<String>();
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_serde_json_writes_is_read_unchanged(value in values()) {
            let text = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(json(&text).unwrap(), serde_json::from_slice::<Value>(&text).unwrap());
        }

        #[test]
        fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if json(&bytes).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
            }
        }

        #[test]
        fn no_change_of_a_few_bytes_breaks_the_reader(value in values(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
            let mut text = serde_json::to_vec(&value).unwrap();
            for (place, byte) in changes {
                let place = place.index(text.len());
                text[place] = byte;
            }
            if json(&text).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&text).is_ok());
            }
        }
    }
}
