//! An adapter as a file: one line with format and checksum, then JSON.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use limbic_domain::Slug;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fit::Head;
use super::report::Report;
use super::{CLASSES, Input, PerClass, name_of, softmax};
use crate::ModelReader;

/// How the first line begins: format and version. The checksum of the rest follows.
const MAGIC: &str = "limbic-adapter-1 sha256:";
/// Digits of the checksum in the name of a version.
const SHORT: usize = 8;
/// Largest size of a file that is read, in bytes. A head of the largest supported model has about a tenth.
const LARGEST: u64 = 4 << 20;

/// A head that reads the sentiment of one kind of posts, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    content: Content,
    version: String,
}

/// The JSON of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    name: Slug,
    /// Version of the model that the adapter was fitted to.
    model: String,
    /// Checksum of that model's `config.json`, which has the checksum of its weights.
    config: String,
    /// Posts that it was fitted to.
    posts: usize,
    /// What the cross-validation said, for people.
    gain: Gain,
    labels: PerClass<String>,
    temperature: f32,
    head: Head,
}

/// The gain in the deciding measure, in shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gain {
    measure: String,
    general: f64,
    adapted: f64,
    low: f64,
    high: f64,
}

/// Why a file cannot be used as an adapter.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file cannot be read.
    #[error("{} cannot be read: correct the path, or remove the adapter from the settings", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is not an adapter: give the file that `limbic train adapter` wrote, which ends in .adapter", path.display())]
    NoAdapter {
        /// The file.
        path: PathBuf,
    },
    /// The content does not have the checksum of the first line, or is not valid.
    #[error("{} is damaged ({what}): copy it again, or fit it again with `limbic train adapter`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It belongs to another model.
    #[error(
        "{} was fitted to the model {made_for}, and {model} reads: fit it again with `limbic train adapter`, or set affect.model to the \
         model that it was fitted to",
        path.display()
    )]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// Version and configuration that it was fitted to.
        made_for: String,
        /// Version and configuration of the model that reads.
        model: String,
    },
}

impl Adapter {
    /// How the names of files end.
    pub const EXTENSION: &'static str = "adapter";

    pub(super) fn new(
        name: &Slug,
        reader: &ModelReader,
        head: Head,
        temperature: f64,
        report: &Report,
    ) -> Self {
        let deciding = report.deciding();
        let content = Content {
            name: name.clone(),
            model: reader.model_version().to_owned(),
            config: reader.configuration().to_owned(),
            posts: report.posts,
            gain: Gain {
                measure: deciding.map_or_else(String::new, |one| one.measure.to_owned()),
                general: deciding.map_or(0.0, |one| one.general.value),
                adapted: deciding.map_or(0.0, |one| one.adapted.value),
                low: deciding.map_or(0.0, |one| one.gain.low),
                high: deciding.map_or(0.0, |one| one.gain.high),
            },
            labels: CLASSES.map(|class| name_of(class).to_owned()),
            temperature: temperature as f32,
            head,
        };
        let version = version(name, &checksum(json(&content).as_bytes()));
        Self { content, version }
    }

    /// Reads and checks a file. Whether it fits a model is checked when the model takes it.
    pub fn open(path: &Path) -> Result<Self, AdapterError> {
        let unreadable = |source| AdapterError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        let no_adapter = || AdapterError::NoAdapter {
            path: path.to_owned(),
        };
        if size > LARGEST {
            return Err(no_adapter());
        }
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(no_adapter()),
            Err(error) => return Err(unreadable(error)),
        };
        let damaged = |what: String| AdapterError::Damaged {
            path: path.to_owned(),
            what,
        };
        let rest = text.strip_prefix(MAGIC).ok_or_else(no_adapter)?;
        let (wanted, json) = rest
            .split_once('\n')
            .ok_or_else(|| damaged("it ends early".to_owned()))?;
        let json = json.trim_end();
        let found = checksum(json.as_bytes());
        if found != wanted.trim_end() {
            return Err(damaged("its checksum is another".to_owned()));
        }
        let content: Content = serde_json::from_str(json).map_err(|error| damaged(error.to_string()))?;
        content.check().map_err(|what| damaged(what.to_owned()))?;
        Ok(Self {
            version: version(&content.name, &found),
            content,
        })
    }

    /// The file's content.
    pub fn to_text(&self) -> String {
        let json = json(&self.content);
        format!("{MAGIC}{}\n{json}\n", checksum(json.as_bytes()))
    }

    /// Name and the first digits of the checksum, as readings have it: `finance-1a2b3c4d`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.content.name.as_str()
    }

    /// What it was fitted to and what it gained, in words for `limbic check`.
    pub fn description(&self) -> String {
        let Gain {
            measure,
            general,
            adapted,
            low,
            high,
        } = &self.content.gain;
        let [general, adapted, low, high] = [general, adapted, low, high].map(|share| 100.0 * share);
        format!(
            "{}: {} posts, {measure} {general:.1} → {adapted:.1} by cross-validation (gain {low:+.1} to {high:+.1})",
            self.version, self.content.posts
        )
    }

    /// Refuses to serve another model than its own. `path` is for the error.
    pub(super) fn check(&self, reader: &ModelReader, path: &Path) -> Result<(), AdapterError> {
        let Content { model, config, .. } = &self.content;
        let is_same = model == reader.model_version() && config == reader.configuration();
        if is_same && self.content.head.weights[0].len() == reader.adapter_width() {
            return Ok(());
        }
        let named = |model: &str, config: &str| {
            let short: String = config.chars().take(SHORT).collect();
            format!("{model} (config.json {short})")
        };
        Err(AdapterError::OtherModel {
            path: path.to_owned(),
            made_for: named(model, config),
            model: named(reader.model_version(), reader.configuration()),
        })
    }

    /// Negative, neutral, positive.
    pub(crate) fn probabilities(&self, input: &Input) -> PerClass<f64> {
        let logits = self.content.head.logits(&input.features, input.general);
        softmax(logits.map(|logit| logit / f64::from(self.content.temperature)))
    }
}

