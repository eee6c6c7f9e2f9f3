//! Messages about settings, in the words of the settings file.
//!
//! The messages of the parsers name types of the program and quote the value and its line. A value or a line can contain a
//! secret, so neither is printed.

use std::fmt::Write as _;

use super::nearest;

/// What is wrong with a setting, and its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The whole path of the key. Empty for the file as a whole.
    pub(super) key: String,
    /// What is wrong.
    pub(super) text: String,
}

/// Where a file is not TOML, and why.
pub(super) fn syntax(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().lines().next().unwrap_or_default();
    let why =
        if message.starts_with("invalid type: integer") || message.starts_with("integer number overflow") {
            // The message quotes the number, and a secret can consist of digits.
            "a whole number that is too large: if it is a text, such as a secret, write it in quotes"
        } else {
            message
        };
    let Some(span) = error.span() else {
        return why.to_owned();
    };
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {why}")
}

/// The problem that a parser describes with `message` for `key`. `further` are the names of sections, which messages about the
/// file as a whole do not list.
pub(super) fn explain(key: &str, message: &str, further: &[&str]) -> Problem {
    let message = message.lines().next().unwrap_or_default();
    let of = |name: &str| {
        let is_named = key == name || key.strip_suffix(name).is_some_and(|parent| parent.ends_with('.'));
        match key {
            "" => name.to_owned(),
            key if is_named => key.to_owned(),
            key => format!("{key}.{name}"),
        }
    };
    let at = |text: String| Problem {
        key: key.to_owned(),
        text,
    };
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut names = quoted(rest);
        let given = names.next().unwrap_or_default();
        let mut known: Vec<&str> = names.collect();
        // Only the file as a whole has this setting.
        if known.contains(&"data_dir") {
            known.extend(further);
        }
        let mut text = "is not a setting".to_owned();
        match nearest(given, known.iter().copied()) {
            Some(near) => {
                let _ = write!(text, "; did you mean `{near}`?");
            }
            None if known.is_empty() => {}
            None => {
                let _ = write!(text, "; the settings here are: {}", known.join(", "));
            }
        }
        return Problem { key: of(given), text };
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        let name = quoted(rest).next().unwrap_or_default();
        return Problem {
            key: of(name),
            text: "is missing, and has no default".to_owned(),
        };
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let mut names = quoted(rest);
        let given = names.next().unwrap_or_default();
        let known: Vec<&str> = names.collect();
        let hint = nearest(given, known.iter().copied());
        let hint = hint.map_or_else(|| ":".to_owned(), |near| format!("; did you mean `{near}`?"));
        return at(format!(
            "`{given}` is not a value that it can have{hint} choose one of {}",
            known.join(", ")
        ));
    }
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) = message
            .strip_prefix(kind)
            .and_then(|rest| rest.rsplit_once(", expected "))
        {
            let wanted = wanted(expected);
            return at(format!("{}; expected {wanted}", given(found, &wanted)));
        }
    }
    if message.starts_with("data did not match any variant") {
        return at("does not have a form that it can have: see docs/settings.md".to_owned());
    }
    at(message.to_owned())
}

/// The names between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What was found, without its value. Only a number where a number is wanted is quoted: elsewhere it can be a secret of digits.
fn given(found: &str, wanted: &str) -> String {
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    match kind {
        "string" => "is text".to_owned(),
        "integer" if wanted.starts_with("a whole number") || wanted == "a number" => {
            format!("is the whole number {}", value.trim_matches('`'))
        }
        "integer" => "is a whole number".to_owned(),
        "floating" => "is a number with a fraction".to_owned(),
        "boolean" => "is true or false".to_owned(),
        "map" => "is a table".to_owned(),
        "sequence" => "is a list".to_owned(),
        _ => "has another type".to_owned(),
    }
}

/// What the setting takes.
fn wanted(expected: &str) -> String {
    let kind = expected.split_whitespace().next().unwrap_or_default();
    let known = match kind {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "struct" | "map" => "a table",
        "tuple" | "sequence" => "a list",
        "path" => "a path in quotes",
        "identifier" | "enum" | "string" => "text in quotes",
        _ => match expected {
            "a string" | "a borrowed string" | "path string" => "text in quotes",
            "a sequence" => "a list",
            "a map" => "a table",
            "a boolean" => "true or false",
            other => other,
        },
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_speak_of_settings_and_quote_no_value() {
        for (message, key, text) in [
            (
                "invalid type: string \"hunter2\", expected usize",
                "api.x",
                "is text; expected a whole number of at least 0",
            ),
            (
                "invalid type: string \"a, expected b\", expected a boolean",
                "api.x",
                "is text; expected true or false",
            ),
            (
                "invalid value: integer `-3`, expected u32",
                "api.x",
                "is the whole number -3; expected a whole number of at least 0",
            ),
            (
                "invalid type: map, expected a string",
                "api.x",
                "is a table; expected text in quotes",
            ),
            (
                "invalid type: integer `5`, expected struct Platform",
                "api.x",
                "is a whole number; expected a table",
            ),
            (
                "invalid type: integer `8231823182318231`, expected a string",
                "api.x",
                "is a whole number; expected text in quotes",
            ),
            (
                "missing field `brief`",
                "api.x.brief",
                "is missing, and has no default",
            ),
            (
                "unknown field `boddy`, expected `head` or `body`",
                "api.x.boddy",
                "is not a setting; did you mean `body`?",
            ),
            (
                "unknown variant `aout`, expected one of `auto`, `model`",
                "api.x",
                "`aout` is not a value that it can have; did you mean `auto`? choose one of auto, model",
            ),
            ("`30`: has no unit\nnext line", "api.x", "`30`: has no unit"),
        ] {
            let problem = explain("api.x", message, &[]);
            assert_eq!(
                (problem.key.as_str(), problem.text.as_str()),
                (key, text),
                "{message}"
            );
        }
    }

    #[test]
    fn a_line_that_is_not_toml_is_named_by_its_place_and_not_quoted() {
        for text in [
            "a = 1\n  secret = hunter2\n",
            "a = 1\nsecret = \"hunter2\n",
            "a = 1\n[hunter2\n",
            "a = 1\nhunter2\n",
            "hunter2 = 1\nhunter2 = 1",
        ] {
            let error = toml::from_str::<toml::Table>(text).unwrap_err();
            let said = syntax(text, &error);
            assert!(said.starts_with("line "), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        for digits in [20, 32, 38, 44] {
            let secret = "8".repeat(digits);
            let text = format!("a = 1\nsecret = {secret}\n");
            let said = syntax(&text, &toml::from_str::<toml::Table>(&text).unwrap_err());
            assert!(said.starts_with("line 2, ") && !said.contains("88"), "{said}");
            for word in ["i128", "integer"] {
                assert!(!said.contains(word), "{said}");
            }
        }
    }
}
