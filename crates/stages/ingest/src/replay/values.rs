//! JSON values of a file: one in each line, or one after the other whatever their lines are.

use std::fmt;
use std::io::{self, BufRead};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::lines::LIMIT;

/// Maximum nesting of a value.
const DEPTH: usize = 64;

/// The values of an array, or of objects behind one another.
pub(super) struct Values {
    reader: Box<dyn BufRead + Send>,
    line: u64,
    /// Whether the first value was reached. Before it, text like `window.YTD.tweets.part0 = [` is skipped.
    started: bool,
}

/// The text of one value, with the number of its first line.
pub(super) struct Text {
    pub(super) line: u64,
    pub(super) bytes: Result<Vec<u8>, String>,
}

impl Values {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self {
            reader,
            line: 1,
            started: false,
        }
    }

    /// The next value; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Text>> {
        let Some(first) = self.first_byte()? else {
            return Ok(None);
        };
        self.started = true;
        let line = self.line;
        let mut value = Vec::new();
        let mut length = 0;
        let mut scan = Balance::default();
        let is_nested = first == b'{';
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|byte| {
                if is_nested {
                    scan.ends_at(*byte)
                } else {
                    matches!(byte, b',' | b']' | b'\n')
                }
            });
            let taken = end.map_or(buffer.len(), |place| place + usize::from(is_nested));
            length += taken;
            if length <= LIMIT {
                value.extend_from_slice(&buffer[..taken]);
            }
            self.line += memchr::memchr_iter(b'\n', &buffer[..taken]).count() as u64;
            self.reader.consume(taken);
            if end.is_some() {
                break;
            }
        }
        let bytes = if length > LIMIT {
            Err(format!("the value is {length} bytes long, the limit is {LIMIT}"))
        } else {
            Ok(value)
        };
        Ok(Some(Text { line, bytes }))
    }

    /// Skips what is between values; leaves the first byte of the next one.
    fn first_byte(&mut self) -> io::Result<Option<u8>> {
        loop {
            let Some(byte) = self.reader.fill_buf()?.first().copied() else {
                return Ok(None);
            };
            let is_between = byte.is_ascii_whitespace() || matches!(byte, b',' | b'[' | b']' | b';');
            let is_before = !self.started && byte != b'{';
            if !(is_between || is_before) {
                return Ok(Some(byte));
            }
            self.line += u64::from(byte == b'\n');
            self.reader.consume(1);
        }
    }
}

/// Finds the end of an object.
#[derive(Default)]
struct Balance {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Balance {
    fn ends_at(&mut self, byte: u8) -> bool {
        if self.in_string {
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }
}

/// The object in `bytes`, or why there is none. Whole numbers that no 64-bit integer holds become text with all their digits. A key
/// that comes twice is refused.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        format!(
            "not UTF-8 at byte {}: give the encoding of the file, for instance --encoding windows-1252",
            error.valid_up_to()
        )
    })?;
    match exact(text, DEPTH) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(error) if error.is_eof() => Err("the JSON ends too early: was the line cut off?".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// Reads a value level by level.
fn exact(text: &str, depth: usize) -> Result<Value, serde_json::Error> {
    let text = text.trim_ascii();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text)?;
            let members = members
                .into_iter()
                .map(|(name, raw)| Ok((name, inner(raw, depth)?)));
            members
                .collect::<Result<Map<String, Value>, serde_json::Error>>()
                .map(Value::Object)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            let items = items.into_iter().map(|raw| inner(raw, depth));
            items
                .collect::<Result<Vec<Value>, serde_json::Error>>()
                .map(Value::Array)
        }
        Some(b'-' | b'0'..=b'9') => number(text),
        _ => serde_json::from_str(text),
    }
}

fn inner(raw: &RawValue, depth: usize) -> Result<Value, serde_json::Error> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| serde_json::Error::custom(format!("nested deeper than {DEPTH}")))?;
    exact(raw.get(), depth)
}

fn number(text: &str) -> Result<Value, serde_json::Error> {
    let number: Number = serde_json::from_str(text)?;
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_whole && number.is_f64() {
        return Ok(Value::String(text.to_owned()));
    }
    Ok(Value::Number(number))
}

/// The members of an object, each name once.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &'de RawValue)> = Vec::new();
                let mut names = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("the key `{name}` comes twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;

    fn texts(text: &'static str) -> Vec<String> {
        let mut values = Values::new(Box::new(Cursor::new(text)));
        std::iter::from_fn(|| values.next().unwrap())
            .map(|text| {
                format!(
                    "{} {}",
                    text.line,
                    String::from_utf8(text.bytes.unwrap()).unwrap().trim()
                )
            })
            .collect()
    }

    #[test]
    fn values_of_an_array_and_of_pretty_objects_are_found() {
        assert_eq!(
            texts("[{\"a\":\"}]\"},\n {\"b\":[1]}]\n"),
            ["1 {\"a\":\"}]\"}", "2 {\"b\":[1]}"]
        );
        assert_eq!(
            texts("{\n \"a\": 1\n}\n{\n \"b\": {}\n}"),
            ["1 {\n \"a\": 1\n}", "4 {\n \"b\": {}\n}"]
        );
        assert_eq!(texts("window.YTD.tweets.part0 = [\n{\"a\":1}]"), ["2 {\"a\":1}"]);
        assert_eq!(
            texts("[{\"a\":1}, 7, {\"b\":2}]"),
            ["1 {\"a\":1}", "1 7", "1 {\"b\":2}"]
        );
        assert_eq!(texts("[]"), Vec::<String>::new());
    }

    #[test]
    fn integers_keep_every_digit() {
        let read = object(br#"{"id": 123456789012345678901234567890, "n": [18446744073709551615, -5, 1.5]}"#)
            .unwrap();
        assert_eq!(
            Value::Object(read),
            json!({"id": "123456789012345678901234567890", "n": [18_446_744_073_709_551_615_u64, -5, 1.5]})
        );
    }

    #[test]
    fn a_key_that_comes_twice_is_refused() {
        let problem = object(br#"{"consent": "denied", "consent": "given"}"#).unwrap_err();
        assert!(problem.contains("`consent` comes twice"), "{problem}");
        let problem = object(br#"{"meta": {"a": 1, "a": 2}}"#).unwrap_err();
        assert!(problem.contains("`a` comes twice"), "{problem}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
        assert!(
            object(deep.as_bytes())
                .unwrap_err()
                .contains("nested deeper than 64")
        );
    }
}
