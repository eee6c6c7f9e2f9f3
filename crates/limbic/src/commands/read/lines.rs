//! Parses lines of standard input: plain texts, or JSON objects with a `text`.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde_json::{Value, json};

/// Maximum number of lines in a batch.
const MOST: usize = 512;
/// Maximum bytes of a line. No post is longer, and a stream without line ends must not fill the memory.
const LONGEST: usize = 1 << 20;

/// A valid line.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) text: String,
    /// The post's id, if the object has `platform` and `id`.
    pub(super) post: Option<Value>,
}

/// A line, or why it is not valid.
pub(super) type Parsed = Result<Line, String>;

/// Batches of lines as they arrive. A single line is answered at once; many lines are read together.
pub(super) fn batches() -> std::io::Result<impl Iterator<Item = std::io::Result<Vec<Parsed>>>> {
    let (sender, receiver) = sync_channel(2 * MOST);
    std::thread::Builder::new()
        .name("limbic-lines".to_owned())
        .spawn(move || send(&mut std::io::stdin().lock(), &sender))?;
    Ok(std::iter::from_fn(move || batch(&receiver)))
}

fn send(input: &mut impl BufRead, sender: &SyncSender<std::io::Result<Parsed>>) {
    loop {
        let line = match next(input) {
            Ok(Some(line)) => Ok(line),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let failed = line.is_err();
        if sender.send(line).is_err() || failed {
            return;
        }
    }
}

/// The lines that have arrived, at least one. `None` at the end.
fn batch(lines: &Receiver<std::io::Result<Parsed>>) -> Option<std::io::Result<Vec<Parsed>>> {
    let first = lines.recv().ok()?;
    let rest = std::iter::from_fn(|| lines.try_recv().ok());
    Some(std::iter::once(first).chain(rest.take(MOST - 1)).collect())
}

/// The next line. `None` at the end. Only the beginning of a line that is too long is kept.
fn next(input: &mut impl BufRead) -> std::io::Result<Option<Parsed>> {
    let mut line = Vec::new();
    let mut length = 0;
    loop {
        let bytes = match input.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if bytes.is_empty() {
            if length == 0 {
                return Ok(None);
            }
            break;
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        let part = end.unwrap_or(bytes.len());
        let kept = part.min((LONGEST + 1).saturating_sub(line.len()));
        line.extend_from_slice(&bytes[..kept]);
        length += part + usize::from(end.is_some());
        input.consume(part + usize::from(end.is_some()));
        if end.is_some() {
            break;
        }
    }
    Ok(Some(parse(&line)))
}

fn parse(line: &[u8]) -> Parsed {
    if line.len() > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|error| {
        format!(
            "not UTF-8 after byte {}: send texts in UTF-8",
            error.valid_up_to()
        )
    })?;
    if !is_meant_as_an_object(text) {
        return Ok(Line {
            text: text.to_owned(),
            post: None,
        });
    }
    let object: Value = serde_json::from_str(text)
        .map_err(|error| format!("not valid JSON ({error}): send {{\"text\": …}}, or plain text"))?;
    let field = |name: &str| object.get(name).and_then(Value::as_str);
    let inner = field("text").ok_or("the object has no string `text`: send {\"text\": …}, or plain text")?;
    let post = field("platform")
        .zip(field("id"))
        .map(|(platform, id)| json!({"platform": platform, "id": id}));
    Ok(Line {
        text: inner.to_owned(),
        post,
    })
}

/// Whether a line starts like an object: a brace, then a key or the end. Plain texts may also start with a brace.
fn is_meant_as_an_object(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with(['"', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Parsed> {
        let (sender, receiver) = sync_channel(1_000);
        send(&mut std::io::BufReader::with_capacity(7, input), &sender);
        drop(sender);
        std::iter::from_fn(|| batch(&receiver))
            .flat_map(Result::unwrap)
            .collect()
    }

    fn text(text: &str) -> Line {
        Line {
            text: text.to_owned(),
            post: None,
        }
    }

    #[test]
    fn plain_texts_and_json_objects_are_parsed() {
        let input = "good\r\n\n{\"text\": \"bad \\ud83d\\ude02\"}\n{not an object}\n  spaces  \nthe end";
        let expected =
            ["good", "", "bad 😂", "{not an object}", "  spaces  ", "the end"].map(|line| Ok(text(line)));
        assert_eq!(all(input.as_bytes()), expected);
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\n"), [Ok(text(""))]);
    }

    #[test]
    fn an_object_may_name_its_post() {
        let line = all(br#"{"platform": "bluesky", "id": "7", "text": "good", "author": "ada"}"#)
            .remove(0)
            .unwrap();
        assert_eq!(line.post, Some(json!({"platform": "bluesky", "id": "7"})));
    }

    #[test]
    fn an_invalid_line_is_reported_and_the_next_line_is_read() {
        let mut input = Vec::new();
        for line in [
            &b"{\"text\": \"half"[..],
            b"{\"text\": \"\\ud83d\"}",
            b"{\"text\": 7}",
            b"{}",
            b"{\"other\": \"x\"}",
            b"\xff\xfe",
            b"fine",
        ] {
            input.extend_from_slice(line);
            input.push(b'\n');
        }
        let lines = all(&input);
        let says = |at: usize, what: &str| {
            let problem = lines[at].as_ref().unwrap_err();
            assert!(problem.contains(what), "{problem}");
        };
        says(0, "not valid JSON");
        says(1, "not valid JSON");
        says(2, "no string `text`");
        says(3, "no string `text`");
        says(4, "no string `text`");
        says(5, "not UTF-8 after byte 0");
        assert_eq!(lines[6], Ok(text("fine")));
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_and_not_kept_in_memory() {
        let mut input = vec![b'a'; 3 * LONGEST];
        input.extend_from_slice(b"\nfine\n");
        let lines = all(&input);
        assert!(lines[0].as_ref().unwrap_err().contains("longer than"));
        assert_eq!(lines[1], Ok(text("fine")));
        let just_fits = vec![b'a'; LONGEST];
        assert!(all(&just_fits)[0].is_ok());
    }
}
