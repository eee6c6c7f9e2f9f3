//! Server-sent events (WHATWG HTML, section 9.2), as far as a server of posts uses them: the fields `event` and `data`.

/// The most bytes that wait for the end of an event: a longer event is not read.
const LONGEST: usize = 8 << 20;

/// Divides bytes into events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Bytes of a line that is not complete.
    bytes: Vec<u8>,
    /// The first byte that is not read yet.
    at: usize,
    /// No line ends before this byte: what was searched is not searched again when more arrives.
    searched: usize,
    name: String,
    data: Option<String>,
}

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type. Empty if the server names none.
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Events {
    /// Adds bytes that have arrived. Fails if an event is longer than a connector reads.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.bytes.drain(..self.at);
        self.searched = self.searched.saturating_sub(self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
        let length = self.bytes.len() + self.data.as_ref().map_or(0, String::len);
        if length > LONGEST {
            return Err(format!("an event has more than {LONGEST} bytes"));
        }
        Ok(())
    }

    /// The next complete event. Comments, which are signs of life, are skipped.
    pub(crate) fn next(&mut self) -> Option<Event> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                let name = std::mem::take(&mut self.name);
                if let Some(data) = self.data.take() {
                    return Some(Event { name, data });
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.name),
                "data" => match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                },
                _ => {}
            }
        }
        None
    }

    /// The next complete line, without its end: CR, LF, or both. A CR at the end of the bytes waits for what follows.
    fn line(&mut self) -> Option<String> {
        let rest = &self.bytes[self.at..];
        let from = self.searched.saturating_sub(self.at);
        let found = rest[from..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(end) = found.map(|place| from + place) else {
            self.searched = self.bytes.len();
            return None;
        };
        let ends = match (rest[end], rest.get(end + 1)) {
            (b'\r', None) => return None,
            (b'\r', Some(b'\n')) => 2,
            _ => 1,
        };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + ends;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_for_every_division_into_pieces() {
        let text = ":thump\n\nevent: update\ndata: {\"a\": 1}\n\nevent:delete\r\ndata:12\r\n\r\n: x\ndata: one\ndata:two\n\nevent: nothing\n\n\
                    event: last\ndata: é\n\ndata: not complete";
        let event = |name: &str, data: &str| Event {
            name: name.to_owned(),
            data: data.to_owned(),
        };
        let expected = [
            event("update", "{\"a\": 1}"),
            event("delete", "12"),
            event("", "one\ntwo"),
            event("last", "é"),
        ];
        for size in 1..text.len() {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                events.push(piece).unwrap();
                found.extend(std::iter::from_fn(|| events.next()));
            }
            assert_eq!(found, expected, "pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_not_kept_without_a_limit() {
        let mut events = Events::default();
        let piece = vec![b'x'; LONGEST];
        assert_eq!(events.push(&piece), Ok(()));
        assert!(events.push(b"x").is_err());
    }
}
