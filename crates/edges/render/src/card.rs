//! What a picture says, and how it is drawn.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::Tree;

use crate::backdrop::{Region, cover, least_veil};
use crate::layout::{Area, Layout, layout};
use crate::text::{Lines, SMALLEST, Typesetter, directed, is_right_to_left};
use crate::{Backdrop, Colour, Fonts, Mark, RenderError};

/// The pixels of a side.
const SIDES: (u32, u32) = (32, 4096);

/// What a picture says. Every part but the headline may be empty.
#[derive(Debug, Clone, Default)]
pub struct Card {
    /// The text that must be read. It is whole, or the card is refused.
    pub headline: String,
    /// A second, smaller text.
    pub body: String,
    /// What the button asks for.
    pub button: String,
    /// The name of the brand.
    pub brand: String,
    /// The colours.
    pub colours: Colours,
    /// The language (BCP 47, for instance `ja`): Chinese, Japanese and Korean write some characters differently.
    pub language: String,
    /// What the file says about the picture.
    pub mark: Mark,
    /// The picture behind the texts, instead of the ground of the template.
    pub backdrop: Option<Backdrop>,
}

/// The colours of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Colours {
    /// Behind the texts.
    pub background: Colour,
    /// Of the texts.
    pub text: Colour,
    /// Of the button and the bar.
    pub accent: Colour,
    /// Whether a colour of a text that is hard to read is corrected. If not, it is an error.
    pub correct: bool,
}

impl Default for Colours {
    fn default() -> Self {
        Self {
            background: Colour::new(0x16, 0x2b, 0x3e),
            text: Colour::WHITE,
            accent: Colour::new(0xff, 0xb4, 0x2e),
            correct: true,
        }
    }
}

impl Colours {
    /// The colour of a text on this ground.
    fn text_on(&self, text: Colour, background: Colour) -> Result<Colour, RenderError> {
        let contrast = text.contrast(background);
        if contrast >= Colour::LEAST_CONTRAST || self.correct {
            return Ok(text.readable_on(background, Colour::LEAST_CONTRAST));
        }
        Err(RenderError::Contrast {
            text,
            background,
            contrast,
        })
    }
}

/// A rendered picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
    /// What was left out or corrected, one sentence each.
    pub notes: Vec<String>,
    /// What its file says about it.
    pub mark: Mark,
}

/// A line of text in the template.
#[derive(Debug, Clone)]
struct Line {
    x: f32,
    y: f32,
    width: f32,
    anchor: &'static str,
    size: f32,
    weight: u16,
    colour: String,
    text: String,
}

/// A rectangle in the template.
#[derive(Debug, Clone, Copy)]
struct Frame {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

impl Line {
    /// What the line can cover, with its accents and descenders.
    const fn region(&self) -> Region {
        Region {
            x: self.x - self.size * 0.2,
            y: self.y - self.size * 1.1,
            width: self.width + self.size * 0.4,
            height: self.size * 1.5,
        }
    }
}

impl From<Line> for Value {
    fn from(line: Line) -> Self {
        Self::from_pairs([
            ("x", Self::from(line.x)),
            ("y", Self::from(line.y)),
            ("anchor", Self::from(line.anchor)),
            ("size", Self::from(line.size)),
            ("weight", Self::from(line.weight)),
            ("colour", Self::from(line.colour)),
            ("text", Self::from(line.text)),
        ])
    }
}

impl From<Frame> for Value {
    fn from(frame: Frame) -> Self {
        Self::from_pairs([
            ("x", frame.x),
            ("y", frame.y),
            ("width", frame.width),
            ("height", frame.height),
        ])
    }
}

impl Card {
    /// Draws the card in this size, in pixels.
    ///
    /// Fails if the headline does not fit, if no font has a character, or if the contrast is too low and is not to be corrected.
    pub fn render(&self, fonts: &Fonts, width: u32, height: u32) -> Result<Picture, RenderError> {
        let (least, most) = SIDES;
        if !(least..=most).contains(&width) || !(least..=most).contains(&height) {
            return Err(RenderError::Size {
                width,
                height,
                least,
                most,
            });
        }
        let mut typesetter = Typesetter::new(fonts, &self.language);
        let mut notes = Vec::new();
        let (svg, texts) = self.svg(&mut typesetter, width, height, &mut notes)?;
        let tree = Tree::from_str(&svg, typesetter.options())
            .map_err(|error| RenderError::Template(error.to_string()))?;
        let mut pixmap = match &self.backdrop {
            None => {
                Pixmap::new(width, height).ok_or_else(|| RenderError::Template("no pixels".to_owned()))?
            }
            Some(backdrop) => self.ground(backdrop, [width, height], &texts, &mut notes)?,
        };
        resvg::render(&tree, Transform::identity(), &mut pixmap.as_mut());
        // The ground covers the picture, so every pixel is opaque and needs no division by its alpha.
        let rgb = pixmap.pixels().iter();
        let rgb = rgb
            .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
            .collect();
        Ok(Picture {
            width,
            height,
            rgb,
            notes,
            mark: self.mark.clone(),
        })
    }

