//! From a post of the X API to a post.

use limbic_domain::Utc;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{NETWORK, time_of};
use crate::html::plain;
use crate::text::{is_language, visible};

/// The fields that are asked for.
pub(super) const FIELDS: &str =
    "author_id,created_at,edit_history_tweet_ids,entities,geo,lang,note_tweet,referenced_tweets";
/// The objects that are asked for beside posts: the places that people have tagged them with.
pub(super) const EXPANSIONS: &str = "geo.place_id";
/// The fields of a place. Its outline is not asked for, and exact coordinates of a post are not read.
pub(super) const PLACE_FIELDS: &str = "country_code,full_name,id,place_type";
/// Tags of X for texts without words of a language.
const NO_LANGUAGES: [&str; 8] = ["und", "zxx", "art", "qam", "qct", "qht", "qme", "qst"];

/// A post. Fields in another form count as absent, except those that every post needs.
#[derive(Debug, Deserialize)]
pub(super) struct Tweet {
    id: String,
    #[serde(default)]
    author_id: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    created_at: Value,
    #[serde(default)]
    edit_history_tweet_ids: Value,
    #[serde(default)]
    entities: Value,
    #[serde(default)]
    geo: Value,
    #[serde(default)]
    lang: Value,
    #[serde(default, rename = "note_tweet")]
    note: Value,
    #[serde(default)]
    referenced_tweets: Value,
}

