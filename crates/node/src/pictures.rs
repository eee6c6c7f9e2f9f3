//! The pictures of ads: drawn when an ad is delivered, kept in the data folder.

use std::path::PathBuf;

use limbic_creative::CreativeStage;

use crate::settings::Settings;

/// The folder of the pictures.
pub(crate) fn folder(settings: &Settings) -> PathBuf {
    settings.data_dir.join("pictures")
}

/// Returns an error if ads are to have pictures, and this program or this machine cannot draw them.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    if settings.section::<CreativeStage>().pictures.is_empty() {
        return Ok(());
    }
    can_draw()
}

#[cfg(not(feature = "render"))]
fn can_draw() -> anyhow::Result<()> {
    anyhow::bail!(
        "creative.pictures: this program was built without pictures: build it with `cargo build --release --features render`, or remove \
         the setting"
    )
}

/// What draws for the stage `deliver`.
#[cfg(not(feature = "render"))]
pub(crate) fn open(_: &Settings) -> limbic_deliver::DeliveryPictures {
    std::sync::Arc::new(())
}

#[cfg(feature = "render")]
pub(crate) use drawing::{can_draw, open};

#[cfg(feature = "render")]
mod drawing {
    use std::sync::Arc;
    use std::time::SystemTime;

    use anyhow::Context as _;
    use limbic_deliver::{DeliverStage, DeliveryPictures, DrawnPicture, NoPicture, Pictures};
    use limbic_domain::{Background, Creative, Picture};
    use limbic_file_store::FileStore;
    use limbic_fit::Image;
    use limbic_llm::gateway::PAINTED_FOLDER;
    use limbic_render::{Backdrop, Card, Colours, DigitalSource, Fonts, Gallery, GalleryError, Mark};

    use crate::settings::Settings;

    pub(crate) fn can_draw() -> anyhow::Result<()> {
        Fonts::load(None).map(|_| ()).context("creative.pictures")
    }

    pub(crate) fn open(settings: &Settings) -> DeliveryPictures {
        let keep = settings.section::<DeliverStage>().keep_pictures.get();
        Arc::new(Cards {
            gallery: Gallery::new(super::folder(settings), keep),
            painted: FileStore::new(
                settings.data_dir.join(PAINTED_FOLDER),
                settings.llm.keep_pictures.get(),
            ),
        })
    }

    /// Draws cards into the gallery of the node.
    struct Cards {
        gallery: Gallery,
        /// The pictures behind the texts.
        painted: FileStore,
    }

    impl Pictures for Cards {
        fn draw(&self, ad: &Creative) -> Result<DrawnPicture, NoPicture> {
            let picture = ad.picture.as_ref();
            let picture = picture.ok_or_else(|| NoPicture::Never("the ad has none".to_owned()))?;
            let image = image_of(picture).map_err(NoPicture::Never)?;
            let mut card = card_of(ad, picture).map_err(NoPicture::Never)?;
            if let Some(background) = &picture.background {
                card.backdrop = Some(self.backdrop(background)?);
            }
            let drawn = self.gallery.draw(&card, image, SystemTime::now());
            let drawn = drawn.map_err(|error| no_picture(&error))?;
            for note in &drawn.notes {
                tracing::debug!(ad = ad.id, note, "the picture of an ad");
            }
            Ok(DrawnPicture {
                url: None,
                file: drawn.file,
                sha256: drawn.sha256,
                media_type: drawn.media_type,
                width: drawn.width,
                height: drawn.height,
                bytes: drawn.bytes,
                alt: card.mark.alt,
                source: card.mark.source.uri().to_owned(),
            })
        }
    }

    impl Cards {
        /// The picture behind the texts, which is kept for longer.
        fn backdrop(&self, background: &Background) -> Result<Backdrop, NoPicture> {
            if self.painted.size(&background.file).is_none() {
                return Err(NoPicture::Never(format!(
                    "{}: the picture behind the texts is not on this node: let the node that runs the stage `texts` deliver too, or share \
                     the folder",
                    self.painted.path(&background.file).display()
                )));
            }
            let used = self.painted.used(&background.file, SystemTime::now());
            used.map_err(|error| NoPicture::NotNow(error.to_string()))?;
            Ok(Backdrop {
                name: background.file.clone(),
                path: self.painted.path(&background.file),
            })
        }
    }

    fn no_picture(error: &GalleryError) -> NoPicture {
        if error.is_of_the_machine() {
            NoPicture::NotNow(error.to_string())
        } else {
            NoPicture::Never(error.to_string())
        }
    }

