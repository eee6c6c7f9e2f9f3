//! Where the parts of a picture are.

use std::sync::LazyLock;

use serde::Deserialize;

/// A layout for pictures of some proportions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    pub(crate) name: String,
    /// The least width : height.
    least: f32,
    pub(crate) brand: Part,
    pub(crate) headline: Part,
    pub(crate) body: Part,
    pub(crate) button: Part,
}

/// The place of a text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// x, y, width, height in percent of the picture.
    area: [f32; 4],
    /// The most lines.
    pub(crate) lines: usize,
}

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl Part {
    /// The area in a picture of this size.
    pub(crate) fn area(&self, width: u32, height: u32) -> Area {
        let [x, y, w, h] = self.area;
        let (width, height) = (width as f32 / 100.0, height as f32 / 100.0);
        Area {
            x: x * width,
            y: y * height,
            width: w * width,
            height: h * height,
        }
    }
}

impl Area {
    /// The area on the other side of a picture of this width.
    pub(crate) fn mirrored(self, width: u32) -> Self {
        Self {
            x: width as f32 - self.x - self.width,
            ..self
        }
    }
}

static LAYOUTS: LazyLock<Vec<Layout>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct File {
        layouts: Vec<Layout>,
    }
    let file: File =
        toml::from_str(include_str!("layouts.toml")).expect("the file of layouts is valid: a test reads it");
    file.layouts
});

/// The layout for a picture of this size.
pub(crate) fn layout(width: u32, height: u32) -> &'static Layout {
    let proportion = width as f32 / height.max(1) as f32;
    LAYOUTS
        .iter()
        .find(|layout| proportion >= layout.least)
        .expect("the last layout is for every proportion: a test reads it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proportion_has_a_layout_whose_parts_do_not_overlap() {
        for (width, height, name) in [
            (728, 90, "strip"),
            (1200, 628, "card"),
            (1080, 1080, "square"),
            (160, 600, "tower"),
            (1, 4096, "tower"),
        ] {
            let layout = layout(width, height);
            assert_eq!(layout.name, name);
            let parts = [layout.brand, layout.headline, layout.body, layout.button];
            let areas = parts.map(|part| part.area(1000, 1000));
            for (at, one) in areas.iter().enumerate() {
                assert!(one.x >= 0.0 && one.x + one.width <= 1000.0 && one.y + one.height <= 1000.0);
                for other in &areas[at + 1..] {
                    let apart = one.x + one.width <= other.x
                        || other.x + other.width <= one.x
                        || one.y + one.height <= other.y
                        || other.y + other.height <= one.y;
                    assert!(apart, "{name}: {one:?} and {other:?}");
                }
            }
        }
    }
}
