//! A real `limbic run` in a folder of its own, on a port of its own, and a client that never gives up on it.

#![allow(
    dead_code,
    reason = "each test program is compiled with the whole of this module and uses the part it needs"
)]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before the test says what it was waiting for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// The settings of every house here: campaigns that the posts of [`posts`] speak of, moments that come easily, and event
/// time that moves by what the source says alone, so that no run depends on the speed of the machine.
const SETTINGS: &str = r##"
[stream]
idle_after = "10min"

[tenants.default]
pseudonym_secret = "a secret of the tests, not of anyone"

[profile.change]
alpha = 0.05
least_posts = 30
cooldown = "1min"

[affect.subjects]
boxing = ["fight", "fighter", "boxing", "#mayweathervmcgregor", "mayweather", "mcgregor", "#maymac", "ring", "knockout"]
music = ["concert", "encore", "band", "song"]

[[campaigns]]
id = "night-snacks"
subjects = ["boxing"]
platforms = [{ name = "file", headline = 60, body = 180 }]
bid = 250000
[campaigns.brief]
product = "Crunch Bowl"
promise = "Popcorn that is hot when the second half begins."
call_to_action = "Order a bowl"
link = "https://crunch.example/order"

[[campaigns]]
id = "record-store"
subjects = ["music"]
platforms = [{ name = "file", headline = 60, body = 180 }]
bid = 180000
[campaigns.brief]
product = "Groove Corner"
promise = "The record of the night, pressed and posted by morning."
call_to_action = "Hear it first"
link = "https://groove.example/tonight"
"##;

/// Who reads what, as far as the posts of a test go.
const READERS: [(&str, &[&str]); 9] = [
    ("ingest", &["intake"]),
    ("affect", &["posts"]),
    ("profile", &["readings"]),
    ("moments", &["feelings"]),
    ("creative", &["moments"]),
    ("safety", &["drafts"]),
    ("optimize", &["creatives"]),
    ("deliver", &["decisions"]),
    (
        "views",
        &[
            "posts",
            "readings",
            "moments",
            "creatives",
            "decisions",
            "outcomes",
        ],
    ),
];

/// An answer: the status, the content type and the body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body, if this is a well-formed problem of `status`.
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{self:?}"
        );
        problem
    }
}

/// A folder with settings and data, and the process that works there, if one does.
pub(crate) struct TestNode {
    folder: Arc<TempDir>,
    data: PathBuf,
    flags: Vec<String>,
    process: Option<Process>,
    /// How often [`TestNode::start`] was called.
    pub(crate) starts: u32,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

struct Process {
    child: Arc<Mutex<Child>>,
    address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl TestNode {
    /// An empty house, where nothing runs yet. `flags` go to every command.
    pub(crate) fn new(flags: &[&str]) -> Self {
        Self::sharing(Arc::new(tempfile::tempdir().unwrap()), "data", flags)
    }

    /// A second process over what this one shares (Kafka), with a data folder of its own.
    pub(crate) fn neighbour(&self, name: &str, flags: &[&str]) -> Self {
        Self::sharing(Arc::clone(&self.folder), name, flags)
    }

    fn sharing(folder: Arc<TempDir>, data: &str, flags: &[&str]) -> Self {
        let data = folder.path().join(data);
        let settings = format!(
            "{SETTINGS}\n[ad_platforms.file]\nkind = \"file\"\npath = \"{}\"\n",
            data.join("deliveries.jsonl").display()
        );
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("limbic.toml"), settings).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            // A killed process leaves dead connections behind.
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self {
            folder,
            data,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            process: None,
            starts: 0,
            runtime,
            client,
        }
    }

    /// The same, with every stage ready.
    pub(crate) fn open(flags: &[&str]) -> Self {
        let mut house = Self::new(flags);
        house.start();
        house.wait_ready();
        house
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.process.as_ref().expect("it runs").address)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limbic"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .args(arguments)
            .arg("--config")
            .arg(self.data.join("limbic.toml"))
            .arg("--data")
            .arg(&self.data)
            .args(&self.flags);
        command
    }

