//! Files that servers send.

fn part(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).unwrap();
    [&size.to_be_bytes(), &kind[..], content].concat()
}

/// The boxes of an MP4 file of this many seconds, with data that is no film.
pub(crate) fn clip(seconds: u32) -> Vec<u8> {
    let numbers = [0, 0, 0, 1_000, seconds * 1_000].map(u32::to_be_bytes).concat();
    let header = part(*b"mvhd", &[&numbers[..], &[0; 80]].concat());
    let handler = part(*b"hdlr", &[&[0; 8], &b"vide"[..], &[0; 13]].concat());
    let track = part(*b"trak", &part(*b"mdia", &handler));
    [
        part(*b"ftyp", b"isom\0\0\x02\0isommp42"),
        part(*b"moov", &[header, track].concat()),
        part(*b"mdat", &[7; 1_000]),
    ]
    .concat()
}

/// The same without its end.
pub(crate) fn cut(seconds: u32) -> Vec<u8> {
    let mut file = clip(seconds);
    file.truncate(file.len() - 200);
    file
}
