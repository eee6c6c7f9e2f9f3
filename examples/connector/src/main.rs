//! A connector in one page: it pulls posts from a source that numbers them.

use std::io::Write as _;

use limbic_connectors::{Connector, ConnectorError, Cursor, Item, Page, PullError, pull_once};
use serde_json::{Value, json};

/// The source. A real connector calls a server here.
struct Timeline {
    posts: Vec<&'static str>,
}

impl Connector for Timeline {
    fn pull(&mut self, after: Option<&Cursor>, most: usize) -> Result<Page, ConnectorError> {
        let start = match after {
            None => 0,
            Some(cursor) => cursor.0.parse().map_err(|_| ConnectorError::UnknownCursor {
                source_name: "the timeline".to_owned(),
                cursor: cursor.0.clone(),
            })?,
        };
        let end = self.posts.len().min(start + most);
        let posts = (start..end).map(|number| Item::Post(self.post(number)));
        Ok(Page {
            items: posts.collect(),
            next: Some(Cursor(end.to_string())),
            has_more: end < self.posts.len(),
            ..Page::default()
        })
    }
}

impl Timeline {
    /// A post in the form of `POST /v1/posts`.
    fn post(&self, number: usize) -> Value {
        json!({
            "network": "timeline", "id": number.to_string(), "author": "ada",
            "text": self.posts[number], "created_at": "2026-11-29T12:00:00Z",
        })
    }
}

/// Pulls everything in pages of two. The edge refuses the second page once, as if its log were full.
fn run() -> Result<Vec<String>, ConnectorError> {
    let mut source = Timeline {
        posts: vec!["Goal!", "What a match", "Full time"],
    };
    let mut cursor = None;
    let mut accepted: Vec<String> = Vec::new();
    let mut refusals = vec![false, true, false].into_iter();
    loop {
        let pulled = pull_once(&mut source, &mut cursor, 2, |items| {
            if refusals.next() == Some(true) {
                return Err("the log is full");
            }
            for item in items {
                if let Item::Post(post) = item {
                    accepted.push(post["text"].as_str().unwrap_or_default().to_owned());
                }
            }
            Ok(())
        });
        match pulled {
            Ok(false) => return Ok(accepted),
            Err(PullError::Source(error)) => return Err(error),
            // After a refusal the cursor has not moved, so the same page is pulled again.
            Ok(true) | Err(PullError::NotAccepted(_)) => {}
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for text in run()? {
        writeln!(std::io::stdout(), "{text}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_post_arrives_once_although_a_page_was_refused() {
        assert!(run().is_ok_and(|posts| posts == ["Goal!", "What a match", "Full time"]));
    }

    #[test]
    fn a_cursor_of_another_source_is_refused() {
        let mut source = Timeline { posts: vec!["Goal!"] };
        let error = source.pull(Some(&Cursor("yesterday".to_owned())), 2);
        assert!(matches!(error, Err(ConnectorError::UnknownCursor { .. })));
    }
}
