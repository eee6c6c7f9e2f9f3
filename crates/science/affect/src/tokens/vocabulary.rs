//! The pieces that a model knows, and the splitting of words into them.

use std::collections::HashMap;
use std::path::Path;

use foldhash::fast::FixedState;

/// The vocabulary cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// The file cannot be read.
    #[error("cannot read the vocabulary {path}: put it into the folder of the model's weights")]
    Unreadable {
        /// Path of the file.
        path: String,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A piece is missing that every vocabulary of this kind has.
    #[error("the vocabulary has no {0}: it is truncated, or not one of an uncased BERT model")]
    Missing(&'static str),
    /// A line is there twice, so ids would differ from those of the training.
    #[error(
        "line {line} of the vocabulary repeats line {first}: it was edited by hand; take the one that came with the model"
    )]
    Repeated {
        /// Line, counted from 1.
        line: usize,
        /// Line, counted from 1.
        first: usize,
    },
}

/// Word pieces and their ids. The id of a piece is its line, counted from 0.
#[derive(Debug)]
pub struct Vocabulary {
    pieces: Vec<Box<str>>,
    /// Pieces that begin a word, or are a word.
    beginnings: HashMap<Box<str>, u32, FixedState>,
    /// Pieces that continue a word, without their `##`.
    continuations: HashMap<Box<str>, u32, FixedState>,
    longest: usize,
    pub(super) unknown: u32,
    pub(super) class: u32,
    pub(super) separator: u32,
}

impl Vocabulary {
    /// Reads `vocab.txt`: UTF-8, one piece per line.
    pub fn open(path: &Path) -> Result<Self, VocabularyError> {
        let text = std::fs::read_to_string(path).map_err(|source| VocabularyError::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        Self::new(&text)
    }

    /// Builds a vocabulary from the lines of `text`.
    pub fn new(text: &str) -> Result<Self, VocabularyError> {
        let pieces: Vec<Box<str>> = text.lines().map(Into::into).collect();
        let mut beginnings = HashMap::with_capacity_and_hasher(pieces.len(), FixedState::default());
        let mut continuations = HashMap::with_capacity_and_hasher(pieces.len() / 4, FixedState::default());
        for (id, piece) in (0u32..).zip(&pieces) {
            let earlier = match piece.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => continuations.insert(rest.into(), id),
                _ => beginnings.insert(piece.clone(), id),
            };
            if let Some(first) = earlier {
                return Err(VocabularyError::Repeated {
                    line: id as usize + 1,
                    first: first as usize + 1,
                });
            }
        }
        let special = |name: &'static str| {
            let id = beginnings.get(name).copied();
            id.ok_or(VocabularyError::Missing(name))
        };
        Ok(Self {
            unknown: special("[UNK]")?,
            class: special("[CLS]")?,
            separator: special("[SEP]")?,
            longest: pieces.iter().map(|piece| piece.len()).max().unwrap_or(0),
            beginnings,
            continuations,
            pieces,
        })
    }

    /// Number of pieces.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Always false: [`Vocabulary::new`] needs some pieces.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The piece of an id, with its `##`.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(|piece| &**piece)
    }

    /// The id of a whole word.
    pub(super) fn word(&self, word: &str) -> Option<u32> {
        self.beginnings.get(word).copied()
    }

    /// Appends the pieces of `word`, each the longest from the left; [`unknown`](Self::unknown) if a part of it is
    /// not a piece.
    pub(super) fn cut(&self, word: &str, ids: &mut Vec<u32>) {
        /// The limit of `BERT`: a longer word is unknown.
        const LONGEST_WORD: usize = 100;
        if let Some(id) = self.word(word) {
            ids.push(id);
            return;
        }
        let before = ids.len();
        if word.chars().nth(LONGEST_WORD).is_some() {
            ids.push(self.unknown);
            return;
        }
        let mut rest = word;
        let mut pieces = &self.beginnings;
        while !rest.is_empty() {
            let Some((id, length)) = self.longest_piece(rest, pieces) else {
                ids.truncate(before);
                ids.push(self.unknown);
                return;
            };
            ids.push(id);
            rest = &rest[length..];
            pieces = &self.continuations;
        }
    }

    fn longest_piece(&self, text: &str, pieces: &HashMap<Box<str>, u32, FixedState>) -> Option<(u32, usize)> {
        (1..=text.len().min(self.longest))
            .rev()
            .filter(|&length| text.is_char_boundary(length))
            .find_map(|length| pieces.get(&text[..length]).map(|&id| (id, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_vocabulary_is_refused() {
        assert!(matches!(
            Vocabulary::new("a\nb\n"),
            Err(VocabularyError::Missing("[UNK]"))
        ));
        let twice = Vocabulary::new("[UNK]\n[CLS]\n[SEP]\n##a\n##a\n");
        assert!(matches!(
            twice,
            Err(VocabularyError::Repeated { line: 5, first: 4 })
        ));
        let nowhere = Vocabulary::open(Path::new("no/such/vocab.txt")).unwrap_err();
        assert!(nowhere.to_string().contains("no/such/vocab.txt"), "{nowhere}");
    }

    #[test]
    fn a_word_is_split_into_its_longest_pieces_or_is_unknown() {
        let vocabulary =
            Vocabulary::new("[UNK]\n[CLS]\n[SEP]\nun\nunhappy\n##happi\n##ness\n##hap\n").unwrap();
        let cut = |word: &str| {
            let mut ids = Vec::new();
            vocabulary.cut(word, &mut ids);
            ids
        };
        assert_eq!(cut("unhappy"), [4]);
        assert_eq!(cut("unhappiness"), [3, 5, 6]);
        assert_eq!(cut("unhapless"), [0]);
        assert_eq!(cut(&"un".repeat(60)), [0]);
    }
}
