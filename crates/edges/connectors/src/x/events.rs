//! Events of the compliance streams: what people and X have done with posts and accounts.
//!
//! The events are those of the documentation of X ("Compliance streams: introduction", "Compliance Data Objects", read 2026-11-30 as far as a
//! search shows it), and the fields of `tweet_edit` those of its OpenAPI document (`TweetEditComplianceObjectSchema`, version 2.152). From
//! memory: the fields of the events of accounts, and `XX` for all countries.

use std::collections::{HashMap, HashSet};

use limbic_domain::Utc;
use serde_json::{Value, json};

use super::{ComplianceStream, NETWORK, XSettings};
use crate::seen::{Note, Seen};
use crate::{Item, Page};

/// All countries.
const EVERYWHERE: &str = "XX";

/// What an event does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The post, or what the account has written, is deleted.
    Delete,
    /// It is deleted, if it is withheld in a country of the settings.
    Withhold,
    /// The edited version is read.
    Edit,
    /// Posts with a place are deleted: what is stored of them has the place.
    ScrubPlaces,
    /// Nothing, for this reason.
    Nothing(&'static str),
}

fn effect(kind: &str) -> Effect {
    match kind {
        "delete" | "drop" | "user_delete" | "user_protect" | "user_suspend" => Effect::Delete,
        "withheld" | "user_withheld" => Effect::Withhold,
        // A deletion cannot be taken back here: what was deleted once counts as known.
        "undrop" | "user_undelete" | "user_unprotect" | "user_unsuspend" => {
            Effect::Nothing("shown again: what was deleted stays deleted")
        }
        // The stream brings an edit only if it still matches a rule.
        "tweet_edit" => Effect::Edit,
        "scrub_geo" => Effect::ScrubPlaces,
        "user_profile_modification" => Effect::Nothing("a changed profile, which was never stored"),
        _ => Effect::Nothing("another kind of event"),
    }
}

/// The time of an event, not in the future.
fn deleted_at(at: Option<Utc>) -> Utc {
    let now = Utc::now();
    at.unwrap_or(now).min(now)
}

/// Takes the events of one pull.
pub(super) struct Taking<'a> {
    settings: &'a XSettings,
    seen: &'a Seen,
    pub(super) page: &'a mut Page,
    notes: &'a mut Vec<Note>,
    /// The revisions and authors of posts that came in the same pull.
    fresh: HashMap<String, (u64, String)>,
    /// The posts that came with a place.
    placed: &'a HashSet<String>,
    /// The ids of edited versions that are to be read.
    pub(super) edits: Vec<String>,
    /// What is deleted in this pull.
    gone: HashSet<String>,
}

impl<'a> Taking<'a> {
    /// `page` and `notes` have what this pull has brought so far. `placed` are the posts that came with a place.
    pub(super) fn new(
        settings: &'a XSettings,
        seen: &'a Seen,
        placed: &'a HashSet<String>,
        page: &'a mut Page,
        notes: &'a mut Vec<Note>,
    ) -> Self {
        let (mut fresh, mut gone) = (HashMap::new(), HashSet::new());
        for note in notes.iter() {
            match note {
                Note::Read {
                    name,
                    revision,
                    author,
                } => drop(fresh.insert(name.clone(), (*revision, author.clone()))),
                Note::Gone { name } => drop(gone.insert(name.clone())),
                Note::Asked { .. } => {}
            }
        }
        Self {
            settings,
            seen,
            placed,
            edits: Vec::new(),
            page,
            notes,
            fresh,
            gone,
        }
    }

