//! Events per second of processor time in catch-up: reading, parsing and converting, on one thread.
//!
//! Run it with `cargo bench -p limbic-connectors --bench catch_up`. The events are made here. Seven of eight are posts, as with
//! `wantedCollections=app.bsky.feed.post`; the others are account events. The server is a thread of its own, and is not counted.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod processor;

use std::net::TcpListener;
use std::time::Instant;

use limbic_component::{Component, Resources};
use limbic_connectors::{Bluesky, BlueskySettings, Cursor};
use limbic_domain::ConnectionUrl;
use processor::processor_seconds;
use serde_json::json;
use tungstenite::Message;

fn events(count: usize) -> Vec<Message> {
    let words = [
        "goal",
        "what a match",
        "ça va",
        "最高",
        "the keeper was hurt",
        "😀 lovely",
    ];
    let event = |n: usize| {
        let did = format!("did:plc:{:024}", n % 5_003);
        let time = 1_780_000_000_000_000_i64 + n as i64 * 400;
        if n % 8 == 7 {
            return json!({"did": did, "time_us": time, "kind": "account",
                "account": {"active": true, "did": did, "seq": n, "time": "2026-05-28T20:26:40Z"}});
        }
        let text: Vec<&str> = (0..4 + n % 20)
            .map(|word| words[(word + n) % words.len()])
            .collect();
        json!({"did": did, "time_us": time, "kind": "commit", "commit": {
            "rev": "3mmoojp7vgo2g", "operation": "create", "collection": "app.bsky.feed.post", "rkey": format!("3m{n:011}"),
            "record": {"$type": "app.bsky.feed.post", "createdAt": "2026-05-25T14:23:28.757Z", "langs": ["en"],
                "reply": {"parent": {"cid": "bafyreiainko5un5pbcdosvxpbisjnjzemojnry6nsgtdftdgslbu37kxai",
                    "uri": "at://did:plc:j76trmiofvaxxpvx2vnb2vwf/app.bsky.feed.post/3mmojbrjwbs26"}},
                "text": text.join(" ")},
            "cid": "bafyreicl7rzkxdrm4zz2ehbx52kuk3mvfow6p3gzfys72r5grvskxoswy4"}})
    };
    (0..count)
        .map(|n| Message::Text(event(n).to_string().into()))
        .collect()
}

fn main() {
    let count = 200_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/subscribe", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let events = events(count);
        let (stream, _) = listener.accept().unwrap();
        let mut socket = tungstenite::accept(stream).unwrap();
        for event in events {
            socket.write(event).unwrap();
        }
        socket.flush().unwrap();
        // The client closes the connection when it has everything.
        while socket.read().is_ok() {}
    });
    let settings = BlueskySettings {
        urls: vec![ConnectionUrl::new(url)],
        ..BlueskySettings::default()
    };
    let mut connector = Bluesky::build(&settings, &Resources::new("bench"))
        .unwrap()
        .connector;
    let (mut cursor, mut seen): (Option<Cursor>, u64) = (None, 0);
    let (mut begin, mut spent) = (None, 0.0);
    while seen < count as u64 {
        let before = processor_seconds();
        let page = connector.pull(cursor.as_ref(), 1_000).unwrap();
        let events = page.items.len() as u64 + page.dropped.values().sum::<u64>();
        if events > 0 {
            begin.get_or_insert_with(Instant::now);
            spent += processor_seconds() - before;
        }
        seen += events;
        cursor = page.next;
    }
    let elapsed = begin.unwrap().elapsed().as_secs_f64();
    drop(connector);
    server.join().unwrap();
    let per_second = |seconds: f64| count as f64 / seconds;
    println!(
        "{count} events: {:.0} events/s of processor time, {:.0} events/s by the clock",
        per_second(spent),
        per_second(elapsed)
    );
}
