//! Measures how long a post takes from its network to the log: a local Jetstream server sends events at a steady rate, and the program
//! reads them with its connector.
//!
//! `cargo bench -p limbic --bench source_to_log [-- EVENTS_PER_SECOND SECONDS]`. The defaults are 2,000, more than the whole network
//! has, and 30. `LIMBIC_PROGRAM` names another program to measure. Seven of eight events are posts. The time runs from the event's own time until the edge accepts the post, as the
//! record says in the log. It includes what the post waits for its page. To the log it is one commit more, which
//! `limbic_end_to_end_seconds` of the benchmark `latency` contains.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints its figures"
)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_domain::{Envelope, Post, Utc};
use limbic_stream::{Log as _, TopicPartition, header};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use serde_json::json;
use tungstenite::Message;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .filter_map(|argument| argument.parse().ok());
    let (rate, seconds): (u64, u64) = (arguments.next().unwrap_or(2_000), arguments.next().unwrap_or(30));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/subscribe", listener.local_addr().expect("it is bound"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (config, data) = (folder.path().join("limbic.toml"), folder.path().join("data"));
    std::fs::write(
        &config,
        format!(
            "partitions = 1\n[affect]\nengine = \"lexicon\"\n[connectors.sky]\nkind = \"bluesky\"\nurls = [\"{url}\"]\n"
        ),
    )
    .expect("a settings file");
    let program = std::env::var("LIMBIC_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_limbic").to_owned());
    let mut program = Command::new(program)
        // Variables with this prefix are settings.
        .env_remove("LIMBIC_PROGRAM")
        .args(["run", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(&data)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let log = BufReader::new(program.stderr.take().expect("a pipe")).lines();
    // The log lines are not needed, but they must not fill the pipe.
    let said = std::thread::spawn(move || log.map_while(Result::ok).collect::<Vec<_>>());

    listener.set_nonblocking(true).expect("it is a socket");
    let stream = loop {
        if let Ok((stream, _)) = listener.accept() {
            break stream;
        }
        if let Some(ended) = program.try_wait().expect("it is a child") {
            panic!(
                "the program ended: {ended}: {:?}",
                said.join().expect("its log was read")
            );
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    stream.set_nonblocking(false).expect("it is a socket");
    let mut socket = tungstenite::accept(stream).expect("it speaks WebSocket");
    // The next connection is refused.
    drop(listener);
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        for n in sent..due {
            socket.write(event(n)).expect("the connector reads");
        }
        socket.flush().expect("the connector reads");
        sent = due;
        std::thread::park_timeout(Duration::from_millis(5));
    }
    // Everything has arrived when the connector has answered the last sign of life and the stages have drained.
    drop(socket);
    let terminated = Command::new("kill")
        .arg(program.id().to_string())
        .status()
        .expect("kill is there");
    assert!(terminated.success());
    program.wait().expect("the program ends");

    let log = EmbeddedLog::open(data.join("log"), EmbeddedOptions::default())
        .unwrap_or_else(|error| panic!("{error}: {:?}", said.join().expect("its log was read")));
    let mut waits = Vec::new();
    let posts = TopicPartition {
        topic: Arc::from("posts"),
        partition: 0,
    };
    let mut from = 0;
    loop {
        let records = log.read(&posts, from, 1_000).expect("the log is whole");
        let Some(last) = records.last() else { break };
        from = last.offset + 1;
        for record in records {
            // The others are heartbeats and deletions.
            let Ok(post) = Envelope::<Post>::decode(&record.value) else {
                continue;
            };
            let accepted = record.headers.text(header::ACCEPTED_AT).expect("each has it");
            let accepted = Utc::from_millis(accepted.parse().expect("milliseconds"));
            waits.push(accepted.millis_since(post.at));
        }
    }
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!(
        "{sent} events at {rate}/s over {seconds} s, {} posts in the log; from the event to the edge: p50 {} ms, p99 {} ms, most {} ms",
        waits.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// The event number `n`, of now.
fn event(n: u64) -> Message {
    let did = format!("did:plc:{:024}", n % 5_003);
    let now = Utc::now();
    let time = now.as_millis() * 1_000;
    let event = if n % 8 == 7 {
        json!({"did": did, "time_us": time, "kind": "account",
            "account": {"active": true, "did": did, "seq": n, "time": now}})
    } else {
        json!({"did": did, "time_us": time, "kind": "commit", "commit": {
            "rev": "3mmoojp7vgo2g", "operation": "create", "collection": "app.bsky.feed.post", "rkey": format!("3m{n:011}"),
            "record": {"$type": "app.bsky.feed.post", "createdAt": now, "langs": ["en"],
                "text": format!("The keeper was hurt, and what a match it was, number {n} of the season")},
            "cid": "bafyreicl7rzkxdrm4zz2ehbx52kuk3mvfow6p3gzfys72r5grvskxoswy4"}})
    };
    Message::Text(event.to_string().into())
}
