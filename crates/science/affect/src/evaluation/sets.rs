//! Reads the public data sets that `SOURCES.md` of the data folder describes.

use std::path::{Path, PathBuf};

/// Labels of `TweetEval` and the other tasks, in the order of their numbers.
pub(super) const SENTIMENT: [&str; 3] = ["negative", "neutral", "positive"];
pub(super) const EMOTION: [&str; 4] = ["anger", "joy", "optimism", "sadness"];
pub(super) const EC: [&str; 11] = [
    "anger",
    "anticipation",
    "disgust",
    "fear",
    "joy",
    "love",
    "optimism",
    "pessimism",
    "sadness",
    "surprise",
    "trust",
];

/// All tasks, by the names that models use.
pub const TASKS: [&str; 12] = [
    "emotion",
    "sentiment",
    "irony",
    "hate",
    "offensive",
    "goemotions",
    "ec",
    "valence",
    "ei_anger",
    "ei_fear",
    "ei_joy",
    "ei_sadness",
];

/// A split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// For training.
    Train,
    /// For choosing settings.
    Validation,
    /// For the final measurement only.
    Test,
}

/// A data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// A file is missing.
    #[error("cannot read {}: is --data the folder of public data sets?", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A row is invalid.
    #[error("{} line {line}: {what}", path.display())]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The task is unknown.
    #[error("no task `{0}`: there are {known}", known = TASKS.join(", "))]
    Unknown(String),
}

/// True values of the posts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Truth {
    /// One class per post.
    Classes(Vec<usize>),
    /// A set of labels per post, as bits.
    Labels(Vec<u32>),
    /// A number per post.
    Numbers(Vec<f64>),
}

/// Posts and their true values.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) texts: Vec<String>,
    pub(super) truth: Truth,
    pub(super) labels: Vec<String>,
}

fn lines(path: &Path) -> Result<Vec<String>, SetError> {
    let bytes = std::fs::read(path).map_err(|source| SetError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .strip_suffix('\n')
        .unwrap_or(&text)
        .split('\n')
        .map(|line| line.trim_end_matches('\r').to_owned())
        .collect())
}

/// The posts of a split of a task.
pub(super) fn load(data: &Path, task: &str, split: Split) -> Result<Set, SetError> {
    match task {
        "emotion" => tweeteval(data, task, split, &EMOTION),
        "sentiment" => tweeteval(data, task, split, &SENTIMENT),
        "irony" | "hate" | "offensive" => tweeteval(data, task, split, &["not", task]),
        "goemotions" => goemotions(data, split),
        "ec" => ec(data, split),
        "valence" => intensity(data, "V-reg/Valence-reg-En", task, split),
        _ => match task.strip_prefix("ei_") {
            Some(name @ ("anger" | "fear" | "joy" | "sadness")) => {
                intensity(data, &format!("EI-reg/EI-reg-En-{name}"), task, split)
            }
            _ => Err(SetError::Unknown(task.to_owned())),
        },
    }
}

fn malformed(path: &Path, line: usize, what: impl Into<String>) -> SetError {
    SetError::Malformed {
        path: path.to_owned(),
        line: line + 1,
        what: what.into(),
    }
}

fn tweeteval(data: &Path, task: &str, split: Split, labels: &[&str]) -> Result<Set, SetError> {
    if (task, split) == ("sentiment", Split::Train) {
        return sentiment_train(data);
    }
    let name = match split {
        Split::Train => "train",
        Split::Validation => "val",
        Split::Test => "test",
    };
    let folder = data.join("tweeteval").join(task);
    let texts = lines(&folder.join(format!("{name}_text.txt")))?;
    let path = folder.join(format!("{name}_labels.txt"));
    let classes = lines(&path)?;
    if texts.len() != classes.len() {
        return Err(malformed(
            &path,
            classes.len(),
            format!("there are {} texts", texts.len()),
        ));
    }
    let class = |(line, text): (usize, &String)| {
        let class = text.trim().parse().ok().filter(|class| *class < labels.len());
        class.ok_or_else(|| malformed(&path, line, format!("`{text}` is not a class")))
    };
    Ok(Set {
        name: format!("TweetEval {task} {name}"),
        truth: Truth::Classes(classes.iter().enumerate().map(class).collect::<Result<_, _>>()?),
        texts: if task == "sentiment" {
            texts.iter().map(|text| unescaped(text)).collect()
        } else {
            texts
        },
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    })
}

