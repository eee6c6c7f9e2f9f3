//! Divides a body into its items without reading them.
//!
//! Each item is then read on its own, so that one that is not valid does not refuse the others, and memory is needed for one item at a
//! time.

use std::ops::Range;

/// The bytes of each item of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Items {
    /// One object.
    One(Range<usize>),
    /// The elements of an array, or the lines of JSON Lines.
    Many(Vec<Range<usize>>),
}

/// Why a body cannot be divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Indivisible {
    /// There is no item.
    Empty,
    /// The text is neither an object nor an array.
    NeitherObjectNorArray,
    /// An array is not well-formed at this byte.
    Malformed(usize),
    /// There are more items than allowed.
    TooMany,
}

/// The lines of JSON Lines that are not blank, at most `most`.
pub(crate) fn lines(body: &[u8], most: usize) -> Result<Items, Indivisible> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let range = start..start + line.len();
        start = range.end + 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if found.len() == most {
            return Err(Indivisible::TooMany);
        }
        found.push(range);
    }
    if found.is_empty() {
        return Err(Indivisible::Empty);
    }
    Ok(Items::Many(found))
}

/// The object, or the elements of the array, at most `most`. An object is not checked any further. In an array, only strings, brackets
/// and commas are looked at.
pub(crate) fn json(body: &[u8], most: usize) -> Result<Items, Indivisible> {
    let start = skip_space(body, 0);
    match body.get(start) {
        None => Err(Indivisible::Empty),
        Some(b'{') => Ok(Items::One(start..body.len())),
        Some(b'[') => elements(body, start + 1, most).map(Items::Many),
        Some(_) => Err(Indivisible::NeitherObjectNorArray),
    }
}

/// The elements of an array whose first byte after the bracket is at `at`.
fn elements(body: &[u8], at: usize, most: usize) -> Result<Vec<Range<usize>>, Indivisible> {
    let mut found = Vec::new();
    let mut at = skip_space(body, at);
    if body.get(at) == Some(&b']') {
        return ended(body, at + 1, found);
    }
    loop {
        let end = end_of_element(body, at)?;
        if body[at..end].iter().all(u8::is_ascii_whitespace) {
            return Err(Indivisible::Malformed(end));
        }
        if found.len() == most {
            return Err(Indivisible::TooMany);
        }
        found.push(at..end);
        at = end + 1;
        if body[end] == b']' {
            return ended(body, at, found);
        }
    }
}

/// The elements, if nothing but space follows the array's last bracket.
fn ended(body: &[u8], at: usize, found: Vec<Range<usize>>) -> Result<Vec<Range<usize>>, Indivisible> {
    match skip_space(body, at) {
        end if end == body.len() => Ok(found),
        end => Err(Indivisible::Malformed(end)),
    }
}

/// The place of the comma or bracket after an element.
fn end_of_element(body: &[u8], start: usize) -> Result<usize, Indivisible> {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => at = end_of_string(body, at)?,
            b'[' | b'{' => depth += 1,
            b',' | b']' if depth == 0 => return Ok(at),
            b'}' if depth == 0 => return Err(Indivisible::Malformed(at)),
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    Err(Indivisible::Malformed(body.len()))
}

/// The place of the quote that ends the string that begins at `start`.
fn end_of_string(body: &[u8], start: usize) -> Result<usize, Indivisible> {
    let mut at = start + 1;
    while let Some(byte) = body.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => return Ok(at),
            _ => {}
        }
        at += 1;
    }
    Err(Indivisible::Malformed(body.len()))
}

fn skip_space(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    at + space
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Result<Vec<&str>, Indivisible> {
        match json(body.as_bytes(), 100)? {
            Items::One(range) => Ok(vec![&body[range]]),
            Items::Many(ranges) => Ok(ranges.into_iter().map(|range| body[range].trim()).collect()),
        }
    }

    #[test]
    fn an_array_is_divided_whatever_its_elements_are() {
        assert_eq!(
            texts(r#" [ {"a": "],}\"\\"} , [1, [2]] ,1e400, "\ud83d" , {"a":{}}] "#).unwrap(),
            [
                r#"{"a": "],}\"\\"}"#,
                "[1, [2]]",
                "1e400",
                r#""\ud83d""#,
                r#"{"a":{}}"#
            ]
        );
        assert_eq!(texts("{\"a\": 1}").unwrap(), ["{\"a\": 1}"]);
    }

    #[test]
    fn an_array_that_is_not_complete_is_refused_as_a_whole() {
        for body in [
            "[", "[1", "[1,", "[1,]", "[,1]", "[1,,2]", "[1] 2", "[\"a]", "[{]", "[1}", "[] 1",
        ] {
            let refused = texts(body);
            assert!(
                matches!(refused, Err(Indivisible::Malformed(_))),
                "{body}: {refused:?}"
            );
        }
        assert_eq!(texts(" [ ] ").unwrap(), [""; 0]);
        assert_eq!(texts("  "), Err(Indivisible::Empty));
        assert_eq!(texts("3"), Err(Indivisible::NeitherObjectNorArray));
    }

    #[test]
    fn counting_stops_at_the_limit() {
        let body = "[1,2,3,4,";
        assert_eq!(json(body.as_bytes(), 3), Err(Indivisible::TooMany));
        assert_eq!(lines(b"1\n\n2\n3\n", 2), Err(Indivisible::TooMany));
        assert_eq!(lines(b"1\n \n2", 2), Ok(Items::Many(vec![0..1, 4..5])));
        assert_eq!(lines(b"\n", 2), Err(Indivisible::Empty));
    }

    #[test]
    fn arrays_that_serde_json_reads_are_divided_in_the_same_way() {
        // Every array of up to six of these pieces.
        let pieces = ["[", "]", "{\"a\":", "}", ",", "1", "\"\\\"\"", " "];
        let mut bodies = vec![String::from("[")];
        let mut read = 0;
        for _ in 0..6 {
            bodies = bodies
                .iter()
                .flat_map(|body| pieces.iter().map(move |piece| format!("{body}{piece}")))
                .collect();
            for body in &bodies {
                let Ok(expected) = serde_json::from_str::<Vec<serde_json::Value>>(body) else {
                    continue;
                };
                read += 1;
                let found = texts(body);
                let found: Vec<serde_json::Value> = found
                    .unwrap()
                    .into_iter()
                    .map(|text| serde_json::from_str(text).unwrap())
                    .collect();
                assert_eq!(found, expected, "{body}");
            }
        }
        assert!(read > 100, "{read}");
    }
}
