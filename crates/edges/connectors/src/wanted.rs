//! The words that an operator wants in posts.

use std::collections::BTreeMap;

use limbic_affect::SubjectTagger;
use limbic_component::Error;
use limbic_domain::Slug;

/// The words of which a post must have one.
pub(crate) struct Wanted(Option<SubjectTagger>);

impl Wanted {
    /// Of no words, every post is wanted.
    pub(crate) fn new(words: &[String]) -> Result<Self, Error> {
        if words.is_empty() {
            return Ok(Self(None));
        }
        let wanted = Slug::new("wanted").expect("it is a slug");
        let tagger = SubjectTagger::new(&BTreeMap::from([(wanted, words.to_vec())]));
        let tagger = tagger
            .map_err(|error| format!("want: {error}: give single words, for instance [\"football\"]"))?;
        Ok(Self(Some(tagger)))
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|wanted| !wanted.tag(text, &[]).is_empty())
    }
}
