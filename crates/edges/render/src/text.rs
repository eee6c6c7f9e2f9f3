//! Text that is measured, divided into lines, and fitted to an area.

use std::collections::HashMap;

use resvg::usvg::{Node, Options, Tree};
use unicode_linebreak::{BreakOpportunity, linebreaks};
use unicode_script::{Script, UnicodeScript as _};

use crate::RenderError;
use crate::fonts::{Fonts, package_of};
use crate::layout::Area;

/// No text is smaller, in pixels.
pub(crate) const SMALLEST: f32 = 10.0;
/// The distance of two baselines, in font sizes: Devanagari and Thai need it.
pub(crate) const LINE: f32 = 1.32;
/// The height above the baseline, in font sizes.
const ASCENT: f32 = 1.0;
/// The font size at which texts are measured: widths are in proportion to the size.
const MEASURED: f32 = 100.0;

/// Lines of one size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lines {
    pub(crate) size: f32,
    /// Each with its width in pixels.
    pub(crate) lines: Vec<(String, f32)>,
}

impl Lines {
    pub(crate) fn height(&self) -> f32 {
        self.lines.len() as f32 * self.size * LINE
    }

    /// The baseline of a line of a block that starts at `top`.
    pub(crate) fn baseline(&self, top: f32, line: usize) -> f32 {
        top + self.size * (ASCENT + LINE * line as f32)
    }
}

/// Measures texts with the fonts, and remembers what it has measured.
pub(crate) struct Typesetter<'a> {
    fonts: &'a Fonts,
    options: Options<'static>,
    widths: HashMap<(String, bool), f32>,
}

impl<'a> Typesetter<'a> {
    pub(crate) fn new(fonts: &'a Fonts, language: &str) -> Self {
        Self {
            fonts,
            options: fonts.options(language),
            widths: HashMap::new(),
        }
    }

