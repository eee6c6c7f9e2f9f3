//! From HTML to the text that people read.
//!
//! The tokens are those of the HTML standard, so that a browser and this module agree about what is text: references to characters are
//! resolved, and the content of scripts, styles and templates is not text.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// The text of a piece of HTML.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Paragraphs are divided by an empty line. White space is as a browser shows it.
    pub(crate) text: String,
    /// Where its links lead, without links to people and tags.
    pub(crate) links: Vec<String>,
}

/// The most links that are kept.
const MOST_LINKS: usize = 50;

/// The text of `html`. What is not valid is read as a browser reads it.
pub(crate) fn plain(html: &str) -> Plain {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
    // It stops only at scripts, which the sink does not report.
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let mut found = tokenizer.sink.0.into_inner();
    found.plain.links.dedup();
    found.plain
}

#[derive(Default)]
struct Sink(RefCell<State>);

#[derive(Default)]
struct State {
    plain: Plain,
    /// White space since the last character.
    is_spaced: bool,
    /// Ends of lines since the last character.
    lines: usize,
    /// The name of an element whose content is not text, and how many of this name are open.
    hidden: Option<(String, usize)>,
    /// How many elements are open in which white space is text.
    preformatted: usize,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut state = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => state.text(&text),
            Token::TagToken(tag) => return state.tag(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl State {
    fn text(&mut self, text: &str) {
        if self.hidden.is_some() {
            return;
        }
        for c in text.chars() {
            match c {
                '\n' if self.preformatted > 0 => self.lines += 1,
                ' ' | '\t' | '\n' | '\r' | '\u{c}' => self.is_spaced = true,
                c => self.character(c),
            }
        }
    }

    fn character(&mut self, c: char) {
        let (lines, is_spaced) = (
            std::mem::take(&mut self.lines),
            std::mem::take(&mut self.is_spaced),
        );
        let text = &mut self.plain.text;
        if !text.is_empty() {
            if lines > 0 {
                text.push_str(if lines > 1 { "\n\n" } else { "\n" });
            } else if is_spaced {
                text.push(' ');
            }
        }
        text.push(c);
    }

    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name = &*tag.name;
        let is_start = tag.kind == TagKind::StartTag;
        if let Some((hidden, open)) = &mut self.hidden {
            match (hidden == name, is_start) {
                (true, true) => *open += 1,
                (true, false) => *open -= 1,
                (false, _) => {}
            }
            if *open == 0 {
                self.hidden = None;
            }
        } else if is_start && is_hidden(tag) {
            self.hidden = Some((name.to_owned(), 1));
        }
        match name {
            "script" if is_start => return TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "iframe" | "noscript" | "noembed" | "noframes" | "xmp" if is_start => {
                return TokenSinkResult::RawData(RawKind::Rawtext);
            }
            "textarea" | "title" if is_start => return TokenSinkResult::RawData(RawKind::Rcdata),
            "br" => self.lines += 1,
            "p" | "blockquote" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" | "figure" | "hr" => {
                self.lines = self.lines.max(2);
            }
            "div" | "li" | "ul" | "ol" | "dl" | "dt" | "dd" | "tr" | "section" | "article" | "header"
            | "footer" | "figcaption" | "pre" => {
                self.lines = self.lines.max(1);
                if name == "pre" {
                    let open = self.preformatted;
                    self.preformatted = if is_start {
                        open + 1
                    } else {
                        open.saturating_sub(1)
                    };
                }
            }
            "td" | "th" => self.is_spaced = true,
            "a" if is_start && self.hidden.is_none() => self.link(tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn link(&mut self, tag: &Tag) {
        let classes = attribute(tag, "class").unwrap_or_default();
        let is_person_or_tag = classes
            .split_ascii_whitespace()
            .any(|class| matches!(class, "mention" | "hashtag"));
        let Some(link) = attribute(tag, "href") else {
            return;
        };
        let is_web = link.starts_with("https://") || link.starts_with("http://");
        if is_web && !is_person_or_tag && link.len() <= 2_048 && self.plain.links.len() < MOST_LINKS {
            self.plain.links.push(link.to_owned());
        }
    }
}

fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    let found = tag.attrs.iter().find(|attribute| &*attribute.name.local == name);
    found.map(|attribute| &*attribute.value)
}

/// Whether the content of an element is not text for people. `quote-inline` repeats the address of a quoted post, for software that
/// does not know quotes.
fn is_hidden(tag: &Tag) -> bool {
    let is_by_name = matches!(
        &*tag.name,
        "script"
            | "style"
            | "template"
            | "iframe"
            | "noscript"
            | "noembed"
            | "noframes"
            | "xmp"
            | "textarea"
            | "title"
            | "svg"
            | "math"
            | "object"
            | "select"
    );
    let classes = attribute(tag, "class").unwrap_or_default();
    let is_quote = classes
        .split_ascii_whitespace()
        .any(|class| class == "quote-inline");
    // Only foreign elements can close themselves.
    let is_closed = tag.self_closing && matches!(&*tag.name, "svg" | "math");
    (is_by_name && !is_closed) || is_quote
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        plain(html).text
    }

    #[test]
    fn paragraphs_and_lines_stay_and_references_are_resolved() {
        assert_eq!(
            text("<p>Goal!<br>Tom &amp; J&eacute;r&ocirc;me &#x1F600;</p><p>2 &lt; 3</p>"),
            "Goal!\nTom & Jérôme 😀\n\n2 < 3"
        );
        assert_eq!(text("no  html\n at all"), "no html at all");
        assert_eq!(text("<ul><li>one<li>two</ul>three"), "one\ntwo\nthree");
        assert_eq!(text("<pre>a\n  b</pre>c"), "a\nb\nc");
        assert_eq!(text("<div>  </div>\n"), "");
    }

    #[test]
    fn a_link_is_shown_whole_and_people_and_tags_are_no_links() {
        let html = "<p><span class=\"h-card\"><a href=\"https://example.com/@ann\" class=\"u-url mention\">@<span>ann</span></a></span> see \
            <a href=\"https://example.com/a/long/page\"><span class=\"invisible\">https://</span><span class=\"ellipsis\">example.com/a\
            </span><span class=\"invisible\">/long/page</span></a> <a href=\"https://example.com/tags/cup\" class=\"mention hashtag\">#<span>cup\
            </span></a></p>";
        let plain = plain(html);
        assert_eq!(plain.text, "@ann see https://example.com/a/long/page #cup");
        assert_eq!(plain.links, ["https://example.com/a/long/page"]);
    }

    #[test]
    fn what_no_person_reads_is_no_text() {
        assert_eq!(text("a<script>if (1 < 2) alert('<p>x</p>')</script>b"), "ab");
        assert_eq!(text("a<style>p > b {}</style><!-- c -->b<title>t</title>"), "ab");
        assert_eq!(
            text(
                "<p class=\"quote-inline\">RE: <a href=\"https://x.example/1\">https://x.example/1</a></p><p>so true</p>"
            ),
            "so true"
        );
        assert_eq!(
            text("<template><p>x</p><template>y</template>z</template>shown"),
            "shown"
        );
        assert_eq!(plain("<a href=\"javascript:x()\">y</a>").links, [""; 0]);
    }

    #[test]
    fn what_is_not_valid_is_read_nevertheless() {
        assert_eq!(text("<p>a<b>c</p></i></div>d <"), "ac\n\nd <");
        assert_eq!(text("a <3 b &unknown; &amp"), "a <3 b &unknown; &");
        assert_eq!(text("<a href='x"), "");
    }
}
