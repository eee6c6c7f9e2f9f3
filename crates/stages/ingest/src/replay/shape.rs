//! What kind of file it is, by its first bytes and by the ending of its name.

use std::path::Path;

use super::rows::{Format, ReadOptions};

/// How a text is cut into rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    JsonLines,
    Json,
    Columns { separator: u8, quotes: bool },
}

impl Shape {
    /// The shape that the options state, or that the file has. `None` if nothing tells it.
    pub(super) fn of(head: &[u8], name: &Path, options: &ReadOptions) -> Option<Self> {
        let format = match options.format {
            Some(format) => format,
            None => format_of(head, name)?,
        };
        Some(match format {
            // Tables are opened before their shape is asked for.
            Format::Parquet | Format::Avro => return None,
            Format::JsonLines => Self::JsonLines,
            Format::Json => Self::Json,
            Format::Tsv => Self::Columns {
                separator: options.separator.unwrap_or(b'\t'),
                quotes: false,
            },
            Format::Csv => Self::Columns {
                separator: options.separator.unwrap_or_else(|| separator_of(head)),
                quotes: true,
            },
        })
    }
}

fn format_of(head: &[u8], name: &Path) -> Option<Format> {
    let ending = name
        .extension()
        .and_then(|ending| ending.to_str())
        .map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("csv") => return Some(Format::Csv),
        Some("tsv" | "tab") => return Some(Format::Tsv),
        _ => {}
    }
    let is_json_name = matches!(ending.as_deref(), Some("jsonl" | "ndjson" | "json" | "js"));
    let start = head.trim_ascii_start();
    match start.first() {
        Some(b'{') => Some(json_format(start)),
        Some(b'[') => Some(Format::Json),
        _ if start.starts_with(b"window.") => Some(Format::Json),
        _ if is_json_name => Some(Format::JsonLines),
        _ => {
            let line = first_line(start);
            if line.contains(&b'\t') {
                return Some(Format::Tsv);
            }
            let has_columns = line.iter().any(|byte| matches!(byte, b',' | b';' | b'|'));
            has_columns.then_some(Format::Csv)
        }
    }
}

/// Objects over several lines, if the first line is the beginning of one and the second line is not an object.
fn json_format(start: &[u8]) -> Format {
    let line = first_line(start);
    let is_cut = serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof());
    let second = first_line(start.get(line.len()..).unwrap_or_default().trim_ascii_start());
    if is_cut && !second.is_empty() && !second.starts_with(b"{") {
        Format::Json
    } else {
        Format::JsonLines
    }
}

fn first_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    &text[..end.unwrap_or(text.len())]
}

/// The most frequent separator of the first line, outside quotes. A comma if there is none.
fn separator_of(head: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut is_quoted = false;
    for byte in first_line(head.trim_ascii_start()) {
        is_quoted ^= *byte == b'"';
        for (separator, count) in &mut counts {
            *count += usize::from(!is_quoted && byte == separator);
        }
    }
    // Of equal counts, the first counts.
    counts
        .iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map_or(b',', |(separator, _)| *separator)
}
