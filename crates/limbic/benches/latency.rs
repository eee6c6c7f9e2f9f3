//! Measures the embedded log at a steady rate: the time from the acceptance of the post that causes a moment until the
//! decision about this moment is on disk. Also measures the memory of the process.
//!
//! `cargo bench -p limbic --bench latency [-- POSTS_PER_SECOND SECONDS [ENGINE]]`. The defaults are 1,000, 60 and
//! `lexicon`, which measures the stream and not the model. `model` reads as many posts as the processor can: about 500 a
//! second on two cores.
//!
//! The benchmark runs the release binary on a new folder with one partition. Twenty audiences change between delight and
//! dismay, each once a second and not all at the same time. The baseline forgets within a second, so nearly every change
//! is a moment. Returns get no ad, so a minute has some 600 decisions. `alpha` is so small that a moment has more than the ten posts
//! of the new mood without which the safety gate clears no ad. Event time has no disorder, because one sender writes in order. The figures come from the program's own histogram (`limbic_end_to_end_seconds`). So a quantile is an upper
//! bound: the upper edge of its bucket.
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
alpha = 1e-6
false_moments = 10000
audiences = 1
window = "1s"
least_posts = 5
baseline_half_life = "1s"
cooldown = "0s"
[[campaigns]]
id = "snacks"
bid = 1000
platforms = [{ name = "file", headline = 60, body = 180 }]
declared = { advertiser = "Crunch Foods" }
[campaigns.brief]
product = "Crunch Bowl"
promise = "Popcorn that is hot when the second half begins."
call_to_action = "Order a bowl"
link = "https://crunch.example/order"
[ad_platforms.file]
kind = "file"
"#;

/// Number of audiences. Each has its own subject.
const AUDIENCES: u64 = 20;
/// The time between two changes of an audience's mood.
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
    // The later log lines are not needed, but they must not fill the pipe.
    std::thread::spawn(move || log.for_each(drop));

    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        // Twenty requests a second, each with the posts that are due since the previous one.
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

/// The post number `n`. Its audience is delighted for a while and then dismayed; each audience starts a little later than
/// the previous one.
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
    // Words that no other post has: copies of a text would count once.
    let own: String = n
        .to_string()
        .bytes()
        .map(|digit| char::from(digit + b'a' - b'0'))
        .collect();
    let created = limbic_domain::Utc::now();
    format!(
        r#"{{"network":"bench","id":"{n}","author":"a{}","text":"{text}: thing{audience} {own} x{own} y{own} z{own}","created_at":"{created}"}}"#,
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

/// The number of observations and, for each quantile, the upper edge of its bucket in milliseconds.
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
