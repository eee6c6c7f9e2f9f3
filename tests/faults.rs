//! Whatever fails around a node, nothing is lost, nothing is doubled, and the results are the same.
//!
//! `scripts/torture --faults N` runs this long. The faults are drawn from a seed; each lasts for a random time while posts arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use limbic_domain::random::Random;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::sync::watch;

use crate::kit::{END, Made, TestNode, assert_same, at, count, is_chosen, posts, wait_for};

/// The groups of the stages whose offsets can expire.
const GROUPS: [&str; 11] = [
    "ingest", "affect", "profile", "moments", "creative", "texts", "safety", "optimize", "deliver",
    "metrics", "views",
];

/// Posts between two faults.
const BETWEEN: usize = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// SIGKILL at a random moment.
    Kill,
    /// SIGSTOP, and SIGCONT some time later.
    Pause,
    /// The wall clock is 60 days ahead.
    ClockAhead,
    /// The wall clock is 60 days behind.
    ClockBehind,
    /// Each sync of a file takes up to half a second longer.
    SlowDisk,
    /// The data folder has no room.
    FullDisk,
    /// The view's SQLite file is locked, or its PostgreSQL server is killed.
    ViewAway,
    /// The view's database is put back to an earlier state while the node does not run.
    ViewBack,
    /// Redis is killed, and starts without its content.
    IdsAway,
    /// The ad platform accepts requests and does not answer.
    PlatformHangs,
    /// The cluster forgets the offsets of all groups while the node does not run.
    OffsetsExpire,
    /// The broker is killed and starts again.
    BrokerRestarts,
}

/// What this run has: read from the environment, which `scripts/torture` sets.
struct World {
    /// Where the node's folder is made, and whether it is a file system of limited size.
    folder: PathBuf,
    is_small: bool,
    /// The compiled `scripts/faulty-system.c`.
    system: Option<String>,
    /// The folder of servers that belong to this run alone (`LIMBIC_SERVICES_RUN`).
    servers: Option<String>,
    on_kafka: bool,
    name: String,
}

impl World {
    fn read() -> Self {
        let small = std::env::var("LIMBIC_TORTURE_FOLDER").ok();
        Self {
            is_small: small.is_some(),
            folder: small.map_or_else(std::env::temp_dir, PathBuf::from),
            system: std::env::var("LIMBIC_TORTURE_SYSTEM").ok(),
            servers: std::env::var("LIMBIC_TORTURE_SERVERS").ok(),
            on_kafka: std::env::var("LIMBIC_TORTURE_BACKEND").is_ok_and(|backend| backend == "kafka"),
            name: format!("faults_{}", std::process::id()),
        }
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![
            Fault::Kill,
            Fault::Pause,
            Fault::ViewAway,
            Fault::ViewBack,
            Fault::PlatformHangs,
        ];
        if self.system.is_some() {
            faults.extend([Fault::ClockAhead, Fault::ClockBehind, Fault::SlowDisk]);
        }
        if self.is_small {
            faults.push(Fault::FullDisk);
        }
        if self.servers.is_some() {
            faults.push(Fault::IdsAway);
        }
        if self.on_kafka {
            faults.extend([Fault::OffsetsExpire, Fault::BrokerRestarts]);
        }
        faults
    }