    fn svg(
        &self,
        typesetter: &mut Typesetter<'_>,
        width: u32,
        height: u32,
        notes: &mut Vec<String>,
    ) -> Result<(String, Vec<Region>), RenderError> {
        let headline = one_line(&self.headline);
        if headline.is_empty() {
            return Err(RenderError::Empty);
        }
        let layout = layout(width, height);
        let Colours {
            background, accent, ..
        } = self.colours;
        let text = self.colours.text_on(self.colours.text, background)?;
        let on_accent = self.colours.text_on(background, accent)?;
        if text != self.colours.text {
            notes.push(format!(
                "The text {} is hard to read on {background}: it is {text}.",
                self.colours.text
            ));
        }
        let mut lines = Vec::new();

        let right = is_right_to_left(&headline);
        let side = |area: Area| if right { area.mirrored(width) } else { area };
        let area = side(layout.headline.area(width, height));
        let largest = (width.min(height) as f32 * 0.15)
            .max(area.height * 0.45)
            .min(width as f32 * 0.15);
        let fitted = typesetter.fit(&headline, true, area, layout.headline.lines, largest)?;
        let fitted = fitted.ok_or(RenderError::DoesNotFit {
            part: "headline",
            width,
            height,
            smallest: SMALLEST as u32,
        })?;
        let headline_size = fitted.size;
        let top = top_of(layout, area, &fitted, 0.6);
        set(&mut lines, &fitted, [area.x, area.width], right, top, (700, text));
        let bar = bar(area, top, &fitted, [width, height], right);

        // Away from the text, so that its contrast only grows.
        let away = if text.luminance() > background.luminance() {
            Colour::BLACK
        } else {
            Colour::WHITE
        };
        let (shade, deep) = (background.mixed(away, 40), background.mixed(away, 70));
        let legible = |colour: Colour| {
            // What is behind the texts is then known when they are set, and is corrected for their one colour.
            if self.backdrop.is_some() {
                return text;
            }
            let colour = colour.readable_on(background, Colour::LEAST_CONTRAST);
            let least = colour.contrast(shade).min(colour.contrast(deep));
            if least < Colour::LEAST_CONTRAST {
                text
            } else {
                colour
            }
        };
        let parts = [
            ("brand", &self.brand, layout.brand, 700, 0.55, legible(accent)),
            (
                "body",
                &self.body,
                layout.body,
                400,
                0.58,
                legible(text.mixed(background, 40)),
            ),
        ];
        for (name, words, part, weight, share, colour) in parts {
            let words = one_line(words);
            if words.is_empty() {
                continue;
            }
            let area = side(part.area(width, height));
            let largest = (headline_size * share).max(SMALLEST);
            match typesetter.fit(&words, weight == 700, area, part.lines, largest)? {
                Some(fitted) => {
                    let top = top_of(layout, area, &fitted, 0.0);
                    set(
                        &mut lines,
                        &fitted,
                        [area.x, area.width],
                        right,
                        top,
                        (weight, colour),
                    );
                }
                None => notes.push(left_out(name, width, height)),
            }
        }
        let texts: Vec<Region> = lines.iter().map(Line::region).collect();
        let button = self.button(
            typesetter,
            layout,
            [width, height],
            headline_size,
            on_accent,
            &mut lines,
            notes,
        )?;

        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let failed = |error: minijinja::Error| RenderError::Template(error.to_string());
        let template = environment
            .template_from_str(include_str!("../templates/card.svg"))
            .map_err(failed)?;
        let (w, h) = (width as f32, height as f32);
        let svg = template
            .render(context! {
                width, height, lines, button, bar,
                has_backdrop => self.backdrop.is_some(),
                background => background.to_string(),
                shade => shade.to_string(),
                deep => deep.to_string(),
                accent => accent.to_string(),
                decor => context! { x => w * 0.93, y => h * 0.12, r => w.min(h) * 0.42 },
            })
            .map_err(failed)?;
        Ok((svg, texts))
    }