/// `TweetEval` has no texts of its training split of sentiment. These are the same posts, from its source.
fn sentiment_train(data: &Path) -> Result<Set, SetError> {
    let path = data.join("sentiment_train_reconstructed/train.tsv");
    let (mut texts, mut classes) = (Vec::new(), Vec::new());
    for (line, row) in lines(&path)?.iter().enumerate().skip(1) {
        let columns: Vec<&str> = row.splitn(4, '\t').collect();
        let [_, _, class, text] = columns[..] else {
            return Err(malformed(&path, line, "four columns are expected"));
        };
        texts.push(unescaped(text));
        classes.push(
            class
                .parse()
                .map_err(|_| malformed(&path, line, "the third column is the class"))?,
        );
    }
    Ok(Set {
        name: "SemEval 2013-2016 sentiment".to_owned(),
        texts,
        truth: Truth::Classes(classes),
        labels: SENTIMENT.map(str::to_owned).into(),
    })
}

fn goemotions(data: &Path, split: Split) -> Result<Set, SetError> {
    let folder = data.join("goemotions/original");
    let name = match split {
        Split::Train => "train",
        Split::Validation => "dev",
        Split::Test => "test",
    };
    let labels: Vec<String> = lines(&folder.join("labels.txt"))?
        .iter()
        .map(|l| l.trim().to_owned())
        .collect();
    let path = folder.join(format!("{name}.tsv"));
    let (mut texts, mut sets) = (Vec::new(), Vec::new());
    for (line, row) in lines(&path)?.iter().enumerate() {
        let mut columns = row.split('\t');
        let (Some(text), Some(named)) = (columns.next(), columns.next()) else {
            return Err(malformed(&path, line, "three columns are expected"));
        };
        let mut set = 0_u32;
        for label in named.split(',') {
            let label: usize = label
                .parse()
                .ok()
                .filter(|label| *label < labels.len())
                .ok_or_else(|| malformed(&path, line, format!("`{label}` is not a label")))?;
            set |= 1 << label;
        }
        texts.push(text.to_owned());
        sets.push(set);
    }
    Ok(Set {
        name: format!("GoEmotions {name}"),
        texts,
        truth: Truth::Labels(sets),
        labels,
    })
}

/// Rows of a file of `SemEval` 2018 task 1, without the header and the synthetic rows: the text, then the rest.
fn semeval(data: &Path, stem: &str, split: Split) -> Result<(PathBuf, Vec<(usize, String)>), SetError> {
    let name = match split {
        Split::Train => "train",
        Split::Validation => "dev",
        Split::Test => "test-gold",
    };
    let path = data.join(format!("semeval2018/task1/{stem}-{name}.txt"));
    let rows = lines(&path)?.into_iter().enumerate().skip(1);
    let rows = rows
        .filter(|(_, row)| !row.split('\t').next().unwrap_or("").contains("mystery"))
        .collect();
    Ok((path, rows))
}

fn ec(data: &Path, split: Split) -> Result<Set, SetError> {
    let (path, rows) = semeval(data, "E-c/E-c-En", split)?;
    let (mut texts, mut sets) = (Vec::new(), Vec::new());
    for (line, row) in rows {
        let columns: Vec<&str> = row.split('\t').collect();
        if columns.len() != 2 + EC.len() {
            return Err(malformed(
                &path,
                line,
                format!("{} columns, not {}", columns.len(), 2 + EC.len()),
            ));
        }
        texts.push(columns[1].to_owned());
        let named = columns[2..].iter().enumerate().filter(|(_, c)| c.trim() == "1");
        sets.push(named.fold(0, |set, (label, _)| set | 1 << label));
    }
    Ok(Set {
        name: format!("SemEval 2018 E-c, {}", split.name()),
        texts,
        truth: Truth::Labels(sets),
        labels: EC.map(str::to_owned).into(),
    })
}

fn intensity(data: &Path, stem: &str, task: &str, split: Split) -> Result<Set, SetError> {
    let (path, rows) = semeval(data, stem, split)?;
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    for (line, row) in rows {
        let columns: Vec<&str> = row.split('\t').collect();
        let number = columns.get(3).and_then(|number| number.trim().parse().ok());
        numbers.push(number.ok_or_else(|| malformed(&path, line, "the fourth column is a number"))?);
        texts.push(columns[1].to_owned());
    }
    Ok(Set {
        name: format!("SemEval 2018 {stem}, {}", split.name()),
        texts,
        truth: Truth::Numbers(numbers),
        labels: vec![task.to_owned()],
    })
}

