//! `limbic render`.

use std::process::ExitCode;

use crate::cli::RenderArgs;

/// Says how to get a program that renders.
#[cfg(not(feature = "render"))]
pub fn run(_: &RenderArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!(
        "this program was built without pictures: build it with `cargo build --release --features render`, and install the Debian \
         packages fonts-noto-core, fonts-noto-cjk and fonts-noto-color-emoji"
    )
}

/// Renders one card into a file.
#[cfg(feature = "render")]
pub fn run(args: &RenderArgs) -> anyhow::Result<ExitCode> {
    use limbic_render::{Backdrop, Card, Fonts, Mark};

    let size = rendering::size(&args.size)?;
    let kind = rendering::kind(&args.out)?;
    super::check_writable(&args.out)?;
    let fonts = Fonts::load(args.fonts.as_deref())?;
    let card = Card {
        headline: args.text.clone(),
        body: args.body.clone(),
        button: args.button.clone(),
        brand: args.brand.clone(),
        colours: rendering::colours(args)?,
        language: args.language.clone(),
        mark: Mark {
            alt: args.text.clone(),
            ..Mark::default()
        },
        backdrop: args.backdrop.as_ref().map(|path| Backdrop {
            name: path.display().to_string(),
            path: path.clone(),
        }),
    };
    let picture = card.render(&fonts, size.width, size.height)?;
    let file = picture.encode(kind, size.bytes)?;
    std::fs::write(&args.out, &file)
        .map_err(|error| anyhow::anyhow!("{} cannot be written: {error}", args.out.display()))?;
    say!(
        "{}: {} × {} pixels, {} bytes",
        args.out.display(),
        size.width,
        size.height,
        file.len()
    )?;
    for note in &picture.notes {
        say!("  {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the arguments mean.
#[cfg(feature = "render")]
mod rendering {
    use std::path::Path;

    use anyhow::Context as _;
    use limbic_fit::ImageType;
    use limbic_render::Colours;

    use crate::cli::RenderArgs;

    /// Pixels, and the largest file.
    pub(super) struct Size {
        pub(super) width: u32,
        pub(super) height: u32,
        pub(super) bytes: Option<usize>,
    }

    pub(super) fn size(text: &str) -> anyhow::Result<Size> {
        if let Some((platform, rest)) = text.split_once('/') {
            let (format, name) = rest.rsplit_once('/').with_context(|| {
                format!("--size {text}: write PLATFORM/FORMAT/IMAGE, as in x/post/landscape, or 1200x628")
            })?;
            let format = limbic_fit::format(platform, format)?;
            let known: Vec<&str> = format.images.iter().map(|image| image.name.as_str()).collect();
            let image = format.images.iter().find(|image| image.name == name);
            let image = image.with_context(|| {
                format!(
                    "--size {text}: {} has no image `{name}`: use one of {}",
                    format.name(),
                    known.join(", ")
                )
            })?;
            return Ok(Size {
                width: image.width,
                height: image.height,
                bytes: Some(image.bytes),
            });
        }
        let sides = text.split_once('x');
        let sides = sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        let (width, height) = sides.with_context(|| {
            format!("--size {text}: write width and height in pixels, as in 1200x628, or an image of an ad platform, as in x/post/landscape")
        })?;
        Ok(Size {
            width,
            height,
            bytes: None,
        })
    }

    pub(super) fn kind(file: &Path) -> anyhow::Result<ImageType> {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        match ending.to_ascii_lowercase().as_str() {
            "png" => Ok(ImageType::Png),
            "jpg" | "jpeg" => Ok(ImageType::Jpeg),
            "webp" => Ok(ImageType::Webp),
            _ => anyhow::bail!(
                "--out {}: the ending decides the type of the file: use .png, .jpg or .webp",
                file.display()
            ),
        }
    }

    pub(super) fn colours(args: &RenderArgs) -> anyhow::Result<Colours> {
        let mut colours = Colours {
            correct: !args.strict_colours,
            ..Colours::default()
        };
        let Some(text) = &args.colours else {
            return Ok(colours);
        };
        let places = [&mut colours.background, &mut colours.text, &mut colours.accent];
        anyhow::ensure!(
            text.split(',').count() <= places.len(),
            "--colours {text}: write at most three colours: background, text, accent"
        );
        for (place, colour) in places.into_iter().zip(text.split(',')) {
            *place = colour.parse()?;
        }
        Ok(colours)
    }
}
