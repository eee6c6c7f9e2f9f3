//! Divides the bytes of a reply into events.

/// How a reply is divided.
#[derive(Debug)]
pub(crate) enum Frames {
    /// Server-sent events (`text/event-stream`).
    Events(Lines, Vec<String>),
    /// One JSON document a line (`application/x-ndjson`).
    Documents(Lines),
    /// One JSON document.
    Whole(Vec<u8>),
}

/// Bytes of which a line is not complete yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// Whether the last line ended with a carriage return, whose line feed may follow.
    after_return: bool,
}

impl Frames {
    /// The form that the header `Content-Type` names.
    pub(crate) fn of(content_type: &str) -> Self {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        match media.to_ascii_lowercase().as_str() {
            "text/event-stream" => Self::Events(Lines::default(), Vec::new()),
            "application/x-ndjson" => Self::Documents(Lines::default()),
            _ => Self::Whole(Vec::new()),
        }
    }

    /// The events that `chunk` completes.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        match self {
            Self::Events(lines, data) => {
                let mut events = Vec::new();
                for line in lines.push(chunk) {
                    // WHATWG HTML, section 9.2.6 (server-sent events): an empty line ends an event.
                    if line.is_empty() {
                        let event = std::mem::take(data);
                        if !event.is_empty() {
                            events.push(event.join("\n"));
                        }
                    } else if let Some(value) = line.strip_prefix("data:") {
                        data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
                    } else if line == "data" {
                        data.push(String::new());
                    }
                }
                events
            }
            Self::Documents(lines) => {
                let mut documents = lines.push(chunk);
                documents.retain(|line| !line.trim().is_empty());
                documents
            }
            Self::Whole(bytes) => {
                bytes.extend_from_slice(chunk);
                Vec::new()
            }
        }
    }

    /// The event that the end of the reply completes. An unfinished server-sent event is none.
    pub(crate) fn end(self) -> Option<String> {
        match self {
            Self::Events(..) => None,
            Self::Documents(lines) => {
                let line = text(&lines.rest);
                (!line.trim().is_empty()).then_some(line)
            }
            Self::Whole(bytes) => Some(text(&bytes)),
        }
    }
}

impl Lines {
    /// The lines that `chunk` completes. A line ends with a carriage return, a line feed or both.
    fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in chunk {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => lines.push(text(&std::mem::take(&mut self.rest))),
                other => self.rest.push(other),
            }
        }
        lines
    }
}

/// Bytes that are not UTF-8 become marks (U+FFFD), as in a browser.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(content_type: &str, chunks: &[&[u8]]) -> Vec<String> {
        let mut frames = Frames::of(content_type);
        let mut events: Vec<String> = chunks.iter().flat_map(|chunk| frames.push(chunk)).collect();
        events.extend(frames.end());
        events
    }

    #[test]
    fn an_event_is_the_data_of_its_lines_and_comments_and_other_fields_are_ignored() {
        let stream = ": hello\nevent: message\nid: 7\ndata: {\"a\":\ndata:1}\n\n\ndata\r\n\r\nretry: 3\rdata:  x\r\rdata: lost";
        let events = events("text/event-stream; charset=utf-8", &[stream.as_bytes()]);
        assert_eq!(events, ["{\"a\":\n1}", "", " x"]);
    }

    #[test]
    fn a_last_document_needs_no_line_end_and_a_whole_reply_is_one_event() {
        assert_eq!(
            events("application/x-ndjson", &[b"{}\n\r\n[1", b"]"]),
            ["{}", "[1]"]
        );
        assert_eq!(events("application/json", &[b"{", b"}\n"]), ["{}\n"]);
        assert_eq!(events("", &[]), [""]);
    }

    proptest! {
        #[test]
        fn the_borders_of_chunks_change_nothing(
            stream in "(data: ?[a-z\u{e9}\u{1f600}]{0,4}|:x|)((\n|\r|\r\n)(data: ?[a-z\u{e9}]{0,4}|event: y|)){0,12}",
            cuts in prop::collection::vec(0usize..200, 0..8),
            kind in prop::sample::select(vec!["text/event-stream", "application/x-ndjson", "application/json"]),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(events(kind, &chunks), events(kind, &[bytes]));
        }
    }
}
