//! The text of a post of LinkedIn as people read it.

/// `commentary` is written in LinkedIn's "little text": `@[Name](urn)` mentions, `{hashtag|\#|tag}`, and a backslash before
/// characters that would otherwise mean something.
pub(super) fn plain(commentary: &str) -> String {
    let mut text = String::with_capacity(commentary.len());
    let mut rest = commentary;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '\\' {
            let escaped = after.chars().next();
            text.extend(escaped);
            rest = &after[escaped.map_or(0, char::len_utf8)..];
        } else if let Some((shown, following)) = hashtag(rest).or_else(|| mention(rest)) {
            text.push(if c == '{' { '#' } else { '@' });
            text.push_str(&plain(shown));
            rest = following;
        } else {
            text.push(c);
            rest = after;
        }
    }
    text
}

/// The tag of `{hashtag|\#|tag}`, and what follows.
fn hashtag(text: &str) -> Option<(&str, &str)> {
    let (inside, following) = text.strip_prefix("{hashtag|")?.split_once('}')?;
    let (_, tag) = inside.split_once('|')?;
    Some((tag, following))
}

/// The name of `@[Name](urn:li:…)`, and what follows.
fn mention(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.strip_prefix("@[")?.split_once("](urn:li:")?;
    let (_, following) = rest.split_once(')')?;
    (!name.contains('\n')).then_some((name, following))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_tags_and_escaped_characters_are_read_as_people_read_them() {
        assert_eq!(
            plain(r"What a goal \(2\-1\), @[Ann \(FC\)](urn:li:person:a1)! {hashtag|\#|cup} é\\"),
            r"What a goal (2-1), @Ann (FC)! #cup é\"
        );
        for text in ["@[no end", "{hashtag|\\#|no end", "a { b } @ c", "\\", ""] {
            let expected = text.replace('\\', "");
            assert_eq!(
                plain(text),
                if text == "{hashtag|\\#|no end" {
                    "{hashtag|#|no end".to_owned()
                } else {
                    expected
                }
            );
        }
    }
}
