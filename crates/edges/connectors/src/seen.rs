//! The things that the log has, for edits and deletions.

use std::collections::{BTreeSet, HashMap, VecDeque};

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
    /// The names by author, if somebody asks for them.
    by_author: Option<HashMap<String, BTreeSet<String>>>,
}

impl Seen {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            things: HashMap::new(),
            order: VecDeque::new(),
            by_author: None,
        }
    }

    /// A memory that is asked for the things of an author, too. It needs about twice as many bytes.
    pub(crate) fn with_authors(most: usize) -> Self {
        Self {
            by_author: Some(HashMap::new()),
            ..Self::new(most)
        }
    }

    /// The names of the things of an author.
    pub(crate) fn of_author(&self, author: &str) -> impl Iterator<Item = &str> {
        let names = self.by_author.as_ref().and_then(|all| all.get(author));
        names.into_iter().flatten().map(String::as_str)
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
                    if let Some(all) = &mut self.by_author {
                        all.entry(author.clone()).or_default().insert(name.clone());
                    }
                    if self.things.insert(name.clone(), (revision, author)).is_none() {
                        self.order.push_back(name);
                    }
                }
                Note::Gone { name } => self.forget(&name),
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
                self.forget(&name);
            }
        }
    }

    fn forget(&mut self, name: &str) {
        let Some((_, author)) = self.things.remove(name) else {
            return;
        };
        if let Some(all) = &mut self.by_author
            && let Some(names) = all.get_mut(&author)
        {
            names.remove(name);
            if names.is_empty() {
                all.remove(&author);
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

    #[test]
    fn the_things_of_an_author_are_those_that_are_remembered() {
        let mut seen = Seen::with_authors(2);
        seen.note(["a", "b", "c"].map(read).into());
        assert_eq!(seen.of_author("ann").collect::<Vec<_>>(), ["b", "c"]);
        seen.note(vec![Note::Gone { name: "b".to_owned() }]);
        assert_eq!(seen.of_author("ann").collect::<Vec<_>>(), ["c"]);
        seen.note(vec![Note::Gone { name: "c".to_owned() }]);
        let all = seen.by_author.as_ref().unwrap();
        assert!(
            all.is_empty(),
            "nothing is kept of somebody without things: {all:?}"
        );
    }
}
