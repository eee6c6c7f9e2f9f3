//! Settings, and the values in them.

use limbic_domain::{ByteSize, HumanDuration};

/// A section is read or the error says why not, and a value that is written reads as the same.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(duration) = text.parse::<HumanDuration>() {
        assert_eq!(duration.to_string().parse().ok(), Some(duration));
    }
    if let Ok(size) = text.parse::<ByteSize>() {
        let _ = size.to_string();
    }
    let _ = toml::from_str::<limbic_ingest::Settings>(text);
    if let Ok(settings) = toml::from_str::<limbic_affect::Settings>(text) {
        let _ = limbic_affect::SubjectTagger::new(&settings.subjects);
    }
    let _ = limbic_ingest::replay::Mapping::parse(text);
    let _ = limbic_ingest::replay::Times::new(Some(text), None);
    let _ = limbic_ingest::replay::Times::new(None, Some(text));
}
