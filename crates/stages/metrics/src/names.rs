//! Names of fields and groups. Each is allocated once, because the same few dozen are in every window.

use std::cell::RefCell;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

/// A name that is cheap to copy.
pub(crate) type Name = Arc<str>;

/// The maximum number of names that a thread keeps. Names of groups come from outside, so the cache is cleared when it is
/// full.
const MOST: usize = 8_192;

#[derive(Default)]
struct Known {
    names: HashSet<Name>,
    /// For each emotion, the names of its sum and its count.
    emotions: HashMap<String, (Name, Name)>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// `text` as a [`Name`].
pub(crate) fn name(text: &str) -> Name {
    KNOWN.with_borrow_mut(|known| {
        if let Some(name) = known.names.get(text) {
            return Arc::clone(name);
        }
        if known.names.len() >= MOST {
            known.names.clear();
        }
        let name: Name = text.into();
        known.names.insert(Arc::clone(&name));
        name
    })
}

/// The names of an emotion's sum and count.
pub(crate) fn of_emotion(emotion: &str) -> (Name, Name) {
    KNOWN.with_borrow_mut(|known| {
        if let Some(names) = known.emotions.get(emotion) {
            return names.clone();
        }
        if known.emotions.len() >= MOST {
            known.emotions.clear();
        }
        let names: (Name, Name) = (
            format!("emotion.{emotion}_sum").into(),
            format!("emotion.{emotion}_count").into(),
        );
        known.emotions.insert(emotion.to_owned(), names.clone());
        names
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_allocated_once() {
        assert!(Arc::ptr_eq(&name("count"), &name("count")));
        let (sum, count) = of_emotion("joy");
        assert_eq!((&*sum, &*count), ("emotion.joy_sum", "emotion.joy_count"));
        assert!(Arc::ptr_eq(&sum, &of_emotion("joy").0));
    }
}
