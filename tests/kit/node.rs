//! A real `limbic run` in its own folder and on its own port, and a client for it.

use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::made::{Made, at, count, items};

/// How long a test waits for an event before it fails and prints what it was waiting for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// The name of a data folder, with characters that mean something in URLs and elsewhere.
const FOLDER: &str = "dåta 50 % #1?";

/// The settings of every node here: campaigns for the subjects of [`super::posts`], moments after few posts, and event time
/// that only the source moves, so that no result depends on the speed of the machine.
const SETTINGS: &str = r##"
[stream]
idle_after = "10min"

[ingest]
open_subjects = true

[tenants.default]
pseudonym_secret = "a secret of the tests, not of anyone"

[profile.change]
alpha = 0.00001
false_moments = 10000
audiences = 1
window = "1s"
least_posts = 30
cooldown = "1min"

[affect]
engine = "lexicon"

[affect.subjects]
boxing = ["fight", "fighter", "boxing", "#mayweathervmcgregor", "mayweather", "mcgregor", "#maymac", "ring", "knockout"]
music = ["concert", "encore", "band", "song"]

[[campaigns]]
id = "night-snacks"
subjects = ["boxing"]
platforms = [{ name = "file", headline = 60, body = 180 }]
declared = { advertiser = "Crunch Foods" }
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
declared = { advertiser = "Groove Corner" }
bid = 180000
[campaigns.brief]
product = "Groove Corner"
promise = "The record of the night, pressed and posted by morning."
call_to_action = "Hear it first"
link = "https://groove.example/tonight"
"##;

/// The stages that read the posts of a test or records derived from them, each with its topics.
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

/// A folder with settings and data, and the process of its node.
pub(crate) struct TestNode {
    folder: Arc<TempDir>,
    data: PathBuf,
    flags: Vec<String>,
    /// Environment variables of the node's process.
    environment: Vec<(String, String)>,
    process: Option<Process>,
    /// How many times [`TestNode::start`] was called.
    pub(crate) starts: u32,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    /// The header `Authorization` of all requests.
    authorization: Option<String>,
}

struct Process {
    child: Arc<Mutex<Child>>,
    address: String,
    log: Arc<Mutex<Vec<String>>>,
}

/// The answer to a request. `None` if there was none.
async fn answer_of(request: reqwest::RequestBuilder) -> Option<Answer> {
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
}

impl TestNode {
    /// A node with an empty data folder that does not run yet. `flags` are passed to every command.
    pub(crate) fn new(flags: &[&str]) -> Self {
        Self::sharing(Arc::new(tempfile::tempdir().unwrap()), FOLDER, flags)
    }

    /// A node whose folder is in `parent`, whose platform `file` is described by `platform`, and whose process has these environment
    /// variables.
    pub(crate) fn exposed(
        parent: &Path,
        platform: &str,
        environment: Vec<(String, String)>,
        flags: &[&str],
    ) -> Self {
        let mut node = Self::sharing(Arc::new(TempDir::new_in(parent).unwrap()), "data", flags);
        node.environment = environment;
        std::fs::write(node.data.join("limbic.toml"), format!("{SETTINGS}\n{platform}")).unwrap();
        node
    }