impl Content {
    /// Whether every number is sound. The error says what is wrong.
    fn check(&self) -> Result<(), &'static str> {
        let Head { weights, biases } = &self.head;
        let mut numbers = biases.iter().chain(weights.iter().flatten());
        let is_factor = self.temperature.is_finite() && self.temperature > 0.0;
        if !is_factor || !numbers.all(|number| number.is_finite()) {
            return Err("a number is out of range");
        }
        let width = weights[0].len();
        if width == 0 || weights.iter().any(|weights| weights.len() != width) {
            return Err("its classes have different numbers of weights");
        }
        if self.labels != CLASSES.map(name_of) {
            return Err("its classes are not negative, neutral, positive");
        }
        Ok(())
    }
}

fn json(content: &Content) -> String {
    serde_json::to_string(content).expect("names, numbers and lists are JSON")
}

fn version(name: &Slug, checksum: &str) -> String {
    format!("{name}-{}", &checksum[..SHORT])
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
impl Adapter {
    /// An adapter for inputs of one feature: the larger it is, the more positive.
    pub(super) fn for_tests(name: &str) -> Self {
        let content = Content {
            name: Slug::new(name).expect("a test gives a name"),
            model: "small-1".to_owned(),
            config: checksum(b""),
            posts: 200,
            gain: Gain {
                measure: "macro-F1".to_owned(),
                general: 0.6,
                adapted: 0.65,
                low: 0.02,
                high: 0.08,
            },
            labels: CLASSES.map(|class| name_of(class).to_owned()),
            temperature: 1.25,
            head: Head {
                weights: [vec![-0.1], vec![0.0], vec![0.123_456_79]],
                biases: [0.0, 0.1, -1.0e-8],
            },
        };
        let version = version(&content.name, &checksum(json(&content).as_bytes()));
        Self { content, version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Result<Adapter, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        Adapter::open(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_gives_the_adapter_that_was_written() {
        let adapter = Adapter::for_tests("finance");
        assert_eq!(written(adapter.to_text().as_bytes()), Ok(adapter.clone()));
        assert!(adapter.version().starts_with("finance-") && adapter.version().len() == 16);
        let text = adapter.description();
        assert!(
            text.contains("200 posts, macro-F1 60.0 → 65.0") && text.contains("+2.0 to +8.0"),
            "{text}"
        );
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let text = Adapter::for_tests("finance").to_text();
        for at in (0..text.len() - 1).step_by(7) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(written(&bytes).is_err(), "byte {at}");
            assert!(written(&text.as_bytes()[..at]).is_err(), "{at} bytes");
        }
        let cut = written(&text.as_bytes()[..text.len() - 20]).unwrap_err();
        assert!(
            cut.contains("damaged") && cut.contains("limbic train adapter"),
            "{cut}"
        );
    }

    #[test]
    fn other_files_are_no_adapters() {
        for bytes in [
            &b""[..],
            b"text,label\ngood,positive\n",
            &[0xff, 0xfe, 0x00],
            &vec![b'x'; 5 << 20],
        ] {
            let error = written(bytes).unwrap_err();
            assert!(error.contains("is not an adapter"), "{error}");
        }
        let error = Adapter::open(Path::new("nowhere.adapter")).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }

    #[test]
    fn a_whole_file_with_unsound_numbers_is_refused() {
        let with = |change: fn(&mut Content)| {
            let mut content = Adapter::for_tests("finance").content;
            change(&mut content);
            let json = json(&content);
            written(format!("{MAGIC}{}\n{json}\n", checksum(json.as_bytes())).as_bytes()).unwrap_err()
        };
        assert!(with(|content| content.temperature = 0.0).contains("out of range"));
        assert!(with(|content| content.head.weights[1].clear()).contains("different numbers"));
        assert!(with(|content| content.labels.reverse()).contains("its classes are not"));
        // JSON has no infinite numbers.
        assert!(with(|content| content.head.biases[0] = f32::INFINITY).contains("damaged"));
    }
}
