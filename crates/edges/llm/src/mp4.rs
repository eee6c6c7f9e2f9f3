//! What is an MP4 file, by its bytes: its boxes are walked, nothing is decoded.
//!
//! The form of boxes is that of ISO/IEC 14496-12 (ISO base media file format), sections 4.2 (boxes), 4.3 (`ftyp`), 8.2 (`moov`, `mvhd`),
//! 8.4.3 (`hdlr`) and 8.1.1 (`mdat`).

use std::ops::Range;

/// What a file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mp4 {
    /// Duration in milliseconds. 0 if the file does not state it, as a file in fragments does not.
    pub millis: u64,
}

/// Why bytes are not a whole MP4 file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMp4 {
    /// The first bytes are those of another type.
    #[error("it is not an MP4 file: it does not begin with a box `ftyp`")]
    OtherType,
    /// A box has more bytes than there are, or fewer than its header.
    #[error("it is damaged or cut off: the box at byte {at} has a wrong size")]
    WrongSize {
        /// Where the box begins.
        at: usize,
    },
    /// A part that every video has is not there.
    #[error("it is damaged or no video: it has no {0}")]
    Missing(&'static str),
}

/// A box: its type, and where its content is.
struct Part {
    kind: [u8; 4],
    content: Range<usize>,
}

impl Mp4 {
    /// Walks the boxes of a file. Nothing beyond the end of a box is read.
    pub fn check(file: &[u8]) -> Result<Self, NotMp4> {
        let mut parts = Parts::of(file, 0..file.len());
        match parts.next() {
            Some(Ok(first)) if first.kind == *b"ftyp" && first.content.len() >= 8 => {}
            // A text or a picture: the size of a first box that is not one means nothing.
            _ if file.get(4..8) != Some(b"ftyp") => return Err(NotMp4::OtherType),
            Some(Err(error)) => return Err(error),
            _ => return Err(NotMp4::WrongSize { at: 0 }),
        }
        let (mut about, mut has_data) = (None, false);
        for part in parts {
            let part = part?;
            match &part.kind {
                b"moov" if about.is_none() => about = Some(movie(file, part.content)?),
                b"mdat" => has_data |= !part.content.is_empty(),
                _ => {}
            }
        }
        if !has_data {
            return Err(NotMp4::Missing("data (`mdat`)"));
        }
        about.ok_or(NotMp4::Missing("description (`moov`)"))
    }
}

/// Reads the box `moov`.
fn movie(file: &[u8], content: Range<usize>) -> Result<Mp4, NotMp4> {
    let (mut millis, mut has_video) = (None, false);
    for part in Parts::of(file, content) {
        let part = part?;
        match &part.kind {
            b"mvhd" => millis = Some(duration(&file[part.content])?),
            b"trak" => has_video |= is_video(file, part.content)?,
            _ => {}
        }
    }
    if !has_video {
        return Err(NotMp4::Missing("video track"));
    }
    let millis = millis.ok_or(NotMp4::Missing("header (`mvhd`)"))?;
    Ok(Mp4 { millis })
}

/// Whether a track is one of pictures: `trak` has `mdia`, which has `hdlr` with the type `vide`.
fn is_video(file: &[u8], track: Range<usize>) -> Result<bool, NotMp4> {
    for media in Parts::of(file, track) {
        let media = media?;
        if media.kind != *b"mdia" {
            continue;
        }
        for handler in Parts::of(file, media.content) {
            let handler = handler?;
            // Version and flags, and a field that is always 0, come before the type.
            if handler.kind == *b"hdlr" && file[handler.content].get(8..12) == Some(b"vide") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The duration that `mvhd` states, in milliseconds.
fn duration(header: &[u8]) -> Result<u64, NotMp4> {
    let missing = NotMp4::Missing("duration (`mvhd`)");
    let (scale, length) = match header.first() {
        // Version 1 has times of 64 bits.
        Some(1) => (number::<4>(header, 20), number::<8>(header, 24)),
        _ => (number::<4>(header, 12), number::<4>(header, 16)),
    };
    let (Some(scale), Some(length)) = (scale, length) else {
        return Err(missing);
    };
    if scale == 0 {
        return Err(missing);
    }
    let is_unknown = length == u64::MAX || length == u64::from(u32::MAX);
    let millis = u128::from(length) * 1_000 / u128::from(scale);
    Ok(if is_unknown {
        0
    } else {
        u64::try_from(millis).unwrap_or(u64::MAX)
    })
}

/// A number of `N` bytes, the highest first.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(N)?)?;
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)),
    )
}

/// The boxes of a part of a file, one after the other. It ends after the first error.
struct Parts<'a> {
    file: &'a [u8],
    rest: Range<usize>,
}

impl<'a> Parts<'a> {
    const fn of(file: &'a [u8], within: Range<usize>) -> Self {
        Self { file, rest: within }
    }

