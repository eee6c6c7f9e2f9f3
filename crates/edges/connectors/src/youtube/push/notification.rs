//! From the body of a push to the videos that it names.

use limbic_domain::Utc;

/// A video that is new, or was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) video: String,
    /// When it was changed, if the push says so.
    pub(super) at: Option<Utc>,
}

/// The videos of an Atom feed. A feed about a video that is gone has none.
pub(super) fn read(body: &[u8]) -> Result<Vec<Change>, ()> {
    let feed = feed_rs::parser::parse(body).map_err(drop)?;
    let changes = feed.entries.iter().filter_map(|entry| {
        let video = entry.id.strip_prefix("yt:video:")?;
        let is_id = (5..=64).contains(&video.len())
            && video
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let at = entry.updated.or(entry.published);
        is_id.then(|| Change {
            video: video.to_owned(),
            at: at.map(|at| Utc::from_millis(at.timestamp_millis())),
        })
    });
    Ok(changes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        r#"<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns="http://www.w3.org/2005/Atom">"#;

    #[test]
    fn the_videos_of_a_push_are_read_and_nothing_else() {
        let body = format!(
            "{HEAD}<title>YouTube video feed</title><updated>2026-11-30T09:00:00+00:00</updated>
            <entry><id>yt:video:dQw4w9WgXcQ</id><title>x</title><updated>2026-11-30T08:59:00.5+00:00</updated></entry>
            <entry><id>yt:video:../../etc</id><title>x</title></entry><entry><id>urn:other</id><title>x</title></entry></feed>"
        );
        let at: Utc = "2026-11-30T08:59:00.500Z".parse().unwrap();
        let expected = Change {
            video: "dQw4w9WgXcQ".to_owned(),
            at: Some(at),
        };
        assert_eq!(read(body.as_bytes()), Ok(vec![expected]));
    }

    #[test]
    fn a_push_about_a_video_that_is_gone_names_none() {
        let body = format!(
            r#"{HEAD}<at:deleted-entry xmlns:at="http://purl.org/atompub/tombstones/1.0" ref="yt:video:dQw4w9WgXcQ"
            when="2026-11-30T09:00:00+00:00"><link href="https://www.youtube.com/watch?v=dQw4w9WgXcQ"/></at:deleted-entry></feed>"#
        );
        assert_eq!(read(body.as_bytes()), Ok(Vec::new()));
        assert_eq!(read(b"<html>"), Err(()));
        assert_eq!(read(b""), Err(()));
    }
}
