//! Post → decision, embedded, at a steady rate: how long from the edge's acceptance of the post that tips an audience until
//! the decision it leads to is on disk. And the memory of the whole loop.
//!
//! `cargo bench -p limbic --bench latency [-- POSTS_PER_SECOND SECONDS]` (1,000 and 60 if not given). Runs the release binary
//! on a fresh folder with one partition, audiences that swing every five seconds, and a change test with alpha 0.05, so that
//! there are decisions to measure; event time has no disorder, since one sender writes in order. The figures are those of
//! the program's own histogram (`limbic_end_to_end_seconds`), so a quantile is an upper bound: its bucket's edge.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints its figures"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CONFIG: &str = r#"
partitions = 1
[connect.topics]
football = ["goal"]
music = ["encore"]
[profile.person]
disorder_seconds = 0
[profile.change]
alpha = 0.05
[[campaigns]]
id = "snacks"
platforms = [{ name = "file", headline = 60, body = 180 }]
[campaigns.brief]
product = "Crunch Bowl"
promise = "Popcorn that is hot when the second half begins."
call_to_action = "Order a bowl"
link = "https://crunch.example/order"
[deliver.platforms.file]
kind = "file"
"#;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let rate: u64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000);
    let seconds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(60);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("limbic.toml");
    let deliveries = folder.path().join("deliveries.jsonl");
    std::fs::write(&config, format!("{CONFIG}path = \"{}\"\n", deliveries.display()))
        .expect("a settings file");
    let mut program = Command::new(env!("CARGO_BIN_EXE_limbic"))
        .args(["run", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(folder.path().join("data"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut log = BufReader::new(program.stderr.take().expect("a pipe")).lines();
    let address = log
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(line.get("address")?.as_str()?.to_owned())
        })
        .expect("the program says where it listens");
    // What it logs from here on is not read, but must not fill the pipe.
    std::thread::spawn(move || log.for_each(drop));

    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        // Twenty requests a second, each with what has become due since the last.
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        if due > sent {
            let posts: Vec<String> = (sent..due).map(|n| post(n, started.elapsed())).collect();
            let answer = call(&address, "POST", "/v1/posts", &format!("[{}]", posts.join(",")));
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
            sent = due;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let metrics = call(&address, "GET", "/metrics", "");
    let memory = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap_or_default();
    let resident = memory
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or("VmRSS: unknown");
    println!(
        "{sent} posts at {rate}/s over {seconds} s, every commit on disk; from acceptance to the commit of:"
    );
    for stage in ["affect", "moments", "optimize"] {
        let (count, quantiles) = quantiles(&metrics, stage, &[0.5, 0.99]);
        println!(
            "  {stage:<9} p50 ≤ {:>6.1} ms   p99 ≤ {:>6.1} ms   ({count} records)",
            quantiles[0], quantiles[1]
        );
    }
    println!("  {resident}");
    program.kill().expect("the program can be stopped");
    program.wait().expect("the program ends");
}

/// Audiences swing every five seconds between delight and dismay.
fn post(n: u64, at: Duration) -> String {
    let text = match (at.as_secs() / 5 % 2, n % 4) {
        (0, 0) => "What a wonderful goal, I love this team",
        (0, _) => "An encore! Fantastic, brilliant, I am so happy",
        (_, 0) => "That goal was a disgrace, a terrible, awful mess",
        (_, _) => "No encore, what a horrible, boring disappointment",
    };
    let created = limbic_domain::Utc::now();
    format!(
        r#"{{"platform":"bench","id":"{n}","author":"a{}","text":"{text} {n}","created_at":"{created}"}}"#,
        n % 5_000
    )
}

fn call(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the program listens");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// How many observations, and for each quantile the edge of its bucket, in milliseconds.
fn quantiles(metrics: &str, stage: &str, wanted: &[f64]) -> (u64, Vec<f64>) {
    let prefix = format!("limbic_end_to_end_seconds_bucket{{stage=\"{stage}\",le=\"");
    let buckets: Vec<(f64, u64)> = metrics
        .lines()
        .filter_map(|line| {
            let (edge, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
            let edge = if edge == "+Inf" {
                f64::INFINITY
            } else {
                edge.parse().ok()?
            };
            Some((edge, count.trim().parse().ok()?))
        })
        .collect();
    let total = buckets.last().map_or(0, |(_, count)| *count);
    let edge = |q: f64| {
        let rank = q * total as f64;
        buckets
            .iter()
            .find(|(_, count)| *count as f64 >= rank)
            .map_or(f64::NAN, |(edge, _)| edge * 1e3)
    };
    (total, wanted.iter().map(|q| edge(*q)).collect())
}
