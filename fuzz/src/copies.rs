//! Files of other crates that `build.rs` copies, in modules as they expect them.
#![allow(dead_code, unreachable_pub, clippy::all)]

pub mod html {
    include!(concat!(env!("OUT_DIR"), "/html.rs"));
}

pub mod sse {
    include!(concat!(env!("OUT_DIR"), "/sse.rs"));
}

pub mod text {
    include!(concat!(env!("OUT_DIR"), "/text.rs"));
}

pub mod seen {
    include!(concat!(env!("OUT_DIR"), "/seen.rs"));
}

pub mod feed {
    pub mod entry {
        include!(concat!(env!("OUT_DIR"), "/entry.rs"));
    }

    /// An entry of a feed as the connector reads it: the key in a cursor, and the post.
    pub struct Found {
        pub key: String,
        pub post: Option<serde_json::Value>,
    }

    /// The entries of a feed.
    pub fn read(body: &[u8], url: &reqwest::Url) -> Result<Vec<Found>, String> {
        let read = entry::read(body, url, url)?;
        let found = read.entries.iter().map(|entry| {
            assert!(entry.changed_at() <= limbic_domain::Utc::now().as_millis() as u64);
            Found { key: entry.key(), post: entry.post("news", 0).ok() }
        });
        Ok(found.collect())
    }
}

pub mod x {
    use limbic_connectors::{ComplianceStream, XSettings};

    use crate::seen::{Note, Seen};
    use crate::{Item, Page};

    const NETWORK: &str = "x";

    mod events {
        include!(concat!(env!("OUT_DIR"), "/events.rs"));
    }

    mod lines {
        include!(concat!(env!("OUT_DIR"), "/lines.rs"));
    }

    /// The lines of a stream that arrives in pieces of this size.
    pub fn lines(bytes: &[u8], size: usize) -> Vec<String> {
        let (mut lines, mut found) = (lines::Lines::default(), Vec::new());
        for piece in bytes.chunks(size) {
            lines.push(piece).expect("it is short");
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found
    }

    /// The items of events, and the ids of edited versions, by a connector that knows these posts with their authors; all of them came with a
    /// place. Ends where an event says that the stream ends.
    pub fn events(lines: &[String], wants_every: bool, known: &[(&str, &str)]) -> (Vec<Item>, Vec<String>) {
        let settings = XSettings {
            compliance_stream: if wants_every { ComplianceStream::Every } else { ComplianceStream::Known },
            ..XSettings::default()
        };
        let mut seen = Seen::with_authors(100);
        let read = |(name, author): &(&str, &str)| Note::Read {
            name: (*name).to_owned(),
            revision: 0,
            author: (*author).to_owned(),
        };
        seen.note(known.iter().map(read).collect());
        let placed = known.iter().map(|(name, _)| (*name).to_owned()).collect();
        let (mut page, mut notes) = (Page::default(), Vec::new());
        let mut taking = events::Taking::new(&settings, &seen, &placed, &mut page, &mut notes);
        for line in lines {
            match taking.take(line) {
                Ok(_) => {}
                Err(problem) => {
                    assert!(!problem.is_empty());
                    break;
                }
            }
        }
        let edits = taking.edits;
        (page.items, edits)
    }
}
