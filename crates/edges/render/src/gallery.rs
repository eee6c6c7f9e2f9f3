//! A folder of drawn pictures, each drawn once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use limbic_file_store::{FileStore, FileStoreError, hex};
use limbic_fit::{Image, ImageType};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Card, Fonts, RenderError};

/// Grows when the same card is drawn otherwise than before.
const VERSION: u32 = 1;

/// The folder within the gallery that says which file a card has.
const CARDS: &str = "cards";

/// A picture in a gallery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// The name of the file in the folder: [`Drawn::sha256`] and an ending.
    pub file: String,
    /// The SHA-256 hash of the file, in hexadecimal.
    pub sha256: String,
    /// `image/png`, `image/jpeg` or `image/webp`.
    pub media_type: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The size of the file.
    pub bytes: u64,
    /// What was left out or corrected, one sentence each.
    pub notes: Vec<String>,
}

/// Why a gallery has no picture of a card.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// It cannot be drawn.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The folder cannot be used.
    #[error(transparent)]
    File(#[from] FileStoreError),
}

impl GalleryError {
    /// Whether the same card can be drawn later, when the machine is set up correctly.
    pub const fn is_of_the_machine(&self) -> bool {
        matches!(self, Self::File(_) | Self::Render(RenderError::NoFont { .. }))
    }
}

/// Draws cards into the files of a folder. A card that was drawn has the same file as long as it is kept, whatever fonts the machine gets
/// later. Several processes can use one folder.
///
/// A file that nobody asked for during [`Gallery::new`]'s `keep` is removed.
#[derive(Debug)]
pub struct Gallery {
    store: FileStore,
    /// Loaded when the first card is drawn.
    fonts: Mutex<Option<Arc<Fonts>>>,
}

impl Gallery {
    /// A gallery in this folder, which is created with the first picture.
    pub const fn new(folder: PathBuf, keep: Duration) -> Self {
        Self {
            store: FileStore::new(folder, keep),
            fonts: Mutex::new(None),
        }
    }

    /// The picture of a card in a size of an ad platform, as the first type of file that is within the platform's limit. `now` counts for
    /// the age of files.
    pub fn draw(&self, card: &Card, image: &Image, now: SystemTime) -> Result<Drawn, GalleryError> {
        let place = format!("{CARDS}/{}.json", key_of(card, image));
        let drawn = match self.known(&place) {
            Some(drawn) => drawn,
            None => self.add(card, image, &place)?,
        };
        for name in [&place, &drawn.file] {
            self.store.used(name, now)?;
        }
        self.store.sweep(&[CARDS], now);
        Ok(drawn)
    }

    /// What was drawn for a card, if its file is there and whole.
    fn known(&self, place: &str) -> Option<Drawn> {
        let drawn: Drawn = serde_json::from_slice(&std::fs::read(self.store.path(place)).ok()?).ok()?;
        (self.store.size(&drawn.file) == Some(drawn.bytes)).then_some(drawn)
    }

    fn add(&self, card: &Card, image: &Image, place: &str) -> Result<Drawn, GalleryError> {
        let fonts = self.fonts()?;
        let picture = card.render(&fonts, image.width, image.height)?;
        let (kind, bytes) = encoded(&picture, image)?;
        // The picture first: what says that it is there must not come before it.
        let file = self.store.put(&bytes, kind.ending())?;
        let sha256 = file.split_once('.').map_or(&*file, |(hash, _)| hash).to_owned();
        let drawn = Drawn {
            file,
            sha256,
            media_type: kind.media_type().to_owned(),
            width: image.width,
            height: image.height,
            bytes: bytes.len() as u64,
            notes: picture.notes,
        };
        let known = serde_json::to_vec(&drawn).expect("it has string keys and whole numbers");
        self.store.write(place, &known)?;
        Ok(drawn)
    }

    fn fonts(&self) -> Result<Arc<Fonts>, RenderError> {
        let mut known = self.fonts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fonts) = &*known {
            return Ok(Arc::clone(fonts));
        }
        let fonts = Arc::new(Fonts::load(None)?);
        *known = Some(Arc::clone(&fonts));
        Ok(fonts)
    }
}

/// The file in the first type that is within the limit.
fn encoded(picture: &crate::Picture, image: &Image) -> Result<(ImageType, Vec<u8>), RenderError> {
    let mut refused = RenderError::Empty;
    for &kind in &image.types {
        match picture.encode(kind, Some(image.bytes)) {
            Ok(bytes) => return Ok((kind, bytes)),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// A hash of everything that decides how a card looks and how its file is written.
fn key_of(card: &Card, image: &Image) -> String {
    let Card {
        headline,
        body,
        button,
        brand,
        colours,
        language,
        mark,
        backdrop,
    } = card;
    let colours = format!(
        "{} {} {} {}",
        colours.background, colours.text, colours.accent, colours.correct
    );
    let Image {
        name: _,
        width,
        height,
        bytes,
        types,
    } = image;
    let file = format!("{VERSION} {width} {height} {bytes} {types:?}");
    let mut hash = Sha256::new();
    for part in [
        headline,
        body,
        button,
        brand,
        &colours,
        language,
        &mark.xmp(),
        &file,
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    // A card without a picture behind it keeps the key that it had before there were such pictures.
    if let Some(backdrop) = backdrop {
        hash.update((backdrop.name.len() as u64).to_le_bytes());
        hash.update(&backdrop.name);
    }
    hex(&hash.finalize())
}