    fn services(&self, command: &str, server: &str) -> String {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
        let output = Command::new(script)
            .args([command, server])
            .env("LIMBIC_SERVICES_RUN", self.servers.as_ref().unwrap())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{server}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The value of a variable that `scripts/services env` prints.
    fn address(&self, server: &str, variable: &str) -> String {
        let all = self.services("env", server);
        let prefix = format!("export {variable}=");
        let line = all.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
        line.trim_matches(['\'', '"']).to_owned()
    }

    fn restart(&self, server: &str) {
        let pid = Path::new(self.servers.as_ref().unwrap()).join(server).join("pid");
        let pid = std::fs::read_to_string(pid).unwrap();
        let pid = pid.split_whitespace().next().unwrap();
        assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
        self.services("up", server);
    }

    fn postgres(&self) -> Option<String> {
        let url = self
            .servers
            .as_ref()
            .map(|_| self.address("postgres", "LIMBIC_TEST_POSTGRES"))?;
        Some(url.rsplit_once('/').unwrap().0.to_owned())
    }

    fn flags(&self) -> Vec<String> {
        let mut settings = vec![
            "partitions=3".to_owned(),
            "deliver.attempts=1000".to_owned(),
            "deliver.backoff=100ms".to_owned(),
            "deliver.max_backoff=1s".to_owned(),
            "deliver.circuit_rest=500ms".to_owned(),
            "deliver.second_look=0s".to_owned(),
        ];
        let mut flags = Vec::new();
        if let Some(server) = self.postgres() {
            settings.push(format!("view={server}/{}", self.name));
            let redis = self.address("redis", "LIMBIC_TEST_REDIS");
            settings.push(format!("seen={redis}"));
        }
        if self.on_kafka {
            let broker = self.address("kafka", "LIMBIC_TEST_KAFKA");
            flags.extend(["--log".to_owned(), format!("kafka://{broker}")]);
            settings.push(format!("kafka.prefix={}", self.name));
            settings.push("stream.single_node=true".to_owned());
        }
        for setting in settings {
            flags.extend(["--set".to_owned(), setting]);
        }
        flags
    }
}

/// An ad platform that counts the requests of each idempotency key, and hangs when it is told to.
struct Platform {
    hangs: watch::Sender<bool>,
    seen: Mutex<BTreeMap<String, u32>>,
}

async fn answer(State(platform): State<Arc<Platform>>, headers: HeaderMap) -> StatusCode {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    // The effect is there, whether or not the answer arrives.
    *platform.seen.lock().unwrap().entry(key).or_default() += 1;
    let mut hangs = platform.hangs.subscribe();
    hangs.wait_for(|hangs| !hangs).await.unwrap();
    StatusCode::OK
}

/// A node and everything that can fail around it.
struct Exposed {
    world: World,
    node: TestNode,
    platform: Arc<Platform>,
    runtime: tokio::runtime::Runtime,
    /// What is wrong with the clock and the disk of the node's process, as `scripts/faulty-system.c` reads it.
    system: PathBuf,
    counts: BTreeMap<Fault, u32>,
}

impl Exposed {
    fn new(world: World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}/ads", listener.local_addr().unwrap());
        let platform = Arc::new(Platform {
            hangs: watch::Sender::new(false),
            seen: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&platform));
        runtime.spawn(async move { axum::serve(listener, router).await });
        if let Some(server) = world.postgres() {
            let create = format!("CREATE DATABASE {}", world.name);
            runtime.block_on(execute(&server, &create)).unwrap();
        }
        let system = world.folder.join(format!("{}.faults", world.name));
        set_faults(&system, 0, 0);
        let mut environment = Vec::new();
        if let Some(library) = &world.system {
            environment.push(("LD_PRELOAD".to_owned(), library.clone()));
            environment.push(("FAULTY_SYSTEM".to_owned(), system.display().to_string()));
        }
        let described = format!("[ad_platforms.file]\nkind = \"webhook\"\nurl = \"{url}\"\n");
        let flags = world.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mut node = TestNode::exposed(&world.folder, &described, environment, &flags);
        node.start();
        node.wait_ready();
        Self {
            world,
            node,
            platform,
            runtime,
            system,
            counts: BTreeMap::new(),
        }
    }

