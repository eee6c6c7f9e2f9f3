//! A folder of drawn pictures, each drawn once.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use limbic_fit::{Image, ImageType};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Card, Fonts, RenderError};

/// Grows when the same card is drawn otherwise than before.
const VERSION: u32 = 1;

/// How often old files are looked for.
const SWEEP: Duration = Duration::from_hours(1);

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
    #[error("{path}: {source}: correct the rights or the space of the folder", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl GalleryError {
    /// Whether the same card can be drawn later, when the machine is set up correctly.
    pub const fn is_of_the_machine(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Render(RenderError::NoFont { .. }))
    }
}

/// Draws cards into the files of a folder. A card that was drawn has the same file as long as it is kept, whatever fonts the machine gets
/// later. Several processes can use one folder.
///
/// A file that nobody asked for during [`Gallery::new`]'s `keep` is removed.
#[derive(Debug)]
pub struct Gallery {
    folder: PathBuf,
    keep: Duration,
    /// Loaded when the first card is drawn.
    fonts: Mutex<Option<Arc<Fonts>>>,
    swept: Mutex<Option<SystemTime>>,
}

impl Gallery {
    /// A gallery in this folder, which is created with the first picture.
    pub const fn new(folder: PathBuf, keep: Duration) -> Self {
        Self {
            folder,
            keep,
            fonts: Mutex::new(None),
            swept: Mutex::new(None),
        }
    }

    /// The picture of a card in a size of an ad platform, as the first type of file that is within the platform's limit. `now` counts for
    /// the age of files.
    pub fn draw(&self, card: &Card, image: &Image, now: SystemTime) -> Result<Drawn, GalleryError> {
        let place = self
            .folder
            .join(CARDS)
            .join(format!("{}.json", key_of(card, image)));
        let drawn = match self.known(&place) {
            Some(drawn) => drawn,
            None => self.add(card, image, &place)?,
        };
        for path in [&place, &self.folder.join(&drawn.file)] {
            let used = File::options().write(true).open(path);
            let used = used.and_then(|file| file.set_modified(now));
            used.map_err(failed(path))?;
        }
        self.sweep(now);
        Ok(drawn)
    }

    /// What was drawn for a card, if its file is there and whole.
    fn known(&self, place: &Path) -> Option<Drawn> {
        let drawn: Drawn = serde_json::from_slice(&std::fs::read(place).ok()?).ok()?;
        let file = std::fs::metadata(self.folder.join(&drawn.file)).ok()?;
        (file.len() == drawn.bytes).then_some(drawn)
    }

    fn add(&self, card: &Card, image: &Image, place: &Path) -> Result<Drawn, GalleryError> {
        let fonts = self.fonts()?;
        let picture = card.render(&fonts, image.width, image.height)?;
        let (kind, bytes) = encoded(&picture, image)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        let drawn = Drawn {
            file: format!("{sha256}.{}", kind.ending()),
            sha256,
            media_type: kind.media_type().to_owned(),
            width: image.width,
            height: image.height,
            bytes: bytes.len() as u64,
            notes: picture.notes,
        };
        let known = serde_json::to_vec(&drawn).expect("it has string keys and whole numbers");
        // The picture first: what says that it is there must not come before it.
        self.store(&self.folder.join(&drawn.file), &bytes)?;
        self.store(place, &known)?;
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

    /// Writes a file that is whole or absent, also for other processes.
    fn store(&self, path: &Path, bytes: &[u8]) -> Result<(), GalleryError> {
        let folder = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed(folder))?;
        file.write_all(bytes)
            .and_then(|()| file.as_file().sync_data())
            .map_err(failed(path))?;
        file.persist(path).map_err(|error| failed(path)(error.error))?;
        Ok(())
    }

    /// Removes the files that nobody has asked for in a long time. A file that cannot be removed stays.
    fn sweep(&self, now: SystemTime) {
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            let is_recent = |last: SystemTime| now.duration_since(last).is_ok_and(|since| since < SWEEP);
            if swept.is_some_and(is_recent) {
                return;
            }
            *swept = Some(now);
        }
        for folder in [self.folder.join(CARDS), self.folder.clone()] {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let Ok(about) = entry.metadata() else { continue };
                let unused = about
                    .modified()
                    .ok()
                    .and_then(|used| now.duration_since(used).ok());
                if about.is_file() && unused.is_some_and(|unused| unused > self.keep) {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> GalleryError {
    let path = path.to_owned();
    |source| GalleryError::Io { path, source }
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
    hex(&hash.finalize())
}
