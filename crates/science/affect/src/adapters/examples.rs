//! The posts that an adapter learns from: read, each text once, enough of each class.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use limbic_domain::Label;

use super::{CLASSES, Input, PerClass, name_of};
use crate::{ModelReader, fingerprint};

/// The fewest posts of a class that an adapter can be fitted to. Each of five parts then tests ten of them.
pub const FEWEST_PER_CLASS: usize = 50;

/// The most posts that an adapter is fitted to. Their states take about 400 MB of memory.
pub const MOST_POSTS: usize = 100_000;

/// Posts per call of the encoder.
const CHUNK: usize = 256;

/// A post with the sentiment that a person gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledPost {
    /// The text, as written.
    pub text: String,
    /// Its sentiment.
    pub label: Label,
}

/// Why an adapter cannot be fitted to these posts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExamplesError {
    /// A class has too few posts.
    #[error(
        "`{}` has {posts} posts, and {FEWEST_PER_CLASS} are the fewest for an adapter: label more posts of all three classes ({left_out})",
        name_of(*.class)
    )]
    TooFew {
        /// The class.
        class: Label,
        /// Its posts, without those that were left out.
        posts: usize,
        /// Posts that were left out.
        left_out: LeftOut,
    },
    /// The file has more posts than an adapter can use.
    #[error(
        "{posts} posts are more than {MOST_POSTS}: give a random sample of them; more do not help a head of this size"
    )]
    TooMany {
        /// Number of posts.
        posts: usize,
    },
}

/// Numbers of labelled posts that are not learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Copies of an earlier post with the same label: the same words, whatever their case, links, mentions and numbers.
    pub copies: usize,
    /// Posts whose copies have another label.
    pub contradictory: usize,
    /// Posts in a language that the model does not read.
    pub unread: usize,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            copies,
            contradictory,
            unread,
        } = self;
        write!(
            f,
            "left out: {copies} copies, {contradictory} with copies of another label, {unread} in a language that the model does not read"
        )
    }
}

/// Posts to learn from, with what the model sees in them.
#[derive(Debug)]
pub(super) struct Examples {
    pub(super) inputs: Vec<Input>,
    /// Places in [`CLASSES`].
    pub(super) classes: Vec<usize>,
    /// The part that each post belongs to in a cross-validation.
    pub(super) keys: Vec<u64>,
    pub(super) left_out: LeftOut,
}

impl Examples {
    /// Reads the posts. `progress` gets the number of posts read so far.
    pub(super) fn read(
        reader: &ModelReader,
        posts: &[LabelledPost],
        mut progress: impl FnMut(usize),
    ) -> Result<Self, ExamplesError> {
        if posts.len() > MOST_POSTS {
            return Err(ExamplesError::TooMany { posts: posts.len() });
        }
        let (unique, mut left_out) = unique(posts);
        let mut examples = Self {
            inputs: Vec::with_capacity(unique.len()),
            classes: Vec::with_capacity(unique.len()),
            keys: Vec::with_capacity(unique.len()),
            left_out,
        };
        for chunk in unique.chunks(CHUNK) {
            let texts: Vec<&str> = chunk.iter().map(|(post, _)| post.text.as_str()).collect();
            for (input, (post, key)) in reader.adapter_inputs(&texts).into_iter().zip(chunk) {
                let class = CLASSES.iter().position(|class| *class == post.label);
                let (Some(input), Some(class)) = (input, class) else {
                    left_out.unread += 1;
                    continue;
                };
                examples.inputs.push(input);
                examples.classes.push(class);
                examples.keys.push(*key);
            }
            progress(examples.inputs.len() + left_out.unread);
        }
        examples.left_out = left_out;
        let counts = examples.counts();
        let fewest = CLASSES.iter().zip(counts).min_by_key(|(_, count)| *count);
        match fewest {
            Some((class, posts)) if posts < FEWEST_PER_CLASS => Err(ExamplesError::TooFew {
                class: *class,
                posts,
                left_out,
            }),
            _ => Ok(examples),
        }
    }

    /// Posts of each class.
    pub(super) fn counts(&self) -> PerClass<usize> {
        let mut counts = [0; CLASSES.len()];
        for class in &self.classes {
            counts[*class] += 1;
        }
        counts
    }
}

/// Each text once, with a key that copies share. A text with several labels is left out.
fn unique(posts: &[LabelledPost]) -> (Vec<(&LabelledPost, u64)>, LeftOut) {
    struct Group {
        first: usize,
        copies: usize,
        agree: bool,
    }
    let mut groups: HashMap<u64, Group, foldhash::fast::FixedState> = HashMap::default();
    let mut order = Vec::new();
    for (at, post) in posts.iter().enumerate() {
        let key = key_of(&post.text);
        match groups.entry(key) {
            Entry::Vacant(new) => {
                order.push(key);
                new.insert(Group {
                    first: at,
                    copies: 0,
                    agree: true,
                });
            }
            Entry::Occupied(mut known) => {
                let group = known.get_mut();
                group.copies += 1;
                group.agree &= posts[group.first].label == post.label;
            }
        }
    }
    let mut left_out = LeftOut::default();
    let mut kept = Vec::with_capacity(order.len());
    for key in order {
        let group = &groups[&key];
        if group.agree {
            left_out.copies += group.copies;
            kept.push((&posts[group.first], key));
        } else {
            left_out.contradictory += group.copies + 1;
        }
    }
    (kept, left_out)
}

/// The fingerprint of a text; of a text too short for one, the hash of its words in small letters.
fn key_of(text: &str) -> u64 {
    let words = || {
        text.split_whitespace()
            .flat_map(|word| [word, " "])
            .collect::<String>()
    };
    fingerprint(text).map_or_else(
        || limbic_domain::random::hash(words().to_lowercase().as_bytes()),
        limbic_domain::TextFingerprint::bits,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_count_once_and_texts_with_two_labels_not_at_all() {
        let post = |text: &str, label| LabelledPost {
            text: text.to_owned(),
            label,
        };
        let posts = [
            post(
                "the flight was late again @air http://a.example/1",
                Label::Negative,
            ),
            post(
                "The flight was late again @other http://a.example/2",
                Label::Negative,
            ),
            post("thank you", Label::Positive),
            post("Thank  you", Label::Positive),
            post("we land at nine", Label::Neutral),
            post("We land at nine", Label::Positive),
        ];
        let (kept, left_out) = unique(&posts);
        let texts: Vec<&str> = kept.iter().map(|(post, _)| post.text.as_str()).collect();
        assert_eq!(texts, [posts[0].text.as_str(), "thank you"]);
        assert_eq!((left_out.copies, left_out.contradictory), (2, 2));
    }
}
