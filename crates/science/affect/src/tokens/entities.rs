//! Character references, which are frequent in exported posts.

use std::borrow::Cow;

/// Resolves the references that occur in posts (`&amp;` `&lt;` `&gt;` `&quot;` `&apos;` `&nbsp;` and numeric ones),
/// once: `&amp;lt;` becomes `&lt;`.
pub(crate) fn resolve(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, reference) = rest.split_at(at);
        plain.push_str(before);
        if let Some((c, length)) = character(reference) {
            plain.push(c);
            rest = &reference[length..];
        } else {
            plain.push('&');
            rest = &reference[1..];
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The character of the reference at the beginning of `text`, and the length of the reference in bytes.
fn character(text: &str) -> Option<(char, usize)> {
    const LONGEST: usize = "&#x10ffff;".len();
    let end = text.bytes().take(LONGEST).position(|b| b == b';')?;
    let name = &text[1..end];
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((c, end + 1))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn character_references_are_resolved_once_and_other_text_is_unchanged() {
        assert_eq!(
            resolve("salt &amp; pepper &lt;3 &#39;&#x1F602;"),
            "salt & pepper <3 '😂"
        );
        assert_eq!(
            resolve("&amp;lt; R&D & &; &#xzz; &nosuch; &"),
            "&lt; R&D & &; &#xzz; &nosuch; &"
        );
        assert_eq!(resolve("é&é;&#"), "é&é;&#");
    }
}
