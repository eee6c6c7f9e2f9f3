//! The things that the log has, for edits and deletions.

use std::collections::{HashMap, VecDeque};

/// What a page adds.
#[derive(Debug)]
pub(crate) enum Note {
    Read {
        name: String,
        revision: u64,
        author: String,
    },
    Gone {
        name: String,
    },
    /// It was asked about.
    Asked {
        name: String,
    },
}

impl Note {
    /// Whether it says what became of the thing of this name.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        match self {
            Self::Read { name: of, .. } | Self::Gone { name: of } => of == name,
            Self::Asked { .. } => false,
        }
    }
}

/// Remembers things, the latest ones, with their revisions and authors.
pub(crate) struct Seen {
    most: usize,
    things: HashMap<String, (u64, String)>,
    /// The names, those first that were asked about longest ago. A name whose thing is gone leaves when its turn comes.
    order: VecDeque<String>,
}

impl Seen {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            things: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn revision(&self, name: &str) -> Option<u64> {
        self.things.get(name).map(|(revision, _)| *revision)
    }

    pub(crate) fn author(&self, name: &str) -> Option<&str> {
        self.things.get(name).map(|(_, author)| &**author)
    }

    /// Up to `most` names, those that were asked about longest ago.
    pub(crate) fn oldest(&mut self, most: usize) -> Vec<String> {
        self.order.retain(|name| self.things.contains_key(name));
        self.order.iter().take(most).cloned().collect()
    }

    pub(crate) fn note(&mut self, notes: Vec<Note>) {
        for note in notes {
            match note {
                Note::Read {
                    name,
                    revision,
                    author,
                } => {
                    if self.things.insert(name.clone(), (revision, author)).is_none() {
                        self.order.push_back(name);
                    }
                }
                Note::Gone { name } => drop(self.things.remove(&name)),
                Note::Asked { name } => {
                    if self.order.front() == Some(&name) {
                        self.order.pop_front();
                        self.order.push_back(name);
                    }
                }
            }
        }
        while self.order.len() > self.most {
            if let Some(name) = self.order.pop_front() {
                self.things.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Note {
        Note::Read {
            name: name.to_owned(),
            revision: 0,
            author: "ann".to_owned(),
        }
    }

    fn asked(names: &[String]) -> Vec<Note> {
        names
            .iter()
            .map(|name| Note::Asked { name: name.clone() })
            .collect()
    }

    #[test]
    fn everything_is_asked_about_in_turn_and_memory_has_a_limit() {
        let mut seen = Seen::new(5);
        seen.note(["a", "b", "c", "d"].map(read).into());
        let first = seen.oldest(3);
        assert_eq!(first, ["a", "b", "c"]);
        seen.note(asked(&first));
        assert_eq!(seen.oldest(3), ["d", "a", "b"]);
        seen.note(vec![Note::Gone { name: "d".to_owned() }]);
        assert_eq!(seen.oldest(9), ["a", "b", "c"]);
        assert_eq!(seen.revision("d"), None);
        seen.note(["e", "f", "g", "h", "i"].map(read).into());
        assert!(seen.things.len() == 5 && seen.order.len() == 5);
        assert_eq!(seen.author("i"), Some("ann"));
    }
}
