//! The files of the model that ships with the program, as data: `models/affect-l6`.
//!
//! The crate only contains the 46 MB, so that they are compiled once. It does not read them: `limbic-affect` does. Only the
//! program `limbic` depends on it.
//!
//! # Example
//!
//! ```
//! let files = limbic_shipped_model::FILES;
//! assert!(files.iter().any(|(name, bytes)| *name == "vocab.txt" && bytes.starts_with(b"[PAD]")));
//! ```

/// The model's name.
pub const NAME: &str = "affect-l6";

/// The files of the model's folder, by name.
pub static FILES: &[(&str, &[u8])] = &[
    (
        "config.json",
        include_bytes!("../../../../models/affect-l6/config.json"),
    ),
    (
        "model.safetensors",
        include_bytes!("../../../../models/affect-l6/model.safetensors"),
    ),
    (
        "vocab.txt",
        include_bytes!("../../../../models/affect-l6/vocab.txt"),
    ),
    (
        "sensitive-events.bin",
        include_bytes!("../../../../models/affect-l6/sensitive-events.bin"),
    ),
    (
        "familiarity.bin",
        include_bytes!("../../../../models/affect-l6/familiarity.bin"),
    ),
];
