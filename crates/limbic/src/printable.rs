//! Text of strangers without effect on the terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character that a terminal obeys written as `\u001b`, as JSON does: control characters other than the end
/// of a line and the tabulator, and characters that change the direction of text.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_obeyed(character) {
            let _ = write!(written, "\\u{:04x}", u32::from(character));
        } else {
            written.push(character);
        }
    }
    Cow::Owned(written)
}

/// The same in one line of at most `most` characters.
pub fn line(text: &str, most: usize) -> String {
    let mut characters = text
        .chars()
        .map(|character| if character.is_whitespace() { ' ' } else { character });
    let mut short: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        short.pop();
        short.push('…');
    }
    printable(&short).into_owned()
}

fn is_obeyed(character: char) -> bool {
    let is_direction = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_direction || (character.is_control() && !matches!(character, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left_and_json_stays_json() {
        let text = "a\u{1b}]52;c;aGk=\u{7}b\u{9b}31mc\u{202e}d\r\ne\tf 👩🏽\u{200d}⚕️";
        let written = printable(text);
        assert_eq!(
            written,
            "a\\u001b]52;c;aGk=\\u0007b\\u009b31mc\\u202ed\\u000d\ne\tf 👩🏽\u{200d}⚕️"
        );
        let json = serde_json::to_string(&text).unwrap();
        let read: String = serde_json::from_str(&printable(&json)).unwrap();
        assert_eq!(read, text);
        assert_eq!(line("one\ntwo three", 8), "one two…");
        assert_eq!(line("short", 8), "short");
    }
}
