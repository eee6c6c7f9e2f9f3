//! The formats of ad platforms, from the file of limits.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::{Field, Fitted, Refusal};

/// A format of an ad platform.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdFormat {
    /// The ad platform, for instance `google-ads`.
    pub platform: String,
    /// The format, unique within its platform, for instance `responsive-search`.
    pub format: String,
    /// The published document that states the limits.
    pub document: String,
    /// The day on which the limits were compared with the document, as `YYYY-MM-DD`.
    pub read: String,
    /// Whether they were compared. If not, they are from memory or from secondary pages.
    pub confirmed: bool,
    /// The limits of each field, by its name: `headline`, `body`, and others that only some formats have.
    #[serde(default)]
    pub text: BTreeMap<String, Field>,
    /// The image sizes. Empty = this format takes no image.
    #[serde(default)]
    pub images: Vec<Image>,
}

/// An image size that a format takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The name of the size, unique within its format, for instance `square`.
    pub name: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The largest file, in bytes.
    pub bytes: usize,
    /// The types of files, the preferred one first.
    pub types: Vec<ImageType>,
}

/// A type of image files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageType {
    /// PNG, lossless.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
}

impl ImageType {
    /// The ending of a file's name.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }

    /// The media type, as in HTTP.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }
}

/// A platform or format that the file of limits does not contain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the format `{wanted}` is unknown: use one of {known}")]
pub struct UnknownFormat {
    /// What was asked for, as `PLATFORM/FORMAT`.
    pub wanted: String,
    /// The known formats, separated by commas.
    pub known: String,
}

impl AdFormat {
    /// The format's name, as `PLATFORM/FORMAT`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.platform, self.format)
    }

    /// The limits of a field. Fails if the format does not have it.
    pub fn field(&self, name: &str) -> Result<&Field, Refusal> {
        self.text.get(name).ok_or_else(|| Refusal::NoSuchField {
            format: self.name(),
            field: name.to_owned(),
            known: self.text.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Makes a text fit a field: see [`Field::fit`].
    pub fn fit(&self, field: &str, text: &str) -> Result<Fitted, Refusal> {
        self.field(field)?.fit(text)
    }
}

static FORMATS: LazyLock<Vec<AdFormat>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        formats: Vec<AdFormat>,
    }
    let file: File =
        toml::from_str(include_str!("limits.toml")).expect("the file of limits is valid: a test reads it");
    file.formats
});

/// All known formats, in the order of the file.
pub fn formats() -> &'static [AdFormat] {
    &FORMATS
}

/// The format of a platform.
pub fn format(platform: &str, format: &str) -> Result<&'static AdFormat, UnknownFormat> {
    let found = formats()
        .iter()
        .find(|one| one.platform == platform && one.format == format);
    found.ok_or_else(|| UnknownFormat {
        wanted: format!("{platform}/{format}"),
        known: formats()
            .iter()
            .map(AdFormat::name)
            .collect::<Vec<_>>()
            .join(", "),
    })
}