impl Split {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The files of `SemEval` 2017, and the sentiment of `TweetEval` from them, write some letters as `\uXXXX` and quotes
/// with a backslash.
fn unescaped(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let code = rest
            .strip_prefix("\\u")
            .and_then(|after| after.get(..4))
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u16::from_str_radix(hex, 16).ok());
        if let Some(code) = code {
            units.push(code);
            rest = &rest[6..];
        } else {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            rest = &rest[c.len_utf8()..];
        }
    }
    String::from_utf16_lossy(&units)
        .replace("\\\"\"", "\"")
        .replace("\\\"", "\"")
        .replace("\\n", " ")
}

/// A sentence of the Equity Evaluation Corpus (Kiritchenko and Mohammad, *SEM 2018).
#[derive(Debug)]
pub(super) struct Sentence {
    pub(super) text: String,
    /// Template and emotion word. Sentences with the same pair differ only in the person.
    pub(super) pair: String,
    pub(super) gender: String,
    pub(super) group: String,
}

pub(super) fn equity(data: &Path) -> Result<Vec<Sentence>, SetError> {
    let path = data.join("equity_evaluation_corpus/Equity-Evaluation-Corpus.csv");
    let mut sentences = Vec::new();
    for (line, row) in lines(&path)?
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, row)| !row.is_empty())
    {
        // No field of the file contains a comma.
        let columns: Vec<&str> = row.split(',').collect();
        let [_, text, template, _, gender, group, _, word] = columns[..] else {
            return Err(malformed(&path, line, "eight columns are expected"));
        };
        sentences.push(Sentence {
            text: text.to_owned(),
            pair: format!("{template}|{word}"),
            gender: gender.to_owned(),
            group: group.to_owned(),
        });
    }
    Ok(sentences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_letters_are_decoded() {
        assert_eq!(
            unescaped(r#"can\u2019t \""stop\"" \ud83d\ude02 it\n"#),
            "can’t \"stop\" 😂 it "
        );
        assert_eq!(unescaped(r"\u12 \uzzzz \ud83d!"), "\\u12 \\uzzzz \u{fffd}!");
        assert_eq!(unescaped("plain é 😂"), "plain é 😂");
    }

    #[test]
    fn every_data_set_has_its_stated_size() {
        let Some(data) = limbic_domain::testing::data_dir() else {
            return;
        };
        for (task, split, posts) in [
            ("emotion", Split::Train, 3_257),
            ("emotion", Split::Validation, 374),
            ("emotion", Split::Test, 1_421),
            ("sentiment", Split::Train, 47_411),
            ("sentiment", Split::Validation, 2_000),
            ("sentiment", Split::Test, 12_284),
            ("irony", Split::Test, 784),
            ("hate", Split::Test, 2_970),
            ("offensive", Split::Test, 860),
            ("goemotions", Split::Validation, 5_426),
            ("goemotions", Split::Test, 5_427),
            ("ec", Split::Validation, 886),
            ("ec", Split::Test, 3_259),
            ("valence", Split::Test, 937),
            ("valence", Split::Train, 1_181),
        ] {
            assert_eq!(
                load(&data, task, split).unwrap().texts.len(),
                posts,
                "{task} {split:?}"
            );
        }
        let intensities: usize = TASKS[8..]
            .iter()
            .map(|task| load(&data, task, Split::Test).unwrap().texts.len())
            .sum();
        assert_eq!(intensities, 4_068);
        assert_eq!(equity(&data).unwrap().len(), 8_640);
    }

    #[test]
    fn missing_files_and_malformed_rows_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = load(folder.path(), "emotion", Split::Test)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("test_text.txt") && error.contains("--data"),
            "{error}"
        );
        assert!(
            load(folder.path(), "mood", Split::Test)
                .unwrap_err()
                .to_string()
                .contains("sentiment")
        );
        let emotion = folder.path().join("tweeteval/emotion");
        std::fs::create_dir_all(&emotion).unwrap();
        std::fs::write(emotion.join("test_text.txt"), "a\nb\n").unwrap();
        std::fs::write(emotion.join("test_labels.txt"), "0\n9\n").unwrap();
        let error = load(folder.path(), "emotion", Split::Test)
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2") && error.contains('9'), "{error}");
    }
}
