//! The bytes of a file as UTF-8, whatever compression and encoding it has.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;

/// How many bytes are looked at to find the shape of a file.
const HEAD: u64 = 64 << 10;

/// A file as UTF-8 text without a byte-order mark.
pub(super) struct Source {
    /// Its first bytes, at most [`HEAD`]. They are in `reader` too.
    pub(super) head: Vec<u8>,
    pub(super) reader: Box<dyn BufRead + Send>,
    pub(super) progress: Progress,
    /// The name without an ending for the compression.
    pub(super) name: PathBuf,
}

/// How much of a file was read.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    read: Arc<AtomicU64>,
    length: u64,
}

impl Progress {
    /// Of a file whose reader counts by itself, with the number of bytes read.
    #[cfg(any(feature = "avro", feature = "parquet"))]
    pub(super) fn counted(length: u64) -> (Self, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        let progress = Self {
            read: Arc::clone(&read),
            length,
        };
        (progress, read)
    }

    /// The bytes that were read so far, and the bytes of the file.
    pub(super) fn of(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.length)
    }
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Source {
    /// Opens a file. gzip and zstd are recognised by their first bytes, UTF-16 by its byte-order mark or by the zeros between
    /// ASCII letters. `encoding` is used if there is no byte-order mark; without it the text is UTF-8.
    pub(super) fn open(path: &Path, encoding: Option<&'static Encoding>) -> io::Result<Self> {
        let file = File::open(path)?;
        let progress = Progress {
            read: Arc::new(AtomicU64::new(0)),
            length: file.metadata()?.len(),
        };
        let counted = Counted {
            inner: file,
            read: Arc::clone(&progress.read),
        };
        let mut name = path.to_owned();
        let (magic, raw) = peek(counted, 4)?;
        let bytes: Box<dyn Read + Send> = match *magic {
            [0x1f, 0x8b, ..] => {
                name.set_extension("");
                Box::new(flate2::read::MultiGzDecoder::new(raw))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                name.set_extension("");
                Box::new(zstd::stream::read::Decoder::new(raw)?)
            }
            _ => Box::new(raw),
        };
        let (start, bytes) = peek(bytes, 512)?;
        let encoding = encoding.or_else(|| utf_16(&start));
        let text = DecodeReaderBytesBuilder::new()
            .encoding(encoding)
            .bom_override(true)
            .strip_bom(true)
            // Invalid UTF-8 costs its row, not the file.
            .utf8_passthru(true)
            .build(bytes);
        let (head, reader) = peek(text, HEAD)?;
        Ok(Self {
            head,
            reader: Box::new(BufReader::with_capacity(1 << 16, reader)),
            progress,
            name,
        })
    }
}

/// A reader behind the bytes that were taken from it.
type Whole<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// The first bytes of `reader`, and a reader that begins with them.
fn peek<R: Read>(mut reader: R, most: u64) -> io::Result<(Vec<u8>, Whole<R>)> {
    let mut head = Vec::new();
    reader.by_ref().take(most).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

/// UTF-16 without a byte-order mark: of the first bytes, nearly every second one is 0.
fn utf_16(start: &[u8]) -> Option<&'static Encoding> {
    let pairs = start.len() / 2;
    let zeros = |first: usize| {
        start
            .iter()
            .skip(first)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    match pairs {
        0..4 => None,
        _ if odd * 10 >= pairs * 8 && even * 10 < pairs => Some(UTF_16LE),
        _ if even * 10 >= pairs * 8 && odd * 10 < pairs => Some(UTF_16BE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn text(bytes: &[u8], encoding: Option<&'static Encoding>) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut text = String::new();
        let mut source = Source::open(file.path(), encoding).unwrap();
        source.reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_text_is_the_same_in_every_encoding_and_compression() {
        let original = "id,text\n1,caf\u{e9} \u{2603}\n";
        let little: Vec<u8> = original.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = original.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let with_mark = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&with_mark(b"\xef\xbb\xbf", original.as_bytes()))
            .unwrap();
        for bytes in [
            original.as_bytes().to_vec(),
            with_mark(b"\xef\xbb\xbf", original.as_bytes()),
            with_mark(b"\xff\xfe", &little),
            with_mark(b"\xfe\xff", &big),
            little,
            big,
            gzip.finish().unwrap(),
            zstd::encode_all(original.as_bytes(), 1).unwrap(),
        ] {
            assert_eq!(text(&bytes, None), original, "{bytes:?}");
        }
        assert_eq!(text(b"caf\xe9", Some(encoding_rs::WINDOWS_1252)), "caf\u{e9}");
    }
}