    /// The picture behind the texts, covered as far as they need it.
    fn ground(
        &self,
        backdrop: &Backdrop,
        [width, height]: [u32; 2],
        texts: &[Region],
        notes: &mut Vec<String>,
    ) -> Result<Pixmap, RenderError> {
        let mut ground = backdrop.ground(width, height)?;
        let veil = self.colours.background;
        let text = self.colours.text_on(self.colours.text, veil)?;
        let part = least_veil(&ground, texts, text, veil, Colour::LEAST_CONTRAST);
        if part > 0 {
            cover(&mut ground, veil, part);
            let percent = u32::from(part) * 100 / 255;
            notes.push(format!(
                "The texts are hard to read on the picture behind them: {percent} % of {veil} lie on it."
            ));
        }
        Ok(ground)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one drawing")]
    fn button(
        &self,
        typesetter: &mut Typesetter<'_>,
        layout: &Layout,
        [width, height]: [u32; 2],
        headline_size: f32,
        colour: Colour,
        lines: &mut Vec<Line>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Frame>, RenderError> {
        let words = one_line(&self.button);
        if words.is_empty() {
            return Ok(None);
        }
        let right = is_right_to_left(&self.headline);
        let area = layout.button.area(width, height);
        let area = if right { area.mirrored(width) } else { area };
        let padding = area.height * 0.5;
        let inner = Area {
            x: area.x + padding,
            y: area.y,
            width: area.width - 2.0 * padding,
            height: area.height * 0.8,
        };
        let largest = (headline_size * 0.6).max(SMALLEST).min(area.height * 0.5);
        let Some(fitted) = typesetter.fit(&words, true, inner, 1, largest)? else {
            notes.push(left_out("button", width, height));
            return Ok(None);
        };
        let text_width = fitted.lines.first().map_or(0.0, |(_, width)| *width);
        let wide = text_width + 2.0 * padding;
        let strip = layout.name == "strip";
        let x = if strip {
            area.x + (area.width - wide) / 2.0
        } else if right {
            area.x + area.width - wide
        } else {
            area.x
        };
        lines.push(Line {
            x: x + wide / 2.0,
            width: text_width,
            y: area.y + area.height / 2.0 + fitted.size * 0.36,
            anchor: "middle",
            size: fitted.size,
            weight: 700,
            colour: colour.to_string(),
            text: directed(&words),
        });
        Ok(Some(Frame {
            x,
            y: area.y,
            width: wide,
            height: area.height,
        }))
    }
}

/// Where a block starts in its area, if `share` of the free space is above it. In a strip, every block is in the middle.
fn top_of(layout: &Layout, area: Area, fitted: &Lines, share: f32) -> f32 {
    let share = if layout.name == "strip" { 0.5 } else { share };
    area.y + (area.height - fitted.height()) * share
}

/// The bar beside the headline: on its left, or on its right if it is read from there.
fn bar(area: Area, top: f32, fitted: &Lines, [width, height]: [u32; 2], right: bool) -> Frame {
    let thick = (width.min(height) as f32 * 0.012).max(2.0);
    let margin = if right {
        width as f32 - area.x - area.width
    } else {
        area.x
    };
    let gap = (margin * 0.45).max(thick + 1.0);
    let x = if right {
        area.x + area.width + gap - thick
    } else {
        area.x - gap
    };
    Frame {
        x: x.clamp(0.0, width as f32 - thick),
        y: top + fitted.size * 0.18,
        width: thick,
        height: fitted.height() - fitted.size * 0.2,
    }
}

/// Adds the lines of a block, aligned left or right between two edges, in a weight and a colour.
fn set(
    lines: &mut Vec<Line>,
    fitted: &Lines,
    [left, wide]: [f32; 2],
    right: bool,
    top: f32,
    (weight, colour): (u16, Colour),
) {
    for (at, (line, width)) in fitted.lines.iter().enumerate() {
        let x = if right { left + wide - width } else { left };
        lines.push(Line {
            x,
            width: *width,
            y: fitted.baseline(top, at),
            anchor: "start",
            size: fitted.size,
            weight,
            colour: colour.to_string(),
            text: directed(line),
        });
    }
}

fn left_out(part: &str, width: u32, height: u32) -> String {
    format!("The {part} does not fit {width}×{height} pixels in a legible size: it is left out.")
}

/// The text in one line, without control characters.
fn one_line(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