/// Why there is no post.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is not a post for this engine. The reason is counted.
    LeftOut(&'static str),
    /// It is not a post.
    Malformed(String),
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl Tweet {
    /// The id of this version, which is a time too.
    pub(super) fn number(&self) -> Result<u64, Problem> {
        let number = self.id.parse().ok().filter(|_| self.id.len() <= 19);
        number.ok_or_else(|| Problem::Malformed("a post of X whose id is not a number".to_owned()))
    }

    pub(super) fn author(&self) -> &str {
        &self.author_id
    }

    /// The id of the first version, which all versions share here, and the number of edits until this one.
    pub(super) fn version(&self) -> (String, u64) {
        let history: Vec<&str> = listed(&self.edit_history_tweet_ids)
            .filter_map(Value::as_str)
            .filter(|id| id.parse::<u64>().is_ok() && id.len() <= 19)
            .collect();
        let place = history.iter().position(|id| *id == self.id);
        match (history.first(), place) {
            (Some(first), Some(place)) => ((*first).to_owned(), place as u64),
            _ => (self.id.clone(), 0),
        }
    }

    fn referenced(&self, kind: &str) -> Option<&str> {
        let mut all = listed(&self.referenced_tweets);
        all.find(|of| of["type"] == kind)?["id"].as_str()
    }

    /// The post under the id of its first version. `includes` has the places that came with it.
    pub(super) fn post(&self, includes: &Value) -> Result<Value, Problem> {
        if self.referenced("retweeted").is_some() {
            return Err(Problem::LeftOut("repost"));
        }
        let number = self.number()?;
        if self.author_id.is_empty() {
            return Err(Problem::Malformed(format!(
                "post {number} of X without an author"
            )));
        }
        let (id, revision) = self.version();
        // A long post has its whole text in its note.
        let text = self.note["text"].as_str().unwrap_or(&self.text);
        // The API writes `&`, `<` and `>` as references of HTML, and ends of lines as they are.
        let text = plain(&format!("<pre>{text}</pre>")).text;
        let text = visible(&text);
        if text.trim().is_empty() {
            return Err(Problem::LeftOut("no text"));
        }
        let written = self.created_at.as_str().and_then(|at| at.parse().ok());
        let written: Utc = written.unwrap_or_else(|| time_of(number));
        let mut post = json!({
            "network": NETWORK, "id": id, "author": self.author_id, "text": text,
            "created_at": written.min(Utc::now()).to_string(), "url": format!("https://x.com/i/web/status/{id}"),
        });
        if revision > 0 {
            post["revision"] = revision.into();
        }
        let language = self.lang.as_str().filter(|tag| is_language(tag));
        if let Some(language) = language.filter(|tag| !NO_LANGUAGES.contains(tag)) {
            post["lang"] = language.into();
        }
        if let Some(parent) = self.referenced("replied_to") {
            post["reply_to"] = parent.into();
        }
        let meta = self.meta(includes);
        if !meta.is_empty() {
            post["meta"] = meta.into();
        }
        Ok(post)
    }

    /// What the post refers to. The settings say what of it is kept.
    fn meta(&self, includes: &Value) -> Map<String, Value> {
        let mut meta = Map::new();
        let texts = |name: &str, field: &str| -> Vec<&str> {
            listed(&self.entities[name])
                .filter_map(|entity| entity[field].as_str())
                .collect()
        };
        for (name, found) in [
            ("links", texts("urls", "expanded_url")),
            ("tags", texts("hashtags", "tag")),
        ] {
            if !found.is_empty() {
                meta.insert(name.to_owned(), found.into());
            }
        }
        if let Some(quoted) = self.referenced("quoted") {
            meta.insert("quote_of".to_owned(), quoted.into());
        }
        if let Some(place) = self.place(includes) {
            meta.insert("place".to_owned(), place.into());
        }
        meta
    }

    /// The place that the post is tagged with: its id, and what X says of it.
    fn place(&self, includes: &Value) -> Option<Map<String, Value>> {
        let id = self.geo["place_id"].as_str().filter(|id| !id.is_empty())?;
        let known = listed(&includes["places"]).find(|place| place["id"] == id);
        let mut place = Map::from_iter([("id".to_owned(), id.into())]);
        for (name, field) in [
            ("name", "full_name"),
            ("country", "country_code"),
            ("kind", "place_type"),
        ] {
            if let Some(text) = known.and_then(|known| known[field].as_str()) {
                place.insert(name.to_owned(), text.into());
            }
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tweet(change: &Value) -> Tweet {
        let mut tweet = json!({
            "id": "1346889436626259968", "author_id": "2244994945", "text": "What a goal!", "lang": "en",
            "created_at": "2026-11-20T10:00:00.000Z", "edit_history_tweet_ids": ["1346889436626259968"],
        });
        for (name, value) in change.as_object().unwrap() {
            tweet[name] = value.clone();
        }
        serde_json::from_value(tweet).unwrap()
    }

    #[test]
    fn a_post_has_its_whole_text_and_what_it_refers_to() {
        let post = tweet(&json!({
            "text": "cut…", "note_tweet": {"text": "2 &lt; 3 &amp; 4\nnew\u{200b} line"},
            "entities": {"urls": [{"expanded_url": "https://example.com/"}], "hashtags": [{"tag": "cup"}, {"tag": 7}]},
            "referenced_tweets": [{"type": "replied_to", "id": "5"}, {"type": "quoted", "id": "6"}],
        }));
        assert_eq!(
            post.post(&Value::Null).unwrap(),
            json!({"network": "x", "id": "1346889436626259968", "author": "2244994945", "text": "2 < 3 & 4\nnew line", "lang": "en",
                "created_at": "2026-11-20T10:00:00.000Z", "url": "https://x.com/i/web/status/1346889436626259968", "reply_to": "5",
                "meta": {"links": ["https://example.com/"], "tags": ["cup"], "quote_of": "6"}})
        );
    }

    #[test]
    fn a_place_has_its_name_and_country_and_never_coordinates() {
        let tagged = tweet(
            &json!({"geo": {"place_id": "01a9", "coordinates": {"type": "Point", "coordinates": [-73.9, 40.7]}}}),
        );
        let includes = json!({"places": [
            {"id": "02b8", "full_name": "Elsewhere"},
            {"id": "01a9", "full_name": "Manhattan, NY", "country_code": "US", "place_type": "city", "geo": {"bbox": [-74.0, 40.6, -73.9, 40.8]}},
        ]});
        let place = |includes: &Value| tagged.post(includes).unwrap()["meta"]["place"].clone();
        assert_eq!(
            place(&includes),
            json!({"id": "01a9", "name": "Manhattan, NY", "country": "US", "kind": "city"})
        );
        assert_eq!(place(&json!({"places": "x"})), json!({"id": "01a9"}));
        for none in [
            json!({}),
            json!({"geo": {}}),
            json!({"geo": {"place_id": ""}}),
            json!({"geo": 7}),
        ] {
            assert_eq!(tweet(&none).post(&includes).unwrap().get("meta"), None, "{none}");
        }
    }

    #[test]
    fn an_edit_has_the_id_of_the_first_version_and_counts_the_edits() {
        let edited =
            tweet(&json!({"id": "12", "edit_history_tweet_ids": ["10", "11", "12"], "created_at": null}));
        let post = edited.post(&Value::Null).unwrap();
        assert_eq!((&post["id"], &post["revision"]), (&json!("10"), &json!(2)));
        assert!(
            post["created_at"].as_str().unwrap().starts_with("2010-11-04"),
            "the id is a time"
        );
        // A history without this version says nothing.
        let strange = tweet(&json!({"id": "12", "edit_history_tweet_ids": ["x", "11"]}));
        assert_eq!(strange.version(), ("12".to_owned(), 0));
    }

    #[test]
    fn what_is_not_a_post_is_left_out_or_named() {
        let retweet = json!({"referenced_tweets": [{"type": "retweeted", "id": "5"}]});
        assert_eq!(
            tweet(&retweet).post(&Value::Null),
            Err(Problem::LeftOut("repost"))
        );
        assert_eq!(
            tweet(&json!({"text": "\u{200b}"})).post(&Value::Null),
            Err(Problem::LeftOut("no text"))
        );
        for wrong in [
            json!({"id": "x"}),
            json!({"id": "99999999999999999999"}),
            json!({"author_id": ""}),
        ] {
            assert!(
                matches!(tweet(&wrong).post(&Value::Null), Err(Problem::Malformed(_))),
                "{wrong}"
            );
        }
        assert!(
            tweet(&json!({"lang": "qme"}))
                .post(&Value::Null)
                .unwrap()
                .get("lang")
                .is_none()
        );
    }
}
