//! A server that behaves as Jetstream.
//!
//! From the README of `bluesky-social/jetstream` (read 2026-11-30): the query parameters `wantedCollections` (with `.*`), `cursor`
//! (begins at this time, in microseconds; without it, or with one in the future, at the present), `compress` (zstd with a
//! dictionary, in binary messages) and `requireHello` (waits for `options_update`, whose `wantedCollections` and `wantedDids` then
//! filter). Account and identity events are sent whatever is wanted.
//!
//! From memory: the server closes the connection of a reader that does not keep up.

use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tungstenite::Message;

use super::feed::{Feed, Listening, Served};
use crate::suite::Fault;

pub(crate) struct Jetstream {
    listening: Listening,
    feed: Arc<Feed>,
    dictionary: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Jetstream {
    pub(crate) fn start() -> Self {
        let (feed, dictionary) = (Arc::new(Feed::default()), Arc::new(Mutex::new(None)));
        let (of_thread, with) = (Arc::clone(&feed), Arc::clone(&dictionary));
        let serve = move |stream| serve(&of_thread, stream, &with);
        Self {
            listening: Listening::start(Arc::clone(&feed), serve),
            feed,
            dictionary,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/subscribe", self.listening.address)
    }

    /// Sends an event to every connection that wants it.
    pub(crate) fn publish(&self, time: i64, event: String) {
        self.feed.publish(time, event);
    }

    /// The next connection has this fault.
    pub(crate) fn plan(&self, fault: Fault) {
        self.feed.plan(fault);
    }

    /// The queries of all connections so far.
    pub(crate) fn queries(&self) -> Vec<String> {
        self.feed.queries()
    }

    pub(crate) fn compress_with(&self, dictionary: Vec<u8>) {
        *self.dictionary.lock() = Some(dictionary);
    }
}

/// What a connection wants.
#[derive(Default)]
struct Wants {
    collections: Vec<String>,
    authors: Vec<String>,
    cursor: Option<i64>,
    is_compressed: bool,
    needs_hello: bool,
}

impl Wants {
    fn of(query: &str) -> Self {
        let mut wants = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
            match name {
                "wantedCollections" => wants.collections.push(value.into_owned()),
                "wantedDids" => wants.authors.push(value.into_owned()),
                "cursor" => wants.cursor = Some(value.parse().unwrap()),
                "compress" => wants.is_compressed = value == "true",
                "requireHello" => wants.needs_hello = value == "true",
                "maxMessageSizeBytes" => assert!(value.parse::<usize>().unwrap() > 0),
                other => panic!("{other} is not a parameter of Jetstream"),
            }
        }
        assert!(wants.collections.len() <= 100);
        wants
    }

    fn are_met_by(&self, event: &str) -> bool {
        // What is not JSON is sent as it is.
        let event: Value = serde_json::from_str(event).unwrap_or_default();
        let did = event["did"].as_str().unwrap_or_default();
        let is_of_author = self.authors.is_empty() || self.authors.iter().any(|wanted| wanted == did);
        let Some(collection) = event["commit"]["collection"].as_str() else {
            return true;
        };
        let is_one = |wanted: &String| match wanted.strip_suffix('*') {
            Some(prefix) => collection.starts_with(prefix),
            None => wanted == collection,
        };
        is_of_author && (self.collections.is_empty() || self.collections.iter().any(is_one))
    }
}

fn serve(feed: &Feed, stream: TcpStream, dictionary: &Mutex<Option<Vec<u8>>>) -> Served {
    let fault = feed.fault();
    let (mut socket, query) = feed.accept(stream, "/subscribe", fault.as_ref())?;
    let mut wants = Wants::of(&query);
    if wants.needs_hello {
        let hello: Value = serde_json::from_str(socket.read()?.to_text()?)?;
        assert_eq!(hello["type"], "options_update");
        let names = |name: &str| serde_json::from_value(hello["payload"][name].clone()).unwrap();
        wants.collections = names("wantedCollections");
        wants.authors = names("wantedDids");
    }
    let mut compressor = match &*dictionary.lock() {
        Some(dictionary) if wants.is_compressed => {
            Some(zstd::bulk::Compressor::with_dictionary(3, dictionary)?)
        }
        _ => None,
    };
    let encode = |event: String| {
        if !wants.are_met_by(&event) {
            return None;
        }
        Some(match &mut compressor {
            Some(compressor) => Message::Binary(compressor.compress(event.as_bytes()).unwrap().into()),
            None => Message::Text(event.into()),
        })
    };
    feed.send(&mut socket, feed.place(wants.cursor), fault.as_ref(), encode)
}
