//! The weighted length of X.

use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::links::{Link, links};

/// Every link counts this much, whatever its length: `transformedURLLength` of the configuration.
const LINK: usize = 23;

/// Code points of weight 1; all others weigh 2. `ranges` of the configuration.
const LIGHT: [(u32, u32); 4] = [(0, 4351), (8192, 8205), (8208, 8223), (8242, 8247)];

/// The newest emoji that count as one. Newer ones are counted by their code points, because X's parser may not know them. So are
/// flags, keycaps, and an emoji before a flag, because implementations differ there.
const KNOWN_EMOJI: (u32, u32) = (12, 0);

/// The weighted length of a text on X, of which 280 are allowed.
///
/// The rules are those of version 3 of X's published twitter-text configuration: the text is normalised (NFC); a code point
/// weighs 1 or 2, by ranges; an emoji weighs 2, however many code points it has; a link weighs 23.
///
/// The result is meant to be no less than X's own; a test compares 400 texts with another implementation. It is more for flags and keycaps, and for a text that *may* be a link: one without a scheme, whose last label may
/// or may not be a top-level domain, or one with unusual characters. Such a text weighs at least as a link and at least as text.
pub fn weighted_length(text: &str) -> usize {
    let text: String = text.nfc().collect();
    let mut total = 0;
    let mut at = 0;
    for Link { start, end, certain } in links(&text) {
        total += plain(&text[at..start]);
        let word = &text[start..end];
        total += if certain {
            LINK
        } else {
            LINK * word.matches("://").count().max(1) + plain(word)
        };
        at = end;
    }
    total + plain(&text[at..])
}

fn plain(text: &str) -> usize {
    let mut clusters = text.graphemes(true).peekable();
    let mut total = 0;
    while let Some(cluster) = clusters.next() {
        let before_flag = clusters
            .peek()
            .is_some_and(|next| next.starts_with(is_flag_letter));
        let one_emoji = cluster.chars().nth(1).is_some() && !before_flag && is_known_emoji(cluster);
        total += if one_emoji {
            2
        } else {
            cluster.chars().map(weight).sum()
        };
    }
    total
}

/// A regional indicator; two of them are a flag.
const fn is_flag_letter(c: char) -> bool {
    matches!(c, '\u{1F1E6}'..='\u{1F1FF}')
}

fn weight(c: char) -> usize {
    let code = u32::from(c);
    // ©, ® and the keycaps are emoji for X, although their code points are light.
    let light = LIGHT.iter().any(|&(first, last)| (first..=last).contains(&code));
    if light && !matches!(c, '©' | '®') { 1 } else { 2 }
}

fn is_known_emoji(cluster: &str) -> bool {
    let divided = |c: char| is_flag_letter(c) || matches!(c, '\u{20E3}' | '\u{E0020}'..='\u{E007F}');
    !cluster.contains(divided)
        && emojis::get(cluster).is_some_and(|emoji| {
            let version = emoji.unicode_version();
            (version.major(), version.minor()) <= KNOWN_EMOJI
        })
}