    /// Lets a fault happen while `send` sends posts.
    fn meet(&mut self, fault: Fault, random: &mut Random, posts: &[Value]) {
        *self.counts.entry(fault).or_default() += 1;
        let up_to = |millis: usize, random: &mut Random| Duration::from_millis(random.below(millis) as u64);
        match fault {
            Fault::Kill => {
                let killer = self.node.kill_after(up_to(400, random));
                self.send(posts);
                killer.join().unwrap();
            }
            Fault::Pause => {
                self.send(&posts[..posts.len() / 2]);
                self.node.suspend_for(up_to(2_000, random));
                self.send(&posts[posts.len() / 2..]);
            }
            Fault::ClockAhead | Fault::ClockBehind => {
                // The promise is for a process that started with a right clock, and the last fault may have been a kill.
                self.node.revive();
                self.node.wait_ready();
                let days = if fault == Fault::ClockAhead { 60 } else { -60 };
                set_faults(&self.system, days * 86_400, 0);
                self.send(posts);
                wait_for(up_to(1_500, random));
                set_faults(&self.system, 0, 0);
            }
            Fault::SlowDisk => {
                set_faults(&self.system, 0, 20 + random.below(500) as i64);
                self.send(posts);
                set_faults(&self.system, 0, 0);
            }
            Fault::FullDisk => {
                let (filler, left) = (self.world.folder.join("filler"), 16 + random.below(150));
                fill(&self.world.folder, &filler, left);
                let remover = {
                    let lasts = up_to(1_500, random);
                    std::thread::spawn(move || {
                        wait_for(lasts);
                        std::fs::remove_file(filler).unwrap();
                    })
                };
                self.send(posts);
                remover.join().unwrap();
            }
            Fault::ViewAway => self.view_away(posts, up_to(2_000, random)),
            Fault::ViewBack => self.view_back(posts),
            Fault::IdsAway => {
                self.send(&posts[..posts.len() / 2]);
                self.world.restart("redis");
                self.send(&posts[posts.len() / 2..]);
            }
            Fault::PlatformHangs => {
                self.platform.hangs.send_replace(true);
                self.send(posts);
                wait_for(up_to(2_000, random));
                self.platform.hangs.send_replace(false);
            }
            Fault::OffsetsExpire => {
                self.send(&posts[..posts.len() / 2]);
                self.node.kill();
                self.forget_offsets();
                self.send(&posts[posts.len() / 2..]);
            }
            Fault::BrokerRestarts => {
                self.send(&posts[..posts.len() / 2]);
                self.world.restart("kafka");
                self.send(&posts[posts.len() / 2..]);
            }
        }
    }

    fn send(&mut self, posts: &[Value]) {
        let receipt = self.node.insist("/v1/posts", &json!(posts));
        let taken = count(&receipt, "/accepted") + count(&receipt, "/duplicates");
        assert_eq!(taken, posts.len() as u64, "{receipt}");
    }

