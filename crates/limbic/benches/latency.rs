//! Post → decision, embedded, at a steady rate: how long from the edge's acceptance of the post that tips an audience until
//! the decision it leads to is on disk. And the memory of the whole loop.
//!
//! `cargo bench -p limbic --bench latency [-- POSTS_PER_SECOND SECONDS [ENGINE]]` (1,000, 60 and `lexicon` if not given: what
//! the stream costs, not what a model does; `model` reads as many as its processor can, some 500 a second on two cores). Runs
//! the release binary on a fresh folder with one partition. Twenty audiences swing between delight and dismay every second, not all at once, and a
//! baseline that forgets within a second lets nearly each swing be a moment, so that a minute has more than a thousand
//! decisions; event time has no disorder, since one sender writes in order. The figures are those of the program's own
//! histogram (`limbic_end_to_end_seconds`), so a quantile is an upper bound: its bucket's edge.
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
[affect]
engine = "ENGINE"
[profile.person]
disorder = "0s"
[profile.audience]
half_life = "1s"
[profile.change]
alpha = 0.05
least_posts = 5
baseline_half_life = "1s"
cooldown = "0s"
[[campaigns]]
id = "snacks"
platforms = [{ name = "file", headline = 60, body = 180 }]
[campaigns.brief]
product = "Crunch Bowl"
promise = "Popcorn that is hot when the second half begins."
call_to_action = "Order a bowl"
link = "https://crunch.example/order"
[ad_platforms.file]
kind = "file"
"#;

/// Each is the audience of a topic of its own.
const AUDIENCES: u64 = 20;
/// How long a mood lasts.
const SWING: Duration = Duration::from_secs(1);

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let rate: u64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000);
    let seconds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(60);
    let config_text = CONFIG.replace("ENGINE", &arguments.next().unwrap_or_else(|| "lexicon".into()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("limbic.toml");
    let deliveries = folder.path().join("deliveries.jsonl");
    let subjects: Vec<String> = (0..AUDIENCES)
        .map(|n| format!("topic-{n} = [\"thing{n}\"]\n"))
        .collect();
    let settings = format!(
        "{config_text}path = \"{}\"\n[affect.subjects]\n{}",
        deliveries.display(),
        subjects.concat()
    );
    std::fs::write(&config, settings).expect("a settings file");
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

/// One of an audience that is delighted for a while and then dismayed, each beginning a little later than the last.
fn post(n: u64, at: Duration) -> String {
    let audience = n % AUDIENCES;
    let late = SWING * u32::try_from(audience).unwrap_or_default() / u32::try_from(AUDIENCES).unwrap_or(1);
    let is_delighted = ((at + late).as_millis() / SWING.as_millis()).is_multiple_of(2);
    let text = match (is_delighted, n / AUDIENCES % 2) {
        (true, 0) => "What a wonderful thing, I love this, my favourite",
        (true, _) => "Fantastic, brilliant, I am so happy about this",
        (false, 0) => "A disgrace, a terrible, awful mess, and the worst",
        (false, _) => "What a horrible, boring, sad disappointment",
    };
    let created = limbic_domain::Utc::now();
    format!(
        r#"{{"network":"bench","id":"{n}","author":"a{}","text":"{text}: thing{audience} {n}","created_at":"{created}"}}"#,
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
