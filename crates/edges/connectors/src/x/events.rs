//! Events of the compliance streams: what people and X have done with posts and accounts.
//!
//! The events are those of the documentation of X ("Compliance streams: introduction", "Compliance Data Objects", read 2026-11-30 as far as a
//! search shows it). From memory: the fields of the events of accounts, and `XX` for all countries.

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
        // The rules bring the new text, if it matches them.
        "tweet_edit" => Effect::Nothing("an edit, which the rules bring"),
        // Places are not asked for, so none is stored.
        "scrub_geo" => Effect::Nothing("a removed place, which was never stored"),
        "user_profile_modification" => Effect::Nothing("a changed profile, which was never stored"),
        _ => Effect::Nothing("another kind of event"),
    }
}

/// Takes the events of one pull.
pub(super) struct Taking<'a> {
    settings: &'a XSettings,
    seen: &'a Seen,
    pub(super) page: &'a mut Page,
    notes: &'a mut Vec<Note>,
    /// The authors of posts that came in the same pull.
    fresh: HashMap<String, String>,
    /// What is deleted in this pull.
    gone: HashSet<String>,
}

impl<'a> Taking<'a> {
    /// `page` and `notes` have what this pull has brought so far.
    pub(super) fn new(
        settings: &'a XSettings,
        seen: &'a Seen,
        page: &'a mut Page,
        notes: &'a mut Vec<Note>,
    ) -> Self {
        let (mut fresh, mut gone) = (HashMap::new(), HashSet::new());
        for note in notes.iter() {
            match note {
                Note::Read { name, author, .. } => drop(fresh.insert(name.clone(), author.clone())),
                Note::Gone { name } => drop(gone.insert(name.clone())),
                Note::Asked { .. } => {}
            }
        }
        Self {
            settings,
            seen,
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
            Effect::Delete | Effect::Withhold => {
                let now = Utc::now();
                let deleted_at = at.unwrap_or(now).min(now);
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
            .or_else(|| self.fresh.get(id).map(String::as_str));
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
        let fresh = self.fresh.iter().filter(|(_, of)| *of == author);
        let fresh = fresh.map(|(name, _)| name.clone());
        let mut posts: Vec<String> = self
            .seen
            .of_author(author)
            .map(str::to_owned)
            .chain(fresh)
            .collect();
        posts.sort();
        posts.dedup();
        if author.is_empty() || (posts.is_empty() && !self.wants_every()) {
            return self.page.drop_one("deletion of an unknown account");
        }
        for id in posts {
            self.push(&id, author, at);
        }
        let deletion = json!({"network": NETWORK, "author": author, "deleted_at": at});
        self.page.items.push(Item::Deletion(deletion));
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
