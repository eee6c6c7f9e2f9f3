//! What the file of a picture says about itself: how it was made, and what is on it.

use std::fmt::Write as _;

/// Most characters of an alternative text in a file. A segment of a JPEG file has less than 64 kB.
const LONGEST: usize = 2_000;

/// How a picture came to be, by the controlled vocabulary *Digital Source Type* of the IPTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigitalSource {
    /// A program drew it by rules, and no model was trained for it.
    #[default]
    AlgorithmicMedia,
    /// A program drew it, and an AI model wrote texts that are on it or painted what is behind them.
    CompositeWithTrainedAlgorithmicMedia,
}

impl DigitalSource {
    /// The URI of the concept.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AlgorithmicMedia => "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia",
            Self::CompositeWithTrainedAlgorithmicMedia => {
                "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
            }
        }
    }
}

/// What a file says about its picture. It is written as XMP (ISO 16684-1) with the properties of the IPTC Photo Metadata Standard 2025.1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    /// How the picture came to be.
    pub source: DigitalSource,
    /// What is on it, for people who do not see it. Empty = not stated.
    pub alt: String,
}

impl Mark {
    /// The packet of XMP.
    pub(crate) fn xmp(&self) -> String {
        let mut packet = format!(
            "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\
             <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\
             <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
             <rdf:Description rdf:about=\"\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" \
             xmlns:Iptc4xmpCore=\"http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/\" \
             xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" \
             xmp:CreatorTool=\"Limbic\" Iptc4xmpExt:DigitalSourceType=\"{}\">",
            self.source.uri()
        );
        if !self.alt.is_empty() {
            let _ = write!(
                packet,
                "<Iptc4xmpCore:AltTextAccessibility><rdf:Alt><rdf:li xml:lang=\"x-default\">{}</rdf:li></rdf:Alt>\
                 </Iptc4xmpCore:AltTextAccessibility>",
                escaped(&self.alt)
            );
        }
        packet.push_str("</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end=\"r\"?>");
        packet
    }
}

/// The text as XML, without characters that XML 1.0 does not have.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().take(LONGEST) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_an_alternative_text_is_text() {
        let mark = Mark {
            alt: "a</rdf:li> & \"b\"\n\u{0}\u{ffff}".into(),
            ..Mark::default()
        };
        let packet = mark.xmp();
        assert!(
            packet.contains(">a&lt;/rdf:li&gt; &amp; \"b\"  </rdf:li>"),
            "{packet}"
        );
        assert_eq!(packet.matches("</rdf:li>").count(), 1);
        assert!(!Mark::default().xmp().contains("AltText"));
    }

    #[test]
    fn the_longest_text_fits_into_a_segment_of_a_jpeg_file() {
        for letter in ["&", "😀"] {
            let mark = Mark {
                alt: letter.repeat(100_000),
                ..Mark::default()
            };
            assert!(mark.xmp().len() < 60_000);
        }
    }
}
