//! The terms of sources, enforced: a connector does not start on a node that would keep its posts for too long, and a source that does
//! not permit it has no authors in the log.

use anyhow::Context as _;
use limbic_connectors::{AuthorIds, Terms};
use limbic_domain::HumanDuration;
use limbic_views::{Kind, ViewsStage};
use serde_json::Value;

use crate::settings::{Entry, Settings};

/// The terms of the source of a connector.
pub(crate) fn of(entry: &Entry) -> anyhow::Result<Terms> {
    let text = entry.component.terms.context("the connector states no terms")?;
    Ok(Terms::parse(text)?)
}

/// Returns an error if the node would keep posts of a source for longer than its terms allow.
///
/// The log keeps the text of a post that was deleted on its network until its retention, so a deadline of deletions limits the
/// retention.
pub(crate) fn check(terms: &Terms, settings: &Settings) -> anyhow::Result<()> {
    let Terms { source, .. } = terms;
    let kept_by_log = [
        ("retention.age", settings.retention.age),
        ("retention.dead_age", settings.retention.dead_age),
    ];
    if let Some(limit) = terms.delete_within {
        for (setting, kept) in kept_by_log {
            anyhow::ensure!(
                is_within(kept, limit),
                "{setting} = \"{kept}\": the terms of {source} demand that a post is deleted within {limit} of its deletion there, and \
                 the log keeps its text for longer: set {setting} to at most \"{limit}\", or remove the connector"
            );
        }
    }
    if let Some(limit) = terms.keep_posts_for {
        let in_view = settings.section::<ViewsStage>().keep.of(Kind::Post);
        let kept = kept_by_log
            .into_iter()
            .chain([("views.keep.posts", in_view.unwrap_or_default())]);
        for (setting, kept) in kept {
            anyhow::ensure!(
                is_within(kept, limit),
                "{setting} = \"{kept}\": the terms of {source} allow to keep posts for {limit}: set {setting} to at most \"{limit}\", or \
                 remove the connector"
            );
        }
    }
    Ok(())
}

/// Zero means without a limit.
fn is_within(kept: HumanDuration, limit: HumanDuration) -> bool {
    !kept.is_zero() && kept.get() <= limit.get()
}

/// An item as the terms allow it. If they forbid to keep authors, each post has an author of its own, which is made of its id: nobody
/// can see that two posts have the same one.
pub(crate) fn obeying(authors: AuthorIds, mut item: Value) -> Result<Value, String> {
    match authors {
        AuthorIds::Pseudonym => Ok(item),
        AuthorIds::Never => {
            let Some(id) = item["id"].as_str().map(str::to_owned) else {
                return Err(
                    "a deletion of everything of an author: the source's terms forbid to keep authors, so their posts are not known"
                        .to_owned(),
                );
            };
            item["author"] = format!("author of {id}").into();
            Ok(item)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn terms(limits: &str) -> Terms {
        let text = format!(
            "source = \"Test\"\ndocuments = []\nbasis = \"operator\"\nstated_on = \"2026-11-30\"\nauthor_ids = \"never\"\n\
             purposes = [\"x\"]\nnot_for = [\"y\"]\nlicence = \"z\"\nnotes = \"n\"\n{limits}"
        );
        Terms::parse(&text).unwrap()
    }

    #[test]
    fn a_node_that_keeps_posts_for_longer_than_the_terms_allow_is_refused_with_what_to_set() {
        let problem = |limits: &str, settings: &Settings| {
            check(&terms(limits), settings).map_err(|error| error.to_string())
        };
        let mut settings = Settings::default();
        assert_eq!(problem("", &settings), Ok(()));
        let refused = problem("delete_within = \"24h\"", &settings).unwrap_err();
        assert!(refused.contains("set retention.age to at most"), "{refused}");
        settings.retention.age = "25h".parse().unwrap();
        assert!(problem("delete_within = \"24h\"", &settings).is_err());
        settings.retention.age = "1d".parse().unwrap();
        let refused = problem("delete_within = \"24h\"", &settings).unwrap_err();
        assert!(refused.contains("retention.dead_age"), "{refused}");
        settings.retention.dead_age = "12h".parse().unwrap();
        assert_eq!(problem("delete_within = \"24h\"", &settings), Ok(()));
        let refused = problem("keep_posts_for = \"30d\"", &settings).unwrap_err();
        assert!(refused.contains("views.keep.posts"), "{refused}");
        settings.section_mut::<ViewsStage>().keep.posts = "30d".parse().unwrap();
        assert_eq!(problem("keep_posts_for = \"30d\"", &settings), Ok(()));
    }

    #[test]
    fn without_authors_two_posts_of_one_author_cannot_be_connected_and_a_deletion_still_finds_its_post() {
        let post = |id: &str| json!({"network": "x", "id": id, "author": "ann", "text": "t"});
        let [first, second] = ["1", "2"].map(|id| obeying(AuthorIds::Never, post(id)).unwrap());
        assert_ne!(first["author"], second["author"]);
        assert!(!first.to_string().contains("ann"));
        let deletion =
            json!({"network": "x", "id": "1", "author": "ann", "deleted_at": "2026-11-30T09:00:00Z"});
        let deletion = obeying(AuthorIds::Never, deletion).unwrap();
        assert_eq!(deletion["author"], first["author"]);
        let account = json!({"network": "x", "author": "ann", "deleted_at": "2026-11-30T09:00:00Z"});
        assert!(obeying(AuthorIds::Never, account).is_err());
        assert_eq!(obeying(AuthorIds::Pseudonym, post("1")), Ok(post("1")));
    }
}
