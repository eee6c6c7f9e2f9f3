//! Posts per second of processor time for each connector, and resident memory over a simulated day.
//!
//! ```text
//! cargo bench -p limbic-connectors --bench networks                     # posts/s of each connector
//! cargo bench -p limbic-connectors --bench networks -- bluesky x        # of these
//! cargo bench -p limbic-connectors --bench networks -- --day            # memory over a day, posts and turns of 24 hours
//! ```
//!
//! The servers are those of the tests, in a process of their own, so their time and memory are not counted. Posts have 120 to 280
//! characters. What is counted is the thread of the connector: requests, reading, parsing, and posts as JSON, without the edge.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "../processor/mod.rs"]
mod processor;
#[path = "../../tests/servers/mod.rs"]
mod servers;
mod sources;
#[allow(dead_code, reason = "of the suite, only the faults are used")]
#[path = "../../tests/suite/mod.rs"]
mod suite;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use limbic_connectors::{Connector, Cursor};
use processor::processor_seconds;
use sources::{KINDS, Kind};

/// Posts of one measurement.
const POSTS: u32 = 20_000;
/// How many measurements there are. The median is printed.
const RUNS: usize = 5;

/// The local server of a network, in another process.
struct Server {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start(kind: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["serve", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut url = String::new();
        answers.read_line(&mut url).unwrap();
        Self {
            process,
            commands,
            answers,
            url: url.trim().to_owned(),
        }
    }

    /// Publishes so many posts.
    fn publish(&mut self, posts: u32) {
        writeln!(self.commands, "{posts}").unwrap();
        self.answers.read_line(&mut String::new()).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The server's side: publishes as many posts as each line of the input says.
fn serve(kind: &str) {
    let kind = KINDS.iter().find(|known| known.name == kind).unwrap();
    let mut publish = (kind.serve)();
    println!("{}", publish.url());
    let mut next = 0;
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let posts: u32 = line.parse().unwrap();
        for n in next..next + posts {
            publish.post(n);
        }
        next += posts;
        println!("done");
    }
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A connector with a clock that is moved.
struct Reader {
    connector: Box<dyn Connector>,
    cursor: Option<Cursor>,
    now: Instant,
    spent: f64,
}

impl Reader {
    fn pull(&mut self) -> usize {
        let before = processor_seconds();
        self.connector.set_time(self.now);
        let page = self.connector.pull(self.cursor.as_ref(), 1_000).unwrap();
        self.cursor = page.next;
        let items = page.items.len();
        drop(page.items);
        if items > 0 {
            self.spent += processor_seconds() - before;
        }
        items
    }

    /// Pulls until so many items have come.
    fn until(&mut self, items: u32) {
        let mut found = 0;
        while found < items as usize {
            found += self.pull();
        }
    }
}

fn start(kind: &Kind) -> (Server, Reader) {
    let mut server = Server::start(kind.name);
    let connector = (kind.connector)(&server.url);
    let mut reader = Reader {
        connector,
        cursor: None,
        now: Instant::now(),
        spent: 0.0,
    };
    if kind.begins_at_present {
        reader.pull();
    }
    server.publish(kind.round);
    reader.until(kind.round);
    reader.spent = 0.0;
    (server, reader)
}

fn rate(kind: &Kind) {
    let mut rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let (mut server, mut reader) = start(kind);
            let mut posts = 0;
            while posts < POSTS {
                server.publish(kind.round);
                reader.until(kind.round);
                posts += kind.round;
            }
            f64::from(posts) / reader.spent
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "{:<12} {:>9.0} posts/s of processor time (median of {RUNS}; {:.0} to {:.0})",
        kind.name,
        rates[RUNS / 2],
        rates[0],
        rates[RUNS - 1]
    );
}

fn day(kind: &Kind) {
    let (mut server, mut reader) = start(kind);
    let rounds = kind.posts_of_a_day.div_ceil(kind.round);
    let apart = Duration::from_hours(24) / rounds;
    let mut at = Vec::new();
    for round in 0..rounds {
        server.publish(kind.round);
        reader.until(kind.round);
        // A pull that brings nothing, as between the turns of a day.
        reader.now += apart;
        if [rounds / 4, rounds / 2, 3 * rounds / 4].contains(&round) {
            at.push(resident());
        }
    }
    at.push(resident());
    let mebibytes: Vec<String> = at
        .iter()
        .map(|kib| format!("{:.1}", *kib as f64 / 1_024.0))
        .collect();
    println!(
        "{:<12} {:>9} posts in 24 h: {} MiB resident after 6, 12, 18 and 24 h",
        kind.name,
        rounds * kind.round,
        mebibytes.join(", ")
    );
}

fn main() {
    let given: Vec<String> = std::env::args()
        .skip(1)
        .filter(|given| given != "--bench")
        .collect();
    if let [first, kind] = &given[..]
        && first == "serve"
    {
        return serve(kind);
    }
    let is_day = given.iter().any(|given| given == "--day");
    let names: Vec<&String> = given.iter().filter(|given| !given.starts_with("--")).collect();
    for kind in KINDS {
        if names.is_empty() || names.iter().any(|name| *name == kind.name) {
            if is_day { day(kind) } else { rate(kind) }
        }
    }
}
