//! Where a text contains links, or what a platform may take for one.

/// A link in a text, as a range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// The first byte.
    pub(crate) start: usize,
    /// Behind the last byte.
    pub(crate) end: usize,
    /// Whether every platform takes it for a link, and for one that ends here.
    pub(crate) certain: bool,
}

/// The links of a text, in their order. A link is a run of characters without white space that starts with `http://` or
/// `https://`, or contains a name such as `example.com`.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        if let Some(link) = certain_link(word) {
            found.push(Link {
                start,
                end: start + link,
                certain: true,
            });
        } else if may_be_link(word) {
            found.push(Link {
                start,
                end: start + word.len(),
                certain: false,
            });
        }
    }
    found
}

/// The length of the link at the start of `word`, if there is nothing to doubt: a scheme, a host of plain labels under a common
/// top-level domain, and a path of plain characters. Punctuation behind it is not part of it.
fn certain_link(word: &str) -> Option<usize> {
    let rest = word
        .strip_prefix("https://")
        .or_else(|| word.strip_prefix("http://"))?;
    let trimmed = word.trim_end_matches(['.', ',', ';', ':', '!', '?', '…']).len();
    let rest = rest.get(..trimmed.checked_sub(word.len() - rest.len())?)?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut labels = host.split('.');
    let plain = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host_is_plain = labels.clone().count() >= 2 && labels.clone().all(plain);
    let common = labels.next_back().is_some_and(|last| COMMON.contains(&last));
    let path_is_plain = path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_'))
        && path.len() < 1_000;
    (host_is_plain && common && path_is_plain).then_some(trimmed)
}

/// Top-level domains that every list contains.
const COMMON: [&str; 12] = [
    "com", "org", "net", "example", "de", "fr", "uk", "eu", "jp", "br", "es", "it",
];

/// Whether a platform may see a link in `word`.
fn may_be_link(word: &str) -> bool {
    word.contains("://")
        || word
            .char_indices()
            .filter(|&(_, c)| matches!(c, '.' | '。' | '．' | '｡'))
            .any(|(at, dot)| {
                let before = word[..at].chars().next_back();
                let after = word[at + dot.len_utf8()..].chars().next();
                before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_end_before_punctuation() {
        let text = "See https://example.com/a-b, or shop.example. 3.5 of 5";
        let found: Vec<_> = links(text)
            .iter()
            .map(|link| (&text[link.start..link.end], link.certain))
            .collect();
        assert_eq!(
            found,
            [
                ("https://example.com/a-b", true),
                ("shop.example.", false),
                ("3.5", false)
            ]
        );
    }
}