    /// The size and the limits of the picture, as the file of limits of this program has them.
    fn image_of(picture: &Picture) -> Result<&'static Image, String> {
        let unknown = || {
            format!(
                "the image `{}` is not in the file of limits of this program",
                picture.image
            )
        };
        let (format, name) = picture.image.rsplit_once('/').ok_or_else(unknown)?;
        let (platform, format) = format.split_once('/').ok_or_else(unknown)?;
        let format = limbic_fit::format(platform, format).map_err(|error| error.to_string())?;
        let image = format.images.iter().find(|image| image.name == name);
        image.ok_or_else(unknown)
    }

    fn card_of(ad: &Creative, picture: &Picture) -> Result<Card, String> {
        let mut colours = Colours::default();
        let places = [&mut colours.background, &mut colours.text, &mut colours.accent];
        for (place, colour) in places.into_iter().zip(&picture.colours) {
            *place = colour.parse().map_err(|error| format!("{error}"))?;
        }
        let source = if ad.ai_generated {
            DigitalSource::CompositeWithTrainedAlgorithmicMedia
        } else {
            DigitalSource::AlgorithmicMedia
        };
        Ok(Card {
            headline: ad.rendering.headline.clone(),
            body: ad.rendering.body.clone(),
            button: picture.button.clone(),
            brand: picture.brand.clone(),
            colours,
            language: "en".to_owned(),
            mark: Mark {
                source,
                alt: ad.alt_text().unwrap_or_default(),
            },
            backdrop: None,
        })
    }

    #[cfg(test)]
    mod tests {
        use std::path::Path;
        use std::time::Duration;

        use super::*;

        fn ad(headline: &str, image: &str) -> Creative {
            serde_json::from_value(serde_json::json!({
                "id": "c", "generator": "template/plain-1", "tone": "plain",
                "rendering": {"platform": "social", "headline": headline, "body": "Light and dry.", "link": "https://example.com"},
                "picture": {"image": image, "width": 1200, "height": 628, "brand": "Acme Boots", "button": "Try a pair",
                    "colours": ["#102030"]}
            }))
            .unwrap()
        }

        fn cards(folder: &Path) -> Cards {
            let day = Duration::from_hours(24);
            Cards {
                gallery: Gallery::new(folder.to_owned(), day),
                painted: FileStore::new(folder.join("painted"), day),
            }
        }

        #[test]
        fn a_card_over_a_picture_of_a_model_says_so_and_needs_the_file() {
            let folder = tempfile::tempdir().unwrap();
            let cards = cards(folder.path());
            let mut ad = ad("Warm feet", "x/post/landscape");
            let plain = cards.draw(&ad).unwrap();
            let mut painted = Vec::new();
            let mut encoder = png::Encoder::new(&mut painted, 64, 32);
            encoder.set_color(png::ColorType::Grayscale);
            let mut writer = encoder.write_header().unwrap();
            writer.write_image_data(&[200; 64 * 32]).unwrap();
            writer.finish().unwrap();
            let file = cards.painted.put(&painted, "png").unwrap();
            let background = |file: &str| Background {
                file: file.to_owned(),
                model: "own/small-1".to_owned(),
                strategy: "backdrop".parse().unwrap(),
                prompt: limbic_domain::GeneratorVersion {
                    version: 1,
                    hash: "0123456789abcdef".to_owned(),
                },
            };
            ad.ai_generated = true;
            if let Some(picture) = &mut ad.picture {
                picture.background = Some(background(&file));
            }
            let drawn = cards.draw(&ad).unwrap();
            assert_ne!(drawn.sha256, plain.sha256);
            assert!(drawn.source.ends_with("/compositeWithTrainedAlgorithmicMedia"));
            if let Some(picture) = &mut ad.picture {
                picture.background = Some(background("lost.png"));
            }
            let error = cards.draw(&ad).unwrap_err();
            assert!(matches!(error, NoPicture::Never(_)), "{error:?}");
            assert!(error.to_string().contains("share the folder"), "{error}");
        }

        #[test]
        fn the_picture_of_an_ad_is_in_the_folder_and_described() {
            let folder = tempfile::tempdir().unwrap();
            let cards = cards(folder.path());
            let mut ad = ad("Warm feet", "x/post/landscape");
            let drawn = cards.draw(&ad).unwrap();
            assert_eq!(cards.draw(&ad).unwrap(), drawn);
            let file = std::fs::metadata(folder.path().join(&drawn.file)).unwrap();
            assert_eq!(file.len(), drawn.bytes);
            assert!(drawn.bytes <= 3_000_000, "the limit of the platform");
            assert_eq!(
                (drawn.width, drawn.height, &*drawn.media_type),
                (1200, 628, "image/png")
            );
            assert_eq!(drawn.alt, "Acme Boots. Warm feet. Light and dry. Try a pair.");
            assert!(drawn.source.ends_with("/algorithmicMedia"), "{}", drawn.source);
            ad.ai_generated = true;
            let of_model = cards.draw(&ad).unwrap();
            assert!(of_model.source.ends_with("/compositeWithTrainedAlgorithmicMedia"));
            assert_ne!(of_model.sha256, drawn.sha256, "its file says so too");
        }

        #[test]
        fn what_cannot_be_drawn_says_why() {
            let folder = tempfile::tempdir().unwrap();
            let cards = cards(folder.path());
            let mut colourless = ad("Warm feet", "x/post/landscape");
            if let Some(picture) = &mut colourless.picture {
                picture.colours = vec!["red".into()];
            }
            for (ad, why) in [
                (
                    ad(&"Warm feet in any weather. ".repeat(40), "x/post/landscape"),
                    "does not fit",
                ),
                (ad("Warm feet \u{16a0}", "x/post/landscape"), "U+16A0"),
                (ad("Warm feet", "x/post/round"), "`x/post/round`"),
                (ad("Warm feet", "landscape"), "`landscape`"),
                (colourless, "red"),
            ] {
                let error = cards.draw(&ad).unwrap_err();
                assert!(matches!(error, NoPicture::Never(_)), "{error:?}");
                assert!(error.to_string().contains(why), "{error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Overrides;

    fn settings(pictures: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("limbic.toml");
        let text = format!("[creative.formats]\nsocial = 'x/post'\n[creative.pictures]\n{pictures}");
        std::fs::write(&file, text).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        Settings::load(&overrides, &[]).unwrap()
    }

    #[test]
    fn a_program_says_at_once_whether_it_can_draw() {
        assert!(check(&settings("")).is_ok());
        let checked = check(&settings("social = 'landscape'"));
        if cfg!(feature = "render") {
            checked.unwrap();
        } else {
            let error = checked.unwrap_err().to_string();
            assert!(
                error.contains("--features render") && error.contains("creative.pictures"),
                "{error}"
            );
        }
    }
}