    fn view_away(&mut self, posts: &[Value], lasts: Duration) {
        if self.world.servers.is_some() {
            self.send(&posts[..posts.len() / 2]);
            self.world.restart("postgres");
            self.send(&posts[posts.len() / 2..]);
            return;
        }
        let file = format!("sqlite://{}", self.node.data().join("view.sqlite").display());
        // A node that starts meanwhile waits for the lock.
        let holder = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut connection = SqliteConnection::connect(&file).await.unwrap();
                // Another reader or writer may have it for a moment.
                for _ in 0..100 {
                    if sqlx::query("BEGIN EXCLUSIVE")
                        .execute(&mut connection)
                        .await
                        .is_ok()
                    {
                        break;
                    }
                }
                wait_for(lasts);
                let _ = sqlx::query("ROLLBACK").execute(&mut connection).await;
                connection.close().await.unwrap();
            });
        });
        self.send(posts);
        holder.join().unwrap();
    }

    /// Saves the view, sends half of the posts, and puts the view back.
    fn view_back(&mut self, posts: &[Value]) {
        let (before, after) = posts.split_at(posts.len() / 2);
        self.node.kill();
        let saved = format!("{}_saved", self.world.name);
        if let Some(server) = self.world.postgres() {
            let name = &self.world.name;
            let save = [
                format!("DROP DATABASE IF EXISTS {saved} WITH (FORCE)"),
                without_connections(name),
                format!("CREATE DATABASE {saved} TEMPLATE {name}"),
            ];
            let restore = [
                format!("DROP DATABASE {name} WITH (FORCE)"),
                format!("ALTER DATABASE {saved} RENAME TO {name}"),
            ];
            self.statements(&server, &save);
            self.send(before);
            self.node.kill();
            self.statements(&server, &restore);
            self.send(after);
            return;
        }
        let data = self.node.data().to_owned();
        let files = ["", "-wal", "-shm"].map(|end| data.join(format!("view.sqlite{end}")));
        let kept = files.clone().map(|file| std::fs::read(file).ok());
        self.send(before);
        self.node.kill();
        for (file, kept) in files.iter().zip(kept) {
            match kept {
                Some(bytes) => std::fs::write(file, bytes).unwrap(),
                None => drop(std::fs::remove_file(file)),
            }
        }
        self.send(after);
    }

    fn statements(&self, server: &str, statements: &[String]) {
        for statement in statements {
            self.runtime.block_on(execute(server, statement)).unwrap();
        }
    }

    fn forget_offsets(&self) {
        let broker = self.world.address("kafka", "LIMBIC_TEST_KAFKA");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker);
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let groups = GROUPS.map(|group| format!("{}.{group}", self.world.name));
        let mut left: BTreeSet<&str> = groups.iter().map(String::as_str).collect();
        let options = AdminOptions::new();
        // A group is deleted when the brokers have noticed that its member is gone.
        for _ in 0..3_000 {
            let names: Vec<&str> = left.iter().copied().collect();
            let deleted = self
                .runtime
                .block_on(admin.delete_groups(&names, &options))
                .unwrap();
            for one in deleted {
                match one {
                    Ok(name) => drop(left.remove(name.as_str())),
                    Err((name, rdkafka::types::RDKafkaErrorCode::GroupIdNotFound)) => {
                        left.remove(name.as_str());
                    }
                    Err(_) => {}
                }
            }
            if left.is_empty() {
                return;
            }
            wait_for(Duration::from_millis(50));
        }
        panic!("the offsets of {left:?} are still there");
    }

    /// Waits until everything is done, checks the counts and the deliveries, and returns the results.
    fn finish(mut self, posts: u64) -> Made {
        self.node.insist("/v1/watermark", &json!({"at": END}));
        self.node.revive();
        self.node.wait_ready();
        self.node.until("no ad waits", |node| {
            node.settle();
            let platforms = node.try_request("GET", "/v1/platforms", "", b"")?;
            let platforms = platforms.json();
            let waiting = crate::kit::items(&platforms, "/items");
            waiting
                .iter()
                .all(|platform| count(platform, "/waiting") == 0)
                .then_some(())
        });
        let counts = self.node.settle();
        assert_eq!(count(&counts, "/topics/posts/records"), posts, "{counts}");
        assert_eq!(count(&counts, "/topics/readings/records"), posts, "{counts}");
        for (topic, of_topic) in at(&counts, "/topics").as_object().unwrap() {
            assert_eq!(*at(of_topic, "/dead"), json!({}), "{topic}: {counts}");
        }
        let made = self.node.made();
        assert_eq!(made["readings"].len() as u64, posts);
        let decisions = self.node.all("decisions", 1_000);
        let chosen = decisions.iter().filter(|decision| is_chosen(decision));
        let chosen: BTreeSet<String> = chosen
            .map(|decision| at(decision, "/id").as_str().unwrap().to_owned())
            .collect();
        let seen = self.platform.seen.lock().unwrap();
        let delivered: BTreeSet<String> = seen
            .keys()
            .filter(|key| key.strip_suffix(".pause").is_none())
            .cloned()
            .collect();
        assert!(delivered.is_subset(&chosen), "an ad that nobody chose");
        let withdrawn: Vec<_> = chosen.difference(&delivered).collect();
        let repeated = seen.values().filter(|times| **times > 1).count();
        eprintln!(
            "faults: {:?}; {} ads chosen, {} at the platform, {repeated} of them asked for more than once, {} withdrawn",
            self.counts,
            chosen.len(),
            delivered.len(),
            withdrawn.len()
        );
        drop(seen);
        // The state of every stage decodes, and log, progress and view agree.
        let (mut ended, mut log) = self.node.terminate();
        if !ended.success() && self.world.on_kafka {
            // librdkafka waits by the wall clock, so shortly after the clock was wrong a stage can miss the deadline. The node ends
            // nevertheless, and the next start goes on.
            assert!(log.contains("has not stopped by the deadline"), "{log}");
            self.node.start();
            self.node.settle();
            (ended, log) = self.node.terminate();
        }
        assert!(ended.success(), "{log}");
        let checked = self.node.run(&["check", "--deep"]);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{said}");
        for stage in ["ingest", "profile", "moments", "optimize", "deliver", "metrics"] {
            assert!(said.contains(&format!("state of {stage}")), "{said}");
        }
        assert!(said.contains("series"), "{said}");
        let _ = std::fs::remove_file(&self.system);
        if let Some(server) = self.world.postgres() {
            let drop_database = format!("DROP DATABASE {} WITH (FORCE)", self.world.name);
            self.statements(&server, &[drop_database]);
        }
        made
    }
}