    /// The box at the beginning of the rest. `None` = its header is cut off, or its size is wrong.
    fn first(&self) -> Option<Part> {
        let Range { start, end } = self.rest;
        let rest = self.file.get(start..end)?;
        let kind = rest.get(4..8)?.try_into().ok()?;
        let (header, size) = match number::<4>(rest, 0)? {
            // The size follows, in 64 bits.
            1 => (16, usize::try_from(number::<8>(rest, 8)?).ok()?),
            // The box goes to the end.
            0 => (8, rest.len()),
            size => (8, usize::try_from(size).ok()?),
        };
        let is_right = size >= header && size <= rest.len();
        is_right.then(|| Part {
            kind,
            content: start + header..start + size,
        })
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, NotMp4>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.rest.start;
        let part = self.first();
        self.rest.start = part.as_ref().map_or(self.rest.end, |part| part.content.end);
        Some(part.ok_or(NotMp4::WrongSize { at }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap();
        [&size.to_be_bytes(), &kind[..], content].concat()
    }

    fn header(scale: u32, length: u32) -> Vec<u8> {
        let numbers = [0, 0, 0, scale, length].map(u32::to_be_bytes).concat();
        part(*b"mvhd", &[&numbers[..], &[0; 80]].concat())
    }

    fn track(kind: [u8; 4]) -> Vec<u8> {
        let handler = part(*b"hdlr", &[&[0; 8], &kind[..], &[0; 13]].concat());
        part(*b"trak", &part(*b"mdia", &handler))
    }

    fn file(movie: &[u8], data: &[u8]) -> Vec<u8> {
        let kind = part(*b"ftyp", b"isom\0\0\x02\0isommp42");
        [kind, part(*b"moov", movie), part(*b"mdat", data)].concat()
    }

    fn clip() -> Vec<u8> {
        file(
            &[header(1_000, 4_000), track(*b"soun"), track(*b"vide")].concat(),
            &[7; 99],
        )
    }

    #[test]
    fn a_whole_file_has_its_duration() {
        assert_eq!(Mp4::check(&clip()), Ok(Mp4 { millis: 4_000 }));
        let mut long = vec![1, 0, 0, 0];
        long.extend([0; 16]);
        long.extend(90_000_u32.to_be_bytes());
        long.extend(720_000_u64.to_be_bytes());
        let movie = [part(*b"mvhd", &long), track(*b"vide")].concat();
        assert_eq!(Mp4::check(&file(&movie, b"x")), Ok(Mp4 { millis: 8_000 }));
        let unknown = [header(1_000, u32::MAX), track(*b"vide")].concat();
        assert_eq!(Mp4::check(&file(&unknown, b"x")), Ok(Mp4 { millis: 0 }));
    }

    #[test]
    fn sizes_of_64_bits_and_a_last_box_without_a_size_are_read() {
        let mut open = clip();
        let data = open.len() - 107;
        open[data..data + 4].copy_from_slice(&0_u32.to_be_bytes());
        assert!(Mp4::check(&open).is_ok());
        let start = &clip()[..data];
        let large = [&1_u32.to_be_bytes(), &b"mdat"[..], &24_u64.to_be_bytes(), &[7; 8]].concat();
        assert!(Mp4::check(&[start, &large].concat()).is_ok());
        let huge = [&1_u32.to_be_bytes(), &b"mdat"[..], &u64::MAX.to_be_bytes()].concat();
        let error = Mp4::check(&[start, &huge].concat()).unwrap_err();
        assert_eq!(error, NotMp4::WrongSize { at: data });
    }

    #[test]
    fn what_is_no_video_says_why() {
        let no_data = file(&[header(1, 1), track(*b"vide")].concat(), b"");
        for (bytes, said) in [
            (b"".to_vec(), "does not begin"),
            (b"{\"error\": {\"code\": 404}}".to_vec(), "does not begin"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "does not begin"),
            (part(*b"ftyp", b"isom"), "wrong size"),
            (part(*b"ftyp", b"isom\0\0\x02\0"), "`mdat`"),
            (no_data, "`mdat`"),
            (
                file(&[header(1, 1), track(*b"soun")].concat(), b"x"),
                "video track",
            ),
            (file(&track(*b"vide"), b"x"), "`mvhd`"),
            (file(&[header(0, 1), track(*b"vide")].concat(), b"x"), "duration"),
        ] {
            let error = Mp4::check(&bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_file_that_is_cut_anywhere_is_refused(cut in 0..clip().len()) {
            prop_assert!(Mp4::check(&clip()[..cut]).is_err());
        }

        #[test]
        fn any_bytes_have_an_answer(
            changes in prop::collection::vec((0..clip().len(), any::<u8>()), 0..8),
            noise in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut file = clip();
            for (place, byte) in changes {
                file[place] = byte;
            }
            file.extend(&noise);
            let _ = Mp4::check(&file);
            let _ = Mp4::check(&noise);
        }
    }
}