    pub(crate) const fn options(&self) -> &Options<'static> {
        &self.options
    }

    /// The largest size from `largest` down to [`SMALLEST`] at which `text` fits the area in at most `most` lines. `None` if there is
    /// none. Fails if no font has a character.
    pub(crate) fn fit(
        &mut self,
        text: &str,
        bold: bool,
        area: Area,
        most: usize,
        largest: f32,
    ) -> Result<Option<Lines>, RenderError> {
        let mut size = largest.min(area.height / LINE).floor();
        while size >= SMALLEST {
            let room = ((area.height / (size * LINE)) as usize).min(most);
            if let Some(lines) = self.wrap(text, bold, area.width / size, room)? {
                let lines = lines
                    .into_iter()
                    .map(|(line, width)| (line, width * size))
                    .collect();
                return Ok(Some(Lines { size, lines }));
            }
            size -= (size / 24.0).max(1.0).floor();
        }
        Ok(None)
    }

    /// Divides a text into lines that are at most `width` font sizes wide, of nearly equal width. `None` if it takes more than `most`.
    fn wrap(
        &mut self,
        text: &str,
        bold: bool,
        width: f32,
        most: usize,
    ) -> Result<Option<Vec<(String, f32)>>, RenderError> {
        let Some(lines) = self.greedy(text, bold, width)? else {
            return Ok(None);
        };
        if lines.len() > most {
            return Ok(None);
        }
        // The narrowest width that takes as many lines: no last line of one word.
        let count = lines.len();
        let (mut best, mut low, mut high) = (lines, width / count as f32, width);
        for _ in 0..6 {
            let middle = f32::midpoint(low, high);
            match self.greedy(text, bold, middle)? {
                Some(narrower) if narrower.len() == count => (best, high) = (narrower, middle),
                _ => low = middle,
            }
        }
        Ok(Some(best))
    }

    /// As much as fits on each line, divided where readers expect it, or at least where it is allowed. `None` if a part that must not
    /// be divided is wider than a line.
    fn greedy(
        &mut self,
        text: &str,
        bold: bool,
        width: f32,
    ) -> Result<Option<Vec<(String, f32)>>, RenderError> {
        match self.greedy_at(text, bold, width, is_good_break)? {
            None => self.greedy_at(text, bold, width, |_, _| true),
            lines => Ok(lines),
        }
    }

    fn greedy_at(
        &mut self,
        text: &str,
        bold: bool,
        width: f32,
        may_break: fn(&str, &str) -> bool,
    ) -> Result<Option<Vec<(String, f32)>>, RenderError> {
        let mut lines = Vec::new();
        let mut start = 0;
        let mut end = 0;
        for (at, opportunity) in linebreaks(text) {
            if at < text.len() && !may_break(&text[..at], &text[at..]) {
                continue;
            }
            let longer = text[start..at].trim_end();
            if self.width(longer, bold)? <= width {
                end = at;
            } else {
                let line = text[start..end].trim_end().to_owned();
                let rest = text[end..at].trim_end();
                if line.is_empty() || self.width(rest, bold)? > width {
                    return Ok(None);
                }
                let measured = self.width(&line, bold)?;
                lines.push((line, measured));
                (start, end) = (end, at);
            }
            if opportunity == BreakOpportunity::Mandatory && start < end {
                let line = text[start..end].trim_end().to_owned();
                let measured = self.width(&line, bold)?;
                if !line.is_empty() {
                    lines.push((line, measured));
                }
                start = end;
            }
        }
        Ok((!lines.is_empty()).then_some(lines))
    }

    /// The width of a line, in font sizes.
    fn width(&mut self, line: &str, bold: bool) -> Result<f32, RenderError> {
        let key = (line.to_owned(), bold);
        if let Some(&width) = self.widths.get(&key) {
            return Ok(width);
        }
        let width = self.measure(line, bold)?;
        self.widths.insert(key, width);
        Ok(width)
    }

    fn measure(&self, line: &str, bold: bool) -> Result<f32, RenderError> {
        if line.is_empty() {
            return Ok(0.0);
        }
        let weight = if bold { 700 } else { 400 };
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><text xml:space=\"preserve\" \
             font-size=\"{MEASURED}\" font-weight=\"{weight}\">{}</text></svg>",
            escape(&directed(line))
        );
        let tree =
            Tree::from_str(&svg, &self.options).map_err(|error| RenderError::Template(error.to_string()))?;
        let mut width: f32 = 0.0;
        for node in tree.root().children() {
            let Node::Text(text) = node else { continue };
            width = width.max(text.bounding_box().width());
            let glyphs = text.layouted().iter().flat_map(|span| &span.positioned_glyphs);
            let absent = glyphs
                .filter(|glyph| glyph.id.0 == 0)
                .find_map(|glyph| glyph.text.chars().find(|c| is_visible(*c)));
            if let Some(character) = absent {
                return Err(RenderError::NoGlyph {
                    character,
                    package: package_of(character),
                    searched: self.fonts.searched(),
                });
            }
        }
        Ok(width / MEASURED)
    }
}

/// Whether readers expect a line to end between these texts. Korean is divided between words, and Japanese before a word that does
/// not begin in Hiragana, which is where most phrases begin.
fn is_good_break(before: &str, after: &str) -> bool {
    let (Some(before), Some(after)) = (before.chars().next_back(), after.chars().next()) else {
        return true;
    };
    if !before.is_alphanumeric() {
        return true;
    }
    match after.script() {
        Script::Hangul => before.script() != Script::Hangul,
        Script::Hiragana => !matches!(before.script(), Script::Hiragana | Script::Han | Script::Katakana),
        Script::Han | Script::Katakana => before.script() != after.script(),
        _ => true,
    }
}

/// Whether the text starts in a script that is written from right to left.
pub(crate) fn is_right_to_left(text: &str) -> bool {
    let first = text.chars().find(|c| c.is_alphabetic());
    first.is_some_and(|c| {
        matches!(
            c.script(),
            Script::Arabic | Script::Hebrew | Script::Syriac | Script::Thaana | Script::Nko
        )
    })
}

/// A line as the renderer needs it: it sets every line from left to right, so a line of a right-to-left text stands between marks,
/// and its punctuation is placed right.
pub(crate) fn directed(line: &str) -> String {
    if is_right_to_left(line) {
        format!("\u{200f}{line}\u{200f}")
    } else {
        line.to_owned()
    }
}

/// The text as a part of XML. Characters that XML does not allow are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether a character without a glyph is missed: joiners, marks of direction and variation selectors are not.
const fn is_visible(c: char) -> bool {
    !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{e0100}'..='\u{e01ef}' | '\u{ad}' | '\u{feff}' | ' ' | '\u{a0}')
}