    /// Another command over the same folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts `limbic run`; returns as soon as it listens.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.starts += 1;
        let mut child = self
            .command(&["run", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (send, address): (_, Receiver<String>) = channel();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str::<Value>(&line)
                    && event["message"]
                        .as_str()
                        .is_some_and(|text| text.starts_with("listening"))
                    && let Some(address) = event["address"].as_str()
                {
                    let _ = send.send(address.to_owned());
                }
                kept.lock().unwrap().push(line);
            }
        });
        let Ok(address) = address.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("it does not listen:\n{}", log.lock().unwrap().join("\n"));
        };
        self.process = Some(Process {
            child: Arc::new(Mutex::new(child)),
            address,
            log,
        });
    }

    /// Waits until `/readyz` says so.
    pub(crate) fn wait_ready(&mut self) {
        self.until("it is ready", |house| {
            (house.get("/readyz").status == StatusCode::OK).then_some(())
        });
    }

    /// SIGKILL, now.
    pub(crate) fn kill(&mut self) {
        let process = self.process.take().expect("it runs");
        let mut child = process.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGKILL to what runs now, `after` some time, whatever it does then; nothing if it is gone by then.
    pub(crate) fn kill_after(&self, after: Duration) -> std::thread::JoinHandle<()> {
        let child = Arc::clone(&self.process.as_ref().expect("it runs").child);
        std::thread::spawn(move || {
            let due = Instant::now() + after;
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
            let mut child = child.lock().unwrap();
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                // Seen dead at once, or the next kill could meet this life again.
                child.wait().unwrap();
            }
        })
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, String) {
        let process = self.process.take().expect("it runs");
        let mut child = process.child.lock().unwrap();
        let told = Command::new("kill")
            .arg("-TERM")
            .arg(child.id().to_string())
            .status();
        assert!(told.unwrap().success());
        let status = child.wait().unwrap();
        drop(child);
        (status, process.log.lock().unwrap().join("\n"))
    }

    /// Starts it again if it was killed; `true` if so. Anything else that ends it is a failure of the test.
    pub(crate) fn revive(&mut self) -> bool {
        let Some(process) = &self.process else {
            self.start();
            return true;
        };
        let Some(status) = process.child.lock().unwrap().try_wait().unwrap() else {
            return false;
        };
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        assert!(
            killed,
            "it ended by itself, {status}:\n{}",
            process.log.lock().unwrap().join("\n")
        );
        self.process = None;
        self.start();
        true
    }

    /// Sends a request; `None` if nobody answered.
    pub(crate) fn try_request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Option<Answer> {
        let process = self.process.as_ref().expect("it runs");
        let url = format!("http://{}{path}", process.address);
        let mut request = self
            .client
            .request(method.parse().unwrap(), url)
            .body(body.to_vec());
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.ok()?;
            let status = answer.status();
            let content_type = answer.headers().get("content-type");
            let content_type = content_type
                .map_or("", |value| value.to_str().unwrap())
                .to_owned();
            Some(Answer {
                status,
                content_type,
                text: answer.text().await.ok()?,
            })
        })
    }

    /// Sends a request to what must be alive.
    pub(crate) fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.try_request(method, path, kind, body).unwrap_or_else(|| {
            let process = self.process.as_ref().expect("it runs");
            panic!(
                "no answer to {method} {path}:\n{}",
                process.log.lock().unwrap().join("\n")
            )
        })
    }

    /// GET.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", b"")
    }

    /// POST of JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, "application/json", body.to_string().as_bytes())
    }

    /// POST of JSON until it is taken, over as many lives of the process as it needs.
    pub(crate) fn insist(&mut self, path: &str, body: &Value) -> Value {
        let bytes = body.to_string().into_bytes();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_request("POST", path, "application/json", &bytes) {
                Some(answer) if answer.status == StatusCode::ACCEPTED => return answer.json(),
                Some(answer) => assert!(answer.status.is_server_error(), "{answer:?}"),
                None => {}
            }
            assert!(Instant::now() < deadline, "{path} takes nothing");
            if !self.revive() {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    }

    /// Waits for what `look` finds; killed processes are started again.
    pub(crate) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if Instant::now() > deadline {
                let counts = self.try_request("GET", "/v1/counts", "", b"");
                let log = self
                    .process
                    .as_ref()
                    .map(|process| process.log.lock().unwrap().join("\n"));
                panic!(
                    "still waiting until {what}:\n{counts:?}\n{}",
                    log.unwrap_or_default()
                );
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until every stage has consumed all there is, and gives the counts of that moment.
    pub(crate) fn settle(&mut self) -> Value {
        let mut before = Value::Null;
        self.until("every stage has consumed all there is", |house| {
            house.revive();
            let answer = house.try_request("GET", "/v1/counts", "", b"")?;
            if answer.status != StatusCode::OK {
                return None;
            }
            let counts = answer.json();
            let idle = counts["stages"]
                .as_object()
                .unwrap()
                .values()
                .all(|stage| stage["lag"] == 0);
            // The lag of a stage that has not committed yet is 0, whatever there is to read: look at what it consumed.
            let caught_up = READERS.iter().all(|(stage, read)| {
                let records = read
                    .iter()
                    .map(|topic| counts["topics"][topic]["records"].as_u64().unwrap());
                counts["stages"][stage]["consumed"].as_u64() >= Some(records.sum())
            });
            // One stage's count is exact, ten are read one after the other: twice the same is the truth.
            let same = counts == before;
            before = counts.clone();
            (idle && caught_up && same).then_some(counts)
        })
    }

    /// Everything of a list, page by page.
    pub(crate) fn all(&self, list: &str, limit: usize) -> Vec<Value> {
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.get(&format!("/v1/{list}?limit={limit}{after}")).json();
            let found = page["items"].as_array().unwrap();
            assert!(found.len() <= limit);
            items.extend(found.iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }

    /// What the house made of its posts, content for content: lists by name, each sorted, nothing left out.
    ///
    /// Panics if anything is there twice.
    pub(crate) fn made(&self) -> BTreeMap<&'static str, BTreeSet<String>> {
        ["readings", "moments", "decisions"]
            .into_iter()
            .map(|list| {
                let all = self.all(list, 1_000);
                let set: BTreeSet<String> = all.iter().map(Value::to_string).collect();
                assert_eq!(set.len(), all.len(), "{list}: something is there twice");
                (list, set)
            })
            .collect()
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            let mut child = process
                .child
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Says where two houses differ, if they do.
pub(crate) fn assert_same(
    left: &BTreeMap<&'static str, BTreeSet<String>>,
    right: &BTreeMap<&'static str, BTreeSet<String>>,
    what: &str,
) {
    for (list, left) in left {
        let right = &right[list];
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            let only: Vec<&String> = a.difference(b).collect();
            format!("{} of {}, first {:?}", only.len(), a.len(), only.first())
        };
        assert!(
            left == right,
            "{what}: {list} differ\n  only on the left: {}\n  only on the right: {}",
            only(left, right),
            only(right, left)
        );
    }
}

/// A small, seeded source of numbers (SplitMix64): the same kills for the same seed.
pub(crate) struct Dice(pub u64);

impl Dice {
    /// The next number below `below`.
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// `n` posts of an evening: forty people, one post every two seconds, whose mood turns every hundred posts.
pub(crate) fn posts(n: usize) -> Vec<Value> {
    let glad = [
        "what a wonderful",
        "so happy about this great",
        "love this amazing",
        "brilliant, best",
    ];
    let sour = [
        "what a terrible",
        "so angry about this awful",
        "hate this horrible",
        "boring, worst",
    ];
    let things = [
        "fight tonight",
        "knockout in the ring",
        "concert",
        "song of the band",
    ];
    (0..n)
        .map(|i| {
            let mood = if (i / 100) % 2 == 0 { glad } else { sour };
            let second = i * 2;
            json!({
                "network": "town",
                "id": format!("p{i}"),
                "author": format!("person-{}", (i * 7) % 40),
                "text": format!("{} {} no. {i}", mood[i % 4], things[(i / 3) % 4]),
                "created_at": format!("2026-03-01T{:02}:{:02}:{:02}Z", 10 + second / 3_600, second / 60 % 60, second % 60),
                "lang": "en",
            })
        })
        .collect()
}