    /// Another node in the same data folder, with the same flags.
    pub(crate) fn neighbour(&self) -> Self {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let data = self.data.file_name().unwrap().to_str().unwrap();
        Self::sharing(Arc::clone(&self.folder), data, &flags)
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
            environment: Vec::new(),
            process: None,
            starts: 0,
            runtime,
            client,
            authorization: None,
        }
    }

    /// Sends this header `Authorization` with all further requests.
    pub(crate) fn log_in(&mut self, authorization: &str) {
        self.authorization = Some(authorization.to_owned());
    }

    /// A running node whose stages are all ready.
    pub(crate) fn open(flags: &[&str]) -> Self {
        let mut node = Self::new(flags);
        node.start();
        node.wait_ready();
        node
    }

    /// The address of its API.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.process.as_ref().expect("the node runs").address)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // A long run may use a copy, so that the program does not change meanwhile.
        let program = std::env::var_os("LIMBIC_TEST_PROGRAM");
        let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_limbic").into()));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(arguments)
            .arg("--config")
            .arg(self.data.join("limbic.toml"))
            .arg("--data")
            .arg(&self.data)
            .args(&self.flags);
        command
    }

    /// Runs another command with the same settings, data folder and flags.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts `limbic run`. Returns when it listens.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "the node runs already");
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
            panic!("the node does not listen:\n{}", log.lock().unwrap().join("\n"));
        };
        self.process = Some(Process {
            child: Arc::new(Mutex::new(child)),
            address,
            log,
        });
    }

    /// Waits until `/readyz` answers 200.
    pub(crate) fn wait_ready(&mut self) {
        self.until("the node is ready", |node| {
            (node.get("/readyz").status == StatusCode::OK).then_some(())
        });
    }

    /// Kills the running process with SIGKILL after this time. Does nothing if it has ended by then.
    pub(crate) fn kill_after(&self, after: Duration) -> std::thread::JoinHandle<()> {
        let child = Arc::clone(&self.process.as_ref().expect("the node runs").child);
        std::thread::spawn(move || {
            let due = Instant::now() + after;
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
            let mut child = child.lock().unwrap();
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                // The process is reaped here. Otherwise the next kill could hit it again.
                child.wait().unwrap();
            }
        })
    }

    /// Stops the process with SIGSTOP, and lets it go on after this time.
    pub(crate) fn suspend_for(&self, time: Duration) {
        let child = Arc::clone(&self.process.as_ref().expect("the node runs").child);
        let mut child = child.lock().unwrap();
        if child.try_wait().unwrap().is_some() {
            return;
        }
        for signal in ["-STOP", "-CONT"] {
            let sent = Command::new("kill")
                .arg(signal)
                .arg(child.id().to_string())
                .status();
            assert!(sent.unwrap().success());
            if signal == "-STOP" {
                wait_for(time);
            }
        }
    }

    /// Kills the process with SIGKILL. The next request that insists starts it again.
    pub(crate) fn kill(&self) {
        self.kill_after(Duration::ZERO).join().unwrap();
    }

    /// Stops the process with SIGTERM. Returns its exit status and its log.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, String) {
        self.end_with("TERM")
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("the node runs");
        let number = process.child.lock().unwrap().id().to_string();
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(number)
            .status();
        assert!(sent.unwrap().success());
    }

    /// What the process has logged so far.
    pub(crate) fn log(&self) -> String {
        let process = self.process.as_ref().expect("the node runs");
        process.log.lock().unwrap().join("\n")
    }

    /// Stops the process with this signal. Returns its exit status and its log.
    pub(crate) fn end_with(&mut self, signal: &str) -> (ExitStatus, String) {
        self.signal(signal);
        let process = self.process.take().expect("the node runs");
        let mut child = process.child.lock().unwrap();
        let status = child.wait().unwrap();
        drop(child);
        (status, process.log.lock().unwrap().join("\n"))
    }

    /// Whether the process runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.child.lock().unwrap().try_wait().unwrap().is_none())
    }

    /// Starts the process again if it was killed. Returns whether it did. Fails the test if the process ended for another
    /// reason.
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
            "the node was not killed but ended, {status}:\n{}",
            process.log.lock().unwrap().join("\n")
        );
        self.process = None;
        self.start();
        true
    }

    /// Sends a request. `None` if there was no answer.
    pub(crate) fn try_request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Option<Answer> {
        let process = self.process.as_ref().expect("the node runs");
        let url = format!("http://{}{path}", process.address);
        let mut request = self
            .client
            .request(method.parse().unwrap(), url)
            .body(body.to_vec());
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.runtime.block_on(answer_of(request))
    }

    /// Sends POST with these headers.
    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = self
            .client
            .post(format!("{}{path}", self.url()))
            .body(body.to_vec());
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        self.runtime.block_on(answer_of(request)).expect("an answer")
    }

    /// Sends a request. Fails the test if there is no answer.
    pub(crate) fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.try_request(method, path, kind, body).unwrap_or_else(|| {
            let process = self.process.as_ref().expect("the node runs");
            panic!(
                "no answer to {method} {path}:\n{}",
                process.log.lock().unwrap().join("\n")
            )
        })
    }

    /// Sends GET.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", b"")
    }

    /// Sends POST with JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, "application/json", body.to_string().as_bytes())
    }

    /// Sends POST with JSON until the answer is 202. Restarts the process if it was killed.
    pub(crate) fn insist(&mut self, path: &str, body: &Value) -> Value {
        let bytes = body.to_string().into_bytes();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_request("POST", path, "application/json", &bytes) {
                Some(answer) if answer.status == StatusCode::ACCEPTED => return answer.json(),
                Some(answer) => assert!(answer.status.is_server_error(), "{answer:?}"),
                None => {}
            }
            assert!(Instant::now() < deadline, "{path} accepts nothing");
            if !self.revive() {
                pause();
            }
        }
    }

    /// Calls `look` until it returns a value.
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
            pause();
        }
    }

    /// Waits until every stage has consumed all its records. Returns the counts.
    pub(crate) fn settle(&mut self) -> Value {
        let mut before = Value::Null;
        self.until("every stage has consumed all there is", |node| {
            node.revive();
            let answer = node.try_request("GET", "/v1/counts", "", b"")?;
            if answer.status != StatusCode::OK {
                return None;
            }
            let counts = answer.json();
            let stages = at(&counts, "/stages").as_object().unwrap();
            let idle = stages.values().all(|stage| count(stage, "/lag") == 0);
            // A stage that has never committed has a lag of 0, even if there are records. So compare counts too.
            let caught_up = READERS.iter().all(|(stage, topics)| {
                let records = topics
                    .iter()
                    .map(|topic| count(&counts, &format!("/topics/{topic}/records")));
                count(&counts, &format!("/stages/{stage}/consumed")) >= records.sum::<u64>()
            });
            // The counts of one stage are exact; those of ten are read one after the other. Two equal answers are exact.
            let same = counts == before;
            before = counts.clone();
            (idle && caught_up && same).then_some(counts)
        })
    }

    /// All items of a list, read in pages of `limit`.
    pub(crate) fn all(&self, list: &str, limit: usize) -> Vec<Value> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.get(&format!("/v1/{list}?limit={limit}{after}")).json();
            let found = items(&page, "/items");
            assert!(found.len() <= limit);
            all.extend(found.iter().cloned());
            match at(&page, "/next") {
                Value::Null => return all,
                next => after = format!("&after={}", next.as_str().unwrap()),
            }
        }
    }

    /// The readings, moments and decisions that the stages made from the posts. Fails the test if an item exists twice.
    pub(crate) fn made(&self) -> Made {
        ["readings", "moments", "decisions"]
            .into_iter()
            .map(|list| {
                let all = self.all(list, 1_000);
                let set: BTreeSet<String> = all
                    .iter()
                    .map(|item| without_reason_of_hold(item).to_string())
                    .collect();
                assert_eq!(set.len(), all.len(), "{list}: an item is there twice");
                (list, set)
            })
            .collect()
    }
}

/// A decision without what a hold says of its posts: holds follow the order in which posts arrive, which partitions change.
fn without_reason_of_hold(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(suppressed) = item.pointer_mut("/result/suppressed")
        && suppressed["rule"] == "hold"
    {
        suppressed["reason"] = Value::Null;
    }
    item
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

/// Lets a fault last.
pub(crate) fn wait_for(time: Duration) {
    let due = Instant::now() + time;
    while let Some(left) = due.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// Waits a short time before the next check of another process.
pub(crate) fn pause() {
    std::thread::park_timeout(Duration::from_millis(20));
}