    /// Takes an event. Returns its time. An error says that the stream ends.
    pub(super) fn take(&mut self, line: &str) -> Result<Option<Utc>, String> {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            self.page.drop_one("an event that cannot be read");
            return Ok(None);
        };
        let event = line["data"].as_object().and_then(|data| data.iter().next());
        let Some((kind, event)) = event else {
            let error = &line["errors"][0];
            let said = error["detail"].as_str().or_else(|| error["title"].as_str());
            let said = said.unwrap_or("it sends neither an event nor an error");
            let said: String = said.chars().take(200).collect();
            return Err(format!("the server ends the stream: {said}"));
        };
        let at = event["event_at"].as_str().and_then(|at| at.parse::<Utc>().ok());
        match effect(kind) {
            Effect::Nothing(reason) => self.page.drop_one(reason),
            Effect::Withhold if !self.is_withheld_here(event) => {
                self.page.drop_one("withheld in other countries");
            }
            Effect::Edit => self.edit(event),
            Effect::ScrubPlaces => {
                let author = event["user"]["id"].as_str().unwrap_or_default();
                let up_to = event["up_to_tweet_id"].as_str().and_then(|id| id.parse().ok());
                self.scrub_places(author, up_to.unwrap_or(u64::MAX), deleted_at(at));
            }
            Effect::Delete | Effect::Withhold => {
                let deleted_at = deleted_at(at);
                let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
                if kind.starts_with("user_") {
                    self.delete_account(&text(&event["user"], "id"), deleted_at);
                } else {
                    let post = &event["tweet"];
                    self.delete_post(&text(post, "id"), &text(post, "author_id"), deleted_at);
                }
            }
        }
        Ok(at)
    }

    fn is_withheld_here(&self, event: &Value) -> bool {
        let here = &self.settings.withheld_in;
        let countries = event["withheld_in_countries"].as_array().into_iter().flatten();
        let mut countries = countries.filter_map(Value::as_str);
        here.is_empty()
            || countries.any(|country| {
                country == EVERYWHERE || here.iter().any(|here| here.eq_ignore_ascii_case(country))
            })
    }

    fn wants_every(&self) -> bool {
        self.settings.compliance_stream == ComplianceStream::Every
    }

    fn delete_post(&mut self, id: &str, author: &str, at: Utc) {
        let known = self
            .seen
            .author(id)
            .or_else(|| self.fresh.get(id).map(|(_, author)| &**author));
        let author = known
            .or(self.wants_every().then_some(author))
            .unwrap_or_default()
            .to_owned();
        if author.is_empty() || id.is_empty() {
            return self.page.drop_one("deletion of an unknown post");
        }
        self.push(id, &author, at);
    }

    /// First what the view can only delete post by post, and then the person.
    fn delete_account(&mut self, author: &str, at: Utc) {
        let posts = self.of_author(author);
        if author.is_empty() || (posts.is_empty() && !self.wants_every()) {
            return self.page.drop_one("deletion of an unknown account");
        }
        for id in posts {
            self.push(&id, author, at);
        }
        let deletion = json!({"network": NETWORK, "author": author, "deleted_at": at});
        self.page.items.push(Item::Deletion(deletion));
    }

    /// The names of the known posts of an author.
    fn of_author(&self, author: &str) -> Vec<String> {
        let fresh = self.fresh.iter().filter(|(_, (_, of))| of == author);
        let fresh = fresh.map(|(name, _)| name.clone());
        let seen = self.seen.of_author(author).map(str::to_owned);
        let mut posts: Vec<String> = seen.chain(fresh).collect();
        posts.sort();
        posts.dedup();
        posts
    }

    /// Notes the new version of a known post. The stream can have brought it.
    fn edit(&mut self, event: &Value) {
        let is_id = |id: &&str| (1..=19).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit());
        let id = event["tweet"]["id"].as_str().filter(is_id);
        let first = event["initial_tweet_id"].as_str().filter(is_id);
        let (Some(id), Some(first)) = (id, first) else {
            return self.page.drop_one("an edit without an id");
        };
        let fresh = self.fresh.get(first).map(|(revision, _)| *revision);
        let Some(known) = self.seen.revision(first).max(fresh) else {
            return self.page.drop_one("an edit of an unknown post");
        };
        let versions = event["edit_tweet_ids"].as_array();
        let revision = versions.and_then(|all| all.iter().position(|version| *version == id));
        let is_known = revision.is_some_and(|revision| revision as u64 <= known);
        if is_known || self.gone.contains(first) || self.edits.iter().any(|edit| edit == id) {
            return self.page.drop_one("known");
        }
        self.edits.push(id.to_owned());
    }

    /// Deletes the posts of an author up to this id that came with a place.
    fn scrub_places(&mut self, author: &str, up_to: u64, at: Utc) {
        let mut posts = self.of_author(author);
        posts.retain(|id| self.placed.contains(id) && id.parse().is_ok_and(|id: u64| id <= up_to));
        if posts.is_empty() {
            return self.page.drop_one("a removed place that no known post has");
        }
        for id in posts {
            self.push(&id, author, at);
        }
    }

    fn push(&mut self, id: &str, author: &str, at: Utc) {
        if !self.gone.insert(id.to_owned()) {
            return self.page.drop_one("known");
        }
        let deletion = json!({"network": NETWORK, "id": id, "author": author, "deleted_at": at});
        self.page.items.push(Item::Deletion(deletion));
        self.notes.push(Note::Gone { name: id.to_owned() });
    }
}
