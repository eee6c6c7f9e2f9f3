//! Splits a text into words, accounts and hashtags with their positions.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    Word,
    Mention,
    Hashtag,
}

/// A part of the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(super) kind: PieceKind,
    /// Bytes of the text.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether the piece begins a sentence, the text or a quotation.
    pub(super) begins: bool,
    /// Whether only one space or hyphen separates it from the previous piece.
    pub(super) adjoins: bool,
}

/// A buffer for the pieces of a text, reused between texts.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: Vec<Piece>,
}

/// Bytes of the longest handle: the limit of a domain name.
const LONGEST_HANDLE: usize = 253;

/// Ends of the domains that are used as handles. Others (`@ada.really`) are read as a missing space.
const DOMAINS: [&str; 16] = [
    "social", "com", "org", "net", "dev", "app", "io", "me", "uk", "de", "fr", "jp", "br", "eu", "blog",
    "news",
];

impl Pieces {
    pub(super) fn all(&self) -> &[Piece] {
        &self.pieces
    }

    /// Splits `text` and drops the previous content.
    pub(super) fn read(&mut self, text: &str) {
        self.pieces.clear();
        let mut at = 0;
        let (mut begins, mut gap_begins) = (true, 0);
        let mut before = None;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            let after_word = before.is_some_and(|b: char| b.is_alphanumeric() || b == '_');
            let length = match c {
                '@' | '＠' if !after_word => self.tag(
                    text,
                    at,
                    handle(&rest[c.len_utf8()..]),
                    PieceKind::Mention,
                    begins,
                ),
                '#' | '＃' if !after_word && before != Some('&') => self.tag(
                    text,
                    at,
                    hashtag(&rest[c.len_utf8()..]),
                    PieceKind::Hashtag,
                    begins,
                ),
                _ if !after_word && is_link(rest) => rest.find(char::is_whitespace).unwrap_or(rest.len()),
                c if c.is_alphanumeric() => {
                    let length = word(rest);
                    let gap = &text[gap_begins..at];
                    self.pieces.push(Piece {
                        kind: PieceKind::Word,
                        start: at,
                        end: at + length,
                        begins,
                        adjoins: matches!(gap, " " | "-"),
                    });
                    length
                }
                _ => 0,
            };
            if length > 0 {
                // A mention at the beginning of a text is its address, not its first word.
                begins &= self
                    .pieces
                    .last()
                    .is_none_or(|last| last.kind != PieceKind::Word || last.end != at + length);
                before = text[at..at + length].chars().next_back();
                at += length;
                gap_begins = at;
                continue;
            }
            begins |= matches!(
                c,
                '.' | '!' | '?' | ':' | ';' | '\n' | '“' | '"' | '(' | '|' | '…' | '*' | '•' | '—' | '–'
            ) || is_emoji(c);
            before = Some(c);
            at += c.len_utf8();
        }
    }

    fn tag(&mut self, text: &str, at: usize, length: usize, kind: PieceKind, begins: bool) -> usize {
        if length == 0 {
            return 0;
        }
        let sign = text[at..].chars().next().map_or(1, char::len_utf8);
        self.pieces.push(Piece {
            kind,
            start: at,
            end: at + sign + length,
            begins,
            adjoins: false,
        });
        sign + length
    }
}

fn is_emoji(c: char) -> bool {
    matches!(u32::from(c), 0x2600..=0x27bf | 0x1f300..=0x1faff)
}

fn is_link(rest: &str) -> bool {
    let begins = |prefix: &str| {
        rest.len() > prefix.len() && rest.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
    };
    begins("http://") || begins("https://") || begins("www.")
}

/// Bytes of the handle at the beginning of `rest`.
fn handle(rest: &str) -> usize {
    let name = |rest: &str| {
        rest.bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
            .count()
    };
    let domain = |rest: &str| {
        let length = rest
            .bytes()
            .take(LONGEST_HANDLE)
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            .count();
        rest[..length].trim_end_matches(['.', '-']).len()
    };
    let plain = name(rest);
    if plain == 0 || plain > LONGEST_HANDLE {
        return 0;
    }
    let behind = &rest[plain..];
    if let Some(host) = behind.strip_prefix('@') {
        let length = domain(host);
        return if host[..length].contains('.') {
            plain + 1 + length
        } else {
            plain
        };
    }
    let whole = domain(rest);
    let is_domain = whole > plain
        && rest[..whole]
            .rsplit_once('.')
            .is_some_and(|(_, last)| DOMAINS.iter().any(|known| known.eq_ignore_ascii_case(last)));
    if is_domain { whole } else { plain }
}

/// Bytes of the hashtag at the beginning of `rest`; digits alone are not a hashtag.
fn hashtag(rest: &str) -> usize {
    let length = rest
        .char_indices()
        .find(|&(_, c)| {
            !(c.is_alphanumeric() || c == '_' || unicode_normalization::char::is_combining_mark(c))
        })
        .map_or(rest.len(), |(at, _)| at);
    if rest[..length].chars().any(char::is_alphabetic) {
        length
    } else {
        0
    }
}

/// Bytes of the word at the beginning of `rest`: letters and digits, and signs between two of them.
fn word(rest: &str) -> usize {
    let mut end = 0;
    let mut characters = rest.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let is_inside = c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c);
        let joins = matches!(c, '\'' | '’' | '&')
            && characters.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        if !(is_inside || joins) {
            break;
        }
        end = at + c.len_utf8();
    }
    end
}