/// Ends all connections to a database, so that it can be copied.
fn without_connections(database: &str) -> String {
    format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
}

async fn execute(server: &str, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(&format!("{server}/limbic")).await?;
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

/// Sets by how many seconds the clock is wrong, and by how many milliseconds a sync is late. The file is never shorter, because the
/// node has mapped it.
fn set_faults(file: &Path, seconds: i64, sync_millis: i64) {
    let mut open = std::fs::OpenOptions::new();
    let file = open.write(true).create(true).truncate(false).open(file).unwrap();
    let both = [seconds.to_ne_bytes(), sync_millis.to_ne_bytes()].concat();
    std::os::unix::fs::FileExt::write_all_at(&file, &both, 0).unwrap();
}

/// Fills the file system of `folder` until `left` MiB are free.
fn fill(folder: &Path, filler: &Path, left: usize) {
    let free = Command::new("df")
        .args(["--output=avail", "-m"])
        .arg(folder)
        .output()
        .unwrap();
    let text = String::from_utf8(free.stdout).unwrap();
    let free: usize = text.lines().nth(1).unwrap().trim().parse().unwrap();
    let size = free.saturating_sub(left).max(1);
    let allocated = Command::new("fallocate")
        .arg("-l")
        .arg(format!("{size}MiB"))
        .arg(filler)
        .status();
    assert!(allocated.unwrap().success());
}

/// Sends posts while `faults` happen, one after another.
fn endure(world: World, faults: u32, seed: u64) {
    let posts = posts(faults as usize * BETWEEN);
    let calm = {
        let mut node = TestNode::open(&["--set", "partitions=1"]);
        for batch in posts.chunks(BETWEEN) {
            node.insist("/v1/posts", &json!(batch));
        }
        node.insist("/v1/watermark", &json!({"at": END}));
        node.settle();
        node.made()
    };
    let kinds = world.faults();
    let mut random = Random::new(seed);
    let mut exposed = Exposed::new(world);
    for (number, batch) in posts.chunks(BETWEEN).enumerate() {
        // Each kind in turn, in an order of its own in each round.
        let fault = kinds[(number + random.below(kinds.len())) % kinds.len()];
        exposed.meet(fault, &mut random, batch);
    }
    let made = exposed.finish(posts.len() as u64);
    assert_same(&calm, &made, "calm and tortured");
    eprintln!(
        "{faults} faults, seed {seed}, {} posts: 0 lost, 0 doubled, nothing different",
        posts.len()
    );
}

/// `scripts/torture --faults` sets the number of faults and what can fail.
#[test]
fn faults_around_a_node_change_no_result() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let faults = variable("LIMBIC_TORTURE_FAULTS").unwrap_or(10);
    let seed = variable("LIMBIC_TORTURE_SEED").unwrap_or(1);
    endure(World::read(), u32::try_from(faults).unwrap(), seed);
}
