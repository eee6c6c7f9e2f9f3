//! A server with a feed, as RFC 9110 and the RSS 2.0 specification say (read 2026-11-30): validators and 304, redirects, `Retry-After`,
//! the newest entry first.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::Mutex;

use super::feed::{Feed, Listening, Served};
use super::http::{self, Request};
use crate::suite::Fault;

pub(crate) struct News {
    listening: Listening,
    pub(crate) shared: Arc<Shared>,
}

/// An entry: guid, title, text, when it was written.
pub(crate) type Entry = (String, String, String, String);

#[derive(Default)]
pub(crate) struct Shared {
    feed: Arc<Feed>,
    /// The oldest first.
    pub(crate) entries: Mutex<Vec<Entry>>,
    /// What the feed was before the last change.
    before: Mutex<Vec<Entry>>,
    pub(crate) requests: Mutex<Vec<Request>>,
    /// The statuses of all answers.
    pub(crate) statuses: Mutex<Vec<u16>>,
    /// Redirects of the path `/old`, or answers of the next requests.
    pub(crate) redirects: Mutex<VecDeque<(u16, String)>>,
    /// Further headers of a feed.
    pub(crate) headers: Mutex<Vec<(&'static str, String)>>,
}

impl News {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let listening = Listening::start(Arc::clone(&shared.feed), move |stream| serve(&of_thread, &stream));
        Self { listening, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listening.address)
    }

    pub(crate) fn plan(&self, fault: Fault) {
        self.shared.feed.plan(fault);
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<Entry>)) {
        let mut entries = self.shared.entries.lock();
        self.shared.before.lock().clone_from(&entries);
        change(&mut entries);
    }
}

fn rss(entries: &[Entry]) -> String {
    let mut body = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><rss version=\"2.0\"><channel><title>News</title>\
         <link>https://news.example/</link><description>News</description>",
    );
    for (guid, title, text, at) in entries.iter().rev() {
        let _ = write!(
            body,
            "<item><guid isPermaLink=\"false\">{guid}</guid><title>{title}</title><description>{text}</description>\
             <pubDate>{at}</pubDate></item>"
        );
    }
    body.push_str("</channel></rss>");
    body
}

fn serve(shared: &Shared, stream: &TcpStream) -> Served {
    let request = http::read(stream)?;
    shared.requests.lock().push(request.clone());
    let answer = |status: u16, headers: &[(&str, String)], body: &[u8]| {
        shared.statuses.lock().push(status);
        http::answer(stream, status, headers, body)
    };
    let fault = shared.feed.fault();
    if let Some((status, to)) = shared.redirects.lock().pop_front() {
        return answer(status, &[("location", to)], b"");
    }
    let entries = match fault {
        Some(Fault::Status(status, wait)) => {
            let wait: Vec<_> = wait
                .map(|wait| ("retry-after", wait.to_string()))
                .into_iter()
                .collect();
            return answer(status, &wait, b"busy");
        }
        // Without an answer.
        Some(Fault::CloseAfter(_)) => return Ok(()),
        // A cache has an older answer.
        Some(Fault::Silent(_)) => shared.before.lock().clone(),
        Some(Fault::CutInFrame(_)) | None => shared.entries.lock().clone(),
    };
    let body = rss(&entries);
    if matches!(fault, Some(Fault::CutInFrame(_))) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut wire = stream;
        wire.write_all(head.as_bytes())?;
        return Ok(wire.write_all(&body.as_bytes()[..body.len() / 2])?);
    }
    let etag = format!("\"{:x}\"", limbic_domain::random::hash(body.as_bytes()));
    let mut headers = vec![
        ("etag", etag.clone()),
        ("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT".to_owned()),
        ("date", httpdate::fmt_http_date(std::time::SystemTime::now())),
    ];
    headers.extend(shared.headers.lock().clone());
    if request.header("if-none-match") == Some(&etag) {
        return answer(304, &headers, b"");
    }
    answer(200, &headers, body.as_bytes())
}
